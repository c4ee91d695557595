//! The root filesystem and compress stages: from a distribution to layer 0.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use flatimage_layer::{PackError, PackOptions};

use crate::digest::{Inputs, Stamp, Sum};
use crate::distribution::Root;
use crate::file::{self, FileError, failed};

/// Why layer 0 could not be made.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The distribution is a directory and none was named, or it takes none.
    #[error("{0}")]
    Source(&'static str),
    /// What was named is no directory.
    #[error("`{}` is not a directory; name the directory that holds the root filesystem", .0.display())]
    NotADirectory(PathBuf),
    /// The directory could not be packed.
    #[error(transparent)]
    Pack(#[from] PackError),
}

/// Checks that a distribution is given what it is made from, and nothing that it would pass over.
pub(crate) fn check(root: Root, source: Option<&Path>) -> Result<(), LayerError> {
    match (root, source) {
        (Root::Empty, None) => Ok(()),
        (Root::Empty, Some(_)) => Err(LayerError::Source("this distribution takes no directory")),
        (Root::Directory, None) => Err(LayerError::Source(
            "this distribution is made from a directory; name it behind the distribution",
        )),
        (Root::Directory, Some(dir)) if dir.is_dir() => Ok(()),
        (Root::Directory, Some(dir)) => Err(LayerError::NotADirectory(dir.to_owned())),
    }
}

/// Makes the tree that becomes layer 0. Returns where it is and whether it was there.
pub(crate) fn root(
    cache: &Path,
    root: Root,
    source: Option<&Path>,
) -> Result<(PathBuf, bool), LayerError> {
    check(root, source)?;
    match source {
        Some(dir) => Ok((dir.to_owned(), true)),
        None => Ok(empty(&cache.join("roots/empty"))?),
    }
}

/// An empty directory whose mode and time are the same wherever and whenever it is made.
fn empty(path: &Path) -> Result<(PathBuf, bool), FileError> {
    let is_made = |path: &Path| -> io::Result<bool> {
        let found = fs::metadata(path)?;
        let untouched =
            found.mode() & 0o7777 == 0o755 && (found.mtime(), found.mtime_nsec()) == (0, 0);
        Ok(untouched && fs::read_dir(path)?.next().is_none())
    };
    if is_made(path).unwrap_or(false) {
        return Ok((path.to_owned(), true));
    }
    file::remove_dir(path)?;
    file::create_dir(path)?;
    File::open(path)
        .and_then(|dir| {
            dir.set_permissions(fs::Permissions::from_mode(0o755))?;
            dir.set_modified(SystemTime::UNIX_EPOCH)
        })
        .map_err(failed("set mode and time of", path))?;
    Ok((path.to_owned(), false))
}

/// Packs `tree` into the file `layer`, unless that was made from the same tree in the same way. Returns whether it was.
pub(crate) fn compress(
    tree: &Path,
    layer: &Path,
    level: u8,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<bool, LayerError> {
    let options = PackOptions {
        level,
        ..PackOptions::default()
    };
    let inputs = inputs(tree, &options)?;
    let stamp = Stamp::at(layer.with_extension("stamp"));
    if stamp.says(&inputs) && layer.is_file() {
        return Ok(true);
    }
    stamp.clear()?;
    file::write_whole(layer, 0o644, |file| -> Result<(), LayerError> {
        let mut out = BufWriter::new(file);
        flatimage_layer::pack(tree, &mut out, &options, &mut |now| {
            progress(now.bytes_done, now.bytes_total);
        })?;
        Ok(out.flush().map_err(failed("write", layer))?)
    })?;
    stamp.set(&inputs)?;
    Ok(false)
}

/// What the packed bytes depend on. A file's contents are taken to be unchanged as long as its inode is: the change time
/// cannot be set back.
fn inputs(tree: &Path, options: &PackOptions) -> Result<Sum, FileError> {
    let mut inputs = Inputs::of_stage("layer 1");
    inputs.add_this_program()?;
    inputs.add([options.level]);
    inputs.add(options.block_size_log2.to_le_bytes());
    let mut pending = vec![tree.to_owned()];
    while let Some(path) = pending.pop() {
        let found = if path == tree {
            fs::metadata(&path)
        } else {
            fs::symlink_metadata(&path)
        };
        let found = found.map_err(failed("read", &path))?;
        inputs.add(
            path.strip_prefix(tree)
                .unwrap_or(&path)
                .as_os_str()
                .as_bytes(),
        );
        let numbers = [
            u64::from(found.mode()),
            u64::from(found.uid()),
            u64::from(found.gid()),
            found.mtime() as u64,
            found.mtime_nsec() as u64,
            // Nothing else tells of an extended attribute.
            found.ctime() as u64,
            found.ctime_nsec() as u64,
        ];
        numbers
            .iter()
            .for_each(|number| inputs.add(number.to_le_bytes()));
        if found.is_dir() {
            pending.extend(sorted(&path).map_err(failed("read", &path))?);
        } else {
            let numbers = [found.ino(), found.size()];
            numbers
                .iter()
                .for_each(|number| inputs.add(number.to_le_bytes()));
        }
    }
    Ok(inputs.finish())
}

fn sorted(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(dir)?.map(|entry| Ok(entry?.path()));
    let mut paths: Vec<PathBuf> = entries.collect::<io::Result<_>>()?;
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_change_of_a_tree_changes_its_inputs() {
        let dir = tempfile::tempdir().unwrap();
        let tree = dir.path();
        let options = PackOptions::default();
        let mut seen = vec![inputs(tree, &options).unwrap()];
        let mut differs = |what: &str| {
            let now = inputs(tree, &options).unwrap();
            assert_eq!(now, inputs(tree, &options).unwrap(), "{what}");
            assert!(!seen.contains(&now), "{what}");
            seen.push(now);
        };
        fs::write(tree.join("a"), "one").unwrap();
        differs("a new file");
        fs::write(tree.join("a"), "two").unwrap();
        differs("other contents");
        fs::set_permissions(tree.join("a"), fs::Permissions::from_mode(0o600)).unwrap();
        differs("another mode");
        fs::rename(tree.join("a"), tree.join("b")).unwrap();
        differs("another name");
        std::os::unix::fs::symlink("b", tree.join("c")).unwrap();
        differs("a link");
        fs::create_dir(tree.join("d")).unwrap();
        differs("a directory");
        let level = PackOptions {
            level: 1,
            ..options.clone()
        };
        assert!(!seen.contains(&inputs(tree, &level).unwrap()));
    }

    #[test]
    fn a_source_is_wanted_exactly_where_it_means_something() {
        let dir = tempfile::tempdir().unwrap();
        let none = dir.path().join("none");
        assert!(check(Root::Directory, None).is_err());
        assert!(check(Root::Empty, Some(dir.path())).is_err());
        assert!(check(Root::Directory, Some(&none)).is_err());
        assert!(check(Root::Directory, Some(dir.path())).is_ok());
    }

    #[test]
    fn the_empty_root_is_always_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let make = || root(dir.path(), Root::Empty, None).unwrap();
        let (path, unchanged) = make();
        assert!(!unchanged && make().1);
        fs::write(path.join("left"), "over").unwrap();
        assert!(!make().1);
        let found = fs::metadata(path).unwrap();
        assert_eq!((found.mode() & 0o7777, found.mtime()), (0o755, 0));
    }
}
