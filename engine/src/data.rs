//! The data directory of an image: what its programs changed, and further layers.
//!
//! ```text
//! <data>/root     changed files, the upper directory of the overlay
//! <data>/work     what overlayfs needs beside it
//! <data>/layers   layers that are stacked on the embedded ones
//! ```
//!
//! Nobody but its owner may enter it: a program inside can make a file set-user-id, which
//! would be one for every user of the host who can reach it.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, chown};
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;
use thiserror::Error;

use crate::host::Host;
use crate::plan::{IdMap, ROOT_RANGE};

/// Why a data directory cannot be used.
#[derive(Debug, Error)]
pub enum DataError {
    /// Others can enter it.
    #[error("the data directory {} can be entered by others; run `chmod 700` on it", .0.display())]
    Open(PathBuf),
    /// It belongs to somebody else.
    #[error("the data directory {} belongs to uid {owner}; start as that user or choose another one with FIM_DIR_DATA", .path.display())]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// Its owner.
        owner: u32,
    },
    /// Another start uses it.
    #[error("the data directory {} is in use{}; choose another one with FIM_DIR_DATA", .path.display(), by(*.pid))]
    InUse {
        /// The directory.
        path: PathBuf,
        /// Who uses it, when the kernel tells.
        pid: Option<u32>,
    },
    /// It is no directory.
    #[error("the data directory {} is no directory", .0.display())]
    NoDirectory(PathBuf),
    /// It cannot be created or read.
    #[error("cannot use the data directory {}: {}", .path.display(), .source)]
    Unusable {
        /// The directory.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

fn by(pid: Option<u32>) -> String {
    pid.map(|pid| format!(" by process {pid}"))
        .unwrap_or_default()
}

/// Where the data directory of `image` is: `FIM_DIR_DATA`, or beside the image.
pub fn place(host: &Host, image: &Path) -> PathBuf {
    if let Some(given) = host
        .environment
        .get("FIM_DIR_DATA")
        .filter(|given| !given.is_empty())
    {
        return std::path::absolute(given).unwrap_or_else(|_| PathBuf::from(given));
    }
    let name = image.file_name().unwrap_or_default().to_string_lossy();
    image.with_file_name(format!(".{name}.data"))
}

/// A data directory that this process has for itself for as long as this is open somewhere: the
/// lock belongs to the open file, so a forked process that keeps it keeps the lock (flock(2)).
#[derive(Debug)]
pub struct Claim {
    _directory: File,
}

/// Creates the data directory if it is missing and claims it. `None` where it cannot be
/// created because the place is read-only or belongs to others.
///
/// # Errors
/// When it is not private, or in use.
pub fn claim(path: &Path) -> Result<Option<Claim>, DataError> {
    let unusable = |source| DataError::Unusable {
        path: path.to_owned(),
        source,
    };
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) if is_refusal(&error) => return Ok(None),
        result => result.map_err(unusable)?,
    }
    let found = fs::metadata(path).map_err(unusable)?;
    if !found.is_dir() {
        return Err(DataError::NoDirectory(path.to_owned()));
    }
    if found.mode() & 0o077 != 0 {
        return Err(DataError::Open(path.to_owned()));
    }
    own(path, found.uid())?;
    let directory = File::open(path).map_err(unusable)?;
    match directory.try_lock() {
        Ok(()) => Ok(Some(Claim {
            _directory: directory,
        })),
        Err(TryLockError::WouldBlock) => Err(DataError::InUse {
            path: path.to_owned(),
            pid: holder(found.ino()),
        }),
        Err(TryLockError::Error(error)) => Err(unusable(error)),
    }
}

fn is_refusal(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied
    )
}

/// The caller's own directory is right as it is. Real root's containers have ids of their
/// own, and what they change must belong to those.
fn own(path: &Path, owner: u32) -> Result<(), DataError> {
    let foreign = || DataError::Foreign {
        path: path.to_owned(),
        owner,
    };
    let caller = geteuid().as_raw();
    let IdMap::Range { first, .. } = ROOT_RANGE else {
        return Ok(());
    };
    match (caller, owner) {
        (0, owner) if owner == first => Ok(()),
        (0, 0) => chown(path, Some(first), Some(first)).map_err(|source| DataError::Unusable {
            path: path.to_owned(),
            source,
        }),
        (0, _) => Err(foreign()),
        (caller, owner) if caller == owner => Ok(()),
        _ => Err(foreign()),
    }
}

/// The process that holds a lock on the inode: proc_locks(5) tells it, whoever asks.
fn holder(inode: u64) -> Option<u32> {
    let locks = fs::read_to_string("/proc/locks").ok()?;
    locks
        .lines()
        .filter(|line| line.contains("FLOCK"))
        .find_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let at = fields.iter().position(|field| *field == "WRITE")?;
            let place = fields.get(at + 2)?.rsplit(':').next()?;
            (place.parse() == Ok(inode))
                .then(|| fields.get(at + 1)?.parse().ok())
                .flatten()
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_claimed_directory_is_private_and_names_who_has_it() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("data");
        let claim = super::claim(&path).unwrap();
        assert!(claim.is_some());
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
        let error = super::claim(&path).unwrap_err().to_string();
        assert!(
            error.contains(&format!("in use by process {}", std::process::id())),
            "{error}"
        );
        drop(claim);
        assert!(super::claim(&path).unwrap().is_some());
    }

    #[test]
    fn a_directory_that_others_can_enter_is_refused() {
        let place = tempfile::tempdir().unwrap();
        fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let error = super::claim(place.path()).unwrap_err().to_string();
        assert!(
            error.contains("can be entered by others; run `chmod 700`"),
            "{error}"
        );
    }
}
