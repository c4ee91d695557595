//! What the kernel knows of: a number for each file that it has looked up and not forgotten.
//!
//! A node is found again by where it is, its directory and its name, and not by a descriptor, of which there would be
//! one for every file that the kernel remembers. That is enough because all changes pass through here. What was removed
//! is nowhere any more: its node holds a descriptor from then on if somebody has the file open, but no longer than that,
//! because the kernel may remember it without need by a name in another case, and its space would stay taken.
//!
//! Inode numbers tell only whether two names are one file (a hard link); of an overlay's file they may change, when it
//! is copied up, while it stays the same node.

mod node;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::{FileType, Stat};

use node::Node;
pub(crate) use node::{Key, Seen, Way};

/// The number that FUSE gives to the root.
pub(crate) const ROOT: u64 = 1;

/// Numbers from here on are given out in turn, to files whose own number is taken.
const IN_TURN: u64 = 1 << 62;

/// All nodes.
pub(crate) struct Nodes {
    nodes: HashMap<u64, Node>,
    by_key: HashMap<Key, u64>,
    devices: Vec<u64>,
    next: u64,
    /// Directories with a descriptor that only saves time, oldest first.
    cached: VecDeque<u64>,
    limit: usize,
    /// How many removed files that nobody has open hold a descriptor, for the sake of their other names.
    spare: usize,
}

impl Nodes {
    /// The root alone. At most `limit` descriptors of directories are kept.
    pub(crate) fn new(root: Arc<OwnedFd>, stat: &Stat, limit: usize) -> Nodes {
        let key = Key::of(stat);
        let node = Node {
            place: None,
            key,
            kind: FileType::Directory,
            lookups: 1,
            opened: 0,
            open: Some(root),
            children: HashMap::new(),
        };
        Nodes {
            nodes: HashMap::from([(ROOT, node)]),
            by_key: HashMap::new(),
            devices: vec![key.device],
            next: IN_TURN,
            cached: VecDeque::new(),
            limit,
            spare: 0,
        }
    }

    /// How to reach a node.
    pub(crate) fn way(&self, id: u64) -> Way {
        match self.nodes.get(&id) {
            Some(Node { open: Some(fd), .. }) => Way::Open(fd.clone()),
            Some(Node {
                place: Some((parent, name)),
                ..
            }) => Way::Below(*parent, name.clone()),
            _ => Way::Gone,
        }
    }

    /// Whether a node is a directory.
    pub(crate) fn is_directory(&self, id: u64) -> bool {
        self.nodes
            .get(&id)
            .is_some_and(|node| node.kind == FileType::Directory)
    }

    /// Keeps the descriptor of a directory, perhaps in place of another one's.
    pub(crate) fn cache(&mut self, id: u64, fd: Arc<OwnedFd>) {
        match self.nodes.get_mut(&id) {
            Some(node) if node.place.is_some() && node.open.is_none() => node.open = Some(fd),
            _ => return,
        }
        self.cached.push_back(id);
        while self.cached.len() > self.limit {
            let oldest = self.cached.pop_front();
            if let Some(node) = oldest.and_then(|id| self.nodes.get_mut(&id))
                && node.place.is_some()
            {
                node.open = None;
            }
        }
    }

    /// The node at a place, if the kernel knows of it.
    pub(crate) fn at(&self, parent: u64, name: &[u8]) -> Option<u64> {
        self.nodes.get(&parent)?.children.get(name).copied()
    }

    /// What was found at a place. A name that leads elsewhere than it did is a new node.
    pub(crate) fn see(&mut self, parent: u64, name: &[u8], stat: &Stat) -> Seen {
        let key = Key::of(stat);
        let kind = FileType::from_raw_mode(stat.st_mode);
        if let Some(id) = self.at(parent, name) {
            if self.nodes.get(&id).is_some_and(|node| node.kind == kind) {
                self.rekey(id, key);
                return self.count(id);
            }
            self.remove(parent, name, None);
        }
        match self.by_key.get(&key) {
            Some(&id) if kind != FileType::Directory => Seen::Perhaps(id),
            _ => self.add(parent, name, key, kind),
        }
    }

    /// Ends a [`Seen::Perhaps`]: `is` is the key that the other node has now. It is the node at this place too when it is
    /// the same one; otherwise there is a new one.
    pub(crate) fn settle(
        &mut self,
        parent: u64,
        name: &[u8],
        stat: &Stat,
        other: u64,
        is: Option<Key>,
    ) -> Seen {
        let key = Key::of(stat);
        if is == Some(key)
            && let Some(node) = self.nodes.get_mut(&other)
        {
            if node.place.is_none() {
                // It is somewhere again.
                if node.is_spare() {
                    self.spare -= 1;
                }
                node.place = Some((parent, name.into()));
                node.open = None;
                if let Some(parent) = self.nodes.get_mut(&parent) {
                    parent.children.insert(name.into(), other);
                }
            }
            return self.count(other);
        }
        match is {
            Some(is) => self.rekey(other, is),
            None => self.unkey(other, key),
        }
        match self.at(parent, name) {
            // Another thread was faster.
            Some(id) => self.count(id),
            None => self.add(parent, name, key, FileType::from_raw_mode(stat.st_mode)),
        }
    }

    fn add(&mut self, parent: u64, name: &[u8], key: Key, kind: FileType) -> Seen {
        let id = self.free_number(key);
        let Some(directory) = self.nodes.get_mut(&parent) else {
            // The kernel asks only about what it knows of.
            return Seen::Node(ROOT);
        };
        directory.children.insert(name.into(), id);
        let node = Node {
            place: Some((parent, name.into())),
            key,
            kind,
            lookups: 0,
            opened: 0,
            open: None,
            children: HashMap::new(),
        };
        self.nodes.insert(id, node);
        if kind != FileType::Directory {
            self.by_key.insert(key, id);
        }
        self.count(id)
    }

    fn count(&mut self, id: u64) -> Seen {
        if let Some(node) = self.nodes.get_mut(&id) {
            node.lookups += 1;
        }
        Seen::Node(id)
    }

    /// The number below, made different for each device, so that it is the same the next time.
    fn free_number(&mut self, key: Key) -> u64 {
        let known = self.devices.iter().position(|device| *device == key.device);
        let device = known.unwrap_or_else(|| {
            self.devices.push(key.device);
            self.devices.len() - 1
        }) as u64;
        let number = match device {
            0 => Some(key.number),
            1..0x2000 if key.number < 1 << 48 => Some(device << 48 | key.number),
            _ => None,
        };
        let usable = |id: &u64| *id > ROOT && *id < IN_TURN && !self.nodes.contains_key(id);
        number.filter(usable).unwrap_or_else(|| {
            self.next += 1;
            self.next
        })
    }

    fn rekey(&mut self, id: u64, key: Key) {
        let Some(node) = self.nodes.get_mut(&id) else {
            return;
        };
        let before = std::mem::replace(&mut node.key, key);
        if before != key && node.kind != FileType::Directory {
            self.unkey(id, before);
            self.by_key.insert(key, id);
        }
    }

    fn unkey(&mut self, id: u64, key: Key) {
        if self.by_key.get(&key) == Some(&id) {
            self.by_key.remove(&key);
        }
    }

    /// Whether what a name leads to must stay reachable when the name is gone: the working directory of somebody, a file
    /// that is open, one with other names as long as there are few.
    pub(crate) fn is_needed(&self, parent: u64, name: &[u8], stat: &Stat) -> bool {
        let node = self.at(parent, name).and_then(|id| self.nodes.get(&id));
        node.is_some_and(|node| {
            node.kind == FileType::Directory
                || node.opened > 0
                || (stat.st_nlink > 1 && self.spare < self.limit)
        })
    }

    /// A name was removed, or something else takes its place; `fd` keeps what it led to reachable.
    pub(crate) fn remove(&mut self, parent: u64, name: &[u8], fd: Option<Arc<OwnedFd>>) {
        let Some(directory) = self.nodes.get_mut(&parent) else {
            return;
        };
        let Some(id) = directory.children.remove(name) else {
            return;
        };
        let Some(node) = self.nodes.get_mut(&id) else {
            return;
        };
        node.place = None;
        node.open = fd;
        let key = node.key;
        if node.is_spare() {
            self.spare += 1;
        }
        if node.open.is_none() {
            self.unkey(id, key);
        }
    }

    /// A program opened a node; `fd` gives a descriptor of it, if it was removed meanwhile.
    pub(crate) fn opened(&mut self, id: u64, fd: impl FnOnce() -> Option<Arc<OwnedFd>>) {
        let Some(node) = self.nodes.get_mut(&id) else {
            return;
        };
        if node.is_spare() {
            self.spare -= 1;
        }
        node.opened += 1;
        if node.place.is_none() && node.open.is_none() {
            node.open = fd();
        }
    }

    /// A program closed a node.
    pub(crate) fn closed(&mut self, id: u64) {
        if let Some(node) = self.nodes.get_mut(&id) {
            node.opened = node.opened.saturating_sub(1);
            let key = node.key;
            if node.is_spare() {
                node.open = None;
                self.unkey(id, key);
            }
        }
    }

    /// What was at one place is at another.
    pub(crate) fn rename(&mut self, from: (u64, &[u8]), to: (u64, &[u8])) {
        let moving = self
            .nodes
            .get_mut(&from.0)
            .and_then(|directory| directory.children.remove(from.1));
        if let Some(id) = moving {
            self.place(id, to);
            self.drop_unused(from.0, &mut Vec::new());
        }
    }

    /// What is at two places changes them.
    pub(crate) fn exchange(&mut self, one: (u64, &[u8]), other: (u64, &[u8])) {
        let mut take = |place: (u64, &[u8])| {
            let directory = self.nodes.get_mut(&place.0)?;
            directory.children.remove(place.1)
        };
        let (first, second) = (take(one), take(other));
        for (id, to) in [(first, other), (second, one)] {
            if let Some(id) = id {
                self.place(id, to);
            }
        }
    }

    fn place(&mut self, id: u64, to: (u64, &[u8])) {
        if let Some(directory) = self.nodes.get_mut(&to.0) {
            directory.children.insert(to.1.into(), id);
        }
        if let Some(node) = self.nodes.get_mut(&id) {
            node.place = Some((to.0, to.1.into()));
        }
    }

    /// The kernel forgets a node `lookups` times. Answers the numbers that are free now.
    pub(crate) fn forget(&mut self, id: u64, lookups: u64) -> Vec<u64> {
        let mut freed = Vec::new();
        if let Some(node) = self.nodes.get_mut(&id) {
            node.lookups = node.lookups.saturating_sub(lookups);
        }
        self.drop_unused(id, &mut freed);
        freed
    }

    /// Drops a node that the kernel does not know and nothing known is below of, then the same for its directory.
    fn drop_unused(&mut self, id: u64, freed: &mut Vec<u64>) {
        let mut next = Some(id);
        while let Some(id) = next.take().filter(|id| *id != ROOT) {
            let unused = |node: &Node| node.lookups == 0 && node.children.is_empty();
            if !self.nodes.get(&id).is_some_and(unused) {
                return;
            }
            let Some(node) = self.nodes.remove(&id) else {
                return;
            };
            freed.push(id);
            if node.is_spare() {
                self.spare -= 1;
            }
            self.unkey(id, node.key);
            if let Some((parent, name)) = node.place
                && let Some(directory) = self.nodes.get_mut(&parent)
            {
                directory.children.remove(&name);
                next = Some(parent);
            }
        }
    }
}
