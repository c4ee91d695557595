//! Checks every byte of an image against the checksums in it.

use std::fs::File;
use std::sync::Arc;

use crate::error::{OpenError, ReadError};
use crate::section::{Extent, Sections, probe};

/// Which of its two checksums every section is checked against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksums {
    /// XXH3-64 alone, as every reader does it: finds accidents, at the speed of memory.
    Fast,
    /// XXH3-64 and SHA-512/256.
    All,
}

/// Reads the image that lies in `file` at `offset` and is `length` bytes long (both in bytes), and answers how many
/// sections it has, all of which are whole. Extended attributes are also looked at one by one. A section takes as much
/// memory as its payload.
///
/// # Errors
/// As [`probe`]; [`OpenError::Damaged`] at the first section whose checksum does not match, or that does not end
/// where the image does, and when there is no metadata or an extended attribute makes no sense.
pub fn verify(
    file: &File,
    offset: u64,
    length: u64,
    checksums: Checksums,
) -> Result<u64, OpenError> {
    probe(file, offset, length)?;
    let io = |source| ReadError::from(source).at(offset);
    let extent = Extent::new(Arc::new(file.try_clone().map_err(io)?), offset, length);
    let check = || {
        let mut at = 0;
        let mut sections = 0;
        while at < length {
            at = extent.verify(at, checksums == Checksums::All)?;
            sections += 1;
        }
        // A sum says nothing about sense, and no other tool knows this section.
        if let Some(xattrs) = Sections::open(extent)?.xattrs()? {
            xattrs.check()?;
        }
        Ok(sections)
    };
    check().map_err(|error: ReadError| error.at(offset))
}
