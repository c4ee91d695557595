//! A root filesystem in memory, as it will be in a layer.
//!
//! An ordinary user can neither give files away nor make devices, and an archive may name whatever it likes. So nothing is
//! unpacked: the names of an archive only ever lead through this tree, in which `..` of the root is the root and absolute
//! links start at it, and the layer is packed from what it describes.

mod add;
mod mime;
mod spool;
mod unpack;

use std::collections::BTreeMap;

use flatimage_layer::{Node, NodeKind};

pub(crate) use add::add;
pub(crate) use mime::check as check_types;
pub(crate) use spool::Spool;
pub(crate) use unpack::{node, unpack};

/// As many links are followed as the kernel follows (path_resolution(7)).
const MOST_LINKS: u32 = 40;

/// A tree; its root is a directory.
#[derive(Debug)]
pub(crate) struct Tree {
    nodes: Vec<Node>,
}

/// Where the root is.
const ROOT: usize = 0;

/// Why a name leads nowhere.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TreeError {
    #[error("`{0}` leads out of the root filesystem")]
    Out(String),
    #[error("`{0}` is below something that is no directory")]
    NotADirectory(String),
    #[error("`{0}` leads through more than {MOST_LINKS} links")]
    Links(String),
    #[error("`{0}` links to `{1}`, which is not there")]
    Missing(String, String),
    #[error("`{0}` links to a directory")]
    Directory(String),
}

/// Where a name is, or can be put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    Root,
    /// In a directory, under this name.
    In(usize, Vec<u8>),
}

impl Tree {
    /// An empty root.
    pub(crate) fn new() -> Tree {
        Tree {
            nodes: vec![directory()],
        }
    }

    /// What a layer is packed from.
    pub(crate) fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// What is at a place.
    pub(crate) fn at(&self, place: &Place) -> Option<usize> {
        match place {
            Place::Root => Some(ROOT),
            Place::In(directory, name) => self.entries(*directory)?.get(name).copied(),
        }
    }

    /// The entries of a directory.
    pub(crate) fn entries(&self, index: usize) -> Option<&BTreeMap<Vec<u8>, usize>> {
        match &self.nodes[index].kind {
            NodeKind::Directory(entries) => Some(entries),
            _ => None,
        }
    }

    /// Where `name` is. Directories above it that are missing are made; a link in its last part is not followed.
    pub(crate) fn place(&mut self, name: &[u8]) -> Result<Place, TreeError> {
        Ok(self.resolve(name)?.1)
    }

    /// Where `name` is, and the names of the directories that lead there from the root, without links.
    pub(crate) fn resolve(&mut self, name: &[u8]) -> Result<(Vec<Vec<u8>>, Place), TreeError> {
        let parts = parts(name)?;
        let Some((last, above)) = parts.split_last() else {
            return Ok((Vec::new(), Place::Root));
        };
        let passed = self.walk(above, name)?;
        let directory = passed.last().map_or(ROOT, |(_, index)| *index);
        let names = passed.into_iter().map(|(name, _)| name).collect();
        Ok((names, Place::In(directory, last.to_vec())))
    }

    /// The directories that `above` leads through, without links.
    fn walk(&mut self, above: &[&[u8]], name: &[u8]) -> Result<Vec<(Vec<u8>, usize)>, TreeError> {
        let mut pending: Vec<Vec<u8>> = above.iter().rev().map(|part| part.to_vec()).collect();
        let mut passed: Vec<(Vec<u8>, usize)> = Vec::new();
        let mut links = 0;
        while let Some(part) = pending.pop() {
            if part.is_empty() || part == b"." {
                continue;
            }
            if part == b".." {
                // Only the target of a link has it.
                passed.pop();
                continue;
            }
            let here = passed.last().map_or(ROOT, |(_, index)| *index);
            let place = Place::In(here, part.clone());
            let next = match self.at(&place) {
                Some(next) => next,
                None => self.put(&place, directory()),
            };
            match &self.nodes[next].kind {
                NodeKind::Directory(_) => passed.push((part, next)),
                NodeKind::Symlink(target) => {
                    links += 1;
                    if links > MOST_LINKS {
                        return Err(TreeError::Links(told(name)));
                    }
                    if target.starts_with(b"/") {
                        passed.clear();
                    }
                    pending.extend(target.split(|byte| *byte == b'/').rev().map(<[u8]>::to_vec));
                }
                _ => return Err(TreeError::NotADirectory(told(name))),
            }
        }
        Ok(passed)
    }

    /// What `name` leads to, through links also in its last part.
    pub(crate) fn find(&mut self, name: &[u8]) -> Option<&Node> {
        let mut name = name.to_vec();
        for _ in 0..MOST_LINKS {
            let (above, place) = self.resolve(&name).ok()?;
            let found = self.at(&place)?;
            let NodeKind::Symlink(target) = &self.nodes[found].kind else {
                return Some(&self.nodes[found]);
            };
            let mut parts = if target.starts_with(b"/") {
                vec![]
            } else {
                above
            };
            for part in target.split(|byte| *byte == b'/') {
                match part {
                    b".." => drop(parts.pop()),
                    part => parts.push(part.to_vec()),
                }
            }
            name = parts.join(&b'/');
        }
        None
    }

    /// Removes what is at a place. The root stays.
    pub(crate) fn remove(&mut self, place: &Place) {
        if let Place::In(directory, name) = place
            && let NodeKind::Directory(entries) = &mut self.nodes[*directory].kind
        {
            entries.remove(name);
        }
    }

    /// Removes everything in a directory.
    pub(crate) fn clear(&mut self, index: usize) {
        if let NodeKind::Directory(entries) = &mut self.nodes[index].kind {
            entries.clear();
        }
    }

    /// Puts something at a place, instead of what is there. A directory keeps the entries of one that is there.
    pub(crate) fn put(&mut self, place: &Place, node: Node) -> usize {
        if let (Some(there), NodeKind::Directory(new)) = (self.at(place), &node.kind)
            && let NodeKind::Directory(entries) = &mut self.nodes[there].kind
        {
            let mut entries = std::mem::take(entries);
            entries.extend(new.clone());
            self.nodes[there] = Node {
                kind: NodeKind::Directory(entries),
                ..node
            };
            return there;
        }
        let index = self.nodes.len();
        self.nodes.push(node);
        self.set(place, index);
        index
    }

    /// Gives what `target` names another name. Never a directory.
    pub(crate) fn link(&mut self, place: &Place, index: usize) {
        self.set(place, index);
    }

    fn set(&mut self, place: &Place, index: usize) {
        if let Place::In(directory, name) = place
            && let NodeKind::Directory(entries) = &mut self.nodes[*directory].kind
        {
            entries.insert(name.clone(), index);
        }
    }

    /// What the hard link `name` leads to.
    pub(crate) fn target(&mut self, name: &[u8], target: &[u8]) -> Result<usize, TreeError> {
        let missing = || TreeError::Missing(told(name), told(target));
        let place = self.place(target)?;
        let found = self.at(&place).ok_or_else(missing)?;
        match self.entries(found) {
            Some(_) => Err(TreeError::Directory(told(name))),
            None => Ok(found),
        }
    }
}

/// A directory that nobody described.
pub(crate) fn directory() -> Node {
    Node {
        mode: 0o755,
        uid: 0,
        gid: 0,
        mtime: 0,
        xattrs: Vec::new(),
        kind: NodeKind::Directory(BTreeMap::new()),
    }
}

/// The parts of a name that mean something. Absolute names start at the root like all others.
fn parts(name: &[u8]) -> Result<Vec<&[u8]>, TreeError> {
    let parts = name.split(|byte| *byte == b'/');
    let parts: Vec<_> = parts
        .filter(|part| !part.is_empty() && *part != b".")
        .collect();
    match parts.contains(&&b".."[..]) || name.contains(&0) {
        true => Err(TreeError::Out(told(name))),
        false => Ok(parts),
    }
}

pub(crate) fn told(name: &[u8]) -> String {
    name.escape_ascii().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(target: &str) -> Node {
        Node {
            kind: NodeKind::Symlink(target.into()),
            ..directory()
        }
    }

    fn fifo() -> Node {
        Node {
            kind: NodeKind::Fifo,
            ..directory()
        }
    }

    fn put(tree: &mut Tree, name: &str, node: Node) -> usize {
        let place = tree.place(name.as_bytes()).unwrap();
        tree.put(&place, node)
    }

    fn find(tree: &mut Tree, name: &str) -> Option<usize> {
        let place = tree.place(name.as_bytes()).unwrap();
        tree.at(&place)
    }

    #[test]
    fn names_lead_through_links_and_never_out() {
        let mut tree = Tree::new();
        put(&mut tree, "usr/lib", directory());
        put(&mut tree, "lib", link("usr/lib"));
        put(&mut tree, "up", link("../../../usr"));
        put(&mut tree, "usr/abs", link("/usr/lib"));
        let file = put(&mut tree, "lib/file", fifo());
        for name in [
            "/usr/lib/file",
            "./lib//file",
            "up/lib/file",
            "usr/abs/file",
            "up/abs/./file",
        ] {
            assert_eq!(find(&mut tree, name), Some(file), "{name}");
        }
        for name in ["../x", "usr/../../x", "/..", "a/..", "x\0y"] {
            let error = tree.place(name.as_bytes()).unwrap_err();
            assert!(matches!(error, TreeError::Out(_)), "{name}: {error}");
        }
    }

    #[test]
    fn a_link_in_the_last_part_is_what_is_meant() {
        let mut tree = Tree::new();
        let there = put(&mut tree, "there", fifo());
        put(&mut tree, "name", link("there"));
        let new = put(&mut tree, "name", fifo());
        assert_eq!(find(&mut tree, "name"), Some(new));
        assert_eq!(find(&mut tree, "there"), Some(there));
    }

    #[test]
    fn a_directory_that_comes_again_keeps_its_entries() {
        let mut tree = Tree::new();
        let file = put(&mut tree, "a/b", fifo());
        let closed = Node {
            mode: 0o700,
            ..directory()
        };
        let index = put(&mut tree, "a", closed);
        assert_eq!(tree.nodes()[index].mode, 0o700);
        assert_eq!(find(&mut tree, "a/b"), Some(file));
        put(&mut tree, "a", fifo());
        let error = tree.place(b"a/b").unwrap_err().to_string();
        assert_eq!(error, "`a/b` is below something that is no directory");
    }

    #[test]
    fn links_in_a_circle_are_refused() {
        let mut tree = Tree::new();
        put(&mut tree, "a", link("b"));
        put(&mut tree, "b", link("a"));
        assert_eq!(
            tree.place(b"a/c").unwrap_err(),
            TreeError::Links("a/c".to_owned())
        );
    }

    #[test]
    fn hard_links_lead_to_what_is_there() {
        let mut tree = Tree::new();
        let file = put(&mut tree, "a/b", fifo());
        assert_eq!(tree.target(b"c", b"./a/b"), Ok(file));
        assert!(tree.target(b"c", b"a").is_err());
        assert!(tree.target(b"c", b"a/x").is_err());
        assert!(tree.target(b"c", b"../a/b").is_err());
        assert!(tree.target(b"c", b"/").is_err());
    }
}
