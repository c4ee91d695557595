//! A tree that is described instead of found on disk.
//!
//! Whoever makes a layer from an archive is mostly not root and can neither give files away nor make devices. So the
//! inodes are handed over as they should be, and the contents of all files as one file.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::fs::File;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use super::scan::{Index, Inode, Origin, Tree, What};
use super::xattr;
use super::{PackError, PackOptions};

/// The bits of a mode that say what an inode is (inode(7)).
const SOCKET: u32 = 0o140_000;
const SYMLINK: u32 = 0o120_000;
const REGULAR: u32 = 0o100_000;
const BLOCK: u32 = 0o060_000;
const DIRECTORY: u32 = 0o040_000;
const CHARACTER: u32 = 0o020_000;
const FIFO: u32 = 0o010_000;

/// A tree and the contents of its files.
#[derive(Clone, Copy, Debug)]
pub struct Description<'a> {
    /// The inodes; the first one is the root directory. What no directory names is left out.
    pub nodes: &'a [Node],
    /// What [`Extent::at`] counts in.
    pub contents: &'a File,
}

/// An inode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Permission bits, with those for setuid, setgid and sticky.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Seconds since 1970.
    pub mtime: u64,
    /// Extended attributes: names and values.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// What it is.
    pub kind: NodeKind,
}

/// What an inode is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeKind {
    /// A directory: the index of an inode for each name.
    Directory(BTreeMap<Vec<u8>, usize>),
    /// A file.
    File {
        /// Bytes.
        size: u64,
        /// Where its data is, by offset; what lies between is a hole.
        data: Vec<Extent>,
    },
    /// A symbolic link to these bytes.
    Symlink(Vec<u8>),
    /// A character device with this number, as glibc encodes it. The number 0 is a whiteout of an overlay.
    Character(u64),
    /// A block device with this number, as glibc encodes it.
    Block(u64),
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
}

/// A piece of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Where in the file it is, in bytes.
    pub offset: u64,
    /// Where in the contents it is, in bytes.
    pub at: u64,
    /// Bytes.
    pub size: u64,
}

/// The tree that is described. Inodes come in the order in which a walk of the same tree on disk finds them.
pub(super) fn scan<'a>(
    description: &Description<'a>,
    options: &PackOptions,
) -> Result<Tree<'a>, PackError> {
    let mut scan = Scan {
        nodes: description.nodes,
        options,
        inodes: Vec::new(),
        indices: HashMap::new(),
    };
    if scan.add(0, PathBuf::new())? != 0 || !scan.is_directory(0) {
        return Err(PackError::Description("its root is not a directory"));
    }
    let mut open = vec![(0, 0)];
    while let Some((node, index)) = open.pop() {
        let entries = scan.directory(node, index)?;
        let directories = entries
            .iter()
            .filter(|(_, node, _)| scan.is_directory(*node));
        open.extend(directories.rev().map(|(_, node, index)| (*node, *index)));
        let entries = entries.into_iter().map(|(name, _, index)| (name, index));
        scan.inodes[index as usize].what = What::Directory(entries.collect());
    }
    Ok(Tree {
        inodes: scan.inodes,
        contents: Some(description.contents),
    })
}

struct Scan<'a> {
    nodes: &'a [Node],
    options: &'a PackOptions,
    inodes: Vec<Inode>,
    /// The index of every node that has a name.
    indices: HashMap<usize, Index>,
}

impl Scan<'_> {
    fn is_directory(&self, node: usize) -> bool {
        matches!(
            self.nodes.get(node).map(|node| &node.kind),
            Some(NodeKind::Directory(_))
        )
    }

    /// Name, node and index of each entry.
    fn directory(
        &mut self,
        node: usize,
        index: Index,
    ) -> Result<Vec<(Vec<u8>, usize, Index)>, PackError> {
        let Some(NodeKind::Directory(names)) = self.nodes.get(node).map(|node| &node.kind) else {
            return Ok(Vec::new());
        };
        let directory = self.inodes[index as usize].path.clone();
        let mut entries = Vec::with_capacity(names.len());
        for (name, node) in names {
            if name.is_empty() || name.contains(&b'/') || name == b"." || name == b".." {
                return Err(PackError::Description("a name is none of a file"));
            }
            let path = directory.join(OsString::from_vec(name.clone()));
            if self.options.exclude.contains(&path) {
                continue;
            }
            let index = self.add(*node, path)?;
            entries.push((name.clone(), *node, index));
        }
        Ok(entries)
    }

    /// Adds an inode, unless it is another name of one that is there.
    fn add(&mut self, number: usize, path: PathBuf) -> Result<Index, PackError> {
        let next = Index::try_from(self.inodes.len()).map_err(|_| PackError::TooLarge("files"))?;
        let node = self.nodes.get(number);
        let node = node.ok_or(PackError::Description("a name leads to no inode"))?;
        let index = *self.indices.entry(number).or_insert(next);
        if index != next {
            return match node.kind {
                NodeKind::Directory(_) => Err(PackError::Description("a directory has two names")),
                _ => Ok(index),
            };
        }
        let owners = &self.options.owners;
        let (kind, what, extents) = what(&node.kind)?;
        self.inodes.push(Inode {
            mode: kind | node.mode & 0o7777,
            uid: owners.uid(node.uid),
            gid: owners.gid(node.gid),
            mtime: self.options.mtime(node.mtime),
            xattrs: xattr::kept(&path, &node.xattrs, owners)?,
            what,
            origin: Origin::Described(extents),
            path,
        });
        Ok(next)
    }
}

/// The bits of its mode, what it is, and where its data is.
fn what(kind: &NodeKind) -> Result<(u32, What, Vec<Extent>), PackError> {
    let plain = |kind, what| Ok((kind, what, Vec::new()));
    match kind {
        NodeKind::Directory(_) => plain(DIRECTORY, What::Directory(Vec::new())),
        NodeKind::Symlink(target) => plain(SYMLINK, What::Symlink(target.clone())),
        NodeKind::Character(number) => plain(CHARACTER, What::Device(*number)),
        NodeKind::Block(number) => plain(BLOCK, What::Device(*number)),
        NodeKind::Fifo => plain(FIFO, What::Other),
        NodeKind::Socket => plain(SOCKET, What::Other),
        NodeKind::File { size, data } => {
            let (mut at, mut data_size) = (0u64, 0);
            for extent in data {
                let end = extent.offset.checked_add(extent.size);
                match end {
                    Some(end) if at <= extent.offset && end <= *size => at = end,
                    _ => return Err(PackError::Description("pieces of a file overlap")),
                }
                data_size += extent.size;
            }
            let size = *size;
            Ok((REGULAR, What::File { size, data_size }, data.clone()))
        }
    }
}
