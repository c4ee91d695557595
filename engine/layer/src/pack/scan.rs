//! The tree that is packed, without its content.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::description::Extent;
use super::xattr::{Attribute, Reader};
use super::{PackError, PackOptions};

/// An inode of the tree: its index in [`Tree::inodes`].
pub(super) type Index = u32;

/// Everything below a directory, as `lstat` or a [`Description`](super::Description) describes it.
#[derive(Debug)]
pub(super) struct Tree<'a> {
    /// All inodes in the order of their first names; the root directory first.
    pub(super) inodes: Vec<Inode>,
    /// The file with the contents of all files that are described.
    pub(super) contents: Option<&'a File>,
}

/// One inode.
#[derive(Debug)]
pub(super) struct Inode {
    /// The path of its first name, for reading and for errors.
    pub(super) path: PathBuf,
    /// Type and permission bits.
    pub(super) mode: u32,
    /// Owner, as it is recorded.
    pub(super) uid: u32,
    /// Group, as it is recorded.
    pub(super) gid: u32,
    /// Seconds since 1970; what lies before counts as 1970.
    pub(super) mtime: u64,
    /// The extended attributes that are recorded, sorted by their names.
    pub(super) xattrs: Vec<Attribute>,
    pub(super) what: What,
    pub(super) origin: Origin,
}

/// Where an inode comes from.
#[derive(Debug)]
pub(super) enum Origin {
    /// It was found on disk and looked like this.
    Found(Stamp),
    /// It was described; a file has its content in these pieces, by their offsets.
    Described(Vec<Extent>),
}

/// What changes whenever an inode does, or another takes its place: the kernel sets the time of change, and nobody else
/// can. The number of an inode is no part of it, since over FUSE it may change by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    mode: u32,
    size: u64,
    /// Seconds and nanoseconds since 1970.
    changed: (i64, i64),
}

impl Stamp {
    pub(super) fn of(metadata: &Metadata) -> Stamp {
        Stamp {
            mode: metadata.mode(),
            size: metadata.len(),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// A file whose content is packed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Regular<'a> {
    pub(super) index: Index,
    pub(super) path: &'a Path,
    /// Bytes.
    pub(super) size: u64,
    /// Bytes without holes, as far as the filesystem tells.
    pub(super) data_size: u64,
    pub(super) origin: &'a Origin,
    /// The contents of what is described.
    pub(super) contents: Option<&'a File>,
}

/// What an inode is.
#[derive(Debug)]
pub(super) enum What {
    /// A directory with its entries, sorted by the bytes of their names.
    Directory(Vec<(Vec<u8>, Index)>),
    /// A file of so many bytes, of which so many are stored: with fewer, it has holes.
    File { size: u64, data_size: u64 },
    /// A symbolic link to these bytes.
    Symlink(Vec<u8>),
    /// A device with this number, as glibc encodes it.
    Device(u64),
    /// A named pipe or a socket.
    Other,
}

impl Tree<'_> {
    /// Bytes of content of all files.
    pub(super) fn content_size(&self) -> u64 {
        self.files()
            .fold(0, |sum, file| sum.saturating_add(file.size))
    }

    /// The same without holes.
    pub(super) fn data_size(&self) -> u64 {
        self.files()
            .fold(0, |sum, file| sum.saturating_add(file.data_size))
    }

    /// All files, in the order of their paths.
    pub(super) fn files(&self) -> impl Iterator<Item = Regular<'_>> {
        (0..)
            .zip(&self.inodes)
            .filter_map(|(index, inode)| match inode.what {
                What::File { size, data_size } => Some(Regular {
                    index,
                    path: &inode.path,
                    size,
                    data_size,
                    origin: &inode.origin,
                    contents: self.contents,
                }),
                _ => None,
            })
    }

    /// Refuses a tree in which anything is no longer what [`scan`] saw.
    pub(super) fn check_unchanged(&self) -> Result<(), PackError> {
        for (index, inode) in self.inodes.iter().enumerate() {
            let (path, Origin::Found(stamp)) = (&inode.path, &inode.origin) else {
                continue;
            };
            let metadata = match index {
                0 => fs::metadata(path),
                _ => fs::symlink_metadata(path),
            };
            let metadata = metadata.map_err(|error| PackError::during(path, error))?;
            if Stamp::of(&metadata) != *stamp {
                return Err(PackError::Changed { path: path.into() });
            }
        }
        Ok(())
    }
}

/// Walks the tree below `source`.
///
/// # Errors
/// When something cannot be read: nothing is left out but what the options name.
pub(super) fn scan(source: &Path, options: &PackOptions) -> Result<Tree<'static>, PackError> {
    let read = |error| PackError::read(source, error);
    // The source itself may be a link; what is in it is not followed.
    let metadata = fs::metadata(source).map_err(read)?;
    if !metadata.is_dir() {
        return Err(read(io::ErrorKind::NotADirectory.into()));
    }
    let mut scan = Scan {
        inodes: Vec::new(),
        names: HashMap::new(),
        options,
        reader: Reader::new(),
        exclude: options
            .exclude
            .iter()
            .map(|path| source.join(path))
            .collect(),
    };
    scan.add(source.into(), &metadata)?;
    // Directories are taken from a stack in reverse, so that inodes come in the order of their paths.
    let mut open = vec![0];
    while let Some(directory) = open.pop() {
        let entries = scan.directory(directory)?;
        let is_directory =
            |index: &Index| matches!(scan.inodes[*index as usize].what, What::Directory(_));
        open.extend(
            entries
                .iter()
                .rev()
                .map(|(_, index)| *index)
                .filter(is_directory),
        );
        scan.inodes[directory as usize].what = What::Directory(entries);
    }
    Ok(Tree {
        inodes: scan.inodes,
        contents: None,
    })
}

struct Scan<'a> {
    inodes: Vec<Inode>,
    /// Inodes with several names, by device and inode number of the source.
    names: HashMap<(u64, u64), Index>,
    options: &'a PackOptions,
    reader: Reader,
    /// Paths that are left out.
    exclude: HashSet<PathBuf>,
}

impl Scan<'_> {
    fn directory(&mut self, directory: Index) -> Result<Vec<(Vec<u8>, Index)>, PackError> {
        let path = self.inodes[directory as usize].path.clone();
        let read = |error| PackError::read(&path, error);
        let mut names: Vec<OsString> = Vec::new();
        for entry in fs::read_dir(&path).map_err(read)? {
            names.push(entry.map_err(read)?.file_name());
        }
        names.sort_unstable();
        let mut entries = Vec::with_capacity(names.len());
        for name in names {
            let path = path.join(&name);
            if self.exclude.contains(&path) {
                continue;
            }
            let metadata =
                fs::symlink_metadata(&path).map_err(|error| PackError::during(&path, error))?;
            entries.push((name.into_vec(), self.add(path, &metadata)?));
        }
        Ok(entries)
    }

    /// Adds an inode, unless it is another name of one that is there.
    fn add(&mut self, path: PathBuf, metadata: &Metadata) -> Result<Index, PackError> {
        let next = Index::try_from(self.inodes.len()).map_err(|_| PackError::TooLarge("files"))?;
        if !metadata.is_dir() && metadata.nlink() > 1 {
            let index = *self
                .names
                .entry((metadata.dev(), metadata.ino()))
                .or_insert(next);
            if index != next {
                return Ok(index);
            }
        }
        let what = what(&path, metadata)?;
        let xattrs = self.reader.read(&path, &self.options.owners)?;
        self.inodes.push(Inode {
            path,
            mode: metadata.mode(),
            uid: self.options.owners.uid(metadata.uid()),
            gid: self.options.owners.gid(metadata.gid()),
            mtime: self.options.mtime(metadata.mtime().try_into().unwrap_or(0)),
            xattrs,
            what,
            origin: Origin::Found(Stamp::of(metadata)),
        });
        Ok(next)
    }
}

fn what(path: &Path, metadata: &Metadata) -> Result<What, PackError> {
    let kind = metadata.file_type();
    Ok(if kind.is_dir() {
        What::Directory(Vec::new())
    } else if kind.is_file() {
        let size = metadata.len();
        // `st_blocks` counts units of 512 bytes whatever the filesystem (stat(3type)).
        let data_size = metadata.blocks().saturating_mul(512).min(size);
        What::File { size, data_size }
    } else if kind.is_symlink() {
        let target = fs::read_link(path).map_err(|error| PackError::during(path, error))?;
        What::Symlink(target.into_os_string().into_vec())
    } else if kind.is_char_device() || kind.is_block_device() {
        What::Device(metadata.rdev())
    } else {
        What::Other
    })
}
