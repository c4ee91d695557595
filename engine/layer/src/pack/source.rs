//! The content of one file of the tree: which parts of it are data, and their bytes.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};

use rustix::fs::{OFlags, SeekFrom, seek};
use rustix::io::Errno;

use super::PackError;
use super::scan::{Regular, Stamp};

/// An opened file.
pub(super) struct Source<'a> {
    regular: Regular<'a>,
    file: File,
}

/// A part of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// Bytes from the start of the file.
    pub(super) offset: u64,
    /// Bytes.
    pub(super) size: u64,
    /// Whether nothing is stored for it: it reads as zeros.
    pub(super) is_hole: bool,
}

impl<'a> Source<'a> {
    /// Opens a file, which must be what it was when the tree was walked.
    pub(super) fn open(regular: Regular<'a>) -> Result<Source<'a>, PackError> {
        // What took the file's place may be a link, or a pipe that nobody writes to.
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(flags.bits() as i32)
            .open(regular.path)
            .map_err(|error| PackError::during(regular.path, error))?;
        let source = Source { regular, file };
        source.check()?;
        Ok(source)
    }

    /// Refuses a file that changed since the tree was walked.
    pub(super) fn check(&self) -> Result<(), PackError> {
        let metadata = self.file.metadata();
        let metadata = metadata.map_err(|error| self.read_error(error))?;
        match Stamp::of(&metadata) == self.regular.stamp {
            true => Ok(()),
            false => Err(self.changed()),
        }
    }

    /// Data and holes, in turn.
    pub(super) fn parts(&self) -> Result<Vec<Part>, PackError> {
        let end = self.regular.size;
        let is_sparse = self.regular.data_size < end;
        let mut parts = Vec::new();
        let mut add = |from: u64, to: u64, is_hole| {
            if from < to {
                parts.push(Part {
                    offset: from,
                    size: to - from,
                    is_hole,
                });
            }
        };
        let mut at = 0;
        while at < end {
            let data = match is_sparse {
                true => self.seek(SeekFrom::Data(at), at)?.clamp(at, end),
                false => at,
            };
            add(at, data, true);
            let hole = match is_sparse && data < end {
                true => self.seek(SeekFrom::Hole(data), end)?.min(end),
                false => end,
            };
            // Somebody writes to the file, or the filesystem contradicts itself.
            if hole <= data && data < end {
                return Err(self.changed());
            }
            add(data, hole, false);
            at = hole;
        }
        Ok(parts)
    }

    /// Where the next data or hole starts: the end when there is none, and `otherwise` where the filesystem cannot tell.
    fn seek(&self, to: SeekFrom, otherwise: u64) -> Result<u64, PackError> {
        match seek(&self.file, to) {
            Ok(place) => Ok(place),
            Err(Errno::NXIO) => Ok(self.regular.size),
            Err(Errno::INVAL | Errno::OPNOTSUPP) => Ok(otherwise),
            Err(error) => Err(self.read_error(error.into())),
        }
    }

    /// Fills the buffer with bytes from `offset`.
    pub(super) fn read(&self, buffer: &mut [u8], offset: u64) -> Result<(), PackError> {
        self.file
            .read_exact_at(buffer, offset)
            .map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => self.changed(),
                _ => self.read_error(error),
            })
    }

    fn changed(&self) -> PackError {
        PackError::Changed {
            path: self.regular.path.into(),
        }
    }

    fn read_error(&self, error: io::Error) -> PackError {
        PackError::read(self.regular.path, error)
    }
}
