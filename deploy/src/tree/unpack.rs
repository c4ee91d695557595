//! An archive becomes a tree.

use std::io::{self, Read};

use flatimage_layer::{Node, NodeKind};

use super::{Spool, Tree};
use crate::archive::{Archive, Kind, Member};

/// What was in an archive.
pub(crate) struct Unpacked {
    pub(crate) tree: Tree,
    /// How many members had access control lists, which are not kept.
    pub(crate) acls: u64,
}

/// Reads the tree in an archive; the contents of its files go to `spool`. Names begin after their first `strip` parts, and
/// those that have no more are left out.
pub(crate) fn unpack<R: Read>(
    archive: &mut Archive<R>,
    strip: usize,
    spool: &mut Spool,
) -> io::Result<Unpacked> {
    let mut unpacked = Unpacked {
        tree: Tree::new(),
        acls: 0,
    };
    while let Some(mut member) = archive.next()? {
        let Some(name) = stripped(&member.name, strip) else {
            continue;
        };
        if let Kind::Link(target) = &mut member.kind {
            let shorter = stripped(target, strip).map(<[u8]>::to_vec);
            *target = shorter.unwrap_or_default();
        }
        let name = name.to_vec();
        unpacked.acls += u64::from(member.has_acl);
        add(archive, &mut unpacked.tree, spool, &name, member)?;
    }
    if !archive.is_ended() {
        return Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "it is cut off: its end is not marked",
        ));
    }
    Ok(unpacked)
}

fn add<R: Read>(
    archive: &mut Archive<R>,
    tree: &mut Tree,
    spool: &mut Spool,
    name: &[u8],
    member: Member,
) -> io::Result<()> {
    let place = tree.place(name).map_err(refused)?;
    if let Kind::Link(target) = &member.kind {
        let target = tree.target(name, target).map_err(refused)?;
        tree.link(&place, target);
        return Ok(());
    }
    let is_directory = member.kind == Kind::Directory;
    if place == super::Place::Root && !is_directory {
        return Err(refused("its root is not a directory"));
    }
    let node = node(archive, spool, member)?;
    tree.put(&place, node);
    Ok(())
}

/// The inode that a member is, which must not be another name of one.
pub(crate) fn node<R: Read>(
    archive: &mut Archive<R>,
    spool: &mut Spool,
    member: Member,
) -> io::Result<Node> {
    let kind = match member.kind {
        Kind::Directory => super::directory().kind,
        Kind::File { size, segments } => NodeKind::File {
            size,
            data: spool.take(archive, &segments)?,
        },
        Kind::Symlink(target) => NodeKind::Symlink(target),
        Kind::Character(number) => NodeKind::Character(number),
        Kind::Block(number) => NodeKind::Block(number),
        Kind::Fifo => NodeKind::Fifo,
        Kind::Link(_) => return Err(refused("a link is no inode of its own")),
    };
    // The kernel keeps no mode of a link, and shows this one.
    let mode = match kind {
        NodeKind::Symlink(_) => 0o777,
        _ => member.mode,
    };
    Ok(Node {
        mode,
        uid: member.uid,
        gid: member.gid,
        mtime: member.mtime,
        xattrs: kept(member.xattrs),
        kind,
    })
}

/// Those of the attributes that say something about a file. Those of overlayfs would say something about layers below it,
/// which is not for an archive to say.
fn kept(xattrs: Vec<(Vec<u8>, Vec<u8>)>) -> Vec<(Vec<u8>, Vec<u8>)> {
    let of_overlay =
        |name: &[u8]| name.starts_with(b"trusted.overlay.") || name.starts_with(b"user.overlay.");
    let kept = xattrs.into_iter().filter(|(name, _)| !of_overlay(name));
    kept.collect()
}

/// A name after its first `strip` parts; none when it has no more. The name that is the root itself stays.
fn stripped(name: &[u8], strip: usize) -> Option<&[u8]> {
    let mut rest = name;
    for _ in 0..strip {
        let start = rest.iter().position(|byte| *byte != b'/')?;
        rest = &rest[start..];
        if let Some(after) = rest.strip_prefix(b"./") {
            rest = &after[after.iter().position(|byte| *byte != b'/')?..];
        }
        let end = rest.iter().position(|byte| *byte == b'/');
        rest = match end {
            Some(end) => &rest[end..],
            None => return None,
        };
    }
    Some(rest)
}

fn refused(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lose_their_first_parts() {
        for (name, expected) in [
            ("root.x86_64/", Some("/")),
            ("root.x86_64", None),
            ("./root.x86_64/a/b", Some("/a/b")),
            ("/root.x86_64//a", Some("//a")),
            ("pkglist.txt", None),
            ("./", None),
        ] {
            let found = stripped(name.as_bytes(), 1).map(|rest| std::str::from_utf8(rest).unwrap());
            assert_eq!(found, expected, "{name}");
        }
        assert_eq!(stripped(b"./a", 0), Some(&b"./a"[..]));
    }
}
