//! Removes a tree that a container made, whatever its permissions and however deep it is.
//!
//! Nothing is named by a path: every directory is opened from the one it is in, without following links and without
//! crossing into another mount (openat2(2)). What is in a directory is moved up to the top of the tree before the
//! directory goes, so that depth costs neither descriptors nor stack.

use std::ffi::{OsStr, OsString};
use std::fs::{self, Permissions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, RenameFlags, renameat2};
use nix::sys::stat::{SFlag, fstat, fstatat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use crate::sys::{Resolve, open_in};

/// What could not be removed: its name and why.
#[derive(Debug)]
pub struct Stays {
    /// The name of the file or directory.
    pub name: OsString,
    /// The kernel's reason.
    pub reason: io::Error,
}

/// Removes `name` in `directory` and all that is below it. What is not there is no error.
///
/// # Errors
/// The first thing that stays: a mount, or what is not the caller's.
pub fn remove(directory: BorrowedFd<'_>, name: &OsStr) -> Result<(), Stays> {
    let Some(top) = file_or_directory(directory, name)? else {
        return Ok(());
    };
    let mut moved = 0;
    loop {
        let children = names(&top, name)?;
        if children.is_empty() {
            return done(unlinkat(directory, name, UnlinkatFlags::RemoveDir), name);
        }
        for child in &children {
            if let Some(below) = file_or_directory(top.as_fd(), child)? {
                for grandchild in names(&below, child)? {
                    if let Some(tree) = file_or_directory(below.as_fd(), &grandchild)? {
                        move_up(&below, &grandchild, &top, &mut moved)?;
                        drop(tree);
                    }
                }
                done(
                    unlinkat(&top, child.as_os_str(), UnlinkatFlags::RemoveDir),
                    child,
                )?;
            }
        }
    }
}

/// Removes what is no directory; answers a directory, opened, with all permissions for its owner.
fn file_or_directory(parent: BorrowedFd<'_>, name: &OsStr) -> Result<Option<OwnedFd>, Stays> {
    let stays = |reason: io::Error| Stays {
        name: name.to_owned(),
        reason,
    };
    let found = match fstatat(parent, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
        Err(Errno::ENOENT) => return Ok(None),
        found => found.map_err(|error| stays(error.into()))?,
    };
    if SFlag::from_bits_truncate(found.st_mode) & SFlag::S_IFMT != SFlag::S_IFDIR {
        done(unlinkat(parent, name, UnlinkatFlags::NoRemoveDir), name)?;
        return Ok(None);
    }
    match open(parent, name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        opened => opened.map(Some).map_err(stays),
    }
}

fn open(parent: BorrowedFd<'_>, name: &OsStr) -> io::Result<OwnedFd> {
    let place = libc::O_PATH | libc::O_DIRECTORY | libc::O_NOFOLLOW;
    let place = open_in(parent, name.as_ref(), place, Resolve::SameMount)?;
    let mode = fstat(&place)?.st_mode & 0o7777;
    if mode & 0o700 != 0o700 {
        // Somebody else's is told by what follows.
        let path = format!("/proc/self/fd/{}", place.as_raw_fd());
        let _ = fs::set_permissions(path, Permissions::from_mode(mode | 0o700));
    }
    let flags = libc::O_RDONLY | libc::O_DIRECTORY;
    open_in(place.as_fd(), ".".as_ref(), flags, Resolve::SameMount)
}

fn names(directory: &OwnedFd, name: &OsStr) -> Result<Vec<OsString>, Stays> {
    let stays = |reason: io::Error| Stays {
        name: name.to_owned(),
        reason,
    };
    let list = || -> io::Result<Vec<OsString>> {
        // A position of its own: the directory is listed again when it has changed.
        let flags = libc::O_RDONLY | libc::O_DIRECTORY;
        let own = open_in(directory.as_fd(), ".".as_ref(), flags, Resolve::SameMount)?;
        let mut names = Vec::new();
        for entry in Dir::from_fd(own)?.iter() {
            let entry = entry?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name != "." && name != ".." {
                names.push(name.to_owned());
            }
        }
        Ok(names)
    };
    list().map_err(stays)
}

/// Gives a directory a name at the top that nothing else has.
fn move_up(from: &OwnedFd, name: &OsStr, top: &OwnedFd, moved: &mut u64) -> Result<(), Stays> {
    if unlinkat(from, name, UnlinkatFlags::RemoveDir).is_ok() {
        return Ok(());
    }
    loop {
        *moved += 1;
        let new = format!("removed.{moved}");
        let flags = RenameFlags::RENAME_NOREPLACE;
        match renameat2(from, name, top, new.as_str(), flags) {
            Err(Errno::EEXIST) => {}
            result => return done(result, name),
        }
    }
}

/// Two may remove the same tree at once: what the other one has removed is no error.
fn done(result: nix::Result<()>, name: &OsStr) -> Result<(), Stays> {
    match result {
        Ok(()) | Err(Errno::ENOENT) => Ok(()),
        Err(error) => Err(Stays {
            name: name.to_owned(),
            reason: error.into(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::unix::fs::symlink;

    #[test]
    fn closed_directories_go_links_are_not_followed_and_depth_is_no_matter() {
        let place = tempfile::tempdir().unwrap();
        let outside = place.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("kept"), "").unwrap();
        let tree = place.path().join("tree");
        fs::create_dir_all(tree.join("a/b/removed.1")).unwrap();
        fs::create_dir_all(tree.join("removed.1/x")).unwrap();
        fs::write(tree.join("a/b/file"), "").unwrap();
        symlink(&outside, tree.join("a/link")).unwrap();
        fs::set_permissions(tree.join("a/b"), Permissions::from_mode(0o000)).unwrap();
        fs::set_permissions(tree.join("a"), Permissions::from_mode(0o000)).unwrap();
        let directory = File::open(place.path()).unwrap();
        let mut deep = OwnedFd::from(File::open(&tree).unwrap());
        for _ in 0..3000 {
            nix::sys::stat::mkdirat(&deep, "d", nix::sys::stat::Mode::S_IRWXU).unwrap();
            deep = open(deep.as_fd(), "d".as_ref()).unwrap();
        }
        drop(deep);
        remove(directory.as_fd(), "tree".as_ref()).unwrap();
        remove(directory.as_fd(), "tree".as_ref()).unwrap();
        assert!(!tree.exists() && outside.join("kept").exists());
    }
}
