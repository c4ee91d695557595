//! One layer of an image: what it adds to those below it, and what it hides.
//!
//! In an archive a name `.wh.<name>` hides `<name>` of the layers below, and `.wh..wh..opq` everything that they have in its
//! directory (layer.md of the OCI image specification). In the layers here it is what overlayfs knows: a character device of
//! number 0, and an attribute of the directory.

use std::collections::HashMap;
use std::io::{self, Read};

use flatimage_layer::{Node, NodeKind};

use crate::archive::{Archive, Kind};
use crate::tree::{self, Place, Spool, Tree, TreeError};

const WHITEOUT: &[u8] = b".wh.";
/// What hides everything. Other names that begin with `.wh..wh.` are notes of a storage driver.
const OPAQUE: &[u8] = b".wh..wh..opq";
const NOTE: &[u8] = b".wh..wh.";

/// Reads a layer. What it makes of those below goes into `merged`; what comes back is the layer alone. The second number is
/// how many members had access control lists, which are not kept.
pub(super) fn apply<R: Read>(
    archive: &mut Archive<R>,
    merged: &mut Tree,
    spool: &mut Spool,
) -> io::Result<(Tree, u64)> {
    let mut layer = Layer {
        merged,
        own: Tree::new(),
        copies: HashMap::new(),
    };
    // What is hidden is of the layers below, wherever in the archive it stands: so that comes first.
    let mut rest = Vec::new();
    let mut acls = 0;
    layer.copy_root();
    while let Some(mut member) = archive.next()? {
        acls += u64::from(member.has_acl);
        match hidden(&member.name) {
            Some(Hidden::Note) => {}
            Some(hidden) => layer.hide(hidden).map_err(refused)?,
            None => {
                let name = std::mem::take(&mut member.name);
                rest.push(match member.kind {
                    Kind::Link(target) => (name, Added::Link(target)),
                    _ => (name, Added::Node(tree::node(archive, spool, member)?)),
                });
            }
        }
    }
    for (name, added) in rest {
        match added {
            Added::Node(node) => layer.add(&name, node)?,
            Added::Link(target) => layer.link(&name, &target).map_err(refused)?,
        }
    }
    Ok((layer.own, acls))
}

enum Added {
    Node(Node),
    Link(Vec<u8>),
}

/// What a name hides.
#[derive(Debug, PartialEq, Eq)]
enum Hidden {
    /// Everything in this directory.
    In(Vec<u8>),
    /// This name.
    Name(Vec<u8>),
    /// Nothing.
    Note,
}

fn hidden(name: &[u8]) -> Option<Hidden> {
    let end = name.iter().rposition(|byte| *byte != b'/')? + 1;
    let start = name[..end].iter().rposition(|byte| *byte == b'/');
    let (above, last) = name[..end].split_at(start.map_or(0, |slash| slash + 1));
    if last == OPAQUE {
        return Some(Hidden::In(above.to_vec()));
    }
    if last.starts_with(NOTE) {
        return Some(Hidden::Note);
    }
    let hidden = last.strip_prefix(WHITEOUT)?;
    Some(Hidden::Name([above, hidden].concat()))
}

struct Layer<'a> {
    merged: &'a mut Tree,
    own: Tree,
    /// The inode of this layer that an inode of the merged tree is.
    copies: HashMap<usize, usize>,
}

impl Layer<'_> {
    /// The root directory is in every layer, as the last one that describes it says.
    fn copy_root(&mut self) {
        let root = bare(self.merged, &Place::Root);
        self.own.put(&Place::Root, root);
    }

    fn hide(&mut self, hidden: Hidden) -> Result<(), TreeError> {
        match hidden {
            Hidden::Name(name) => {
                let (above, place) = self.merged.resolve(&name)?;
                // What is not there needs nothing that hides it.
                if place != Place::Root && self.merged.at(&place).is_some() {
                    self.merged.remove(&place);
                    let own = self.own_place(&above, &place);
                    self.own.put(&own, whiteout());
                }
            }
            Hidden::In(name) => {
                let (above, place) = self.merged.resolve(&name)?;
                match self.merged.at(&place) {
                    Some(directory) if self.merged.entries(directory).is_some() => {
                        self.merged.clear(directory);
                    }
                    _ => drop(self.merged.put(&place, tree::directory())),
                }
                let own = self.own_place(&above, &place);
                let node = opaque(bare(self.merged, &place));
                self.own.put(&own, node);
            }
            Hidden::Note => {}
        }
        Ok(())
    }

    fn add(&mut self, name: &[u8], node: Node) -> io::Result<()> {
        let (above, place) = self.merged.resolve(name).map_err(refused)?;
        let is_directory = matches!(node.kind, NodeKind::Directory(_));
        if place == Place::Root && !is_directory {
            return Err(refused("its root is not a directory"));
        }
        let own = self.own_place(&above, &place);
        let hides = is_directory && (self.is_whiteout(&own) || self.is_opaque(&own));
        let merged = self.merged.put(&place, node.clone());
        let node = if hides { opaque(node) } else { node };
        let own = self.own.put(&own, node);
        self.copies.insert(merged, own);
        Ok(())
    }

    fn link(&mut self, name: &[u8], target: &[u8]) -> Result<(), TreeError> {
        let merged = self.merged.target(name, target)?;
        let own = match self.copies.get(&merged) {
            Some(own) => *own,
            // Of a layer below: both names lead to a copy, as they do when overlayfs makes a link.
            None => {
                let (above, place) = self.merged.resolve(target)?;
                let node = self.merged.nodes()[merged].clone();
                let own = self.own_place(&above, &place);
                let own = self.own.put(&own, node);
                self.copies.insert(merged, own);
                own
            }
        };
        let (above, place) = self.merged.resolve(name)?;
        self.merged.link(&place, merged);
        let place = self.own_place(&above, &place);
        self.own.link(&place, own);
        Ok(())
    }

    /// The place in this layer. Directories above it that only layers below have are said to be as they are there.
    fn own_place(&mut self, above: &[Vec<u8>], place: &Place) -> Place {
        let Place::In(_, name) = place else {
            return Place::Root;
        };
        let mut own = Place::Root;
        let mut merged = Place::Root;
        for part in above {
            let (Some(here), Some(there)) = (self.own.at(&own), self.merged.at(&merged)) else {
                break;
            };
            own = Place::In(here, part.clone());
            merged = Place::In(there, part.clone());
            let found = self.own.at(&own);
            if found.is_none_or(|found| self.own.entries(found).is_none()) {
                let node = bare(self.merged, &merged);
                let node = if self.is_whiteout(&own) {
                    opaque(node)
                } else {
                    node
                };
                self.own.put(&own, node);
            }
        }
        match self.own.at(&own) {
            Some(directory) => Place::In(directory, name.clone()),
            None => Place::Root,
        }
    }

    fn is_whiteout(&self, own: &Place) -> bool {
        let found = self.own.at(own);
        found.is_some_and(|found| self.own.nodes()[found].kind == NodeKind::Character(0))
    }

    fn is_opaque(&self, own: &Place) -> bool {
        let found = self.own.at(own);
        found.is_some_and(|found| self.own.nodes()[found].xattrs.contains(&mark()))
    }
}

/// A directory of the merged tree without what is in it.
fn bare(merged: &Tree, place: &Place) -> Node {
    match merged.at(place) {
        Some(index) => Node {
            kind: tree::directory().kind,
            ..merged.nodes()[index].clone()
        },
        None => tree::directory(),
    }
}

fn whiteout() -> Node {
    Node {
        mode: 0,
        kind: NodeKind::Character(0),
        ..tree::directory()
    }
}

fn opaque(mut node: Node) -> Node {
    if !node.xattrs.contains(&mark()) {
        node.xattrs.push(mark());
    }
    node
}

/// What makes a directory hide those below it.
fn mark() -> (Vec<u8>, Vec<u8>) {
    (b"user.overlay.opaque".to_vec(), b"y".to_vec())
}

fn refused(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tar::{Builder, EntryType, Header};

    /// An archive with these names: those that end with `/` are directories, `a=b` is a hard link, `a>b` a symbolic one.
    fn archive(names: &[&str]) -> Vec<u8> {
        let mut builder = Builder::new(Vec::new());
        for name in names {
            let mut header = Header::new_gnu();
            header.set_mode(0o700);
            header.set_uid(7);
            header.set_gid(7);
            header.set_mtime(1);
            header.set_size(0);
            let (kind, name, target) = match name.split_once(['=', '>']) {
                Some((link, target)) if name.contains('=') => (EntryType::Link, link, target),
                Some((link, target)) => (EntryType::Symlink, link, target),
                None if name.ends_with('/') => (EntryType::Directory, *name, ""),
                None => (EntryType::Regular, *name, ""),
            };
            header.set_entry_type(kind);
            if !target.is_empty() {
                header.set_link_name(target).unwrap();
            }
            header.set_path(name).unwrap();
            header.set_cksum();
            builder.append(&header, io::empty()).unwrap();
        }
        builder.into_inner().unwrap()
    }

    /// One line for everything in a tree.
    fn listed(tree: &Tree) -> Vec<String> {
        let mut lines = Vec::new();
        let mut open = vec![(String::new(), 0)];
        while let Some((path, index)) = open.pop() {
            for (name, index) in tree.entries(index).into_iter().flatten() {
                let path = format!("{path}{}", String::from_utf8_lossy(name));
                let node = &tree.nodes()[*index];
                let opaque = if node.xattrs.is_empty() { "" } else { "!" };
                lines.push(match &node.kind {
                    NodeKind::Directory(_) => format!("{path}/{opaque} {:o}", node.mode),
                    NodeKind::Character(0) => format!("-{path}"),
                    NodeKind::Symlink(_) => format!("{path}>"),
                    _ => format!("{path} #{index}"),
                });
                open.push((path + "/", *index));
            }
        }
        lines.sort();
        lines
    }

    /// The last of these layers, and what all of them come to, without the numbers of inodes.
    fn layers(layers: &[&[&str]]) -> (Vec<String>, Vec<String>) {
        let dir = tempfile::tempdir().unwrap();
        let mut spool = Spool::new(dir.path()).unwrap();
        let mut merged = Tree::new();
        let mut last = Tree::new();
        for names in layers {
            let bytes = archive(names);
            let mut archive = Archive::new(&bytes[..]);
            last = apply(&mut archive, &mut merged, &mut spool).unwrap().0;
        }
        let short = |lines: Vec<String>| {
            let lines = lines.into_iter();
            let lines = lines.map(|line| line.split(" #").next().unwrap().to_owned());
            lines.collect()
        };
        (short(listed(&last)), short(listed(&merged)))
    }

    const BASE: &[&str] = &[
        "a/",
        "a/b/",
        "a/b/c",
        "a/b/d",
        "lib>usr/lib",
        "usr/",
        "usr/lib/",
    ];

    #[test]
    fn what_is_hidden_becomes_whiteouts() {
        let (layer, merged) = layers(&[BASE, &["a/b/.wh.c", "a/.wh.none", ".wh.lib"]]);
        assert_eq!(layer, ["-a/b/c", "-lib", "a/ 700", "a/b/ 700"]);
        assert_eq!(
            merged,
            ["a/ 700", "a/b/ 700", "a/b/d", "usr/ 700", "usr/lib/ 700"]
        );
    }

    #[test]
    fn an_opaque_directory_hides_what_is_below_and_nothing_of_its_own() {
        let (layer, merged) = layers(&[BASE, &["a/b/new", "a/b/.wh..wh..opq", "a/b/.wh..wh.plnk"]]);
        assert_eq!(layer, ["a/ 700", "a/b/! 700", "a/b/new"]);
        assert!(merged.contains(&"a/b/new".to_owned()) && !merged.contains(&"a/b/c".to_owned()));
    }

    #[test]
    fn a_directory_in_place_of_a_hidden_one_is_opaque() {
        for order in [
            &["a/.wh.b", "a/b/", "a/b/new"],
            &["a/b/", "a/b/new", "a/.wh.b"],
        ] {
            let (layer, merged) = layers(&[BASE, order]);
            assert_eq!(layer, ["a/ 700", "a/b/! 700", "a/b/new"]);
            assert!(!merged.contains(&"a/b/c".to_owned()));
        }
        let (layer, _) = layers(&[BASE, &["a/.wh.b", "a/b/new"]]);
        assert_eq!(layer, ["a/ 700", "a/b/! 755", "a/b/new"]);
        let (layer, _) = layers(&[BASE, &["a/.wh.b", "a/b"]]);
        assert_eq!(layer, ["a/ 700", "a/b"]);
    }

    #[test]
    fn links_of_the_layers_below_are_followed() {
        let (layer, _) = layers(&[BASE, &["lib/x"]]);
        assert_eq!(layer, ["usr/ 700", "usr/lib/ 700", "usr/lib/x"]);
        let (layer, merged) = layers(&[BASE, &["lib/", "lib/x"]]);
        assert_eq!(layer, ["lib/ 700", "lib/x"]);
        assert!(merged.contains(&"lib/x".to_owned()));
    }

    #[test]
    fn a_hard_link_to_a_file_of_a_layer_below_takes_the_file_along() {
        let (layer, _) = layers(&[BASE, &["a/b/d=a/b/c"]]);
        assert_eq!(layer, ["a/ 700", "a/b/ 700", "a/b/c", "a/b/d"]);
        let (layer, _) = layers(&[BASE, &["x", "y=x", "z=y"]]);
        assert_eq!(layer, ["x", "y", "z"]);
    }

    #[test]
    fn names_are_told_from_what_hides() {
        assert_eq!(hidden(b"a/.wh.b"), Some(Hidden::Name(b"a/b".to_vec())));
        assert_eq!(hidden(b".wh.b/"), Some(Hidden::Name(b"b".to_vec())));
        assert_eq!(hidden(b"./.wh..wh..opq"), Some(Hidden::In(b"./".to_vec())));
        assert_eq!(hidden(b"a/.wh..wh.aufs"), Some(Hidden::Note));
        assert_eq!(hidden(b"a/.whx"), None);
        assert_eq!(hidden(b"./"), None);
    }
}
