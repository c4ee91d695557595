//! When two names are the same.

mod table;

pub use table::UNICODE_VERSION;
use table::{RANGES, Range};

/// A name as it is compared: two names are the same when this gives the same.
///
/// UTF-8 is folded by Unicode's simple case folding (the statuses C and S of `CaseFolding.txt`, [`UNICODE_VERSION`]):
/// one character becomes one character, so `ß` is not `ss`; no language is known, so `I` is `i` and neither the
/// Turkish `İ` nor `ı` is; nothing is normalized, so an `é` of one character is not an `é` of two. In a name that is
/// no UTF-8, the ASCII letters are folded and all else stays.
pub fn fold(name: &[u8]) -> Vec<u8> {
    match str::from_utf8(name) {
        Ok(text) if !text.is_ascii() => text.chars().map(fold_character).collect::<String>().into(),
        _ => name.to_ascii_lowercase(),
    }
}

fn fold_character(character: char) -> char {
    let code = u32::from(character);
    let at = RANGES.partition_point(|range| range.last < code);
    RANGES
        .get(at)
        .and_then(|range| range.fold(code))
        .and_then(char::from_u32)
        .unwrap_or(character)
}

impl Range {
    fn fold(&self, code: u32) -> Option<u32> {
        let inside = code >= self.first && (code - self.first).is_multiple_of(self.step);
        inside
            .then(|| code.checked_add_signed(self.distance))
            .flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(one: &str, other: &str) -> bool {
        fold(one.as_bytes()) == fold(other.as_bytes())
    }

    #[test]
    fn case_is_all_that_is_ignored() {
        assert!(same("README.txt", "readme.TXT"));
        assert!(same("ÀÉÎ", "àéî"));
        assert!(same("ΣΊΣΥΦΟΣ", "σίσυφος"), "the final sigma is a sigma");
        assert!(same("ПРИВЕТ", "привет"));
        assert!(same("\u{10400}", "\u{10428}"), "beyond 16 bits");
        assert!(same("\u{212A}", "k"), "the sign for kelvin");
        assert!(!same("e", "é"));
        assert!(!same("é", "e\u{301}"), "nothing is normalized");
    }

    #[test]
    fn folding_is_simple_and_not_full() {
        assert!(same("ẞ", "ß"));
        assert!(!same("ß", "ss"));
        assert!(!same("ﬀ", "ff"));
        assert!(!same("İ", "i"));
        assert!(!same("ı", "I"));
    }

    #[test]
    fn other_bytes_have_only_their_ascii_letters_folded() {
        assert_eq!(fold(b"CAF\xc9.TXT"), b"caf\xc9.txt");
        assert_ne!(fold(b"CAF\xc9.TXT"), fold(b"caf\xe9.txt"));
    }

    #[test]
    fn folding_again_changes_nothing() {
        for character in '\0'..=char::MAX {
            let once = fold_character(character);
            assert_eq!(fold_character(once), once, "{character:?}");
        }
    }

    #[test]
    fn the_ranges_are_in_order() {
        assert!(
            RANGES
                .iter()
                .all(|range| range.first <= range.last && range.step > 0)
        );
        assert!(RANGES.is_sorted_by(|one, other| one.last < other.last));
    }
}
