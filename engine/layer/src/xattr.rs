//! Extended attributes, for which DwarFS has no place: they travel in a section of a type of our own.
//!
//! The C++ tools walk over sections of types that they do not know and check their sums like those of all others;
//! `dwarfsck` mentions them in a warning (`check_section_logger` in `src/reader/filesystem_v2.cpp` of DwarFS).
//!
//! The section is read in place like the metadata. All numbers are 32 bits wide, in little-endian order:
//!
//! ```text
//! "fimxattr", version 1, number of inodes, of sets, of attributes
//! inodes:     inode, set                                            ascending by inode
//! sets:       first attribute                                       one more than there are sets
//! attributes: name at, length, value at, length                     in bytes from the start of what follows
//! names and values
//! ```
//!
//! Inodes with the same attributes share a set: a tree with one access control list on everything takes eight bytes for
//! each inode.

use std::cmp::Ordering;
use std::ops::Range;

use dwarfs::section::SectionType;

use crate::error::ReadError;

/// The type of the section: `FX` in the header, far from those that DwarFS counts up from 0.
pub(crate) const SECTION: SectionType = SectionType(dwarfs::zerocopy::little_endian::U16::new(
    u16::from_le_bytes(*b"FX"),
));

/// What the section may decompress to, in bytes.
pub(crate) const MAX_SIZE: u64 = 1 << 28;

/// The longest name of an attribute, in bytes (`XATTR_NAME_MAX`, xattr(7)).
pub(crate) const MAX_NAME: usize = 255;

/// The longest value of an attribute, and the longest list of their names, in bytes (`XATTR_SIZE_MAX`, xattr(7)).
pub(crate) const MAX_VALUE: usize = 65_536;

pub(crate) const MAGIC: [u8; 8] = *b"fimxattr";
pub(crate) const VERSION: u32 = 1;

/// Bytes in front of the tables.
const HEADER: u64 = 24;

const MALFORMED: ReadError = ReadError::Damaged("its extended attributes are malformed");

/// The attributes of all inodes of an image.
#[derive(Debug)]
pub(crate) struct Xattrs {
    bytes: Vec<u8>,
    inodes: u32,
    sets: u32,
    attributes: u32,
    /// Where the tables and the heap start, in bytes.
    sets_at: u64,
    attributes_at: u64,
    heap_at: u64,
}

impl Xattrs {
    /// Takes the decompressed section.
    pub(crate) fn read(bytes: Vec<u8>) -> Result<Xattrs, ReadError> {
        if !bytes.starts_with(&MAGIC) {
            return Err(MALFORMED);
        }
        let number = |at| number(&bytes, at).ok_or(MALFORMED);
        if number(8)? != VERSION {
            return Err(ReadError::Unsupported(
                "extended attributes of a later version",
            ));
        }
        let (inodes, sets, attributes) = (number(12)?, number(16)?, number(20)?);
        let sets_at = HEADER + 8 * u64::from(inodes);
        let attributes_at = sets_at + 4 * (u64::from(sets) + 1);
        let heap_at = attributes_at + 16 * u64::from(attributes);
        if heap_at > bytes.len() as u64 {
            return Err(MALFORMED);
        }
        Ok(Xattrs {
            bytes,
            inodes,
            sets,
            attributes,
            sets_at,
            attributes_at,
            heap_at,
        })
    }

    /// Names and values of an inode's attributes, in the order of their names. What no file can have, which only a
    /// forged image holds, is left out.
    pub(crate) fn of(&self, inode: u32) -> impl Iterator<Item = (&[u8], &[u8])> {
        let range = self.find(inode).and_then(|set| self.set(set));
        range
            .unwrap_or(0..0)
            .filter_map(|index| self.attribute(index))
    }

    /// Every name that is used.
    pub(crate) fn names(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.attributes).filter_map(|index| Some(self.attribute(index)?.0))
    }

    /// Looks at every number: whether tables are sorted, and what they name is there.
    pub(crate) fn check(&self) -> Result<(), ReadError> {
        let inode = |index| self.inode(index).map(|it| it.0);
        let ascending = (1..self.inodes).all(|index| inode(index - 1) < inode(index));
        let known =
            (0..self.inodes).all(|index| self.inode(index).is_some_and(|it| it.1 < self.sets));
        let sets = (0..self.sets).all(|set| self.set(set).is_some());
        let whole = (0..self.attributes).all(|index| self.attribute(index).is_some());
        match ascending && known && sets && whole {
            true => Ok(()),
            false => Err(MALFORMED),
        }
    }

    /// The set of an inode.
    fn find(&self, inode: u32) -> Option<u32> {
        let (mut start, mut end) = (0, self.inodes);
        while start < end {
            let middle = start + (end - start) / 2;
            let (found, set) = self.inode(middle)?;
            match found.cmp(&inode) {
                Ordering::Less => start = middle + 1,
                Ordering::Equal => return Some(set),
                Ordering::Greater => end = middle,
            }
        }
        None
    }

    /// Inode and set number `index` of the first table.
    fn inode(&self, index: u32) -> Option<(u32, u32)> {
        let at = HEADER + 8 * u64::from(index);
        Some((number(&self.bytes, at)?, number(&self.bytes, at + 4)?))
    }

    /// The attributes of a set.
    fn set(&self, set: u32) -> Option<Range<u32>> {
        let at = self.sets_at + 4 * u64::from(set);
        let range = number(&self.bytes, at)?..number(&self.bytes, at + 4)?;
        let sound = set < self.sets && range.start <= range.end && range.end <= self.attributes;
        sound.then_some(range)
    }

    fn attribute(&self, index: u32) -> Option<(&[u8], &[u8])> {
        let at = self.attributes_at + 16 * u64::from(index);
        let bytes = |at| {
            let start = self.heap_at + u64::from(number(&self.bytes, at)?);
            let end = start + u64::from(number(&self.bytes, at + 4)?);
            self.bytes.get(start as usize..end as usize)
        };
        let (name, value) = (bytes(at)?, bytes(at + 8)?);
        let sound = is_name(name) && value.len() <= MAX_VALUE;
        sound.then_some((name, value))
    }
}

fn is_name(name: &[u8]) -> bool {
    (1..=MAX_NAME).contains(&name.len()) && !name.contains(&0)
}

fn number(bytes: &[u8], at: u64) -> Option<u32> {
    let rest = bytes.get(at as usize..)?;
    Some(u32::from_le_bytes(*rest.first_chunk()?))
}
