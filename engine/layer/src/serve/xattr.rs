//! Answers about extended attributes.

use std::borrow::Cow;

use fuser::{Errno, INodeNo, ReplyXattr};

use super::IdMap;
use crate::acl;
use crate::stack::{Node, Stack};

/// What marks a directory that hides what lower layers have in it: for an overlay that an ordinary user mounts
/// (`userxattr`), and for one that root does (`Documentation/filesystems/overlayfs.rst` of the kernel).
const OPAQUE: &[u8] = b"user.overlay.opaque";
const OPAQUE_OF_ROOT: &[u8] = b"trusted.overlay.opaque";

/// What there is to say about the attributes of all layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Present {
    /// Whether there is any; else the kernel is told not to ask.
    any: bool,
    /// Whether there are access control lists. Where the kernel is to heed them, it asks for them.
    pub(super) lists: bool,
}

impl Present {
    pub(super) fn in_layers(stack: &Stack) -> Present {
        Present {
            any: stack.xattr_names().next().is_some(),
            lists: stack
                .xattr_names()
                .any(|name| name.starts_with(acl::PREFIX)),
        }
    }

    /// The value of an attribute. `ENOSYS` makes the kernel never ask again.
    pub(super) fn get(
        self,
        stack: &Stack,
        ids: IdMap,
        number: INodeNo,
        name: &[u8],
    ) -> Result<Vec<u8>, Errno> {
        if !self.any {
            return Err(Errno::ENOSYS);
        }
        let find = |name: &[u8]| {
            all(stack, ids, number)
                .find(|(found, _)| *found == name)
                .map(|(_, value)| value.into_owned())
        };
        // A layer may come from an overlay that root mounted; nothing else of what such a one notes is kept in layers.
        let other = || (name == OPAQUE).then(|| find(OPAQUE_OF_ROOT)).flatten();
        find(name).or_else(other).ok_or(Errno::NO_XATTR)
    }

    /// The names of an inode's attributes, each ended by a zero byte.
    pub(super) fn list(self, stack: &Stack, ids: IdMap, number: INodeNo) -> Result<Vec<u8>, Errno> {
        if !self.any {
            return Err(Errno::ENOSYS);
        }
        let mut names = Vec::new();
        for (name, _) in all(stack, ids, number) {
            names.extend_from_slice(name);
            names.push(0);
        }
        Ok(names)
    }
}

/// The attributes of an inode, as the namespace that mounts can express them.
fn all(stack: &Stack, ids: IdMap, number: INodeNo) -> impl Iterator<Item = (&[u8], Cow<'_, [u8]>)> {
    let found = match stack.node(number.0) {
        Some(Node::Inode { layer, inode, .. }) => Some(layer.xattrs(inode)),
        _ => None,
    };
    found.into_iter().flatten().map(move |(name, value)| {
        let value = match (ids, name.starts_with(acl::PREFIX)) {
            // The kernel refuses a list with an id that it cannot express. Nobody in there has that id.
            (IdMap::Below(_), true) => {
                let known = |id| ids.has(id).then_some(id);
                Cow::Owned(acl::mapped(value, known, known))
            }
            _ => Cow::Borrowed(value),
        };
        (name, value)
    })
}

/// Answers with these bytes, or with their number when the kernel has asked for no bytes (getxattr(2)).
pub(super) fn answer(bytes: Result<Vec<u8>, Errno>, size: u32, reply: ReplyXattr) {
    match bytes {
        Err(error) => reply.error(error),
        Ok(bytes) if size == 0 => reply.size(bytes.len() as u32),
        Ok(bytes) if bytes.len() > size as usize => reply.error(Errno::ERANGE),
        Ok(bytes) => reply.data(&bytes),
    }
}
