//! What the files of an application are called, and how they are told from those of others.

use flatimage_icon::SIZES;
use flatimage_reserved::declared::Desktop;

/// Where the records of all applications are.
pub const RECORDS: &str = "flatimage/desktop";

/// Letters of the application's name that its id keeps.
const LONGEST_SLUG: usize = 32;

/// Where the files of one application are, below the user's data directory.
#[derive(Clone, Copy, Debug)]
pub struct Names<'a>(&'a str);

impl<'a> Names<'a> {
    /// Those of an application.
    pub fn of(application: &'a Desktop) -> Names<'a> {
        Names(&application.id)
    }

    /// Those of the application of that id.
    pub fn with_id(id: &'a str) -> Names<'a> {
        Names(id)
    }

    /// What all names have in common, and the name of the icon.
    pub fn stem(self) -> String {
        format!("flatimage-{}", self.0)
    }

    /// The file type.
    pub fn file_type(self) -> String {
        format!("application/x-{}", self.stem())
    }

    /// The entry for menus.
    pub fn entry(self) -> String {
        format!("applications/{}.desktop", self.stem())
    }

    /// The entry for the file of the image.
    pub fn opener(self) -> String {
        format!("applications/{}-file.desktop", self.stem())
    }

    /// The MIME package.
    pub fn package(self) -> String {
        format!("mime/packages/{}.xml", self.stem())
    }

    /// The icon in one size.
    pub fn png(self, size: u32) -> String {
        format!("icons/hicolor/{size}x{size}/apps/{}.png", self.stem())
    }

    /// The icon for every size.
    pub fn svg(self) -> String {
        format!("icons/hicolor/scalable/apps/{}.svg", self.stem())
    }

    /// What says which image the files are for, and which.
    pub fn record(self) -> String {
        format!("{RECORDS}/{}", self.0)
    }

    /// Every file that an application can have.
    pub fn all(self) -> Vec<String> {
        let texts = [self.entry(), self.opener(), self.package(), self.svg()];
        let icons = SIZES.iter().map(|size| self.png(*size));
        texts.into_iter().chain(icons).collect()
    }
}

/// What every file of the application of that id holds somewhere: whatever does not is somebody else's.
pub fn mark(id: &str) -> String {
    format!("flatimage:{id}")
}

/// The id of a new application: readable, and no other's, by eight `random` digits.
pub fn new_id(name: &str, random: u32) -> String {
    let slug = slug(name);
    let slug = if slug.is_empty() { "app" } else { &slug };
    format!("{slug}-{random:08x}")
}

/// Whether an id is one that `new_id` makes for that name.
pub fn is_id_for(id: &str, name: &str) -> bool {
    let digits = id.rsplit_once('-').map_or("", |(_, digits)| digits);
    u32::from_str_radix(digits, 16).is_ok_and(|random| new_id(name, random) == id)
}

/// Whether it can be part of a file's name, a type's, and a comment: all that is stored in an image comes from somebody.
pub fn is_id(id: &str) -> bool {
    let is_plain = |letter: u8| letter.is_ascii_lowercase() || letter.is_ascii_digit();
    let mut words = id.split('-');
    id.len() <= LONGEST_SLUG + 9 && words.all(|word| !word.is_empty() && word.bytes().all(is_plain))
}

/// The letters and digits of a name, joined by single hyphens.
fn slug(name: &str) -> String {
    let words = name.split(|letter: char| !letter.is_ascii_alphanumeric());
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    let mut slug = words.join("-").to_ascii_lowercase();
    slug.truncate(LONGEST_SLUG);
    slug.trim_end_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_made_of_the_name_and_can_be_a_file_name_and_a_type() {
        assert_eq!(new_id("Tic, Tac & Toe!", 0xabc), "tic-tac-toe-00000abc");
        assert_eq!(new_id("\u{9aa}/..", 1), "app-00000001");
        assert!(is_id_for("tic-tac-toe-00000abc", "Tic Tac Toe"));
        assert!(!is_id_for("tic-tac-toe-00000abc", "Chess"));
        assert!(is_id("tic-tac-toe-00000abc") && is_id("app-00000001"));
        for other in ["", "a/b", "..", "a--b", "-a", "A", "é", &"a".repeat(60)] {
            assert!(!is_id(other), "{other}");
        }
        let long = new_id(&"ab ".repeat(100), 1);
        assert!(
            long.len() <= LONGEST_SLUG + 9 && !long.contains("--"),
            "{long}"
        );
    }
}
