//! Which bytes of which blocks make up a file.
//!
//! Contents are numbered: first those of one file, then those that several files share. Each is a range of chunks.

use std::cmp::Ordering;
use std::ops::Range;

use crate::error::ReadError;
use crate::frozen::{Bits, Column, View};
use crate::table::Table;

use super::{TABLE, column, is_set};

/// Blocks larger than this are refused (`mkdwarfs` makes none larger than 2^30 bytes).
const MAX_BLOCK_SIZE: u64 = 1 << 30;

/// The features of an image that are understood; the others change what its tables mean.
const KNOWN_FEATURES: [&[u8]; 2] = [b"sparsefiles", FIXED_MARKER];

/// Says that large holes are marked by the last offset in a block, as DwarFS 0.16 and later do.
const FIXED_MARKER: &[u8] = b"sparsefiles_new_lhm";

/// What DwarFS 0.14 and 0.15 mark large holes by.
const EARLY_MARKER: u32 = u32::MAX;

/// The tables of contents and of chunks.
#[derive(Debug)]
pub(super) struct Content {
    /// First chunk of each content; one more than there are contents.
    first_chunks: Table,
    block: Column,
    offset: Column,
    size: Column,
    /// The shared content of each file that shares one.
    shared: Table,
    /// The number of contents of one file.
    unique_count: u32,
    holes: Option<Holes>,
    /// Contents of many chunks, sorted by number, and their sizes in bytes.
    noted: Column,
    noted_sizes: Column,
    block_size: u64,
}

/// How holes are told from data.
#[derive(Debug)]
struct Holes {
    /// The block number that means a hole.
    block: u32,
    /// The offset that refers to `large`.
    marker: u32,
    /// Sizes in bytes.
    large: Column,
}

/// A piece of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Chunk {
    /// Bytes of a block, from `offset`.
    Data { block: u32, offset: u32, size: u32 },
    /// Zeros.
    Hole { size: u64 },
}

impl Chunk {
    /// Bytes of the file that this piece makes up.
    pub(crate) fn size(self) -> u64 {
        match self {
            Chunk::Data { size, .. } => size.into(),
            Chunk::Hole { size } => size,
        }
    }

    /// The same without holes.
    pub(crate) fn data_size(self) -> u64 {
        match self {
            Chunk::Data { size, .. } => size.into(),
            Chunk::Hole { .. } => 0,
        }
    }
}

/// Refuses an image that uses a feature nobody here knows.
pub(super) fn check_features(root: View) -> Result<(), ReadError> {
    let Some(features) = root.field(27).optional() else {
        return Ok(());
    };
    for feature in features.list().ok_or(TABLE)?.iter() {
        if !KNOWN_FEATURES.contains(&feature.string().ok_or(TABLE)?) {
            return Err(ReadError::Unsupported("a feature of a later DwarFS"));
        }
    }
    Ok(())
}

impl Content {
    /// Reads the tables of an image with so many inodes.
    pub(super) fn read(
        bits: &Bits,
        root: View,
        options: Option<View>,
        inodes: u32,
    ) -> Result<Content, ReadError> {
        let block_size = root.field(15).number();
        if !block_size.is_power_of_two() || block_size > MAX_BLOCK_SIZE {
            let reason = "its block size is no power of two, or too large";
            return Err(ReadError::Damaged(reason));
        }
        let chunks = root.field(1).list().ok_or(TABLE)?;
        let first_chunks = root.field(4).list().ok_or(TABLE)?.column();
        let first_chunks = Table::read(bits, first_chunks, is_set(options, 3)).ok_or(TABLE)?;
        let shared = column(root.field(20))?;
        let shared = match is_set(options, 5) {
            true => Table::shared_files(bits, shared, inodes).ok_or(TABLE)?,
            false => Table::Packed(shared),
        };
        let noted = root.field(30).optional();
        let noted = noted.map(|noted| noted.field(1).list().ok_or(TABLE));
        let noted = noted.transpose()?;
        Ok(Content {
            unique_count: unique_count(bits, &first_chunks, &shared).ok_or(TABLE)?,
            first_chunks,
            block: chunks.field(1),
            offset: chunks.field(2),
            size: chunks.field(3),
            shared,
            holes: Holes::read(root, block_size)?,
            noted: noted.map_or(Column::default(), |noted| noted.field(1)),
            noted_sizes: noted.map_or(Column::default(), |noted| noted.field(2)),
            block_size,
        })
    }

    /// The largest size of a block, in bytes.
    pub(super) fn block_size(&self) -> u64 {
        self.block_size
    }

    /// Whether there may be holes.
    pub(super) fn has_holes(&self) -> bool {
        self.holes.is_some()
    }

    /// The number of contents of one file.
    pub(super) fn unique_count(&self) -> u32 {
        self.unique_count
    }

    /// The number of files that share their content.
    pub(super) fn shared_count(&self) -> u32 {
        self.shared.len()
    }

    /// The content of a file that shares it.
    pub(super) fn shared(&self, bits: &Bits, index: u32) -> Option<u32> {
        self.shared.get(bits, index)?.checked_add(self.unique_count)
    }

    /// The chunks of a content.
    pub(super) fn chunks(&self, bits: &Bits, content: u32) -> Option<Range<u32>> {
        let start = self.first_chunks.get(bits, content)?;
        let end = self.first_chunks.get(bits, content.checked_add(1)?)?;
        Some(start..end.min(self.size.len()).max(start))
    }

    /// One chunk.
    pub(super) fn chunk(&self, bits: &Bits, index: u32) -> Option<Chunk> {
        let block = self.block.get32(bits, index)?;
        let offset = self.offset.get32(bits, index)?;
        let size = self.size.get32(bits, index)?;
        match &self.holes {
            Some(holes) if holes.block == block => {
                let size = match offset == holes.marker {
                    true => holes.large.get(bits, size)?,
                    false => u64::from(size) * self.block_size + u64::from(offset),
                };
                Some(Chunk::Hole { size })
            }
            _ => Some(Chunk::Data {
                block,
                offset,
                size,
            }),
        }
    }

    /// The size of a content of many chunks, in bytes.
    pub(super) fn known_size(&self, bits: &Bits, content: u32) -> Option<u64> {
        let (mut start, mut end) = (0, self.noted.len());
        while start < end {
            let middle = start + (end - start) / 2;
            match self.noted.get32(bits, middle)?.cmp(&content) {
                Ordering::Less => start = middle + 1,
                Ordering::Equal => return self.noted_sizes.get(bits, middle),
                Ordering::Greater => end = middle,
            }
        }
        None
    }
}

fn unique_count(bits: &Bits, first_chunks: &Table, shared: &Table) -> Option<u32> {
    let contents = first_chunks.len().saturating_sub(1);
    let shared_contents = match shared.len().checked_sub(1) {
        Some(last) => shared.get(bits, last)?.checked_add(1)?,
        None => 0,
    };
    contents.checked_sub(shared_contents)
}

impl Holes {
    fn read(root: View, block_size: u64) -> Result<Option<Holes>, ReadError> {
        let Some(block) = root.field(34).optional() else {
            return Ok(None);
        };
        let features = root.field(27).optional().and_then(View::list);
        let is_fixed = |name: View| name.string() == Some(FIXED_MARKER);
        let fixed = features.is_some_and(|features| features.iter().any(is_fixed));
        Ok(Some(Holes {
            block: block.number() as u32,
            marker: match fixed {
                true => (block_size - 1) as u32,
                false => EARLY_MARKER,
            },
            large: column(root.field(35))?,
        }))
    }
}
