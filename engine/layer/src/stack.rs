//! The numbers by which the kernel knows the inodes of all layers.
//!
//! Number 1 is the root directory; then come the inodes of the first layer, those of the second, and so on. The numbers
//! are small, because a 32-bit program without large-file support cannot `stat` a file whose number takes more bits.

use crate::layer::{Attributes, Kind, Layer};

/// The number of the root directory (`FUSE_ROOT_ID`).
const ROOT_NUMBER: u64 = 1;

/// All layers, lowest first.
#[derive(Debug)]
pub(crate) struct Stack {
    layers: Vec<Option<Layer>>,
    /// The number of each layer's root.
    firsts: Vec<u64>,
    /// One more than the last number.
    end: u64,
}

/// What a number stands for.
#[derive(Debug)]
pub(crate) enum Node<'a> {
    /// The directory that has all layers in it.
    Root,
    /// The directory of a layer that could not be opened.
    Missing,
    /// An inode of the layer with this index.
    Inode {
        index: u32,
        layer: &'a Layer,
        inode: u32,
    },
}

impl Stack {
    /// Numbers the inodes of these layers.
    pub(crate) fn new(layers: Vec<Option<Layer>>) -> Stack {
        let mut end = ROOT_NUMBER + 1;
        let number = |layer: &Option<Layer>| {
            let first = end;
            end += layer
                .as_ref()
                .map_or(1, |layer| layer.inode_count().max(1).into());
            first
        };
        let firsts = layers.iter().map(number).collect();
        Stack {
            layers,
            firsts,
            end,
        }
    }

    /// The number of layers.
    pub(crate) fn len(&self) -> u32 {
        self.layers.len() as u32
    }

    /// A layer; `None` for one that could not be opened.
    pub(crate) fn layer(&self, index: u32) -> Option<&Layer> {
        self.layers.get(index as usize)?.as_ref()
    }

    /// The number of an inode of layer `index`; 0, which stands for nothing, when the layer has no such inode.
    pub(crate) fn number(&self, index: u32, inode: u32) -> u64 {
        let index = index as usize;
        let end = self.firsts.get(index + 1).unwrap_or(&self.end);
        let number = self.firsts.get(index).map(|first| first + u64::from(inode));
        number.filter(|number| number < end).unwrap_or(0)
    }

    /// The layer and inode of a number.
    fn position(&self, number: u64) -> Option<(u32, u32)> {
        if number >= self.end {
            return None;
        }
        let index = self
            .firsts
            .partition_point(|first| *first <= number)
            .checked_sub(1)?;
        Some((index as u32, (number - self.firsts[index]) as u32))
    }

    /// What a number stands for.
    pub(crate) fn node(&self, number: u64) -> Option<Node<'_>> {
        if number == ROOT_NUMBER {
            return Some(Node::Root);
        }
        let (index, inode) = self.position(number)?;
        Some(match &self.layers[index as usize] {
            Some(layer) => Node::Inode {
                index,
                layer,
                inode,
            },
            None => Node::Missing,
        })
    }

    /// What `stat` says about the directory that has all layers in it.
    pub(crate) fn root_attributes(&self) -> Attributes {
        Attributes {
            kind: Kind::Directory,
            mode: 0o755,
            uid: 0,
            gid: 0,
            size: 0,
            data_size: 0,
            links: 3,
            device: 0,
            atime: 0,
            mtime: 0,
            ctime: 0,
        }
    }

    /// The names of all extended attributes in any layer, some of them more than once.
    pub(crate) fn xattr_names(&self) -> impl Iterator<Item = &[u8]> {
        self.layers.iter().flatten().flat_map(Layer::xattr_names)
    }

    /// Bytes of content of all files.
    pub(crate) fn content_size(&self) -> u64 {
        self.layers
            .iter()
            .flatten()
            .map(Layer::content_size)
            .fold(0, u64::saturating_add)
    }

    /// The number of inodes of all layers.
    pub(crate) fn inode_count(&self) -> u64 {
        self.end - ROOT_NUMBER
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_lead_back_to_where_they_came_from() {
        let stack = Stack::new(vec![None, None, None]);
        for index in 0..3 {
            let number = stack.number(index, 0);
            assert_eq!(stack.position(number), Some((index, 0)));
            assert!(matches!(stack.node(number), Some(Node::Missing)));
            assert_eq!(
                stack.number(index, 1),
                0,
                "a forged inode must not lead into the next layer"
            );
        }
        assert!(matches!(stack.node(1), Some(Node::Root)));
        assert!(stack.node(0).is_none());
        assert!(stack.node(5).is_none());
    }
}
