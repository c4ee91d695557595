//! Checks every byte of an image against the checksums in it.

use std::fs::File;
use std::sync::Arc;

use crate::error::{OpenError, ReadError};
use crate::section::{Extent, probe};

/// Which of its two checksums every section is checked against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksums {
    /// XXH3-64 alone, as every reader does it: finds accidents, at the speed of memory.
    Fast,
    /// XXH3-64 and SHA-512/256.
    All,
}

/// Reads the image that lies in `file` at `offset` and is `length` bytes long (both in bytes), and answers how many
/// sections it has, all of which are whole. A section takes as much memory as its payload.
///
/// # Errors
/// As [`probe`]; [`OpenError::Damaged`] at the first section whose checksum does not match, or that does not end
/// where the image does.
pub fn verify(
    file: &File,
    offset: u64,
    length: u64,
    checksums: Checksums,
) -> Result<u64, OpenError> {
    probe(file, offset, length)?;
    let io = |source| ReadError::from(source).at(offset);
    let extent = Extent::new(Arc::new(file.try_clone().map_err(io)?), offset, length);
    let mut at = 0;
    let mut sections = 0;
    while at < length {
        at = extent
            .verify(at, checksums == Checksums::All)
            .map_err(|error| error.at(offset))?;
        sections += 1;
    }
    Ok(sections)
}
