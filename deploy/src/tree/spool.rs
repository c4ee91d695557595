//! The contents of all files of a tree, in one file that has no name and goes with the build.

use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use flatimage_layer::{Extent, Node, NodeKind};

use crate::archive::{Archive, Segment};

/// Takes contents one after the other.
pub(crate) struct Spool {
    out: BufWriter<File>,
    /// Bytes in it.
    end: u64,
}

impl Spool {
    /// An empty one, on the disk of a directory.
    pub(crate) fn new(dir: &Path) -> io::Result<Spool> {
        Ok(Spool {
            out: BufWriter::with_capacity(1 << 20, tempfile::tempfile_in(dir)?),
            end: 0,
        })
    }

    /// Takes the content of an archive's current member, and says where its segments are.
    pub(crate) fn take<R: Read>(
        &mut self,
        archive: &mut Archive<R>,
        segments: &[Segment],
    ) -> io::Result<Vec<Extent>> {
        archive.copy_content(&mut self.out)?;
        let mut extents = Vec::with_capacity(segments.len());
        for segment in segments {
            extents.push(Extent {
                offset: segment.offset,
                at: self.end,
                size: segment.size,
            });
            self.end += segment.size;
        }
        Ok(extents)
    }

    /// Takes bytes.
    pub(crate) fn add(&mut self, bytes: &[u8]) -> io::Result<Vec<Extent>> {
        self.out.write_all(bytes)?;
        let extent = Extent {
            offset: 0,
            at: self.end,
            size: bytes.len() as u64,
        };
        self.end += extent.size;
        Ok(if bytes.is_empty() {
            vec![]
        } else {
            vec![extent]
        })
    }

    /// The bytes of a file that is not larger than `most` and has no holes.
    pub(crate) fn read(&mut self, node: &Node, most: u64) -> io::Result<Vec<u8>> {
        let NodeKind::File { size, .. } = &node.kind else {
            return Err(io::ErrorKind::NotFound.into());
        };
        if *size > most {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let mut bytes = Vec::new();
        self.reader(node)?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Reads a file that has no holes.
    pub(crate) fn reader(&mut self, node: &Node) -> io::Result<Piece> {
        let (at, size) = match &node.kind {
            NodeKind::File { size: 0, .. } => (0, 0),
            NodeKind::File { size, data } => match data[..] {
                [extent] if extent.size == *size => (extent.at, *size),
                _ => return Err(io::ErrorKind::Unsupported.into()),
            },
            _ => return Err(io::ErrorKind::NotFound.into()),
        };
        let file = self.contents()?.try_clone()?;
        let read = 0;
        Ok(Piece {
            file,
            at,
            size,
            read,
        })
    }

    /// The file, for reading.
    pub(crate) fn contents(&mut self) -> io::Result<&File> {
        self.out.flush()?;
        Ok(self.out.get_ref())
    }
}

/// A piece of a spool.
pub(crate) struct Piece {
    file: File,
    /// Where it starts, in bytes.
    at: u64,
    /// Bytes.
    size: u64,
    /// Bytes before the place that is read next.
    read: u64,
}

impl Read for Piece {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.size.saturating_sub(self.read)).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(left);
        let count = self
            .file
            .read_at(&mut buffer[..wanted], self.at + self.read)?;
        self.read += count as u64;
        Ok(count)
    }
}

impl Seek for Piece {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let place = match to {
            SeekFrom::Start(place) => Some(place),
            SeekFrom::End(by) => self.size.checked_add_signed(by),
            SeekFrom::Current(by) => self.read.checked_add_signed(by),
        };
        self.read = place.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.read)
    }
}
