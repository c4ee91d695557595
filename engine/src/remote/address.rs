//! Addresses (RFC 3986) of files and directories.

use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// Where something is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// On this host.
    File(PathBuf),
    /// On a server.
    Web(String),
}

/// Schemes of what `fim-fetch` fetches.
const WEB: [&str; 2] = ["http", "https"];

impl Address {
    /// The address that a text is; `None` when it looks like none.
    ///
    /// # Errors
    /// In words: an address that leads to nothing that can be fetched.
    pub fn parse(text: &str) -> Option<Result<Address, String>> {
        let (scheme, rest) = text.split_once("://")?;
        let scheme = scheme.to_ascii_lowercase();
        if scheme == "file" {
            let path = rest.starts_with('/').then(|| decoded(rest)).flatten();
            let wrong =
                || format!("`{text}` is no file of this host; write `file:///` and its path");
            return Some(path.map(Address::File).ok_or_else(wrong));
        }
        if !WEB.contains(&scheme.as_str()) {
            let reason = "give one that begins with `https://`, `http://` or `file://`";
            return Some(Err(format!("`{text}` cannot be fetched; {reason}")));
        }
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
        Some(match host.contains('@') {
            // Not repeated: it would be in logs.
            true => Err("the address has a user or a password in it; give it without".to_owned()),
            false => Ok(Address::Web(text.to_owned())),
        })
    }

    /// What is called `name` in this directory. The name needs no encoding.
    #[must_use]
    pub fn join(&self, name: &str) -> Address {
        match self {
            Address::File(path) => Address::File(path.join(name)),
            Address::Web(url) => Address::Web(format!("{}/{name}", url.trim_end_matches('/'))),
        }
    }

    /// The directory of this file, and its name there; `None` when it has none.
    #[must_use]
    pub fn parent(&self) -> Option<(Address, String)> {
        match self {
            Address::File(path) => {
                let name = path.file_name()?.to_str()?.to_owned();
                Some((Address::File(path.parent()?.to_owned()), name))
            }
            Address::Web(url) => {
                let path = url.split(['?', '#']).next()?;
                let (directory, name) = path.rsplit_once('/')?;
                let is_host = directory.ends_with(":/");
                (!is_host && !name.is_empty())
                    .then(|| (Address::Web(directory.to_owned()), name.to_owned()))
            }
        }
    }

    /// Whether nobody on the way can change what is fetched.
    #[must_use]
    pub fn is_vouched_for(&self) -> bool {
        match self {
            Address::File(_) => true,
            Address::Web(url) => url
                .get(..6)
                .is_some_and(|text| text.eq_ignore_ascii_case("https:")),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::File(path) => path.display().fmt(f),
            Address::Web(url) => f.write_str(url),
        }
    }
}

/// A path without percent signs (RFC 3986, 2.1); `None` when they are not followed by two digits, or hide a NUL.
fn decoded(text: &str) -> Option<PathBuf> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let byte = match first {
            b'%' => {
                let digit = |place: usize| char::from(*after.get(place)?).to_digit(16);
                let code = digit(0)? * 16 + digit(1)?;
                rest = &after[2..];
                u8::try_from(code).ok().filter(|byte| *byte != 0)?
            }
            other => {
                rest = after;
                *other
            }
        };
        bytes.push(byte);
    }
    Some(PathBuf::from(OsString::from_vec(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn web(url: &str) -> Address {
        Address::Web(url.to_owned())
    }

    #[test]
    fn addresses_are_told_from_paths_and_names() {
        for text in ["a", "a/b", "./a", "a:b", "/srv/a.layer", ""] {
            assert_eq!(Address::parse(text), None);
        }
        let file = Address::parse("file:///srv/a%20b%c3%a4");
        assert_eq!(file, Some(Ok(Address::File("/srv/a bä".into()))));
        assert_eq!(Address::parse("HTTP://h/a"), Some(Ok(web("HTTP://h/a"))));
        for text in [
            "ftp://h/a",
            "file://h/a",
            "file:///%0",
            "file:///%00",
            "file:///%+1",
        ] {
            assert!(
                Address::parse(text).is_some_and(|parsed| parsed.is_err()),
                "{text}"
            );
        }
        let secret = Address::parse("https://me:s3cret@h/a").map(Result::unwrap_err);
        assert!(!secret.unwrap_or_default().contains("s3cret"));
        assert!(Address::parse("https://h/a@b").is_some_and(|parsed| parsed.is_ok()));
    }

    #[test]
    fn names_are_appended_and_taken_off() {
        let there = web("https://h/a/b.layer");
        assert_eq!(web("https://h/a/").join("b.layer"), there);
        assert_eq!(web("https://h/a").join("b.layer"), there);
        let parent = Some((web("https://h/a"), "b.layer".to_owned()));
        assert_eq!(there.parent(), parent);
        assert_eq!(web("https://h/a/b.layer?c=/d#e").parent(), parent);
        let top = Some((web("https://h"), "a".to_owned()));
        assert_eq!(web("https://h/a").parent(), top);
        for nothing in ["https://h", "https://h/", "https://h/a/"] {
            assert_eq!(web(nothing).parent(), None);
        }
        let file = Address::File("/srv/a".into());
        assert_eq!(file.join("b").parent(), Some((file, "b".to_owned())));
    }

    #[test]
    fn only_an_encrypted_connection_vouches() {
        assert!(web("HTTPS://h/a").is_vouched_for() && !web("http://h/a").is_vouched_for());
    }
}
