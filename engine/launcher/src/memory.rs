//! The runtime, unpacked into memory.

use rustix::fd::OwnedFd;
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use rustix::io::Errno;

use crate::Failure;
use crate::marker::{LENGTH, Marker};
use crate::process::Mapping;

/// Bytes of the largest runtime; a damaged marker may claim more.
const LARGEST: u64 = 1 << 28;

/// Unpacks it into a file in memory.
pub fn unpack(image: &OwnedFd, marker: &Marker) -> Result<OwnedFd, Failure> {
    let no_memory = |errno: Errno| Failure("there is no memory for the program", Some(errno));
    let damaged = Failure("the image is damaged; restore it from a copy", None);
    if !(1..=LARGEST).contains(&marker.runtime_size) {
        return Err(damaged);
    }
    let runtime = memfd_create(c"flatimage", MemfdFlags::CLOEXEC).map_err(no_memory)?;
    ftruncate(&runtime, marker.runtime_size).map_err(no_memory)?;
    let (Ok(start), Ok(end)) = (usize::try_from(LENGTH), usize::try_from(marker.end)) else {
        return Err(damaged);
    };
    let packed = Mapping::read(image, end).map_err(no_memory)?;
    let mut unpacked = Mapping::written(&runtime, marker.runtime_size).map_err(no_memory)?;
    let done = packed
        .bytes()
        .get(start..)
        .and_then(|packed| lz4_flex::block::decompress_into(packed, unpacked.bytes_mut()).ok());
    match done {
        Some(size) if size as u64 == marker.runtime_size => Ok(runtime),
        _ => Err(damaged),
    }
}
