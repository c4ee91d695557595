//! The lock that keeps writers apart.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;

use super::{Store, StoreError, busy, read, write};
use crate::decl::RegionDecl;
use crate::value::Value;

/// An image that no other writer changes while this lives.
#[derive(Debug)]
pub struct Locked<'a> {
    pub(super) store: &'a Store,
    /// Read-only: a descriptor that can write keeps the image from being executed for as long as it is open. The
    /// lock (`flock`) and `fdatasync` do without.
    pub(super) file: File,
}

impl<'a> Locked<'a> {
    /// Opens the image anew, so that two threads of one process exclude each other too, and locks it.
    pub(super) fn take(store: &'a Store) -> Result<Self, StoreError> {
        let failed = |source| StoreError::Lock {
            path: store.path.clone(),
            source,
        };
        loop {
            let file = File::open(&store.path).map_err(failed)?;
            file.lock().map_err(failed)?;
            // While we waited, the file may have been replaced: then the lock is on the old one.
            if is_at(&file, store).map_err(failed)? {
                return Ok(Self { store, file });
            }
        }
    }

    /// The value of one region, which stays as it is.
    ///
    /// # Errors
    /// As [`Store::value`].
    pub fn value(&self, decl: &RegionDecl) -> Result<Value, StoreError> {
        read::decoded(
            self.store,
            decl,
            read::finding(self.store, &self.file, decl)?,
        )
    }

    /// Writes one region: after this the new value is on the disk and the old one is not.
    ///
    /// # Errors
    /// A value that does not fit, before anything is written; a file that cannot be written.
    pub fn write(&self, decl: &RegionDecl, value: &Value) -> Result<(), StoreError> {
        write::value(self, decl, value)
    }

    /// A descriptor to write the image with. Nobody can execute the image while it is open: close it soon, and start no
    /// process in between.
    ///
    /// # Errors
    /// An image that stays busy for five seconds, or cannot be opened for writing.
    pub fn writer(&self) -> Result<File, StoreError> {
        let file = busy::open_to_write(&self.store.path)?;
        let failed = |source| StoreError::Write {
            path: self.store.path.clone(),
            source,
        };
        let (ours, theirs) = (
            self.file.metadata().map_err(failed)?,
            file.metadata().map_err(failed)?,
        );
        if (ours.dev(), ours.ino()) != (theirs.dev(), theirs.ino()) {
            return Err(failed(io::Error::other("it was replaced meanwhile")));
        }
        Ok(file)
    }

    /// Waits until everything written is on the disk.
    ///
    /// # Errors
    /// What the disk answers.
    pub fn sync(&self) -> Result<(), StoreError> {
        self.file.sync_data().map_err(|source| StoreError::Write {
            path: self.store.path.clone(),
            source,
        })
    }
}

/// Whether the image's path still leads to `file`.
fn is_at(file: &File, store: &Store) -> io::Result<bool> {
    let (ours, there) = (file.metadata()?, fs::metadata(&store.path)?);
    Ok((ours.dev(), ours.ino()) == (there.dev(), there.ino()))
}
