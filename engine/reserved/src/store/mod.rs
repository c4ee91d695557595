//! The settings of one image on disk.
//!
//! Readers take no lock: a value is sealed by a checksum, so what is read is whole or not taken. Writers exclude one
//! another by a lock on the image, write the slot that does not hold the value, and report success only when the new
//! value is on the disk and the old one is gone from it.

mod busy;
mod error;
mod lock;
mod medium;
mod opened;
mod read;
mod write;

#[cfg(test)]
mod model;

use std::path::Path;
use std::thread;
use std::time::Duration;

use crate::decl::{Encoding, RegionDecl};
use crate::declared::{self, Config};
use crate::space::{Copies, Space, SpaceError, Superblock};
use crate::value::Value;
use crate::verb::{self, Verb};

pub use error::StoreError;
pub use lock::Locked;
pub use medium::{ImageFile, Medium, Source};
pub use opened::{Check, Opened};

use read::Finding;

/// How often a reader that finds no whole slot looks again at once. A writer leaves a whole slot at any moment, but a
/// reader looks at the two one after the other; two writes in between can hide it.
const LOOKS_AT_ONCE: usize = 5;

/// How often it looks in all while somebody holds the lock, and how long it waits in between from the fifth look on.
const LOOKS: usize = 200;
const PAUSE: Duration = Duration::from_millis(1);

/// The reserved space of an image file.
#[derive(Debug)]
pub struct Store {
    base: u64,
    space: Space,
    opened: Opened<ImageFile>,
}

impl Store {
    /// Opens the reserved space that starts at byte `base` of the image.
    ///
    /// # Errors
    /// A file that cannot be read, is no image, or is one of a newer format.
    pub fn open(path: &Path, base: u64) -> Result<Self, StoreError> {
        Self::open_in(declared::SPACE, path, base)
    }

    /// As [`Store::open`], for another declaration than the one of this program.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_in(space: Space, path: &Path, base: u64) -> Result<Self, StoreError> {
        let image = ImageFile::open(path).map_err(|source| StoreError::Read {
            path: path.to_owned(),
            source,
        })?;
        let opened = Opened::open(image, space, base)?;
        Ok(Self {
            base,
            space,
            opened,
        })
    }

    /// The image.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.opened.source.path()
    }

    /// What the image says of its reserved space.
    #[must_use]
    pub fn superblock(&self) -> &Superblock {
        self.opened.superblock()
    }

    /// Which copies of that are whole.
    #[must_use]
    pub fn copies(&self) -> Copies {
        self.opened.copies()
    }

    /// First byte of the reserved space in the file.
    #[must_use]
    pub fn base(&self) -> u64 {
        self.base
    }

    /// First byte after the reserved space, where the layers start.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.base + self.superblock().size
    }

    /// The value of one region: as stored, or the default when the image is older than the region.
    ///
    /// # Errors
    /// A file that cannot be read; a region that is damaged.
    pub fn value(&self, decl: &RegionDecl) -> Result<Value, StoreError> {
        let (mut found, mut place) = self.opened.look(decl)?;
        for look in 0..LOOKS {
            if matches!(found, Finding::Stored { .. }) || place.is_none() {
                break;
            }
            // With the lock in hand nobody writes: what is found now is what there is.
            let file = &self.opened.source.file;
            let quiet = look >= LOOKS_AT_ONCE && file.try_lock_shared().is_ok();
            (found, place) = self.opened.look(decl)?;
            if quiet {
                let _ = file.unlock();
                break;
            }
            if look > LOOKS_AT_ONCE {
                thread::sleep(PAUSE);
            }
        }
        match place {
            Some(place) => read::decoded(place, decl, found),
            // A writer may have given it a place since this image was opened.
            None => {
                let image = ImageFile::open(self.path()).map_err(|source| StoreError::Read {
                    path: self.path().to_owned(),
                    source,
                })?;
                Opened::open(image, self.space, self.base)?.value(decl)
            }
        }
    }

    /// How a region lies on the disk.
    ///
    /// # Errors
    /// As [`Store::value`].
    pub fn check(&self, decl: &RegionDecl) -> Result<Check, StoreError> {
        let _settled = self.value(decl)?;
        self.opened.check(decl)
    }

    /// The values of all regions, in the order of the table.
    ///
    /// # Errors
    /// As [`Store::value`], for the first region that fails.
    pub fn values(&self) -> Result<Vec<Value>, StoreError> {
        self.space
            .regions
            .iter()
            .map(|decl| self.value(decl))
            .collect()
    }

    /// The values of all regions, with the default in place of what is damaged, and what is damaged. Blobs are not read:
    /// they are large, and the few who need one read it by itself.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn salvage(&self) -> Result<(Vec<Value>, Vec<StoreError>), StoreError> {
        let mut damage = Vec::new();
        let mut values = Vec::with_capacity(self.space.regions.len());
        for decl in self.space.regions {
            if decl.encoding == Encoding::Blob {
                values.push(decl.default_value());
                continue;
            }
            values.push(match self.value(decl) {
                Err(error) if error.is_damage() => {
                    damage.push(error);
                    decl.default_value()
                }
                other => other?,
            });
        }
        Ok((values, damage))
    }

    /// Every setting, by the names of the declaration.
    ///
    /// # Errors
    /// As [`Store::values`].
    pub fn config(&self) -> Result<Config, StoreError> {
        let values = self.values()?;
        Config::of(&values).ok_or_else(|| StoreError::Space {
            path: self.path().to_owned(),
            source: SpaceError::Absent,
        })
    }

    /// Locks the image against other writers until the result is dropped. Readers are not held up.
    ///
    /// # Errors
    /// A filesystem that cannot lock.
    pub fn lock(&self) -> Result<Locked<'_>, StoreError> {
        Locked::take(self)
    }

    /// Reads, changes and writes one region, under the lock: no other writer comes in between.
    ///
    /// # Errors
    /// What `change` answers; a region that is damaged; a value that does not fit; a file that cannot be written. The
    /// region has its old value then, unless the sync itself failed.
    pub fn update<E: From<StoreError>>(
        &self,
        decl: &RegionDecl,
        change: impl FnOnce(Value) -> Result<Value, E>,
    ) -> Result<(), E> {
        let mut locked = self.lock()?;
        let value = change(locked.value(decl)?)?;
        Ok(locked.write(decl, &value)?)
    }

    /// Does what a verb says and returns what it prints. A verb that replaces the whole value mends a damaged region.
    ///
    /// # Errors
    /// As [`Store::update`]; a verb that is refused.
    pub fn perform(&self, decl: &RegionDecl, verb: &Verb) -> Result<String, StoreError> {
        if !verb.writes() {
            return Ok(verb::apply(decl, &self.value(decl)?, verb)?.output);
        }
        let mut locked = self.lock()?;
        let current = match locked.value(decl) {
            Err(error) if error.is_damage() && !matches!(verb, Verb::Add(_) | Verb::Del(_)) => {
                decl.default_value()
            }
            other => other?,
        };
        let outcome = verb::apply(decl, &current, verb)?;
        if let Some(value) = &outcome.write {
            locked.write(decl, value)?;
        }
        Ok(outcome.output)
    }

    /// Puts a region back to its declared default, damaged or not.
    ///
    /// # Errors
    /// A file that cannot be locked or written.
    pub fn reset(&self, decl: &RegionDecl) -> Result<(), StoreError> {
        let mut locked = self.lock()?;
        locked.mend()?;
        locked.write(decl, &decl.default_value())
    }
}
