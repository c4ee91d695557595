//! Extended attributes, as they are below.

use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{XattrFlags, getxattr, listxattr, removexattr, setxattr};
use rustix::io::Result;

use crate::tree::through;

/// The most that the kernel takes (`XATTR_SIZE_MAX` in linux/limits.h), in bytes.
const MAX: usize = 64 << 10;

/// What one was asked for with a buffer of `size` bytes: the bytes, or how many there are when `size` is 0.
pub(super) enum Answer {
    Bytes(Vec<u8>),
    Length(u32),
}

pub(super) fn get(fd: &OwnedFd, name: &Path, size: u32) -> Result<Answer> {
    sized(size, |buffer| {
        getxattr(through(fd), name.as_os_str().as_bytes(), buffer)
    })
}

pub(super) fn list(fd: &OwnedFd, size: u32) -> Result<Answer> {
    sized(size, |buffer| listxattr(through(fd), buffer))
}

/// Reads into a buffer of the size that the program has, so that one that is too small gets its `ERANGE`.
fn sized(size: u32, read: impl FnOnce(&mut [u8]) -> Result<usize>) -> Result<Answer> {
    let wanted = match size {
        0 => MAX,
        _ => MAX.min(size as usize),
    };
    let mut buffer = vec![0; wanted];
    let length = read(&mut buffer[..])?;
    buffer.truncate(length);
    Ok(match size {
        0 => Answer::Length(length as u32),
        _ => Answer::Bytes(buffer),
    })
}

pub(super) fn set(fd: &OwnedFd, name: &Path, value: &[u8], flags: i32) -> Result<()> {
    let flags = XattrFlags::from_bits_retain(flags as u32);
    setxattr(through(fd), name.as_os_str().as_bytes(), value, flags)
}

pub(super) fn remove(fd: &OwnedFd, name: &Path) -> Result<()> {
    removexattr(through(fd), name.as_os_str().as_bytes())
}
