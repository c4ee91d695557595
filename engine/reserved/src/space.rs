//! The reserved space as a whole: its size, its superblock, and its bytes in a fresh image.
//!
//! The superblock tells any later program what lies where, so that settings can be read after they have moved:
//!
//! ```text
//! 0    8       "FIMRSRVD"
//! 8    u32 LE  format version
//! 12   u32 LE  length of the layout
//! 16   u64 LE  generation, from 1
//! 24   u64 LE  bytes of the reserved space
//! 32   32      digest of the declaration
//! 64           layout: one line a region with name, offset, size and encoding, UTF-8
//! …    16      first half of the sha256 of everything before
//! ```
//!
//! It is there twice, in two slots of 4096 bytes, so that decay of one does not take the image with it. A change writes
//! one, syncs, and writes the other; the one of the higher generation counts.

use sha2::{Digest, Sha256};

use crate::decl::RegionDecl;
use crate::slot;

/// Bytes of the two slots that describe the space.
pub const SUPERBLOCK_SIZE: u64 = 8192;

/// Bytes of one slot of the superblock.
const SLOT: usize = 4096;

/// Bytes before the layout.
const FIXED: usize = 64;

/// Bytes of the checksum behind it.
const CHECK: usize = 16;

const MAGIC: &[u8; 8] = b"FIMRSRVD";

/// A reserved space as declared.
#[derive(Debug, Clone, Copy)]
pub struct Space {
    /// Version of the binary format.
    pub format: u32,
    /// Bytes of all of it.
    pub size: u64,
    /// Name, offset, size and encoding of every region, one a line.
    pub layout: &'static str,
    /// sha256 of everything that gives the bytes a meaning.
    pub digest: &'static [u8; 32],
    /// Its regions.
    pub regions: &'static [RegionDecl],
}

/// Why bytes are no reserved space that this program can use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpaceError {
    /// No magic bytes.
    #[error("there is no reserved space; the file is no image, or it is cut off")]
    Absent,
    /// A version that a later program wrote.
    #[error(
        "the image has format {found}, this program knows {known}; use the program that made the image"
    )]
    Newer {
        /// In the image.
        found: u32,
        /// In this program.
        known: u32,
    },
    /// Neither copy has its checksum.
    #[error("the description of the reserved space is damaged; restore the image from a copy")]
    Damaged,
    /// A declaration of more regions than the superblock can describe.
    #[error("the layout of the regions takes more than {0} bytes; declare fewer")]
    TooManyRegions(usize),
}

/// How many of the two copies of a superblock are whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Copies {
    /// Both, and they agree.
    Both,
    /// One; the other is older or was never written. That is so in images of the first builds, and after a cut.
    One,
    /// One; the other is damaged.
    Damaged,
}

/// What the superblock of an image says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Superblock {
    /// Version of the binary format.
    pub format: u32,
    /// Bytes of the reserved space.
    pub size: u64,
    /// Digest of the declaration that made the image.
    pub digest: [u8; 32],
    /// Name, offset, size and encoding of every region, one a line.
    pub layout: String,
    generation: u64,
    /// The slot that it was read from.
    slot: usize,
}

/// The size that a build was asked for, in decimal, else `default`.
///
/// # Panics
/// At compile time, when the text is no number.
#[must_use]
pub const fn reserved_size(asked: Option<&str>, default: u64) -> u64 {
    let Some(asked) = asked else { return default };
    match u64::from_str_radix(asked, 10) {
        Ok(size) => size,
        Err(_) => panic!("FIM_RESERVED_SIZE is no number of bytes"),
    }
}

impl Space {
    /// The bytes of a fresh reserved space: superblock, and every region's default as the first generation.
    ///
    /// # Errors
    /// A layout that is larger than the superblock.
    pub fn blank(&self) -> Result<Vec<u8>, SpaceError> {
        let size = usize::try_from(self.size).map_err(|_| SpaceError::Damaged)?;
        let mut bytes = vec![0; size];
        let superblock = self.superblock();
        if !Superblock::holds(self.layout) {
            return Err(SpaceError::TooManyRegions(SLOT - FIXED - CHECK));
        }
        bytes[..SLOT].copy_from_slice(&superblock.copy());
        bytes[SLOT..2 * SLOT].copy_from_slice(&superblock.copy());
        for region in self.regions {
            let sealed = slot::seal(region.offset, 1, region.default);
            let start = usize::try_from(region.offset).map_err(|_| SpaceError::Damaged)?;
            bytes[start..start + sealed.len()].copy_from_slice(&sealed);
        }
        Ok(bytes)
    }

    fn superblock(&self) -> Superblock {
        Superblock {
            format: self.format,
            size: self.size,
            digest: *self.digest,
            layout: self.layout.to_owned(),
            generation: 1,
            slot: 0,
        }
    }

    /// Reads the superblock at the start of a reserved space.
    ///
    /// # Errors
    /// Bytes that are no superblock, a damaged one, and one of a newer format.
    pub fn recognise(&self, bytes: &[u8]) -> Result<(Superblock, Copies), SpaceError> {
        let slots = || bytes.chunks(SLOT).take(2);
        let begun = slots().any(|slot| slot.starts_with(MAGIC));
        let parsed: Vec<Option<Superblock>> = slots().map(Superblock::parse).collect();
        let written = slots().filter(|slot| slot.iter().any(|byte| *byte != 0));
        let copies = match parsed.as_slice() {
            [Some(first), Some(second)] if first == second => Copies::Both,
            [Some(_), Some(_)] => Copies::One,
            _ if written.count() > 1 => Copies::Damaged,
            _ => Copies::One,
        };
        let whole = parsed.into_iter().enumerate();
        let newest = whole
            .filter_map(|(slot, parsed)| parsed.map(|parsed| Superblock { slot, ..parsed }))
            .max_by_key(|superblock| superblock.generation);
        match newest {
            Some(newest) if newest.format > self.format => Err(SpaceError::Newer {
                found: newest.format,
                known: self.format,
            }),
            Some(newest) => Ok((newest, copies)),
            None if begun => Err(SpaceError::Damaged),
            None => Err(SpaceError::Absent),
        }
    }
}

impl Superblock {
    /// Whether a superblock has room for this layout.
    pub(crate) const fn holds(layout: &str) -> bool {
        layout.len() <= SLOT - FIXED - CHECK
    }

    /// The next one, with another layout. Format, size and digest stay: they say who made the image.
    pub(crate) fn successor(&self, layout: String) -> Self {
        Self {
            layout,
            generation: self.generation.saturating_add(1),
            ..self.clone()
        }
    }

    /// The offsets of both slots, in the order in which its successor is written: never first the one that counts now.
    pub(crate) const fn order(&self) -> [u64; 2] {
        match self.slot {
            0 => [SLOT as u64, 0],
            _ => [0, SLOT as u64],
        }
    }

    /// All bytes of a slot that holds this.
    pub(crate) fn copy(&self) -> Vec<u8> {
        let mut bytes = self.seal();
        bytes.resize(SLOT, 0);
        bytes
    }

    fn seal(&self) -> Vec<u8> {
        let length = u32::try_from(self.layout.len()).unwrap_or(u32::MAX);
        let mut bytes = Vec::with_capacity(SLOT);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&self.format.to_le_bytes());
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(&self.generation.to_le_bytes());
        bytes.extend_from_slice(&self.size.to_le_bytes());
        bytes.extend_from_slice(&self.digest);
        bytes.extend_from_slice(self.layout.as_bytes());
        let digest: [u8; 32] = Sha256::digest(&bytes).into();
        bytes.extend_from_slice(&digest[..16]);
        bytes
    }

    fn parse(slot: &[u8]) -> Option<Self> {
        let fixed = slot.strip_prefix(MAGIC)?;
        let (format, fixed) = fixed.split_first_chunk::<4>()?;
        let (length, fixed) = fixed.split_first_chunk::<4>()?;
        let (generation, fixed) = fixed.split_first_chunk::<8>()?;
        let (size, fixed) = fixed.split_first_chunk::<8>()?;
        let (digest, _) = fixed.split_first_chunk::<32>()?;
        let end = FIXED.checked_add(u32::from_le_bytes(*length) as usize)?;
        let layout = slot.get(FIXED..end)?;
        let check: [u8; 32] = Sha256::digest(&slot[..end]).into();
        if slot.get(end..end.checked_add(16)?)? != &check[..16] {
            return None;
        }
        Some(Self {
            format: u32::from_le_bytes(*format),
            size: u64::from_le_bytes(*size),
            digest: *digest,
            layout: std::str::from_utf8(layout).ok()?.to_owned(),
            generation: u64::from_le_bytes(*generation),
            slot: 0,
        })
    }
}
