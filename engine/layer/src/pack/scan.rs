//! The tree that is packed, without its content.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::{Owners, PackError, PackOptions};

/// An inode of the tree: its index in [`Tree::inodes`].
pub(super) type Index = u32;

/// Everything below a directory, as `lstat` describes it.
#[derive(Debug)]
pub(super) struct Tree {
    /// All inodes in the order of their first names; the root directory first.
    pub(super) inodes: Vec<Inode>,
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
    pub(super) what: What,
}

/// What an inode is.
#[derive(Debug)]
pub(super) enum What {
    /// A directory with its entries, sorted by the bytes of their names.
    Directory(Vec<(Vec<u8>, Index)>),
    /// A file of so many bytes.
    File(u64),
    /// A symbolic link to these bytes.
    Symlink(Vec<u8>),
    /// A device with this number, as glibc encodes it.
    Device(u64),
    /// A named pipe or a socket.
    Other,
}

impl Tree {
    /// Bytes of content of all files.
    pub(super) fn content_size(&self) -> u64 {
        self.files().map(|(_, _, size)| size).sum()
    }

    /// All files, in the order of their paths, with their sizes in bytes.
    pub(super) fn files(&self) -> impl Iterator<Item = (Index, &Path, u64)> {
        (0..)
            .zip(&self.inodes)
            .filter_map(|(index, inode)| match inode.what {
                What::File(size) => Some((index, inode.path.as_path(), size)),
                _ => None,
            })
    }
}

/// Walks the tree below `source`.
///
/// # Errors
/// When something cannot be read: nothing is left out but what the options name.
pub(super) fn scan(source: &Path, options: &PackOptions) -> Result<Tree, PackError> {
    let read = |error| PackError::read(source, error);
    // The source itself may be a link; what is in it is not followed.
    let metadata = fs::metadata(source).map_err(read)?;
    if !metadata.is_dir() {
        return Err(read(io::ErrorKind::NotADirectory.into()));
    }
    let mut scan = Scan {
        inodes: Vec::new(),
        names: HashMap::new(),
        owners: &options.owners,
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
    })
}

struct Scan<'a> {
    inodes: Vec<Inode>,
    /// Inodes with several names, by device and inode number of the source.
    names: HashMap<(u64, u64), Index>,
    owners: &'a Owners,
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
                fs::symlink_metadata(&path).map_err(|error| PackError::read(&path, error))?;
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
        self.inodes.push(Inode {
            path,
            mode: metadata.mode(),
            uid: self.owners.uid(metadata.uid()),
            gid: self.owners.gid(metadata.gid()),
            mtime: metadata.mtime().try_into().unwrap_or(0),
            what,
        });
        Ok(next)
    }
}

fn what(path: &Path, metadata: &Metadata) -> Result<What, PackError> {
    let kind = metadata.file_type();
    Ok(if kind.is_dir() {
        What::Directory(Vec::new())
    } else if kind.is_file() {
        What::File(metadata.len())
    } else if kind.is_symlink() {
        let target = fs::read_link(path).map_err(|error| PackError::read(path, error))?;
        What::Symlink(target.into_os_string().into_vec())
    } else if kind.is_char_device() || kind.is_block_device() {
        What::Device(metadata.rdev())
    } else {
        What::Other
    })
}
