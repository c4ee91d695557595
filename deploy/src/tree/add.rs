//! What a distribution puts into its root filesystem.

use std::io;

use flatimage_layer::{Node, NodeKind};

use super::{Spool, Tree, directory, mime};
use crate::distribution::Additions;

/// Adds directories, files and links. Whatever is added belongs to root and was never changed, so that nothing depends on
/// who builds and when.
pub(crate) fn add(tree: &mut Tree, additions: &Additions, spool: &mut Spool) -> io::Result<()> {
    let refused = |error| io::Error::new(io::ErrorKind::InvalidData, error);
    for name in &additions.directories {
        let place = tree.place(name.as_bytes()).map_err(refused)?;
        if tree.at(&place).is_none() {
            tree.put(&place, directory());
        }
    }
    let mime = &additions.mime;
    let types = match mime.is_empty() {
        true => Vec::new(),
        false => vec![
            (mime::PACKAGE, mime::package(mime)),
            (mime::PATTERNS, mime::patterns(mime)),
        ],
    };
    let files = additions.files.iter();
    let files = files.map(|(name, text)| (name.as_str(), text.clone()));
    for (name, text) in types.into_iter().chain(files) {
        let place = tree.place(name.as_bytes()).map_err(refused)?;
        let data = spool.add(text.as_bytes())?;
        let size = text.len() as u64;
        let file = Node {
            mode: 0o644,
            kind: NodeKind::File { size, data },
            ..directory()
        };
        tree.put(&place, file);
    }
    for (name, target) in &additions.links {
        let place = tree.place(name.as_bytes()).map_err(refused)?;
        let link = Node {
            mode: 0o777,
            kind: NodeKind::Symlink(target.as_bytes().to_vec()),
            ..directory()
        };
        tree.put(&place, link);
    }
    Ok(())
}
