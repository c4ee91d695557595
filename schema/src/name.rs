//! Names and their cases.

use std::fmt;

/// A name of the declaration: lower-case letters, digits and underscores or hyphens, starting with a letter.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

impl Name {
    /// The name, when it is well formed.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let known = |byte: u8| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-')
        };
        let formed = text.starts_with(|first: char| first.is_ascii_lowercase())
            && text.bytes().all(known)
            && !text.ends_with(['_', '-']);
        formed.then(|| Self(text.to_owned()))
    }

    /// As it is declared.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `lower_case`, for fields and functions.
    #[must_use]
    pub fn snake(&self) -> String {
        self.0.replace('-', "_")
    }

    /// `UPPER_CASE`, for constants.
    #[must_use]
    pub fn upper(&self) -> String {
        self.snake().to_ascii_uppercase()
    }

    /// `CamelCase`, for types.
    #[must_use]
    pub fn camel(&self) -> String {
        self.0.split(['_', '-']).map(capital).collect()
    }
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters
        .next()
        .map(|first| first.to_ascii_uppercase())
        .into_iter()
        .chain(letters)
        .collect()
}

impl fmt::Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::Name;

    #[test]
    fn a_name_knows_its_cases() {
        let name = Name::new("dbus_user-raw2").expect("well formed");
        assert_eq!(name.snake(), "dbus_user_raw2");
        assert_eq!(name.upper(), "DBUS_USER_RAW2");
        assert_eq!(name.camel(), "DbusUserRaw2");
    }

    #[test]
    fn malformed_names_are_refused() {
        for name in ["", "A", "1a", "a b", "a_", "_a", "é", "a.b"] {
            assert_eq!(Name::new(name), None, "{name}");
        }
    }
}
