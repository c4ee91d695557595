//! The contents of all files of a tree, in one file that has no name and goes with the build.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::Path;

use flatimage_layer::Extent;

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

    /// The file, for reading.
    pub(crate) fn contents(&mut self) -> io::Result<&File> {
        self.out.flush()?;
        Ok(self.out.get_ref())
    }
}
