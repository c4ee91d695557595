//! The directory below: how its files are reached and its names found.

mod change;

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use rustix::fs::{AtFlags, Mode, OFlags, Stat, fstat, openat, statat};
use rustix::io::{Errno, Result};

use crate::index::{Answer, Indexes};
use crate::listing;
use crate::nodes::{Key, Nodes, Seen, Way};

pub(crate) use change::{Creation, Owner};

/// A descriptor that only stands for a file.
const PATH: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// A name that was looked up.
pub(crate) struct Entry {
    /// The node; the kernel knows it once more and has to forget it.
    pub(crate) id: u64,
    pub(crate) stat: Stat,
    /// Whether the name is the one that the file has.
    pub(crate) exact: bool,
}

/// A name as it is in its directory.
struct Found {
    name: Box<[u8]>,
    stat: Stat,
}

/// The directory below and what the kernel knows of it.
pub(crate) struct Tree {
    root: Arc<OwnedFd>,
    nodes: Mutex<Nodes>,
    indexes: Indexes,
    /// A node is reached in several steps by its names. Whoever takes such steps reads; whoever makes names lead elsewhere
    /// writes.
    names: RwLock<()>,
}

impl Tree {
    /// Keeps at most so many directories open, and so many names in mind.
    pub(crate) fn new(root: OwnedFd, directories: usize, index_names: usize) -> Result<Tree> {
        let root = Arc::new(root);
        let stat = fstat(&root)?;
        Ok(Tree {
            nodes: Mutex::new(Nodes::new(root.clone(), &stat, directories)),
            indexes: Indexes::new(index_names),
            names: RwLock::new(()),
            root,
        })
    }

    pub(crate) fn root(&self) -> &OwnedFd {
        &self.root
    }

    /// A descriptor that stands for a node (`O_PATH`).
    pub(crate) fn open(&self, id: u64) -> Result<Arc<OwnedFd>> {
        let _names = self.reading();
        self.reach(id)
    }

    /// The node that a name leads to, in any case.
    pub(crate) fn lookup(&self, parent: u64, name: &[u8]) -> Result<Entry> {
        let _names = self.reading();
        let directory = self.reach(parent)?;
        let found = self.find(&directory, parent, name)?.ok_or(Errno::NOENT)?;
        self.enter(parent, name, found)
    }

    /// The kernel forgets a node so often.
    pub(crate) fn forget(&self, id: u64, lookups: u64) {
        for freed in self.nodes().forget(id, lookups) {
            self.indexes.forget(freed);
        }
    }

    /// A program has opened a node, by this descriptor.
    pub(crate) fn opened(&self, id: u64, fd: &OwnedFd) {
        let copy = || fd.try_clone().ok().map(Arc::new);
        self.nodes().opened(id, copy);
    }

    /// A program has closed a node.
    pub(crate) fn closed(&self, id: u64) {
        self.nodes().closed(id);
    }

    /// The number of the node with just this name in a directory, if the kernel knows it.
    pub(crate) fn known(&self, parent: u64, name: &[u8]) -> Option<u64> {
        self.nodes().at(parent, name)
    }

    /// [`Tree::open`] for whoever holds the lock.
    fn reach(&self, id: u64) -> Result<Arc<OwnedFd>> {
        // Down from the nearest node that is open. Not by recursion: directories may be deep.
        let mut way_down = Vec::new();
        let mut at = id;
        let mut nodes = self.nodes();
        let mut fd = loop {
            match nodes.way(at) {
                Way::Open(fd) => break fd,
                Way::Below(parent, name) => {
                    way_down.push((at, name));
                    at = parent;
                }
                Way::Gone => return Err(Errno::STALE),
            }
        };
        drop(nodes);
        while let Some((id, name)) = way_down.pop() {
            fd = Arc::new(openat(&fd, &*name, PATH, Mode::empty())?);
            nodes = self.nodes();
            if nodes.is_directory(id) {
                nodes.cache(id, fd.clone());
            }
            drop(nodes);
        }
        Ok(fd)
    }

    /// The name that exists in a directory and is the same as this one.
    fn find(&self, directory: &OwnedFd, parent: u64, name: &[u8]) -> Result<Option<Found>> {
        let stat = |name: &[u8]| match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(Found {
                name: name.into(),
                stat,
            })),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error),
        };
        match self.indexes.peek(parent, name) {
            Answer::Nothing => return Ok(None),
            Answer::Name(name) => return stat(&name),
            Answer::Unknown => {}
        }
        if let Some(found) = stat(name)? {
            return Ok(Some(found));
        }
        match self.spelling(directory, parent, name)? {
            Some(spelling) => stat(&spelling),
            None => Ok(None),
        }
    }

    /// The name of a directory that is the same as this one, from its index.
    fn spelling(&self, directory: &OwnedFd, parent: u64, name: &[u8]) -> Result<Option<Box<[u8]>>> {
        let read = |add: &mut dyn FnMut(&[u8])| listing::names(directory, add);
        self.indexes.find(parent, name, read)
    }

    /// Makes what was found known to the kernel.
    fn enter(&self, parent: u64, asked: &[u8], found: Found) -> Result<Entry> {
        let Found { name, stat } = found;
        let mut seen = self.nodes().see(parent, &name, &stat);
        if let Seen::Perhaps(other) = seen {
            let is = self.reach(other).and_then(fstat);
            let is = is.ok().map(|stat| Key::of(&stat));
            seen = self.nodes().settle(parent, &name, &stat, other, is);
        }
        match seen {
            Seen::Node(id) => Ok(Entry {
                id,
                stat,
                exact: *name == *asked,
            }),
            Seen::Perhaps(_) => Err(Errno::STALE),
        }
    }

    fn nodes(&self) -> MutexGuard<'_, Nodes> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reading(&self) -> RwLockReadGuard<'_, ()> {
        self.names.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn writing(&self) -> RwLockWriteGuard<'_, ()> {
        self.names.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The path by which the file that a descriptor stands for can be opened, or named in calls that take no descriptor of
/// this kind. Following this link leads to the very file, even when that is a symbolic link.
pub(crate) fn through(fd: &OwnedFd) -> PathBuf {
    format!("/proc/self/fd/{}", fd.as_raw_fd()).into()
}
