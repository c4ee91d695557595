//! All layers as one directory, as an overlay would stack them.
//!
//! The kernel's overlay asks every layer for a name until one has it, and so a name that none has costs a question for each.
//! Here the layers are searched in memory, and the kernel has one directory to stack: a directory that several layers have is
//! shown with the entries of all, anything else as the highest layer has it.
//!
//! What hides lower layers is the overlay's (`Documentation/filesystems/overlayfs.rst` of the kernel): a file that is no
//! directory, a whiteout, and a directory that is marked as opaque. They are found as they are, because they also hide what
//! is stacked below the layers. Whiteouts are not listed: where nothing else is stacked on a directory the overlay lists it
//! as it is (`ovl_iterate` in fs/overlayfs/readdir.c).

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use crate::layer::{Kind, Layer, ROOT};
use crate::stack::{Node, Stack};

/// What marks a directory that hides what lower layers have in it: for an overlay that an ordinary user mounts
/// (`userxattr`), and for one that root does.
pub(crate) const OPAQUE: &[u8] = b"user.overlay.opaque";
pub(crate) const OPAQUE_OF_ROOT: &[u8] = b"trusted.overlay.opaque";

/// The name of the directory that has all layers in it.
const NAME: &[u8] = b"0";

/// A directory of several layers.
#[derive(Debug)]
struct Shared {
    /// The layer and the inode in it, the highest first.
    members: Vec<(u32, u32)>,
    /// For each entry its member and its number there, sorted by name. Made when it is listed.
    entries: OnceLock<Vec<(u32, u32)>>,
}

/// An entry of a directory.
pub(crate) struct Listed<'a> {
    /// Its place, from 0.
    pub(crate) place: u32,
    /// Its name.
    pub(crate) name: std::borrow::Cow<'a, [u8]>,
    /// The number of what it leads to.
    pub(crate) number: u64,
}

/// All layers, merged.
#[derive(Debug)]
pub(crate) struct Merged {
    stack: Stack,
    /// The directories of several layers that the kernel may know, by their number, which is that of the highest member.
    shared: RwLock<HashMap<u64, Arc<Shared>>>,
    /// The number of the root of all layers; `None` when there is no layer.
    root: Option<u64>,
}

impl Merged {
    /// Merges these layers.
    pub(crate) fn new(stack: Stack) -> Merged {
        let mut merged = Merged {
            stack,
            shared: RwLock::default(),
            root: None,
        };
        let roots = (0..merged.stack.len()).rev().map(|index| (index, ROOT));
        // Without any layer that can be opened it is an empty one.
        let missing = (merged.stack.len() > 0).then(|| merged.stack.number(0, ROOT));
        merged.root = merged.join(roots).or(missing);
        merged
    }

    /// The layers.
    pub(crate) fn stack(&self) -> &Stack {
        &self.stack
    }

    /// The number of what `name` leads to in a directory.
    pub(crate) fn find(&self, directory: u64, name: &[u8]) -> Option<u64> {
        match self.stack.node(directory)? {
            Node::Root => self.root.filter(|_| name == NAME),
            Node::Missing => None,
            Node::Inode {
                index,
                layer,
                inode,
            } => match self.shared(directory) {
                Some(shared) => self.child(&shared, name),
                None => Some(self.stack.number(index, layer.lookup(inode, name)?)),
            },
        }
    }

    /// Whether the layers say that what is at a path from their root was deleted. A link on the way leads nowhere.
    pub(crate) fn is_deleted(&self, path: &[u8]) -> bool {
        let mut names = path
            .split(|byte| *byte == b'/')
            .filter(|name| !name.is_empty());
        let found = self
            .root
            .and_then(|root| names.try_fold(root, |directory, name| self.find(directory, name)));
        match found.and_then(|number| self.stack.node(number)) {
            Some(Node::Inode { layer, inode, .. }) => is_whiteout(layer, inode),
            _ => false,
        }
    }

    /// Calls `add` for each entry of a directory from place `first` on, until it says that there is no more room.
    pub(crate) fn list(
        &self,
        directory: u64,
        first: u32,
        mut add: impl FnMut(Listed<'_>) -> bool,
    ) -> Option<()> {
        match self.stack.node(directory)? {
            Node::Missing => {}
            Node::Root => {
                if let Some(number) = self.root.filter(|_| first == 0) {
                    add(Listed {
                        place: 0,
                        name: NAME.into(),
                        number,
                    });
                }
            }
            Node::Inode {
                index,
                layer,
                inode,
            } => match self.shared(directory) {
                Some(shared) => self.list_shared(&shared, first, add),
                None => {
                    for (place, entry) in layer.entries(inode, first) {
                        if is_whiteout(layer, entry.inode) {
                            continue;
                        }
                        let number = self.stack.number(index, entry.inode);
                        let name = entry.name;
                        if add(Listed {
                            place,
                            name,
                            number,
                        }) {
                            break;
                        }
                    }
                }
            },
        }
        Some(())
    }

    fn list_shared(&self, shared: &Shared, first: u32, mut add: impl FnMut(Listed<'_>) -> bool) {
        let entries = shared.entries.get_or_init(|| self.entries(shared));
        for (place, (member, number)) in entries.iter().enumerate().skip(first as usize) {
            let (index, inode) = shared.members[*member as usize];
            let layer = self.stack.layer(index);
            let entry = layer.and_then(|layer| layer.entries(inode, *number).next());
            // What it leads to may have to be known as shared, if the kernel is told of it.
            let found = entry.and_then(|(_, entry)| {
                let number = self.child(shared, &entry.name)?;
                Some((entry.name, number))
            });
            let Some((name, number)) = found else {
                continue;
            };
            let place = place as u32;
            if add(Listed {
                place,
                name,
                number,
            }) {
                break;
            }
        }
    }

    /// The entries of all members, of each name the highest.
    fn entries(&self, shared: &Shared) -> Vec<(u32, u32)> {
        let mut by_name = BTreeMap::new();
        for (member, (index, inode)) in shared.members.iter().enumerate() {
            let Some(layer) = self.stack.layer(*index) else {
                continue;
            };
            for (number, entry) in layer.entries(*inode, 0) {
                let place = (!is_whiteout(layer, entry.inode)).then_some((member as u32, number));
                by_name.entry(entry.name.into_owned()).or_insert(place);
            }
        }
        by_name.into_values().flatten().collect()
    }

    fn shared(&self, directory: u64) -> Option<Arc<Shared>> {
        let shared = self.shared.read().unwrap_or_else(PoisonError::into_inner);
        shared.get(&directory).cloned()
    }

    fn child(&self, shared: &Shared, name: &[u8]) -> Option<u64> {
        self.join(shared.members.iter().filter_map(|(index, directory)| {
            let layer = self.stack.layer(*index)?;
            Some((*index, layer.lookup(*directory, name)?))
        }))
    }

    /// The number of what is seen of these inodes at one path, the highest first.
    fn join(&self, found: impl Iterator<Item = (u32, u32)>) -> Option<u64> {
        let mut members = Vec::new();
        for (index, inode) in found {
            let Some(layer) = self.stack.layer(index) else {
                continue;
            };
            let is_directory = is_directory(layer, inode);
            if members.is_empty() || is_directory {
                members.push((index, inode));
            }
            if !is_directory || is_opaque(layer, inode) {
                break;
            }
        }
        let (index, inode) = *members.first()?;
        let number = self.stack.number(index, inode);
        if members.len() > 1 {
            self.know(number, members);
        }
        Some(number)
    }

    fn know(&self, number: u64, members: Vec<(u32, u32)>) {
        if self.shared(number).is_some() {
            return;
        }
        let entries = OnceLock::new();
        let shared = Arc::new(Shared { members, entries });
        let mut known = self.shared.write().unwrap_or_else(PoisonError::into_inner);
        known.entry(number).or_insert(shared);
    }

    /// Whether a directory hides what is stacked below the layers: one of its members does, the lowest.
    pub(crate) fn is_opaque(&self, directory: u64) -> bool {
        let lowest = match self.shared(directory) {
            Some(shared) => shared.members.last().copied(),
            None => match self.stack.node(directory) {
                Some(Node::Inode { index, inode, .. }) => Some((index, inode)),
                _ => None,
            },
        };
        lowest.is_some_and(|(index, inode)| {
            let layer = self.stack.layer(index);
            layer.is_some_and(|layer| is_opaque(layer, inode))
        })
    }
}

fn is_directory(layer: &Layer, inode: u32) -> bool {
    let attributes = layer.attributes(inode);
    attributes.is_some_and(|attributes| attributes.kind == Kind::Directory)
}

fn is_whiteout(layer: &Layer, inode: u32) -> bool {
    let attributes = layer.attributes(inode);
    attributes.is_some_and(|found| found.kind == Kind::CharDevice && found.device == 0)
}

fn is_opaque(layer: &Layer, inode: u32) -> bool {
    layer
        .xattrs(inode)
        .any(|(name, value)| (name == OPAQUE || name == OPAQUE_OF_ROOT) && value == b"y")
}
