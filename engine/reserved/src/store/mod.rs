//! The settings of one image on disk.
//!
//! Readers take no lock: a value is sealed by a checksum, so what is read is whole or not taken. Writers exclude one
//! another by a lock on the image, write the slot that does not hold the value, and report success only when the new
//! value is on the disk and the old one is gone from it.

mod busy;
mod lock;
mod read;
mod write;

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use crate::decl::RegionDecl;
use crate::declared::{self, Config};
use crate::space::{SUPERBLOCK_SIZE, Space, SpaceError, Superblock};
use crate::value::Value;
use crate::verb::{self, Verb, VerbError};
use crate::wire::{DecodeError, EncodeError};

pub use lock::Locked;

/// The reserved space of an image file.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    file: File,
    base: u64,
    space: Space,
    superblock: Superblock,
}

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
        "the setting `{region}` at byte {offset} of the image is damaged; set or clear it to mend it"
    )]
    Damaged {
        /// Name of the region.
        region: &'static str,
        /// First byte of the region in the file.
        offset: u64,
    },
    /// A region that is whole but means nothing to this program.
    #[error(
        "the setting `{region}` at byte {offset} of the image is not understood: {source}; set or clear it to mend it"
    )]
    Undecodable {
        /// Name of the region.
        region: &'static str,
        /// First byte of the region in the file.
        offset: u64,
        /// What was expected.
        source: DecodeError,
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
    /// The image cannot be written. Nothing has changed.
    #[error("cannot write `{}`: {source}; put the image where you may write", path.display())]
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
        let read = |source| StoreError::Read {
            path: path.to_owned(),
            source,
        };
        let file = File::open(path).map_err(read)?;
        let mut bytes = vec![0; usize::try_from(SUPERBLOCK_SIZE).unwrap_or(usize::MAX)];
        let length = read::up_to(&file, &mut bytes, base).map_err(read)?;
        let superblock = space
            .recognise(&bytes[..length])
            .map_err(|source| StoreError::Space {
                path: path.to_owned(),
                source,
            })?;
        Ok(Self {
            path: path.to_owned(),
            file,
            base,
            space,
            superblock,
        })
    }

    /// What the image says of its reserved space.
    #[must_use]
    pub fn superblock(&self) -> &Superblock {
        &self.superblock
    }

    /// First byte of the reserved space in the file.
    #[must_use]
    pub fn base(&self) -> u64 {
        self.base
    }

    /// First byte after the reserved space, where the layers start.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.base + self.superblock.size
    }

    /// The value of one region: as stored, or the default when the image is older than the region.
    ///
    /// # Errors
    /// A file that cannot be read; a region that is damaged.
    pub fn value(&self, decl: &RegionDecl) -> Result<Value, StoreError> {
        read::value(self, &self.file, decl)
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

    /// The values of all regions, with the default in place of what is damaged, and what is damaged.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn salvage(&self) -> Result<(Vec<Value>, Vec<StoreError>), StoreError> {
        let mut damage = Vec::new();
        let mut values = Vec::with_capacity(self.space.regions.len());
        for decl in self.space.regions {
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
            path: self.path.clone(),
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
        let locked = self.lock()?;
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
        let locked = self.lock()?;
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
        self.lock()?.write(decl, &decl.default_value())
    }

    fn offset(&self, decl: &RegionDecl) -> u64 {
        self.base + decl.offset
    }
}

/// Reads `bytes` whole at `offset`.
fn read_exact(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<()> {
    file.read_exact_at(bytes, offset)
}
