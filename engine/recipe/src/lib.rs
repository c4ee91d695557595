//! What a remote serves beside layers: recipes, and the index that vouches for files.
//!
//! The types here are the format: they read it, and its JSON Schemas are derived from them. What comes from a remote is
//! somebody else's, so nothing of it is used as a path or as an option of a program.

mod index;
mod order;
mod recipe;
#[cfg(feature = "schema")]
pub mod schema;

pub use index::{Entry, Index};
pub use order::{MOST, OrderError, order};
pub use recipe::Recipe;

/// Why a file is not what it should be, in one line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unfit(pub(crate) String);

/// The most bytes of a name, so that it has room in the name of a file.
const LONGEST: usize = 128;

/// What [`is_name`] accepts, in words.
pub const NAME: &str = "a name begins with a letter or a digit; letters, digits, `.`, `_`, `+` and `-` may follow, 128 in all";

/// Whether a recipe or a layer can have that name. None leads out of a directory, is hidden, or looks like an option.
#[must_use]
pub fn is_name(text: &str) -> bool {
    let known =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'+' | b'-');
    text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text.len() <= LONGEST
        && text.bytes().all(known)
}

fn parse<'a, T: serde::Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Unfit> {
    let text = std::str::from_utf8(bytes).map_err(|_| Unfit("it is no UTF-8".to_owned()))?;
    serde_json::from_str(text).map_err(|error| Unfit(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_nowhere() {
        for name in [
            "firefox",
            "7zip",
            "g++",
            "gtk-4.0",
            "a..b",
            &"a".repeat(128),
        ] {
            assert!(is_name(name), "{name}");
        }
        let long = "a".repeat(129);
        for text in [
            "", ".", "..", ".a", "-a", "+a", "a/b", "../a", "a\0", "a b", "ä", "a\n", &long,
        ] {
            assert!(!is_name(text), "{text:?}");
        }
    }
}
