//! Answers about extended attributes.

use std::borrow::Cow;

use fuser::{Errno, INodeNo, ReplyXattr};

use super::IdMap;
use crate::acl;
use crate::merge::{Merged, OPAQUE};
use crate::stack::{Node, Stack};

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
        merged: &Merged,
        ids: IdMap,
        number: INodeNo,
        name: &[u8],
    ) -> Result<Vec<u8>, Errno> {
        if !self.any {
            return Err(Errno::ENOSYS);
        }
        // A layer may come from an overlay that root mounted, which has another name for the mark; and it may be a directory of
        // a lower layer that has it.
        if name == OPAQUE && merged.is_opaque(number.0) {
            return Ok(b"y".to_vec());
        }
        all(merged.stack(), ids, number)
            .find(|(found, _)| *found == name)
            .map(|(_, value)| value.into_owned())
            .ok_or(Errno::NO_XATTR)
    }

    /// The names of an inode's attributes, each ended by a zero byte.
    pub(super) fn list(
        self,
        merged: &Merged,
        ids: IdMap,
        number: INodeNo,
    ) -> Result<Vec<u8>, Errno> {
        if !self.any {
            return Err(Errno::ENOSYS);
        }
        let mut names = Vec::new();
        for (name, _) in all(merged.stack(), ids, number) {
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
            (IdMap::Below(_) | IdMap::One(..), true) => {
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
