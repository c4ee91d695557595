//! The data directory of an image: what its programs changed, and further layers.
//!
//! ```text
//! <data>/root     changed files, the upper directory of the overlay
//! <data>/work     what overlayfs needs beside it
//! <data>/layers   layers that are stacked on the embedded ones
//! <data>/instances   who uses it, see [`instances`]
//! ```
//!
//! Nobody but its owner may enter it: a program inside can make a file set-user-id, which
//! would be one for every user of the host who can reach it.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, chown};
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;
use thiserror::Error;

use crate::host::Host;
use crate::plan::{IdMap, ROOT_RANGE};
use crate::sandbox::plain;
use instances::{Alone, Gate, Instances};

pub mod instances;

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
    /// It is used, and not in a way that can be shared.
    #[error("the data directory {} is in use{}; wait for the end of that, or choose another one with FIM_DIR_DATA", .path.display(), by(.pids))]
    InUse {
        /// The directory.
        path: PathBuf,
        /// Who uses it, as far as is known.
        pids: Vec<u32>,
    },
    /// The instance that could be joined gives no answer.
    #[error("process {pid} uses the data directory {} and does not answer: it is stopped, or in another network namespace; end it, or choose another directory with FIM_DIR_DATA", .path.display())]
    Silent {
        /// The directory.
        path: PathBuf,
        /// The supervisor that should answer.
        pid: u32,
    },
    /// It is no directory.
    #[error("the data directory {} is no directory", .0.display())]
    NoDirectory(PathBuf),
    /// It cannot be created or read.
    #[error("cannot use the data directory {}: {}; choose another one with FIM_DIR_DATA", .path.display(), plain(.source))]
    Unusable {
        /// The directory.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

fn by(pids: &[u32]) -> String {
    let names: Vec<String> = pids.iter().map(u32::to_string).collect();
    match names.as_slice() {
        [] => String::new(),
        [one] => format!(" by process {one}"),
        _ => format!(" by processes {}", names.join(", ")),
    }
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

/// A data directory that may be used.
#[derive(Debug)]
pub struct Directory {
    /// Where it is.
    pub path: PathBuf,
    instances: Instances,
}

/// Creates the data directory if it is missing. `None` where it cannot be created because the place is read-only or
/// belongs to others.
///
/// # Errors
/// When it is not private.
pub fn open(path: &Path) -> Result<Option<Directory>, DataError> {
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
    Ok(Some(Directory {
        path: path.to_owned(),
        instances: Instances::open(path).map_err(unusable)?,
    }))
}

impl Directory {
    /// Waits until nobody else starts or stops using the directory, and passes the gate.
    ///
    /// # Errors
    /// When somebody has the directory for itself.
    pub fn enter(&self) -> Result<Gate<'_>, DataError> {
        let gate = self
            .instances
            .enter()
            .map_err(|error| self.unusable(error))?;
        match gate.alone().map_err(|error| self.unusable(error))? {
            None => Ok(gate),
            Some(Alone(pid)) => Err(DataError::InUse {
                path: self.path.clone(),
                pids: pid.into_iter().collect(),
            }),
        }
    }

    /// Keeps every start out until this is dropped.
    ///
    /// # Errors
    /// When instances live; they are named.
    pub fn exclusive(self) -> Result<Exclusive, DataError> {
        let mut gate = self.enter()?;
        match gate.become_alone(std::process::id()) {
            Ok(true) => {
                drop(gate);
                Ok(Exclusive { directory: self })
            }
            Ok(false) => Err(DataError::InUse {
                path: self.path.clone(),
                pids: gate
                    .living()
                    .map_err(|error| self.unusable(error))?
                    .iter()
                    .map(|instance| instance.pid)
                    .collect(),
            }),
            Err(error) => Err(self.unusable(error)),
        }
    }

    fn unusable(&self, source: io::Error) -> DataError {
        DataError::Unusable {
            path: self.path.clone(),
            source,
        }
    }
}

/// A data directory that this process has for itself for as long as this is open somewhere.
#[derive(Debug)]
pub struct Exclusive {
    /// The directory.
    pub directory: Directory,
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_directory_that_is_used_is_not_had_alone_and_names_who_uses_it() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("data");
        let open = || super::open(&path).unwrap().unwrap();
        let instance = open();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
        instance.enter().unwrap().register(4711).unwrap();
        let error = open().exclusive().unwrap_err().to_string();
        assert!(error.contains("in use by process 4711;"), "{error}");
        drop(instance);
        let alone = open().exclusive().unwrap();
        let error = open().enter().unwrap_err().to_string();
        let own = std::process::id();
        assert!(
            error.contains(&format!("in use by process {own};")),
            "{error}"
        );
        drop(alone);
        assert!(open().enter().is_ok());
    }

    #[test]
    fn a_directory_that_others_can_enter_is_refused() {
        let place = tempfile::tempdir().unwrap();
        fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let error = super::open(place.path()).unwrap_err().to_string();
        assert!(
            error.contains("can be entered by others; run `chmod 700`"),
            "{error}"
        );
    }
}
