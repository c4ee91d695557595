//! The tree of an image: inodes, directories, names, and which bytes make up a file.
//!
//! An inode is a number. Directories come first, then symbolic links, files with content of their own, files that share
//! content, devices, and the rest; so an inode's number says which table describes it. Nothing of the image is trusted:
//! a method answers `None` (or an empty range) where the image names something that is not there.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::OnceLock;

use crate::error::ReadError;
use crate::frozen::{Bits, Column, Schema, View};
use crate::names::Names;
use crate::table::Table;

/// Blocks larger than this are refused (`mkdwarfs` makes none larger than 2^30 bytes).
const MAX_BLOCK_SIZE: u64 = 1 << 30;

/// Marks a hole whose size is in the list of large holes. `mkdwarfs` wrote it wrongly at first; images made since carry
/// a feature that says so.
const LARGE_HOLE: u32 = u32::MAX;

const KNOWN_FEATURES: [&[u8]; 2] = [b"sparsefiles", b"sparsefiles_new_lhm"];

/// The metadata of an image.
#[derive(Debug)]
pub(crate) struct Metadata {
    bits: Bits,
    inodes: Inodes,
    uids: Column,
    gids: Column,
    modes: Column,
    /// First entry of each directory; one more than there are directories.
    first_entries: Table,
    entry_names: Column,
    entry_inodes: Column,
    names: Names,
    targets: Names,
    link_targets: Column,
    chunk_table: Table,
    chunk_block: Column,
    chunk_offset: Column,
    chunk_size: Column,
    shared_files: Table,
    devices: Column,
    holes: Option<Holes>,
    sizes: Sizes,
    starts: Starts,
    times: Times,
    block_size: u64,
    total_size: u64,
    links: OnceLock<Vec<u32>>,
}

/// Columns of the table of inodes.
#[derive(Debug)]
struct Inodes {
    mode: Column,
    owner: Column,
    group: Column,
    atime: Column,
    mtime: Column,
    ctime: Column,
}

/// How holes are told from data.
#[derive(Debug)]
struct Holes {
    /// The block number that means a hole.
    block: u32,
    /// The offset that refers to `large`.
    marker: u32,
    large: Column,
}

/// Sizes of contents of many chunks, sorted by the number of the content.
#[derive(Debug, Default)]
struct Sizes {
    contents: Column,
    sizes: Column,
}

/// The first inode of each kind; directories start at 0.
#[derive(Debug)]
struct Starts {
    links: u32,
    unique: u32,
    shared: u32,
    devices: u32,
}

#[derive(Debug)]
struct Times {
    base: u64,
    resolution: u64,
    mtime_only: bool,
}

/// What the permission bits, owner and times of an inode are, as stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) atime: u64,
    pub(crate) mtime: u64,
    pub(crate) ctime: u64,
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
}

impl Metadata {
    /// Reads the metadata from its section and the section with its schema.
    pub(crate) fn read(schema: &[u8], metadata: Vec<u8>) -> Result<Metadata, ReadError> {
        let schema = Schema::parse(schema).ok_or(ReadError::Damaged("its schema is malformed"))?;
        let bits = Bits::new(metadata);
        let root = View::root(&bits, &schema);
        check_features(root)?;
        let list = |view: View| view.list().map(|list| list.column()).ok_or(TABLE);
        let optional = |id| {
            root.field(id)
                .optional()
                .map_or(Ok(Column::default()), list)
        };

        let inodes = root.field(3).list().ok_or(TABLE)?;
        let inodes = Inodes {
            mode: inodes.field(2),
            owner: inodes.field(4),
            group: inodes.field(5),
            atime: inodes.field(6),
            mtime: inodes.field(7),
            ctime: inodes.field(8),
        };
        let options = root.field(18).optional();
        let option = |id| options.is_some_and(|options| options.field(id).number() != 0);
        let sums = |packed, column| match packed {
            true => Table::sums(&bits, column, false).ok_or(TABLE),
            false => Ok(Table::Packed(column)),
        };
        let chunks = root.field(1).list().ok_or(TABLE)?;
        let chunk_table = sums(option(3), list(root.field(4))?)?;
        let first_entries = sums(option(4), root.field(2).list().ok_or(TABLE)?.field(2))?;
        let shared = optional(20)?;
        let shared_files = match option(5) {
            true => Table::shared_files(&bits, shared, inodes.mode.len()).ok_or(TABLE)?,
            false => Table::Packed(shared),
        };
        let entries = root
            .field(19)
            .optional()
            .ok_or(ReadError::Unsupported("the layout of DwarFS before 0.5"))?;
        let entries = entries.list().ok_or(TABLE)?;
        let block_size = root.field(15).number();
        if !block_size.is_power_of_two() || block_size > MAX_BLOCK_SIZE {
            return Err(ReadError::Damaged(
                "its block size is no power of two, or too large",
            ));
        }
        let link_targets = list(root.field(6))?;
        let devices = optional(17)?;
        let counts = (
            first_entries.len(),
            link_targets.len(),
            chunk_table.len(),
            devices.len(),
        );
        let starts = Starts::find(&bits, counts, &shared_files, inodes.mode.len())
            .ok_or(ReadError::Damaged("its numbers of inodes do not add up"))?;
        Ok(Metadata {
            uids: list(root.field(7))?,
            gids: list(root.field(8))?,
            modes: list(root.field(9))?,
            entry_names: entries.field(1),
            entry_inodes: entries.field(2),
            names: Names::read(&bits, root.field(10), root.field(24))?,
            targets: Names::read(&bits, root.field(11), root.field(25))?,
            chunk_block: chunks.field(1),
            chunk_offset: chunks.field(2),
            chunk_size: chunks.field(3),
            holes: Holes::read(root, block_size)?,
            sizes: Sizes::read(root)?,
            times: Times::read(root, options),
            total_size: root.field(16).number(),
            links: OnceLock::new(),
            bits,
            inodes,
            first_entries,
            link_targets,
            chunk_table,
            shared_files,
            devices,
            starts,
            block_size,
        })
    }

    /// The number of inodes.
    pub(crate) fn inode_count(&self) -> u32 {
        self.inodes.mode.len()
    }

    /// The largest size of a block, in bytes.
    pub(crate) fn block_size(&self) -> u64 {
        self.block_size
    }

    /// Bytes of file content, as the writer counted them.
    pub(crate) fn total_size(&self) -> u64 {
        self.total_size
    }

    /// Mode, owner and times of an inode; times in seconds since 1970.
    pub(crate) fn stored(&self, inode: u32) -> Option<Stored> {
        let bits = &self.bits;
        let number = |column: &Column| column.get32(bits, inode);
        let time = |column| Some(self.times.seconds(number(column)?));
        let mtime = time(&self.inodes.mtime)?;
        let (atime, ctime) = match self.times.mtime_only {
            true => (mtime, mtime),
            false => (time(&self.inodes.atime)?, time(&self.inodes.ctime)?),
        };
        Some(Stored {
            mode: self.modes.get32(bits, number(&self.inodes.mode)?)?,
            uid: self.uids.get32(bits, number(&self.inodes.owner)?)?,
            gid: self.gids.get32(bits, number(&self.inodes.group)?)?,
            atime,
            mtime,
            ctime,
        })
    }

    /// The entries of a directory, as a range of indices for [`Metadata::entry`]. `None` when it is no directory.
    pub(crate) fn entries(&self, directory: u32) -> Option<Range<u32>> {
        if directory >= self.starts.links {
            return None;
        }
        let start = self.first_entries.get(&self.bits, directory)?;
        let end = self.first_entries.get(&self.bits, directory + 1)?;
        Some(start..end.min(self.entry_inodes.len()).max(start))
    }

    /// Name and inode of an entry.
    pub(crate) fn entry(&self, index: u32) -> Option<(Cow<'_, [u8]>, u32)> {
        let inode = self.entry_inodes.get32(&self.bits, index)?;
        let name = self
            .names
            .get(&self.bits, self.entry_names.get32(&self.bits, index)?)?;
        Some((name, inode))
    }

    /// The inode with this name in a directory. Entries are sorted by the bytes of their names.
    pub(crate) fn find(&self, directory: u32, name: &[u8]) -> Option<u32> {
        let Range { mut start, mut end } = self.entries(directory)?;
        while start < end {
            let middle = start + (end - start) / 2;
            let (found, inode) = self.entry(middle)?;
            match found.as_ref().cmp(name) {
                std::cmp::Ordering::Less => start = middle + 1,
                std::cmp::Ordering::Equal => return Some(inode),
                std::cmp::Ordering::Greater => end = middle,
            }
        }
        None
    }

    /// Whether an inode is a directory.
    pub(crate) fn is_directory(&self, inode: u32) -> bool {
        inode < self.starts.links
    }

    /// The target of a symbolic link.
    pub(crate) fn target(&self, inode: u32) -> Option<Cow<'_, [u8]>> {
        if inode >= self.starts.unique {
            return None;
        }
        let index = inode.checked_sub(self.starts.links)?;
        self.targets
            .get(&self.bits, self.link_targets.get32(&self.bits, index)?)
    }

    /// The number of a device, as glibc encodes it.
    pub(crate) fn device(&self, inode: u32) -> Option<u64> {
        self.devices
            .get(&self.bits, inode.checked_sub(self.starts.devices)?)
    }

    /// The number of a file's content, by which the table of chunks is ordered. `None` when it is no file.
    fn content(&self, inode: u32) -> Option<u32> {
        let starts = &self.starts;
        if inode >= starts.devices {
            return None;
        }
        match inode.checked_sub(starts.shared) {
            Some(index) => self
                .shared_files
                .get(&self.bits, index)?
                .checked_add(starts.shared - starts.unique),
            None => inode.checked_sub(starts.unique),
        }
    }

    /// The chunks of a file, as a range of indices for [`Metadata::chunk`]. `None` when it is no file.
    pub(crate) fn chunks(&self, inode: u32) -> Option<Range<u32>> {
        let content = self.content(inode)?;
        let start = self.chunk_table.get(&self.bits, content)?;
        let end = self.chunk_table.get(&self.bits, content.checked_add(1)?)?;
        Some(start..end.min(self.chunk_size.len()).max(start))
    }

    /// One piece of a file.
    pub(crate) fn chunk(&self, index: u32) -> Option<Chunk> {
        let block = self.chunk_block.get32(&self.bits, index)?;
        let offset = self.chunk_offset.get32(&self.bits, index)?;
        let size = self.chunk_size.get32(&self.bits, index)?;
        match &self.holes {
            Some(holes) if holes.block == block => {
                let size = match offset == holes.marker {
                    true => holes.large.get(&self.bits, size)?,
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

    /// The size of a file that is known without adding up its chunks, in bytes.
    pub(crate) fn known_size(&self, inode: u32) -> Option<u64> {
        let Sizes { contents, sizes } = &self.sizes;
        let content = self.content(inode)?;
        let (mut start, mut end) = (0, contents.len());
        while start < end {
            let middle = start + (end - start) / 2;
            match contents.get32(&self.bits, middle)?.cmp(&content) {
                std::cmp::Ordering::Less => start = middle + 1,
                std::cmp::Ordering::Equal => return sizes.get(&self.bits, middle),
                std::cmp::Ordering::Greater => end = middle,
            }
        }
        None
    }

    /// How many names an inode has; for a directory, what `stat` says of one: two and one for each directory in it.
    pub(crate) fn links(&self, inode: u32) -> u32 {
        if let Some(entries) = self.entries(inode) {
            let child = |index| self.entry_inodes.get32(&self.bits, index);
            let directories =
                entries.filter(|index| child(*index).is_some_and(|inode| self.is_directory(inode)));
            return 2 + directories.count() as u32;
        }
        // As many entries as inodes: every inode has one name.
        if self.entry_inodes.len() == self.inode_count() {
            return 1;
        }
        let links = self.links.get_or_init(|| self.count_links());
        let index = inode.checked_sub(self.starts.links);
        index
            .and_then(|index| links.get(index as usize))
            .map_or(1, |count| (*count).max(1))
    }

    fn count_links(&self) -> Vec<u32> {
        let first = self.starts.links;
        let mut links = vec![0u32; self.inode_count().saturating_sub(first) as usize];
        for index in 0..self.entry_inodes.len() {
            let inode = self.entry_inodes.get32(&self.bits, index);
            if let Some(count) =
                inode.and_then(|inode| links.get_mut(inode.checked_sub(first)? as usize))
            {
                *count = count.saturating_add(1);
            }
        }
        links
    }
}

const TABLE: ReadError = ReadError::Damaged("a table lies beyond the end of the metadata");

/// An image that uses a feature nobody here knows cannot be understood.
fn check_features(root: View) -> Result<(), ReadError> {
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

impl Holes {
    fn read(root: View, block_size: u64) -> Result<Option<Holes>, ReadError> {
        let Some(block) = root.field(34).optional() else {
            return Ok(None);
        };
        let features = root.field(27).optional().and_then(View::list);
        let fixed = features.is_some_and(|list| {
            list.iter()
                .any(|name| name.string() == Some(KNOWN_FEATURES[1]))
        });
        let large = root
            .field(35)
            .optional()
            .map(|list| list.list().ok_or(TABLE))
            .transpose()?;
        Ok(Some(Holes {
            block: block.number() as u32,
            marker: if fixed {
                (block_size - 1) as u32
            } else {
                LARGE_HOLE
            },
            large: large.map_or(Column::default(), |list| list.column()),
        }))
    }
}

impl Sizes {
    fn read(root: View) -> Result<Sizes, ReadError> {
        let Some(cache) = root.field(30).optional() else {
            return Ok(Sizes::default());
        };
        let lookup = cache.field(1).list().ok_or(TABLE)?;
        Ok(Sizes {
            contents: lookup.field(1),
            sizes: lookup.field(2),
        })
    }
}

impl Times {
    fn read(root: View, options: Option<View>) -> Times {
        let resolution = options
            .and_then(|options| options.field(2).optional())
            .map_or(1, View::number);
        let mtime_only = options.is_some_and(|options| options.field(1).number() != 0);
        Times {
            base: root.field(12).number(),
            resolution,
            mtime_only,
        }
    }

    fn seconds(&self, offset: u32) -> u64 {
        self.base
            .saturating_add(offset.into())
            .saturating_mul(self.resolution)
    }
}

impl Starts {
    /// From the lengths of the tables of directories, links, contents and devices.
    fn find(
        bits: &Bits,
        lengths: (u32, u32, u32, u32),
        shared: &Table,
        inodes: u32,
    ) -> Option<Starts> {
        // The tables of directories and of contents end with a sentinel.
        let directories = lengths.0.checked_sub(1).filter(|count| *count > 0)?;
        let contents = lengths.2.saturating_sub(1);
        let shared_contents = match shared.len().checked_sub(1) {
            Some(last) => shared.get(bits, last)?.checked_add(1)?,
            None => 0,
        };
        let links = directories;
        let unique = links.checked_add(lengths.1)?;
        let shared_start = unique.checked_add(contents.checked_sub(shared_contents)?)?;
        let devices = shared_start.checked_add(shared.len())?;
        let others = devices.checked_add(lengths.3)?;
        (others <= inodes).then_some(Starts {
            links,
            unique,
            shared: shared_start,
            devices,
        })
    }
}
