//! `fim-layer add`: a layer that is a file, is at an address, or has a name at the remote.

use std::ffi::OsStr;
use std::path::Path;

use flatimage_recipe::is_name;

use super::remote::{Remote, Shown, Vouched};
use super::{Session, warn};
use crate::remote::{Address, Wanted, sum_of_text};
use crate::sandbox::Failure;

/// The most bytes of a layer of which no index says how large it is.
const MOST: u64 = 64 << 30;

/// What names a sum behind an address, as in `https://example.org/a.layer#sha256=…`.
const SUM: &str = "#sha256=";

/// Where a layer is.
#[derive(Debug, PartialEq, Eq)]
enum Source {
    /// In this file.
    File,
    /// There, with this sum if one was typed.
    Address(Address, Option<String>),
    /// In a file of that name at the remote.
    Remote(String),
}

impl Source {
    /// What is typed, `exists` saying whether there is a file of that path. A file comes first, so that nothing that a remote
    /// has can come in its place.
    fn of(typed: &OsStr, exists: bool) -> Result<Source, String> {
        let Some(text) = typed.to_str().filter(|_| !exists) else {
            return Ok(Source::File);
        };
        let (place, sum) = match text.split_once(SUM) {
            Some((place, sum)) => (place, Some(sum.to_ascii_lowercase())),
            None => (text, None),
        };
        let is_sum =
            |sum: &String| sum.len() == 64 && sum.bytes().all(|digit| digit.is_ascii_hexdigit());
        match Address::parse(place) {
            Some(_) if place.contains('#') => Err(format!(
                "what follows the `#` of an address is not fetched; only `{SUM}` and 64 hexadecimal digits can be there"
            )),
            Some(_) if sum.as_ref().is_some_and(|sum| !is_sum(sum)) => Err(format!(
                "what follows `{SUM}` is no SHA-256; give 64 hexadecimal digits"
            )),
            Some(address) => address.map(|address| Source::Address(address, sum)),
            None if is_name(text) => Ok(Source::Remote(text.to_owned())),
            None => Ok(Source::File),
        }
    }
}

impl Session {
    /// Appends a layer to the image.
    pub(super) fn add_layer(&self, typed: &Path) -> Result<u8, Failure> {
        let source = Source::of(typed.as_os_str(), typed.exists()).map_err(Failure::ours)?;
        match source {
            Source::File => self.append_file(typed, &typed.to_string_lossy(), None),
            Source::Remote(name) => {
                let remote = self.remote()?.ok_or_else(|| {
                    Failure::ours(format!(
                        "there is no file `{name}`, and no remote that could have a layer of that name; \
                         `fim-remote set URL` names one"
                    ))
                })?;
                let file = format!("{name}.layer");
                let (address, vouched) = (remote.address(&file), remote.vouched(&file)?);
                self.append_from(&remote, &address, &vouched)
            }
            Source::Address(address, sum) => {
                let nameless =
                    || Failure::ours(format!("`{address}` names no file; give one that does"));
                let (directory, file) = address.parent().ok_or_else(nameless)?;
                let remote = self.remote_at(directory)?;
                let vouched = match sum {
                    Some(_) => Vouched { sum, size: None },
                    None => remote.vouched(&file)?,
                };
                self.append_from(&remote, &address, &vouched)
            }
        }
    }

    fn append_from(
        &self,
        remote: &Remote<'_>,
        address: &Address,
        vouched: &Vouched,
    ) -> Result<u8, Failure> {
        let sum = vouched.sum.as_deref();
        let shown = address.to_string();
        if let Address::File(path) = address {
            // It is here already.
            return self.append_file(path, &shown, sum);
        }
        if sum.is_none() {
            warn(&format!(
                "{}; `{shown}` has no index beside it",
                trusted(address)
            ));
        }
        let wanted = Wanted {
            address,
            sum,
            most: vouched.size.unwrap_or(MOST),
        };
        // A part that is left is found again by the sum that the whole must have. Of another layer nothing is left, but it may be
        // fetched at the same time.
        let name = sum.map_or_else(|| sum_of_text(&shown), str::to_owned);
        let name = format!("{name}.layer");
        let mut progress = Shown::begin(format!("`{shown}`"));
        let mut bytes = 0;
        let fetched = remote.fetch(&wanted, &name, &mut |done, all| {
            bytes = done;
            progress.show(done, all);
        });
        if fetched.is_ok() {
            progress.end(bytes);
        }
        let fetched = fetched.map_err(|unfetched| Failure::ours(unfetched.words()))?;
        // Its sum was compared when it was fetched.
        self.append_file(fetched.path(), &shown, None)
    }
}

/// What is to be believed of a layer without a sum.
fn trusted(address: &Address) -> &'static str {
    match address.is_vouched_for() {
        true => "nothing vouches for the layer but the connection to its server",
        false => {
            "nothing at all vouches for the layer, not even the connection, which is not encrypted"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str, exists: bool) -> Result<Source, String> {
        Source::of(text.as_ref(), exists)
    }

    #[test]
    fn a_file_comes_before_a_name_and_an_address() {
        for text in ["firefox", "https://h/a", "a/b", "a.layer"] {
            assert_eq!(of(text, true), Ok(Source::File));
        }
        assert_eq!(of("firefox", false), Ok(Source::Remote("firefox".into())));
        // To be told that it is not there.
        for path in ["./firefox", "/a", "../a", ".hidden", "-a", ""] {
            assert_eq!(of(path, false), Ok(Source::File));
        }
    }

    #[test]
    fn an_address_may_say_its_sum() {
        let web = Address::Web("https://h/a".into());
        let source = |sum| Ok(Source::Address(web.clone(), sum));
        assert_eq!(of("https://h/a", false), source(None));
        let sum = "AB".repeat(32);
        let typed = format!("https://h/a#sha256={sum}");
        assert_eq!(of(&typed, false), source(Some(sum.to_ascii_lowercase())));
        for typed in [
            "https://h/a#sha256=12",
            "https://h/a#sha265=ab",
            "file:///a#b",
        ] {
            assert!(of(typed, false).is_err(), "{typed}");
        }
        assert!(of("ftp://h/a", false).is_err());
    }
}
