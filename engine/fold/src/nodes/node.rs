//! One node, and what is asked about one.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::{FileType, Stat};

/// A file as the filesystem below numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(super) device: u64,
    pub(super) number: u64,
}

impl Key {
    pub(crate) fn of(stat: &Stat) -> Key {
        #[allow(
            clippy::unnecessary_cast,
            reason = "the types differ between architectures"
        )]
        Key {
            device: stat.st_dev as u64,
            number: stat.st_ino as u64,
        }
    }
}

/// How to reach a node.
pub(crate) enum Way {
    /// By a descriptor.
    Open(Arc<OwnedFd>),
    /// By the name in another node.
    Below(u64, Box<[u8]>),
    /// It was removed, and no descriptor could be kept.
    Gone,
}

/// What a name that was looked up is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// This node; it counts one lookup more.
    Node(u64),
    /// Perhaps another name of this node: see whether it still has this key, then say so to [`super::Nodes::settle`].
    Perhaps(u64),
}

pub(super) struct Node {
    /// Directory and name; none for the root and for what was removed.
    pub(super) place: Option<(u64, Box<[u8]>)>,
    pub(super) key: Key,
    pub(super) kind: FileType,
    /// How often the kernel was told of it, less what it has forgotten.
    pub(super) lookups: u64,
    /// How often programs have it open.
    pub(super) opened: u64,
    pub(super) open: Option<Arc<OwnedFd>>,
    pub(super) children: HashMap<Box<[u8]>, u64>,
}

impl Node {
    /// Whether a removed file holds a descriptor though nobody has it open.
    pub(super) fn is_spare(&self) -> bool {
        let file = self.kind != FileType::Directory;
        file && self.place.is_none() && self.open.is_some() && self.opened == 0
    }
}
