//! What programs changed: taken away once it is in a layer, and with the whole directory.
//!
//! The order in which changes go is what makes a kill harmless at every moment. Let `L` be the layers, `C` the new layer
//! and `U` the changes, `C` and `U` with the same entries:
//!
//! 1. Until `C` counts (it is synced before it does), a start stacks `L` and `U`.
//! 2. From then on it stacks `L`, `C` and `U`. Every entry of `U` is in `C` too, so this shows the same files: a file
//!    hides its own copy, a whiteout hides a whiteout, an opaque directory hides one with the same entries.
//! 3. `U` is exchanged for an empty directory, in one step of the kernel, and that is synced: a start stacks `L` and `C`,
//!    which is the same again.
//! 4. What was `U`, now `root.committed`, is removed. No start ever stacks it, so half of it is as good as none.
//!
//! When `C` goes to the image, the layers of the data directory, `D1` to `Dn`, which are stacked above it, go there first, in
//! the same append: `L`, `D1` to `Dn`, `C`, then `D1` to `Dn` again, and `U`. That shows the same files for the reason in 2.
//! Then they are removed from the directory, the lowest first, each synced: what `Dk` to `Dn` and `U` do not decide is
//! decided in the image by the very same entries. Removed in another order, an old file would hide a newer one.
//!
//! To remove `U` in its place would not do: an opaque directory whose files are gone already hides those of `C`.
//! What is left of step 4 is garbage at any time, and removed by the next start or commit.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, FileTimes, Permissions};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use nix::fcntl::{RenameFlags, renameat2};

use super::remove::{Stays, remove};
use super::{DataError, Directory, Exclusive, ids, marks};
use crate::sys::{Resolve, open_in};

/// The changes.
const ROOT: &str = "root";
/// Changes that are in a layer.
const COMMITTED: &str = "root.committed";

/// Everything that an image makes in its data directory, in the order in which it is removed once the changes are set
/// aside. The file with the locks comes last: until then no start gets in.
const OURS: [&str; 15] = [
    COMMITTED,
    ROOT,
    "work",
    COPIES,
    MOUNTS,
    LAYERS,
    RECIPES,
    DOWNLOADS,
    UNFINISHED,
    ids::NAME,
    marks::NAME,
    marks::UNFINISHED,
    marks::UNIONFS_MARKS[0],
    marks::UNIONFS_MARKS[1],
    INSTANCES,
];

/// Who uses the directory, see [`super::instances`].
pub const INSTANCES: &str = "instances";

/// Layers that are stacked on those of the image.
pub const LAYERS: &str = "layers";

/// Plain copies of layers, see [`crate::unpack::copy`].
pub const COPIES: &str = "copies";

/// Where a root is mounted outside of namespaces, see [`crate::sandbox::mend`].
pub const MOUNTS: &str = "mounts";

/// Recipes that were fetched, by distribution.
pub const RECIPES: &str = "recipes";

/// Files that are being fetched, and parts of some that the next try goes on with.
pub const DOWNLOADS: &str = "downloads";

/// A layer that is being made, where the filesystem knows no files without a name.
pub const UNFINISHED: &str = "unfinished.layer";

impl Directory {
    /// Removes what a commit that was cut off has left. It has nothing to do but to look, unless there was one.
    ///
    /// # Errors
    /// When something cannot be removed; no harm is done if it stays.
    pub fn settle(&self) -> Result<(), DataError> {
        match fs::symlink_metadata(self.path.join(COMMITTED)) {
            Err(_) => Ok(()),
            Ok(_) => self.as_owner(|path| self.remove(path, &[COMMITTED])),
        }
    }

    pub(super) fn opened(&self) -> Result<File, DataError> {
        File::open(&self.path).map_err(|error| self.unusable(error))
    }

    /// Removes what is in the directory, which is at `path` for whoever calls this.
    fn remove(&self, path: &Path, names: &[&str]) -> Result<(), DataError> {
        let directory = File::open(path).map_err(|error| self.unusable(error))?;
        for name in names {
            remove(directory.as_fd(), OsStr::new(name)).map_err(|Stays { name, reason }| {
                DataError::Stays {
                    path: self.path.clone(),
                    name,
                    source: reason,
                }
            })?;
        }
        Ok(())
    }
}

impl Exclusive {
    /// A descriptor of the directory with the changes, without any access to it; `None` when there is none.
    ///
    /// # Errors
    /// As openat2(2).
    pub fn changes(&self) -> Result<Option<OwnedFd>, DataError> {
        let directory = self.directory.opened()?;
        let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_NOFOLLOW;
        match open_in(directory.as_fd(), ROOT.as_ref(), flags, Resolve::NoSymlinks) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            opened => opened
                .map(Some)
                .map_err(|error| self.directory.unusable(error)),
        }
    }

    /// Removes layers of the directory that are in the image: `paths`, the lowest first.
    ///
    /// # Errors
    /// The first that cannot be removed; those above it then stay as well.
    pub fn remove_layers(&self, paths: &[PathBuf]) -> Result<(), DataError> {
        let layers = self.directory.path.join(LAYERS);
        paths
            .iter()
            .try_for_each(|path| {
                fs::remove_file(path)?;
                // A crash must not bring back one of them and not those above it.
                File::open(&layers)?.sync_all()
            })
            .map_err(|error| self.directory.unusable(error))
    }

    /// Takes the changes away, in one step: the next start finds none. [`Directory::settle`] then frees their space.
    ///
    /// # Errors
    /// When they cannot be taken away; they are then all there.
    pub fn set_aside(&self) -> Result<(), DataError> {
        self.directory.settle()?;
        if self.changes()?.is_none() {
            return Ok(());
        }
        self.directory
            .as_owner(|path| exchange(path).map_err(|error| self.directory.unusable(error)))
    }

    /// Removes the data directory with all that images keep in it. Links are not followed, mounts not crossed.
    ///
    /// # Errors
    /// When something stays: what is not the caller's, a mount, or a file that is not of an image's making.
    pub fn purge(self) -> Result<(), DataError> {
        self.set_aside()?;
        self.directory
            .as_owner(|path| self.directory.remove(path, &OURS))?;
        let path = &self.directory.path;
        match fs::symlink_metadata(path) {
            // The way to it is the user's own.
            Ok(found) if found.is_symlink() => Ok(()),
            _ => fs::remove_dir(path).map_err(|source| match source.kind() {
                io::ErrorKind::DirectoryNotEmpty => DataError::Others(path.clone()),
                _ => self.directory.unusable(source),
            }),
        }
    }
}

/// Exchanges the changes in the data directory `path` for none.
fn exchange(path: &Path) -> io::Result<()> {
    let (root, committed) = (path.join(ROOT), path.join(COMMITTED));
    let directory = File::open(path)?;
    let exchanged = empty_like(&root, &committed).and_then(|()| {
        let flags = RenameFlags::RENAME_EXCHANGE;
        Ok(renameat2(&directory, ROOT, &directory, COMMITTED, flags)?)
    });
    if exchanged.is_err() {
        // On a full disk, or a filesystem that cannot exchange: only the attributes of `/` are lost.
        let _ = fs::remove_dir(&committed);
        fs::rename(&root, &committed)?;
    }
    directory.sync_all()
}

/// Makes `path` an empty directory with the attributes of `root`, which are those of `/` in the container.
fn empty_like(root: &Path, path: &Path) -> io::Result<()> {
    let found = fs::symlink_metadata(root)?;
    DirBuilder::new().mode(0o700).create(path)?;
    let made = fs::symlink_metadata(path)?;
    if (made.uid(), made.gid()) != (found.uid(), found.gid()) {
        chown(path, Some(found.uid()), Some(found.gid()))?;
    }
    let times = FileTimes::new()
        .set_accessed(found.accessed()?)
        .set_modified(found.modified()?);
    File::open(path)?.set_times(times)?;
    fs::set_permissions(path, Permissions::from_mode(found.mode() & 0o7777))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exclusive(path: &Path) -> Exclusive {
        super::super::open(path, None)
            .unwrap()
            .unwrap()
            .exclusive()
            .unwrap()
    }

    #[test]
    fn changes_go_in_one_step_and_the_root_keeps_its_attributes() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("data");
        let data = exclusive(&path);
        fs::create_dir_all(path.join("root/etc")).unwrap();
        fs::set_permissions(path.join("root"), Permissions::from_mode(0o711)).unwrap();
        let before = fs::metadata(path.join("root")).unwrap();
        data.set_aside().unwrap();
        let after = fs::metadata(path.join("root")).unwrap();
        assert_eq!(after.mode(), before.mode());
        assert_eq!(after.modified().unwrap(), before.modified().unwrap());
        assert_eq!(fs::read_dir(path.join("root")).unwrap().count(), 0);
        assert!(path.join("root.committed/etc").exists());
        data.directory.settle().unwrap();
        assert!(!path.join("root.committed").exists());
    }

    #[test]
    fn what_is_not_of_an_image_stays_and_is_named() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("data");
        let data = exclusive(&path);
        fs::create_dir_all(path.join("root/etc")).unwrap();
        fs::write(path.join("letter"), "").unwrap();
        let error = data.purge().unwrap_err().to_string();
        assert!(error.contains("other files"), "{error}");
        let left: Vec<_> = fs::read_dir(&path)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(left, ["letter"]);
        fs::remove_file(path.join("letter")).unwrap();
        exclusive(&path).purge().unwrap();
        assert!(!path.exists());
    }
}
