//! One opened image: a tree of inodes and their content.

mod content;

use std::borrow::Cow;
use std::fs::File;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use dwarfs::section::SectionType;

use crate::error::{OpenError, ReadError};
use crate::metadata::Metadata;
use crate::section::{Extent, Sections, probe};
use crate::xattr::Xattrs;
pub use content::Seek;

/// Limits of what the two metadata sections may decompress to, in bytes.
const MAX_SCHEMA: u64 = 1 << 20;
const MAX_METADATA: u64 = 1 << 30;

/// The type bits of a mode (`S_IFMT`), and their values.
const TYPE_MASK: u32 = 0o170000;

/// The root directory of every layer.
pub const ROOT: u32 = 0;

/// What an inode is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A regular file.
    File,
    /// A symbolic link.
    Symlink,
    /// A block device.
    BlockDevice,
    /// A character device; number 0 is a whiteout of overlayfs.
    CharDevice,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
}

/// What `stat` says about an inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// What it is.
    pub kind: Kind,
    /// Permission bits with setuid, setgid and sticky.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Bytes of a file's content or of a link's target.
    pub size: u64,
    /// The same without holes.
    pub data_size: u64,
    /// Number of names; for a directory two more than there are directories in it.
    pub links: u32,
    /// Number of a device as glibc encodes it, else 0.
    pub device: u64,
    /// Seconds since 1970.
    pub atime: u64,
    /// Seconds since 1970.
    pub mtime: u64,
    /// Seconds since 1970.
    pub ctime: u64,
}

/// One name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The name, of any bytes but `/` and NUL.
    pub name: Cow<'a, [u8]>,
    /// The inode.
    pub inode: u32,
}

/// One opened DwarFS image; shared freely between threads.
///
/// Inodes are numbers from [`ROOT`] to [`Layer::inode_count`].
#[derive(Debug)]
pub struct Layer {
    sections: Sections,
    metadata: Metadata,
    xattrs: Option<Xattrs>,
    /// Tells the blocks of one layer from those of another in a cache.
    id: u64,
    known: Mutex<content::Known>,
}

impl Layer {
    /// Opens the image that lies in `file` at `offset` and is `length` bytes long (both in bytes).
    ///
    /// Only its metadata is read and checked against its checksum; blocks are when they are needed.
    ///
    /// # Errors
    /// When there is no image, when it is damaged as far as that is looked at, or when it uses what is not supported.
    pub fn open(file: Arc<File>, offset: u64, length: u64) -> Result<Layer, OpenError> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        probe(&file, offset, length)?;
        let open = || {
            let sections = Sections::open(Extent::new(file, offset, length))?;
            let schema =
                sections.load(sections.schema, SectionType::METADATA_V2_SCHEMA, MAX_SCHEMA)?;
            let metadata =
                sections.load(sections.metadata, SectionType::METADATA_V2, MAX_METADATA)?;
            let metadata = Metadata::read(&schema, metadata)?;
            let xattrs = sections.xattrs()?;
            let id = NEXT.fetch_add(1, Ordering::Relaxed);
            Ok(Layer {
                sections,
                metadata,
                xattrs,
                id,
                known: Mutex::default(),
            })
        };
        open().map_err(|error: ReadError| error.at(offset))
    }

    /// Whether the root directory has no entries.
    pub fn is_empty(&self) -> bool {
        self.metadata
            .entries(ROOT)
            .is_none_or(|entries| entries.is_empty())
    }

    /// The number of inodes.
    pub fn inode_count(&self) -> u32 {
        self.metadata.inode_count()
    }

    /// Bytes of content of all files.
    pub fn content_size(&self) -> u64 {
        self.metadata.total_size()
    }

    /// Bytes of the image.
    pub fn image_size(&self) -> u64 {
        self.sections.length()
    }

    /// Bytes of a block, uncompressed.
    pub fn block_size(&self) -> u64 {
        self.metadata.block_size()
    }

    /// What `stat` says about an inode; `None` when there is no such inode.
    pub fn attributes(&self, inode: u32) -> Option<Attributes> {
        let stored = self.metadata.stored(inode)?;
        let kind = kind_of(stored.mode)?;
        // A directory's number is below all others; an image that says otherwise must not confuse us.
        if (kind == Kind::Directory) != self.metadata.is_directory(inode) {
            return None;
        }
        let size = match kind {
            Kind::File => self.size(inode),
            Kind::Symlink => self.metadata.target(inode)?.len() as u64,
            _ => 0,
        };
        let device = match kind {
            Kind::BlockDevice | Kind::CharDevice => self.metadata.device(inode)?,
            _ => 0,
        };
        Some(Attributes {
            kind,
            mode: stored.mode & 0o7777,
            uid: stored.uid,
            gid: stored.gid,
            size,
            data_size: match kind {
                Kind::File if self.metadata.has_holes() => self.data_size(inode),
                _ => size,
            },
            links: self.metadata.links(inode),
            device,
            atime: stored.atime,
            mtime: stored.mtime,
            ctime: stored.ctime,
        })
    }

    /// The inode named `name` in `directory`.
    pub fn lookup(&self, directory: u32, name: &[u8]) -> Option<u32> {
        self.metadata.find(directory, name)
    }

    /// The entries of `directory` from number `first`, each with its number, sorted by the bytes of their names; none
    /// when it is no directory. Names that no file can have, which only a forged image holds, are left out.
    pub fn entries(&self, directory: u32, first: u32) -> impl Iterator<Item = (u32, Entry<'_>)> {
        let range = self.metadata.entries(directory).unwrap_or(0..0);
        let start = range.start.saturating_add(first).min(range.end);
        (start..range.end).filter_map(move |index| {
            let (name, inode) = self.metadata.entry(index)?;
            is_name(&name).then_some((index - range.start, Entry { name, inode }))
        })
    }

    /// The extended attributes of an inode, in the order of their names: names and values.
    pub fn xattrs(&self, inode: u32) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.xattrs.iter().flat_map(move |xattrs| xattrs.of(inode))
    }

    /// The names of all extended attributes that any inode has, some of them more than once.
    pub fn xattr_names(&self) -> impl Iterator<Item = &[u8]> {
        self.xattrs.iter().flat_map(Xattrs::names)
    }

    /// The target of a symbolic link; `None` when it is none.
    pub fn target(&self, inode: u32) -> Option<Cow<'_, [u8]>> {
        self.metadata.target(inode)
    }
}

fn is_name(name: &[u8]) -> bool {
    !matches!(name, b"" | b"." | b"..") && !name.iter().any(|byte| matches!(byte, 0 | b'/'))
}

/// The kind that the type bits of a mode name (`inode(7)`).
fn kind_of(mode: u32) -> Option<Kind> {
    Some(match mode & TYPE_MASK {
        0o040000 => Kind::Directory,
        0o100000 => Kind::File,
        0o120000 => Kind::Symlink,
        0o060000 => Kind::BlockDevice,
        0o020000 => Kind::CharDevice,
        0o010000 => Kind::Fifo,
        0o140000 => Kind::Socket,
        _ => return None,
    })
}
