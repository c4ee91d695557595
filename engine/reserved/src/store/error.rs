//! What can be wrong with the settings of an image, each in one line that says how to mend it.

use std::io;
use std::path::PathBuf;

use crate::space::SpaceError;
use crate::verb::VerbError;
use crate::wire::{DecodeError, EncodeError};

/// Why settings cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The image cannot be opened or read.
    #[error("cannot read `{}`: {source}", path.display())]
    Read {
        /// The image.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The image ends where a setting should be.
    #[error("`{}` is cut off before the end of its setting `{region}`; restore the image from a copy", path.display())]
    CutOff {
        /// The image.
        path: PathBuf,
        /// Name of the region.
        region: &'static str,
    },
    /// There is no reserved space that this program can use.
    #[error("`{}`: {source}", path.display())]
    Space {
        /// The image.
        path: PathBuf,
        /// Why not.
        source: SpaceError,
    },
    /// A region of which no slot is whole.
    #[error(
        "the setting `{region}` at byte {offset} of the image is damaged; its default counts until \
         it is set anew or `fim-reset {region}` mends it"
    )]
    Damaged {
        /// Name of the region.
        region: &'static str,
        /// First byte of the region in the file.
        offset: u64,
    },
    /// A region that is whole but means nothing to this program.
    #[error(
        "the setting `{region}` at byte {offset} of the image is not understood, {source}; its default \
         counts until it is set anew or `fim-reset {region}` mends it"
    )]
    Undecodable {
        /// Name of the region.
        region: &'static str,
        /// First byte of the region in the file.
        offset: u64,
        /// What was expected.
        source: DecodeError,
    },
    /// A region that another program stored in a way that this one cannot take over.
    #[error(
        "the setting `{region}` is stored as `{stored}`, this program knows `{known}`; \
         use the program that made the image"
    )]
    Incompatible {
        /// Name of the region.
        region: &'static str,
        /// Its encoding in the image.
        stored: String,
        /// Its encoding in this program.
        known: String,
    },
    /// An older image has no place for a region that is newer than it.
    #[error(
        "the image is older than the setting `{region}` and has no {size} bytes free for it; make the image anew"
    )]
    NoRoom {
        /// Name of the region.
        region: &'static str,
        /// Bytes that it needs.
        size: u64,
    },
    /// A value that the region cannot hold.
    #[error("`{region}`: {source}")]
    Encode {
        /// Name of the region.
        region: &'static str,
        /// Why not.
        source: EncodeError,
    },
    /// The image cannot be locked.
    #[error("cannot lock `{}`: {source}", path.display())]
    Lock {
        /// The image.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The image cannot be written. The region has its old value, or its new one when only the sync failed.
    #[error("cannot write `{}`: {source}; {}", path.display(), remedy(source))]
    Write {
        /// The image.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The image is being executed, and goes on being so.
    #[error("`{}` is being executed by process {pids}; end it and try again", path.display())]
    Busy {
        /// The image.
        path: PathBuf,
        /// Who executes it, separated by commas.
        pids: String,
    },
    /// A verb that is refused.
    #[error(transparent)]
    Verb(#[from] VerbError),
}

impl StoreError {
    /// Whether one region is unusable while the others may be well.
    #[must_use]
    pub const fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged { .. } | Self::Undecodable { .. })
    }
}

fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "make room on the disk and try again"
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "put the image where you may write"
        }
        _ => "check the disk, then try again",
    }
}
