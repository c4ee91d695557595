//! Writes the tree of a layer into a directory.
//!
//! A layer is untrusted input, and what it says is done outside of any sandbox: every place is opened below the new
//! directory without following a link, and a directory that is reached twice ends it.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::fs::{DirBuilder, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use flatimage_layer::{Attributes, Kind, Layer, ROOT};
use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::sys::stat::{
    FchmodatFlags, Mode, SFlag, UtimensatFlags, fchmodat, mkdirat, mknodat, utimensat,
};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, fchownat, linkat, symlinkat};
use rustix::fs::{XattrFlags, fsetxattr};

use super::content::{self, Content};
use crate::data::remove;
use crate::plan::IdMap;
use crate::sys::{Resolve, open_in};

/// The latest time that is stored, in seconds since 1970.
const LAST_SECOND: u64 = 1 << 40;

/// What says that a directory hides all of those below it.
const OPAQUE: [&[u8]; 2] = [b"trusted.overlay.opaque", b"user.overlay.opaque"];

/// The mode that everything has until it is finished.
const NEW: Mode = Mode::from_bits_truncate(0o600);

/// Why a tree cannot be written.
pub enum WriteError {
    /// The layer is damaged; in words.
    Layer(String),
    /// The directory refuses it.
    Place(io::Error),
}

impl From<io::Error> for WriteError {
    fn from(error: io::Error) -> WriteError {
        WriteError::Place(error)
    }
}

impl From<nix::Error> for WriteError {
    fn from(error: nix::Error) -> WriteError {
        WriteError::Place(error.into())
    }
}

/// Who owns what is written.
#[derive(Clone, Copy)]
pub enum Owners {
    /// The caller owns everything.
    Caller,
    /// The ids from 0 on are these of the host; an id without one is as 0 is.
    Range {
        /// First id of the host.
        first: u32,
        /// How many.
        count: u32,
    },
}

impl Owners {
    /// Those that a container with these ids sees as the layer's.
    pub fn of(map: &IdMap) -> Owners {
        match *map {
            IdMap::Single { .. } | IdMap::Subordinate { .. } => Owners::Caller,
            IdMap::Range { first, count } => Owners::Range { first, count },
        }
    }

    fn on_host(self, id: u32) -> Option<u32> {
        match self {
            Owners::Caller => None,
            Owners::Range { first, count } => Some(first + if id < count { id } else { 0 }),
        }
    }
}

/// A tree that is being written.
struct Tree<'a> {
    layer: &'a Layer,
    owners: Owners,
    root: OwnedFd,
    /// Files, to be filled.
    contents: Vec<Content>,
    /// Names of inodes that have several.
    linked: HashMap<u32, PathBuf>,
    /// Directories in the order in which they were made, parents first.
    directories: Vec<(PathBuf, u32, Attributes)>,
    /// Whether there are trees of layers below already, whose directories are open to the caller.
    is_upper: bool,
    written: Written,
}

/// What was written.
#[derive(Clone, Copy, Debug, Default)]
pub struct Written {
    /// Bytes of content, holes excluded.
    pub bytes: u64,
    /// Device nodes that the caller may not make.
    pub devices_left_out: u64,
    /// Files with access control lists, which name ids that are others on the host.
    pub lists_left_out: u64,
}

/// Makes the directory `place` and writes the whole tree into it.
///
/// # Errors
/// When the layer is damaged or the directory refuses something.
pub fn write(layer: &Layer, place: &Path, owners: Owners) -> Result<Written, WriteError> {
    write_merged(&[layer], place, owners)
}

/// Makes the directory `place` and writes what the layers, lowest first, show together.
///
/// # Errors
/// When a layer is damaged or the directory refuses something.
pub fn write_merged(
    layers: &[&Layer],
    place: &Path,
    owners: Owners,
) -> Result<Written, WriteError> {
    DirBuilder::new().mode(0o700).create(place)?;
    let mut written = Written::default();
    let mut trees = Vec::new();
    for (index, layer) in layers.iter().enumerate() {
        let mut tree = Tree {
            layer,
            owners,
            root: File::open(place)?.into(),
            contents: Vec::new(),
            linked: HashMap::new(),
            directories: Vec::new(),
            is_upper: index > 0,
            written: Written::default(),
        };
        tree.write_files()?;
        written.add(&tree.written);
        trees.push(tree);
    }
    // Last, because a mode may forbid what the layers above do. What is there is what the highest of them says.
    let mut finished = HashSet::new();
    for tree in trees.iter_mut().rev() {
        // Children first: a directory's time changes with what is made in it, and its mode may forbid that.
        for (path, inode, attributes) in std::mem::take(&mut tree.directories).iter().rev() {
            if finished.insert(path.clone()) && tree.is_directory(path) {
                tree.set_attributes(path, *inode)?;
                tree.finish(path, attributes)?;
            }
        }
    }
    Ok(written)
}

impl Written {
    fn add(&mut self, further: &Written) {
        self.bytes += further.bytes;
        self.devices_left_out += further.devices_left_out;
        self.lists_left_out += further.lists_left_out;
    }
}

impl Tree<'_> {
    /// Writes everything but the attributes of directories.
    fn write_files(&mut self) -> Result<(), WriteError> {
        self.make_everything()?;
        let mut contents = std::mem::take(&mut self.contents);
        // Neighbours in number are neighbours in the blocks.
        contents.sort_by_key(|content| content.inode);
        content::fill(self.layer, self.root.as_fd(), &contents)?;
        for content in &contents {
            self.written.bytes += content.attributes.data_size;
            self.set_attributes(&content.path, content.inode)?;
            self.finish(&content.path, &content.attributes)?;
        }
        Ok(())
    }

    /// Whether it still is one: a layer above may have another thing in its place.
    fn is_directory(&self, path: &Path) -> bool {
        self.open(path).is_ok()
    }

    /// Makes a directory, or keeps what the layers below have in it.
    fn make_directory(
        &self,
        directory: BorrowedFd<'_>,
        name: &OsStr,
        inode: u32,
    ) -> Result<(), WriteError> {
        let mut marks = self.layer.xattrs(inode);
        let is_opaque = marks.any(|(name, value)| OPAQUE.contains(&name) && value == b"y");
        match mkdirat(directory, name, Mode::S_IRWXU) {
            Err(Errno::EEXIST) if self.is_upper => {
                let flags = libc::O_PATH | libc::O_DIRECTORY;
                let found = open_in(directory, Path::new(name), flags, Resolve::NoSymlinks);
                if is_opaque || found.is_err() {
                    clear(directory, name)?;
                    mkdirat(directory, name, Mode::S_IRWXU)?;
                }
                Ok(())
            }
            made => Ok(made?),
        }
    }

    fn make_everything(&mut self) -> Result<(), WriteError> {
        let root = self.attributes(ROOT)?;
        self.directories.push((PathBuf::from("."), ROOT, root));
        let mut waiting = vec![(ROOT, PathBuf::from("."))];
        let mut seen = HashSet::from([ROOT]);
        while let Some((inode, path)) = waiting.pop() {
            let directory = self.open(&path)?;
            for (_, entry) in self.layer.entries(inode, 0) {
                let name = OsStr::from_bytes(&entry.name);
                let path = path.join(name);
                let attributes = self.attributes(entry.inode)?;
                if attributes.kind == Kind::Directory {
                    if !seen.insert(entry.inode) {
                        return Err(damaged("a directory has two places"));
                    }
                    self.make_directory(directory.as_fd(), name, entry.inode)?;
                    self.directories
                        .push((path.clone(), entry.inode, attributes));
                    waiting.push((entry.inode, path));
                } else {
                    self.make(directory.as_fd(), name, entry.inode, path, attributes)?;
                }
            }
        }
        Ok(())
    }

    fn attributes(&self, inode: u32) -> Result<Attributes, WriteError> {
        let attributes = self.layer.attributes(inode);
        attributes.ok_or_else(|| damaged("an entry has no inode"))
    }

    fn open(&self, path: &Path) -> io::Result<OwnedFd> {
        let flags = libc::O_RDONLY | libc::O_DIRECTORY;
        open_in(self.root.as_fd(), path, flags, Resolve::NoSymlinks)
    }

    /// Makes one entry that is no directory.
    fn make(
        &mut self,
        directory: BorrowedFd<'_>,
        name: &OsStr,
        inode: u32,
        path: PathBuf,
        attributes: Attributes,
    ) -> Result<(), WriteError> {
        if self.is_upper {
            clear(directory, name)?;
            if attributes.kind == Kind::CharDevice && attributes.device == 0 {
                // It has hidden what was below.
                return Ok(());
            }
        }
        if let Some(first) = self.linked.get(&inode) {
            linkat(&self.root, first, directory, name, AtFlags::empty())?;
            return Ok(());
        }
        let node = |kind, device| mknodat(directory, name, kind, NEW, device);
        match attributes.kind {
            Kind::File => {
                node(SFlag::S_IFREG, 0)?;
                self.contents.push(Content {
                    inode,
                    path: path.clone(),
                    attributes,
                });
            }
            Kind::Symlink => {
                let target = self.layer.target(inode);
                let target = target.ok_or_else(|| damaged("a link has no target"))?;
                symlinkat(OsStr::from_bytes(&target), directory, name)?;
            }
            Kind::Fifo => node(SFlag::S_IFIFO, 0)?,
            Kind::Socket => node(SFlag::S_IFSOCK, 0)?,
            Kind::CharDevice | Kind::BlockDevice => {
                let kind = match attributes.kind {
                    Kind::CharDevice => SFlag::S_IFCHR,
                    _ => SFlag::S_IFBLK,
                };
                match node(kind, attributes.device) {
                    // Everybody may make a whiteout, which has number 0 (since Linux 5.8).
                    Err(Errno::EPERM) => {
                        self.written.devices_left_out += 1;
                        return Ok(());
                    }
                    result => result?,
                }
            }
            Kind::Directory => return Err(damaged("a directory is none")),
        }
        if attributes.kind != Kind::File {
            self.finish(&path, &attributes)?;
        }
        if attributes.links > 1 {
            self.linked.insert(inode, path);
        }
        Ok(())
    }

    /// Sets the extended attributes of a file or directory, while its mode allows that. Those of the kernel's security modules and
    /// file capabilities mean nothing on a mount without set-id bits.
    fn set_attributes(&mut self, path: &Path, inode: u32) -> Result<(), WriteError> {
        let mut opened = None;
        let mut has_list = false;
        for (name, value) in self.layer.xattrs(inode) {
            has_list |= name.starts_with(b"system.posix_acl");
            let name = match name {
                // The overlay of an ordinary user looks for its marks there.
                b"trusted.overlay.opaque" => b"user.overlay.opaque",
                name if name.starts_with(b"user.") => name,
                _ => continue,
            };
            let file = match &opened {
                Some(file) => file,
                None => opened.insert(open_in(
                    self.root.as_fd(),
                    path,
                    libc::O_RDONLY,
                    Resolve::NoSymlinks,
                )?),
            };
            fsetxattr(file, name, value, XattrFlags::empty()).map_err(io::Error::from)?;
        }
        self.written.lists_left_out += u64::from(has_list);
        Ok(())
    }

    /// Sets owner, mode and time.
    fn finish(&self, path: &Path, attributes: &Attributes) -> Result<(), WriteError> {
        let owner = self.owners.on_host(attributes.uid).map(Uid::from_raw);
        let group = self.owners.on_host(attributes.gid).map(Gid::from_raw);
        if owner.is_some() {
            let flags = AtFlags::AT_SYMLINK_NOFOLLOW;
            fchownat(&self.root, path, owner, group, flags)?;
        }
        // A link has no mode of its own. A change of the owner takes the set-id bits away.
        if attributes.kind != Kind::Symlink {
            let mode = Mode::from_bits_truncate(attributes.mode);
            fchmodat(&self.root, path, mode, FchmodatFlags::FollowSymlink)?;
        }
        let time = |seconds: u64| TimeSpec::new(seconds.min(LAST_SECOND) as i64, 0);
        let (atime, mtime) = (time(attributes.atime), time(attributes.mtime));
        let flags = UtimensatFlags::NoFollowSymlink;
        Ok(utimensat(&self.root, path, &atime, &mtime, flags)?)
    }
}

/// Removes what a layer below has.
fn clear(directory: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    remove(directory, name).map_err(|stays| stays.reason)
}

fn damaged(reason: &str) -> WriteError {
    WriteError::Layer(format!("it is damaged: {reason}"))
}
