//! Why a data directory cannot be used, and how to mend it.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::ids;
use crate::sandbox::plain;

/// Why a data directory cannot be used.
#[derive(Debug, Error)]
pub enum DataError {
    /// Others can enter it.
    #[error("the data directory {} can be entered by others; run `chmod 700` on it", .0.display())]
    Open(PathBuf),
    /// It has files, and no image has made them.
    #[error("{} has files that no image has made; choose a new or empty directory with FIM_DIR_DATA", .0.display())]
    Occupied(PathBuf),
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
    /// It was made with another map of ids.
    #[error("the data directory {} was made with {recorded}, and this start has {wanted}; start as before (`fim-ids`), choose another one with FIM_DIR_DATA, remove it with `fim-data purge`, or, when all in it has been given to you, remove `{}` in it", .path.display(), ids::NAME)]
    Ids {
        /// The directory.
        path: PathBuf,
        /// The ids it was made with, in words.
        recorded: String,
        /// The ids of this start, in words.
        wanted: String,
    },
    /// Root of somebody's user namespace, in which root's containers have no ids.
    #[error(
        "root has no ids from {first} on here, as in a container that an ordinary user started; start as another user of it, for which `podman run --userns=keep-id` has the caller"
    )]
    NoIds {
        /// The first id that is missing.
        first: u32,
    },
    /// It was removed while this start waited for it.
    #[error("the data directory {} was removed meanwhile; start again", .0.display())]
    Removed(PathBuf),
    /// Something in it cannot be removed.
    #[error("cannot remove `{}` in the data directory {}: {}; {}", .name.display(), .path.display(), plain(.source), way_out(.source))]
    Stays {
        /// The directory.
        path: PathBuf,
        /// What stays.
        name: std::ffi::OsString,
        /// Why.
        source: io::Error,
    },
    /// Work on files that belong to others than the caller failed.
    #[error("the files of the data directory {} belong to ids of its own: {reason}", .path.display())]
    Inside {
        /// The directory.
        path: PathBuf,
        /// What failed.
        reason: String,
    },
    /// The marks of what was deleted cannot be made those of another overlay.
    #[error("cannot translate the marks of deleted files in the data directory {}: {reason}", .path.display())]
    Marks {
        /// The directory.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// It holds what no image has put there.
    #[error("the data directory {} holds other files, which stay; remove what you do not need", .0.display())]
    Others(PathBuf),
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

fn way_out(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::EXDEV | libc::EBUSY) => "it is a mount, unmount it first",
        _ => "remove it as its owner, then try again",
    }
}
