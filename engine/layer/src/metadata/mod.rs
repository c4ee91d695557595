//! The tree of an image: inodes, directories, names, and which bytes make up a file.
//!
//! An inode is a number. Directories come first, then symbolic links, files with content of their own, files that share
//! content, devices, and the rest; so an inode's number says which table describes it. Nothing of the image is trusted:
//! a method answers `None` (or an empty range) where the image names something that is not there.

mod content;
mod inodes;

use std::borrow::Cow;
use std::ops::Range;
use std::sync::OnceLock;

use crate::error::ReadError;
use crate::frozen::{Bits, Column, Schema, View};
use crate::names::Names;
use crate::table::Table;
pub(crate) use content::Chunk;
use content::Content;
use inodes::{Inodes, Stored};

/// The metadata of an image.
#[derive(Debug)]
pub(crate) struct Metadata {
    bits: Bits,
    inodes: Inodes,
    /// First entry of each directory; one more than there are directories.
    first_entries: Table,
    entry_names: Column,
    entry_inodes: Column,
    names: Names,
    targets: Names,
    link_targets: Column,
    content: Content,
    devices: Column,
    starts: Starts,
    total_size: u64,
    links: OnceLock<Vec<u32>>,
}

/// The first inode of each kind; directories start at 0.
#[derive(Debug)]
struct Starts {
    links: u32,
    unique: u32,
    shared: u32,
    devices: u32,
    others: u32,
}

impl Metadata {
    /// Reads the metadata from its section and the section with its schema.
    pub(crate) fn read(schema: &[u8], metadata: Vec<u8>) -> Result<Metadata, ReadError> {
        let schema = Schema::parse(schema).ok_or(ReadError::Damaged("its schema is malformed"))?;
        let bits = Bits::new(metadata);
        let root = View::root(&bits, &schema);
        content::check_features(root)?;
        let options = root.field(18).optional();
        let inodes = Inodes::read(root, options)?;
        let content = Content::read(&bits, root, options, inodes.len())?;
        let directories = root.field(2).list().ok_or(TABLE)?.field(2);
        let first_entries = Table::read(&bits, directories, is_set(options, 4)).ok_or(TABLE)?;
        let entries = root
            .field(19)
            .optional()
            .ok_or(ReadError::Unsupported("the layout of DwarFS before 0.5"))?;
        let entries = entries.list().ok_or(TABLE)?;
        let link_targets = root.field(6).list().ok_or(TABLE)?.column();
        let devices = column(root.field(17))?;
        let starts = Starts::find(&first_entries, link_targets, &content, devices)
            .filter(|starts| starts.others <= inodes.len())
            .ok_or(ReadError::Damaged("its numbers of inodes do not add up"))?;
        Ok(Metadata {
            entry_names: entries.field(1),
            entry_inodes: entries.field(2),
            names: Names::read(&bits, root.field(10), root.field(24))?,
            targets: Names::read(&bits, root.field(11), root.field(25))?,
            total_size: root.field(16).number(),
            links: OnceLock::new(),
            bits,
            inodes,
            first_entries,
            link_targets,
            content,
            devices,
            starts,
        })
    }

    /// The number of inodes.
    pub(crate) fn inode_count(&self) -> u32 {
        self.inodes.len()
    }

    /// The largest size of a block, in bytes.
    pub(crate) fn block_size(&self) -> u64 {
        self.content.block_size()
    }

    /// Bytes of file content, as the writer counted them.
    pub(crate) fn total_size(&self) -> u64 {
        self.total_size
    }

    /// Whether files may have holes.
    pub(crate) fn has_holes(&self) -> bool {
        self.content.has_holes()
    }

    /// Mode, owner and times of an inode.
    pub(crate) fn stored(&self, inode: u32) -> Option<Stored> {
        self.inodes.get(&self.bits, inode)
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

    /// The number of a file's content. `None` when it is no file.
    fn content_of(&self, inode: u32) -> Option<u32> {
        let starts = &self.starts;
        if inode >= starts.devices {
            return None;
        }
        match inode.checked_sub(starts.shared) {
            Some(index) => self.content.shared(&self.bits, index),
            None => inode.checked_sub(starts.unique),
        }
    }

    /// The chunks of a file, as a range of indices for [`Metadata::chunk`]. `None` when it is no file.
    pub(crate) fn chunks(&self, inode: u32) -> Option<Range<u32>> {
        self.content.chunks(&self.bits, self.content_of(inode)?)
    }

    /// One piece of a file.
    pub(crate) fn chunk(&self, index: u32) -> Option<Chunk> {
        self.content.chunk(&self.bits, index)
    }

    /// The size of a file that is known without adding up its chunks, in bytes.
    pub(crate) fn known_size(&self, inode: u32) -> Option<u64> {
        self.content.known_size(&self.bits, self.content_of(inode)?)
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

/// The column of a list that may be absent.
fn column(list: View) -> Result<Column, ReadError> {
    let Some(list) = list.optional() else {
        return Ok(Column::default());
    };
    Ok(list.list().ok_or(TABLE)?.column())
}

/// Whether this option of the writer is set.
fn is_set(options: Option<View>, id: i16) -> bool {
    options.is_some_and(|options| options.field(id).number() != 0)
}

impl Starts {
    /// From the lengths of the tables. Those of directories and of contents end with a sentinel.
    fn find(
        directories: &Table,
        links: Column,
        content: &Content,
        devices: Column,
    ) -> Option<Starts> {
        let links_start = directories
            .len()
            .checked_sub(1)
            .filter(|count| *count > 0)?;
        let unique = links_start.checked_add(links.len())?;
        let shared = unique.checked_add(content.unique_count())?;
        let devices_start = shared.checked_add(content.shared_count())?;
        Some(Starts {
            links: links_start,
            unique,
            shared,
            devices: devices_start,
            others: devices_start.checked_add(devices.len())?,
        })
    }
}
