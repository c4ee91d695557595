//! The content of files, from chunks in blocks.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, PoisonError};

use super::Layer;
use crate::cache::{Block, BlockCache};
use crate::error::ReadError;
use crate::metadata::Chunk;

/// Files of more chunks than this get a table of where each chunk starts.
const CHUNKS_TO_SCAN: u32 = 32;

/// Chunks that are remembered, 128 GiB of files in small blocks. In a forged image all files may share a million of them.
const MAX_KNOWN: usize = 1 << 20;

const MISSING_CHUNK: ReadError = ReadError::Damaged("a chunk lies beyond its block");

/// What [`Layer::seek`] looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seek {
    /// Bytes that are stored.
    Data,
    /// Zeros that are not.
    Hole,
}

/// The chunks of a file.
#[derive(Debug)]
struct Chunks {
    /// Where each ends, in bytes from the start of the file.
    ends: Vec<u64>,
    /// Bytes that are in blocks.
    data_size: u64,
}

/// The chunks of files of many chunks that were asked for.
#[derive(Debug, Default)]
pub(super) struct Known {
    files: HashMap<u32, Arc<Chunks>>,
    /// Chunks of all these files.
    count: usize,
}

impl Known {
    fn add(&mut self, inode: u32, chunks: &Arc<Chunks>) {
        self.count += chunks.ends.len();
        if self.count > MAX_KNOWN {
            self.files.clear();
            self.count = chunks.ends.len();
        }
        self.files.insert(inode, Arc::clone(chunks));
    }
}

impl Layer {
    /// Reads up to `size` bytes of a file's content from `offset` and passes them to `receive`: fewer at the end of the
    /// file, none beyond it.
    ///
    /// # Errors
    /// When the image cannot be read, or is damaged where these bytes lie.
    pub fn read<T>(
        &self,
        cache: &BlockCache,
        inode: u32,
        offset: u64,
        size: u32,
        receive: impl FnOnce(&[u8]) -> T,
    ) -> Result<T, ReadError> {
        let chunks = self
            .metadata
            .chunks(inode)
            .ok_or(ReadError::Damaged("a file has no content"))?;
        let (mut index, mut skip) = self.find_chunk(inode, chunks.clone(), offset);
        let mut wanted = u64::from(size);
        let mut gathered = Vec::new();
        while wanted > 0 && index < chunks.end {
            let chunk = self.metadata.chunk(index).ok_or(MISSING_CHUNK)?;
            let count = chunk.size().saturating_sub(skip).min(wanted);
            match chunk {
                Chunk::Hole { .. } => gathered.resize(gathered.len() + count as usize, 0),
                Chunk::Data { block, offset, .. } => {
                    let bytes = self.block(cache, block)?;
                    let start = u64::from(offset) + skip;
                    let piece = bytes
                        .get(start as usize..(start + count) as usize)
                        .ok_or(MISSING_CHUNK)?;
                    // Most requests lie in one block: those are answered without a copy.
                    if gathered.is_empty() && (count == wanted || index + 1 == chunks.end) {
                        return Ok(receive(piece));
                    }
                    gathered.extend_from_slice(piece);
                }
            }
            wanted -= count;
            skip = 0;
            index += 1;
        }
        Ok(receive(&gathered))
    }

    /// Where the next data or hole starts at or behind `offset`, in bytes; the end of a file is a hole. `None` when there
    /// is none, or the offset is not in the file (`SEEK_DATA` and `SEEK_HOLE` of lseek(2)).
    pub fn seek(&self, inode: u32, offset: u64, wanted: Seek) -> Option<u64> {
        let chunks = self.metadata.chunks(inode)?;
        let size = self.size(inode);
        if offset >= size {
            return None;
        }
        let (first, skip) = self.find_chunk(inode, chunks.clone(), offset);
        let mut at = offset - skip;
        for chunk in (first..chunks.end).filter_map(|index| self.metadata.chunk(index)) {
            let is_hole = matches!(chunk, Chunk::Hole { .. });
            if is_hole == (wanted == Seek::Hole) && chunk.size() > 0 {
                return Some(at.max(offset));
            }
            at = at.saturating_add(chunk.size());
        }
        (wanted == Seek::Hole).then_some(size)
    }

    /// Bytes of a file's content.
    pub(super) fn size(&self, inode: u32) -> u64 {
        if let Some(size) = self.metadata.known_size(inode) {
            return size;
        }
        let chunks = self.metadata.chunks(inode).unwrap_or(0..0);
        if chunks.len() as u32 > CHUNKS_TO_SCAN {
            return self.all(inode, chunks).ends.last().copied().unwrap_or(0);
        }
        let sizes = self.each(chunks).map(Chunk::size);
        sizes.fold(0, u64::saturating_add)
    }

    /// Bytes of a file's content that are in blocks.
    pub(super) fn data_size(&self, inode: u32) -> u64 {
        let chunks = self.metadata.chunks(inode).unwrap_or(0..0);
        if chunks.len() as u32 > CHUNKS_TO_SCAN {
            return self.all(inode, chunks).data_size;
        }
        let sizes = self.each(chunks).map(Chunk::data_size);
        sizes.fold(0, u64::saturating_add)
    }

    fn each(&self, chunks: Range<u32>) -> impl Iterator<Item = Chunk> {
        chunks.filter_map(|index| self.metadata.chunk(index))
    }

    /// The chunk that holds byte `offset` of a file, and how far into it that byte lies.
    fn find_chunk(&self, inode: u32, chunks: Range<u32>, offset: u64) -> (u32, u64) {
        if chunks.len() as u32 > CHUNKS_TO_SCAN {
            let ends = &self.all(inode, chunks.clone()).ends;
            let index = ends.partition_point(|end| *end <= offset);
            let start = index.checked_sub(1).map_or(0, |before| ends[before]);
            return (chunks.start + index as u32, offset - start);
        }
        let mut rest = offset;
        for index in chunks.clone() {
            let size = self.metadata.chunk(index).map_or(0, Chunk::size);
            if rest < size {
                return (index, rest);
            }
            rest -= size;
        }
        (chunks.end, 0)
    }

    fn all(&self, inode: u32, chunks: Range<u32>) -> Arc<Chunks> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = known.files.get(&inode) {
            return Arc::clone(found);
        }
        let (mut end, mut data_size) = (0u64, 0u64);
        let ends = chunks.map(|index| {
            let chunk = self.metadata.chunk(index);
            data_size = data_size.saturating_add(chunk.map_or(0, Chunk::data_size));
            end = end.saturating_add(chunk.map_or(0, Chunk::size));
            end
        });
        let ends = ends.collect();
        let found = Arc::new(Chunks { ends, data_size });
        known.add(inode, &found);
        found
    }

    fn block(&self, cache: &BlockCache, number: u32) -> Result<Block, ReadError> {
        cache.get((self.id, number), || {
            self.sections.block(number, self.metadata.block_size())
        })
    }
}
