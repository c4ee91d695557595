//! Files of a remote that is a directory of this host.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;

use sha2::{Digest, Sha256};

use super::{Unfetched, Wanted};
use crate::sandbox::plain;

/// Copies a file of this host. What cannot be had leaves nothing.
pub fn copy(from: &Path, wanted: &Wanted<'_>, to: &Path) -> Result<(), Unfetched> {
    let shown = from.display();
    let unread = |error: io::Error| {
        let words = format!("cannot read `{shown}`: {}", plain(&error));
        match error.kind() {
            io::ErrorKind::NotFound => Unfetched::Missing(words),
            _ => Unfetched::Failed(words),
        }
    };
    let unwritten = |error: io::Error| {
        Unfetched::Failed(format!(
            "cannot write `{}`: {}",
            to.display(),
            plain(&error)
        ))
    };
    let mut bytes = Vec::new();
    let mut source = File::open(from).map_err(unread)?.take(wanted.most + 1);
    source.read_to_end(&mut bytes).map_err(unread)?;
    if bytes.len() as u64 > wanted.most {
        let most = wanted.most;
        return Err(Unfetched::Failed(format!(
            "`{shown}` is larger than {most} bytes, which is the most that is taken"
        )));
    }
    let found = hex(&Sha256::digest(&bytes));
    if let Some(sum) = wanted.sum.filter(|sum| **sum != found) {
        return Err(Unfetched::Failed(format!(
            "`{shown}` has the SHA-256 {found} and not {sum}"
        )));
    }
    let mut file = File::create(to).map_err(unwritten)?;
    let written = file.write_all(&bytes).and_then(|()| file.sync_all());
    written.map_err(|error| {
        let _ = fs::remove_file(to);
        unwritten(error)
    })
}

/// The SHA-256 of a file, in lower-case hexadecimal.
///
/// # Errors
/// As read(2).
pub fn sum_of(mut file: &File) -> io::Result<String> {
    let mut hash = Sha256::new();
    let mut piece = vec![0; 1 << 20];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(hex(&hash.finalize())),
            count => hash.update(&piece[..count]),
        }
    }
}

/// The SHA-256 of a text, in lower-case hexadecimal.
pub fn sum_of_text(text: &str) -> String {
    hex(&Sha256::digest(text))
}

fn hex(sum: &[u8]) -> String {
    sum.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::remote::Address;

    #[test]
    fn a_file_is_copied_when_it_is_the_one_that_is_meant() {
        let place = tempfile::tempdir().unwrap();
        let (from, to) = (place.path().join("from"), place.path().join("to"));
        fs::write(&from, "abc").unwrap();
        let sum = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let address = Address::File(from.clone());
        let try_it = |sum, most| {
            let wanted = Wanted {
                address: &address,
                sum,
                most,
            };
            copy(&from, &wanted, &to)
        };
        assert_eq!(sum_of(&File::open(&from).unwrap()).unwrap(), sum);
        for (sum, most) in [(None, 2), (Some("00"), 3)] {
            assert!(matches!(try_it(sum, most), Err(Unfetched::Failed(_))));
            assert!(!to.exists());
        }
        assert_eq!(try_it(Some(sum), 3), Ok(()));
        assert_eq!(fs::read(&to).unwrap(), b"abc");
        fs::remove_file(&from).unwrap();
        assert!(matches!(try_it(None, 3), Err(Unfetched::Missing(_))));
    }
}
