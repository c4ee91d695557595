//! Downloads: once, and checked before anybody uses them.
//!
//! What was downloaded is kept under the name of its sum, so that nothing else can be in its place. A download that was cut
//! off, by the network or by whoever interrupted the build, goes on where it ended.

use std::path::{Path, PathBuf};

use flatimage_fetch::{Client, FetchError as Cause, Wanted};

use crate::digest::{self, Sum};
use crate::file::{self, FileError};

/// No root filesystem has more bytes.
const MOST: u64 = 16 << 30;

/// Why there is no file.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The server cannot be reached, does not have it, or gave another file.
    #[error(
        "{cause}; give another `--mirror`, or get `{name}` in another way and give it with `--from`"
    )]
    Server {
        /// Its name.
        name: String,
        /// What went wrong.
        cause: Cause,
    },
}

/// The file at `url`, from `kept` or from its server. `progress` is told bytes and, where the server says it, how many there
/// are.
pub(crate) fn fetch(
    kept: &Path,
    (url, sum): (&str, &Sum),
    progress: &mut dyn FnMut(u64, u64),
) -> Result<PathBuf, FetchError> {
    file::create_dir(kept)?;
    let path = kept.join(digest::hex(sum));
    if path.is_file() {
        // Whoever uses it sums it again.
        return Ok(path);
    }
    let wanted = Wanted {
        url,
        sum: Some(sum),
        most: MOST,
    };
    match flatimage_fetch::fetch(&path, &wanted, &Client::default(), progress) {
        Ok(()) => Ok(path),
        Err(Cause::File {
            action,
            path,
            source,
        }) => Err(FileError {
            action,
            path,
            source,
        }
        .into()),
        Err(cause) => Err(FetchError::Server {
            name: name(url),
            cause,
        }),
    }
}

/// The last part of an address.
pub(crate) fn name(url: &str) -> String {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    path.rsplit('/').next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_network_the_file_to_give_is_named() {
        let kept = tempfile::tempdir().unwrap();
        // Port 1 of this host: nobody listens there.
        for url in [
            "http://127.0.0.1:1/a/root.tar.xz",
            "ftp://127.0.0.1/root.tar.xz",
        ] {
            let error = fetch(kept.path(), (url, &[7; 32]), &mut |_, _| ()).unwrap_err();
            let error = error.to_string();
            let mend = "; give another `--mirror`, or get `root.tar.xz` in another way";
            assert!(error.contains(mend) && !error.contains('\n'), "{error}");
        }
        assert_eq!(kept.path().read_dir().unwrap().count(), 0);
    }
}
