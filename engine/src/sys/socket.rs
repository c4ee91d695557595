//! Sockets of whatever family a program asks for, by number.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

use super::check;

/// As socket(2).
///
/// # Errors
/// As socket(2).
pub fn make_socket(family: i32, kind: i32, protocol: i32) -> io::Result<OwnedFd> {
    // SAFETY: integers only.
    let fd = check(unsafe { libc::socket(family, kind, protocol) }.into())?;
    // SAFETY: the kernel has just returned it to us and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// As socketpair(2).
///
/// # Errors
/// As socketpair(2).
pub fn make_socket_pair(family: i32, kind: i32, protocol: i32) -> io::Result<[OwnedFd; 2]> {
    let mut pair = [0; 2];
    // SAFETY: the kernel writes two integers to where two are.
    check(unsafe { libc::socketpair(family, kind, protocol, pair.as_mut_ptr()) }.into())?;
    // SAFETY: the kernel has just returned them to us and nobody else knows them.
    Ok(pair.map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }))
}
