//! The content of one file of the tree: which parts of it are data, and their bytes.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{OFlags, SeekFrom, seek};
use rustix::io::Errno;

use super::PackError;
use super::description::Extent;
use super::scan::{Origin, Regular, Stamp};

/// An opened file.
pub(super) struct Source<'a> {
    regular: Regular<'a>,
    opened: Opened<'a>,
}

/// Where the bytes are.
enum Opened<'a> {
    /// In a file of the tree, which must keep looking like this.
    Found(File, Stamp),
    /// In pieces of a file that holds those of many.
    Described(&'a File, &'a [Extent]),
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
    /// Opens a file. What was found on disk must be what it was when the tree was walked.
    pub(super) fn open(regular: Regular<'a>) -> Result<Source<'a>, PackError> {
        let opened = match (regular.origin, regular.contents) {
            (Origin::Found(stamp), _) => Opened::Found(open_found(regular.path)?, *stamp),
            (Origin::Described(extents), Some(contents)) => Opened::Described(contents, extents),
            (Origin::Described(_), None) => {
                return Err(PackError::Description("the contents of files are missing"));
            }
        };
        let source = Source { regular, opened };
        source.check()?;
        Ok(source)
    }

    /// Refuses a file that changed since the tree was walked.
    pub(super) fn check(&self) -> Result<(), PackError> {
        let Opened::Found(file, stamp) = &self.opened else {
            return Ok(());
        };
        let metadata = file.metadata().map_err(|error| self.read_error(error))?;
        match Stamp::of(&metadata) == *stamp {
            true => Ok(()),
            false => Err(self.changed()),
        }
    }

    /// Data and holes, in turn.
    pub(super) fn parts(&self) -> Result<Vec<Part>, PackError> {
        let end = self.regular.size;
        let file = match &self.opened {
            Opened::Found(file, _) => file,
            Opened::Described(_, extents) => return Ok(described(extents, end)),
        };
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
                true => self.seek(file, SeekFrom::Data(at), at)?.clamp(at, end),
                false => at,
            };
            add(at, data, true);
            let hole = match is_sparse && data < end {
                true => self.seek(file, SeekFrom::Hole(data), end)?.min(end),
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
    fn seek(&self, file: &File, to: SeekFrom, otherwise: u64) -> Result<u64, PackError> {
        match seek(file, to) {
            Ok(place) => Ok(place),
            Err(Errno::NXIO) => Ok(self.regular.size),
            Err(Errno::INVAL | Errno::OPNOTSUPP) => Ok(otherwise),
            Err(error) => Err(self.read_error(error.into())),
        }
    }

    /// Fills the buffer with bytes from `offset`, all of one part.
    pub(super) fn read(&self, buffer: &mut [u8], offset: u64) -> Result<(), PackError> {
        let (file, offset) = match &self.opened {
            Opened::Found(file, _) => (file, offset),
            Opened::Described(file, extents) => (*file, place(extents, offset)),
        };
        file.read_exact_at(buffer, offset)
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

fn open_found(path: &Path) -> Result<File, PackError> {
    // What took the file's place may be a link, or a pipe that nobody writes to.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits() as i32)
        .open(path)
        .map_err(|error| PackError::during(path, error))
}

/// Data and holes of a file of `end` bytes whose data is in these pieces.
fn described(extents: &[Extent], end: u64) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut add = |offset: u64, end: u64, is_hole| {
        if offset < end {
            let size = end - offset;
            parts.push(Part {
                offset,
                size,
                is_hole,
            });
        }
    };
    let mut at = 0;
    for extent in extents {
        add(at, extent.offset, true);
        at = extent.offset + extent.size;
        add(extent.offset, at, false);
    }
    add(at, end, true);
    parts
}

/// Where the byte at `offset` of a file is.
fn place(extents: &[Extent], offset: u64) -> u64 {
    let after = extents.partition_point(|extent| extent.offset <= offset);
    let before = after.checked_sub(1).and_then(|index| extents.get(index));
    before.map_or(u64::MAX, |extent| extent.at + (offset - extent.offset))
}
