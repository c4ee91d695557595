//! Locks of ranges of bytes that belong to an open file (`F_OFD_SETLK`, fcntl(2)).
//!
//! The kernel lets go of one when the last process with a copy of the descriptor is gone, however it ended. They work
//! on every filesystem that has POSIX locks, and cost nothing while nobody waits.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};

/// What a lock keeps others from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// From having it exclusively.
    Shared,
    /// From having it at all.
    Exclusive,
    /// From nothing: lets go.
    None,
}

/// From this byte to the end of the largest file.
pub const fn from(start: u64) -> Range<u64> {
    start..u64::MAX
}

/// Waits until the lock can be had, and takes it in the place of the one that the open file has there.
///
/// # Errors
/// As fcntl(2); `ENOLCK` where the filesystem has no locks.
pub fn lock(file: &File, kind: Kind, bytes: Range<u64>) -> io::Result<()> {
    let range = range(kind, bytes);
    loop {
        match fcntl(file.as_fd(), FcntlArg::F_OFD_SETLKW(&range)) {
            Err(Errno::EINTR) => {}
            result => return Ok(result.map(drop)?),
        }
    }
}

/// Takes the lock if nobody is in the way; answers whether it could.
///
/// # Errors
/// As fcntl(2).
pub fn try_lock(file: &File, kind: Kind, bytes: Range<u64>) -> io::Result<bool> {
    match fcntl(file.as_fd(), FcntlArg::F_OFD_SETLK(&range(kind, bytes))) {
        Ok(_) => Ok(true),
        Err(Errno::EAGAIN | Errno::EACCES) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Whether another open file has a lock in the range.
///
/// # Errors
/// As fcntl(2).
pub fn is_held(file: &File, bytes: Range<u64>) -> io::Result<bool> {
    let mut range = range(Kind::Exclusive, bytes);
    fcntl(file.as_fd(), FcntlArg::F_OFD_GETLK(&mut range))?;
    Ok(i32::from(range.l_type) != libc::F_UNLCK)
}

fn range(kind: Kind, bytes: Range<u64>) -> libc::flock {
    let kind = match kind {
        Kind::Shared => libc::F_RDLCK,
        Kind::Exclusive => libc::F_WRLCK,
        Kind::None => libc::F_UNLCK,
    };
    // A length of 0 is "to the end, however far that is" (fcntl(2)).
    let length = match bytes.end {
        u64::MAX => 0,
        end => end - bytes.start,
    };
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: bytes.start as libc::off_t,
        l_len: length as libc::off_t,
        // The kernel demands 0 for locks of an open file.
        l_pid: 0,
    }
}
