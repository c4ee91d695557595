//! Places in the container's root to mount on.
//!
//! Every place is found with openat2(2) below the root: a link of the image that leads out
//! leads to the same path inside. What is missing is created.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use nix::sys::stat::{Mode, SFlag, fchmod, mkdirat, mknodat};

use nix::unistd::{Gid, Uid, fchown};

use crate::sys::{Resolve, open_in};

/// What a missing place becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// A directory.
    Directory,
    /// An empty file.
    File,
}

fn relative(path: &Path) -> PathBuf {
    match path.strip_prefix("/") {
        Ok(rest) if rest.as_os_str().is_empty() => PathBuf::from("."),
        Ok(rest) => rest.to_owned(),
        Err(_) => path.to_owned(),
    }
}

/// The place at `path` below `root`, if there is one.
///
/// # Errors
/// As openat2(2).
pub fn find(root: BorrowedFd<'_>, path: &Path) -> io::Result<OwnedFd> {
    open_in(root, &relative(path), libc::O_PATH, Resolve::InRoot)
}

/// The place at `path` below `root`, with its parents, created where missing.
///
/// # Errors
/// As openat2(2), mkdirat(2) and mknodat(2).
pub fn ensure(root: BorrowedFd<'_>, path: &Path, missing: Missing) -> io::Result<OwnedFd> {
    match find(root, path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        found => return found,
    }
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::NotFound.into());
    };
    let parent = ensure(root, parent, Missing::Directory)?;
    let made = match missing {
        Missing::Directory => mkdirat(&parent, name, Mode::from_bits_truncate(0o755)),
        Missing::File => mknodat(
            &parent,
            name,
            SFlag::S_IFREG,
            Mode::from_bits_truncate(0o644),
            0,
        ),
    };
    match made {
        // A dangling link has the name: its target is created instead, inside.
        Err(nix::Error::EEXIST) => Err(io::Error::other("a link leads nowhere")),
        Err(error) => Err(error.into()),
        Ok(()) => open_in(
            parent.as_fd(),
            Path::new(name),
            libc::O_PATH | libc::O_NOFOLLOW,
            Resolve::NoSymlinks,
        ),
    }
}

/// A directory at `path` below `root` with these permission bits and owner, made if it is
/// missing.
///
/// # Errors
/// As [`ensure`], fchown(2) and fchmod(2).
pub fn directory(
    root: BorrowedFd<'_>,
    path: &Path,
    mode: u32,
    (uid, gid): (u32, u32),
) -> io::Result<()> {
    ensure(root, path, Missing::Directory)?;
    // Opened for real, and changed by its descriptor: a link of the image would be followed
    // out of the root by anything that takes a path.
    let flags = libc::O_RDONLY | libc::O_DIRECTORY;
    let place = open_in(root, &relative(path), flags, Resolve::InRoot)?;
    let found = nix::sys::stat::fstat(&place)?;
    // Only what differs: a change would copy a directory of a layer into the changes.
    if (found.st_uid, found.st_gid) != (uid, gid) {
        fchown(&place, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
    }
    if found.st_mode & 0o7777 != mode {
        fchmod(&place, Mode::from_bits_truncate(mode))?;
    }
    Ok(())
}

/// A link at `path` below `root`; what is already there stays.
///
/// # Errors
/// As symlinkat(2).
pub fn link(root: BorrowedFd<'_>, path: &Path, target: &Path) -> io::Result<()> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let parent = ensure(root, parent, Missing::Directory)?;
    match nix::unistd::symlinkat(target, &parent, name) {
        Ok(()) | Err(nix::Error::EEXIST) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The text of a regular file of at most `longest` bytes at `path` below `root`; `None` for
/// anything else.
///
/// # Errors
/// As openat2(2) and read(2).
pub fn read(root: BorrowedFd<'_>, path: &Path, longest: u64) -> io::Result<Option<String>> {
    // Nonblocking: the image may have a pipe there, which would otherwise be waited for.
    let flags = libc::O_RDONLY | libc::O_NONBLOCK;
    let file = match open_in(root, &relative(path), flags, Resolve::InRoot) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => File::from(file?),
    };
    if !file.metadata()?.is_file() || file.metadata()?.len() > longest {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    file.take(longest).read_to_end(&mut bytes)?;
    Ok(String::from_utf8(bytes).ok())
}

/// Whether the place is a directory.
///
/// # Errors
/// As fstat(2).
pub fn is_directory(place: &OwnedFd) -> io::Result<bool> {
    let kind = SFlag::from_bits_truncate(nix::sys::stat::fstat(place)?.st_mode) & SFlag::S_IFMT;
    Ok(kind == SFlag::S_IFDIR)
}

/// Opens a path outside of the root, links followed, without any access to what is there.
///
/// # Errors
/// As open(2).
pub fn stage(path: &Path) -> io::Result<OwnedFd> {
    Ok(nix::fcntl::open(
        path,
        OFlag::O_PATH | OFlag::O_CLOEXEC,
        Mode::empty(),
    )?)
}
