//! The lock that keeps writers apart.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;

use super::medium::{ImageFile, Medium as _};
use super::{Opened, Store, StoreError};
use crate::decl::RegionDecl;
use crate::value::Value;

/// An image that no other writer changes while this lives.
#[derive(Debug)]
pub struct Locked<'a> {
    store: &'a Store,
    opened: Opened<ImageFile>,
}

impl<'a> Locked<'a> {
    /// Opens the image anew, so that two threads of one process exclude each other too, and locks it.
    pub(super) fn take(store: &'a Store) -> Result<Self, StoreError> {
        let failed = |source| StoreError::Lock {
            path: store.path().to_owned(),
            source,
        };
        loop {
            let image = ImageFile::open(store.path()).map_err(failed)?;
            image.file.lock().map_err(failed)?;
            // While we waited, the file may have been replaced: then the lock is on the old one.
            if is_at(&image.file, store).map_err(failed)? {
                // Under the lock, since whoever had it may have given a region its place.
                let opened = Opened::open(image, store.space, store.base)?;
                return Ok(Self { store, opened });
            }
        }
    }

    /// The value of one region, which stays as it is.
    ///
    /// # Errors
    /// As [`Store::value`].
    pub fn value(&self, decl: &RegionDecl) -> Result<Value, StoreError> {
        self.opened.value(decl)
    }

    /// Writes one region: after this the new value is on the disk and the old one is not.
    ///
    /// # Errors
    /// A value that does not fit, before anything is written; a file that cannot be written.
    pub fn write(&mut self, decl: &RegionDecl, value: &Value) -> Result<(), StoreError> {
        self.opened.write(decl, value)
    }

    /// Writes the description of the reserved space anew where one of its two copies is damaged.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn mend(&mut self) -> Result<(), StoreError> {
        self.opened.mend()
    }

    /// A descriptor to write the image with. Nobody can execute the image while it is open: close it soon, and start no
    /// process in between.
    ///
    /// # Errors
    /// An image that stays busy for five seconds, or cannot be opened for writing.
    pub fn writer(&self) -> Result<File, StoreError> {
        self.opened.source.writer()
    }

    /// Waits until everything written is on the disk.
    ///
    /// # Errors
    /// What the disk answers.
    pub fn sync(&self) -> Result<(), StoreError> {
        self.opened.source.sync()
    }

    /// The image that is locked.
    #[must_use]
    pub fn store(&self) -> &Store {
        self.store
    }
}

/// Whether the image's path still leads to `file`.
fn is_at(file: &File, store: &Store) -> io::Result<bool> {
    let (ours, there) = (file.metadata()?, fs::metadata(store.path())?);
    Ok((ours.dev(), ours.ino()) == (there.dev(), there.ino()))
}
