//! The content of all files, cut into blocks.
//!
//! A file that fits in a block is not torn in two, and a larger one starts a block, as long as that leaves no block less
//! than half full: an aligned read then decompresses one block.

use std::collections::HashMap;
use std::fs::File;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, Read, Write};
use std::path::Path;

use super::blocks::Writer;
use super::scan::{Index, Tree};
use super::{PackError, Progress, order};

/// Bytes that are read at a time.
const READ_SIZE: usize = 128 << 10;

/// Where a piece of content lies in the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) block: u32,
    /// Bytes from the start of the block.
    pub(super) offset: u32,
    /// Bytes.
    pub(super) size: u32,
}

/// The content of all files.
#[derive(Debug, Default)]
pub(super) struct Contents {
    /// The pieces of each different content.
    pub(super) pieces: Vec<Vec<Piece>>,
    /// The content of each file, as an index of `pieces`.
    pub(super) of_file: HashMap<Index, u32>,
}

/// Writes the content of all files of the tree as blocks of at most `block_size` bytes.
pub(super) fn write<W: Write>(
    tree: &Tree,
    writer: &mut Writer<W>,
    block_size: usize,
    progress: &mut dyn FnMut(Progress),
) -> Result<Contents, PackError> {
    let mut contents = Contents::default();
    let mut known = Known::new(tree);
    let mut cutter = Cutter {
        writer,
        block_size,
        block: Vec::with_capacity(block_size),
    };
    let mut done = Progress {
        bytes_done: 0,
        bytes_total: tree.content_size(),
    };
    for (index, path, size) in order::files(tree) {
        let twin = known.twin(path, size)?;
        let content = match twin {
            Some(content) => content,
            None => {
                let content = contents.pieces.len() as u32;
                contents.pieces.push(cutter.file(path, size)?);
                known.add(path, size, content)?;
                content
            }
        };
        contents.of_file.insert(index, content);
        done.bytes_done += size;
        progress(done);
    }
    cutter.cut()?;
    Ok(contents)
}

/// Collects content until there is a block of it.
struct Cutter<'a, 'w, W> {
    writer: &'a mut Writer<'w, W>,
    block_size: usize,
    block: Vec<u8>,
}

impl<W: Write> Cutter<'_, '_, W> {
    fn file(&mut self, path: &Path, size: u64) -> Result<Vec<Piece>, PackError> {
        let read = |error| PackError::read(path, error);
        let mut pieces = Vec::new();
        if size == 0 {
            return Ok(pieces);
        }
        let room = (self.block_size - self.block.len()) as u64;
        // A short block compresses worse: rather tear a file than leave more than half of a block empty.
        if size > room && self.block.len() * 2 >= self.block_size {
            self.cut()?;
        }
        let mut file = File::open(path).map_err(read)?;
        let mut rest = size;
        while rest > 0 {
            if self.block.len() == self.block_size {
                self.cut()?;
            }
            let offset = self.block.len();
            let room = (self.block_size - offset) as u64;
            let count = rest.min(room);
            let got = Read::by_ref(&mut file)
                .take(count)
                .read_to_end(&mut self.block)
                .map_err(read)?;
            if got as u64 != count {
                return Err(PackError::Changed { path: path.into() });
            }
            pieces.push(Piece {
                block: self.writer.next_block(),
                offset: offset as u32,
                size: count as u32,
            });
            rest -= count;
        }
        if file.read(&mut [0]).map_err(read)? != 0 {
            return Err(PackError::Changed { path: path.into() });
        }
        Ok(pieces)
    }

    fn cut(&mut self) -> Result<(), PackError> {
        if self.block.is_empty() {
            return Ok(());
        }
        let next = Vec::with_capacity(self.block_size);
        self.writer.block(std::mem::replace(&mut self.block, next))
    }
}

/// The contents that were written, to find duplicates of.
///
/// Only files of a size that occurs more than once are hashed, and those of equal hash are compared byte by byte: a
/// collision, even a forged one, costs time and nothing else.
struct Known<'a> {
    /// How many files have this size.
    sizes: HashMap<u64, u32>,
    /// Files and their contents, by size and hash.
    contents: HashMap<(u64, u64), Vec<(&'a Path, u32)>>,
    hasher: RandomState,
}

impl<'a> Known<'a> {
    fn new(tree: &'a Tree) -> Known<'a> {
        let mut sizes = HashMap::new();
        for (_, _, size) in tree.files() {
            *sizes.entry(size).or_default() += 1;
        }
        Known {
            sizes,
            contents: HashMap::new(),
            hasher: RandomState::new(),
        }
    }

    fn is_candidate(&self, size: u64) -> bool {
        self.sizes.get(&size).is_some_and(|count| *count > 1)
    }

    /// The content that equals this file's.
    fn twin(&self, path: &Path, size: u64) -> Result<Option<u32>, PackError> {
        if !self.is_candidate(size) {
            return Ok(None);
        }
        let key = (size, self.hash(path, size)?);
        for (other, content) in self.contents.get(&key).into_iter().flatten() {
            if same(path, other, size)? {
                return Ok(Some(*content));
            }
        }
        Ok(None)
    }

    fn add(&mut self, path: &'a Path, size: u64, content: u32) -> Result<(), PackError> {
        if self.is_candidate(size) {
            let key = (size, self.hash(path, size)?);
            self.contents.entry(key).or_default().push((path, content));
        }
        Ok(())
    }

    fn hash(&self, path: &Path, size: u64) -> Result<u64, PackError> {
        let mut hasher = self.hasher.build_hasher();
        pieces(path, size, |piece| {
            hasher.write(piece);
            Ok(true)
        })?;
        Ok(hasher.finish())
    }
}

fn same(path: &Path, other: &Path, size: u64) -> Result<bool, PackError> {
    let read = |error| PackError::read(other, error);
    let mut file = File::open(other).map_err(read)?;
    let mut buffer = vec![0; READ_SIZE];
    let mut equal = true;
    pieces(path, size, |piece| {
        let buffer = &mut buffer[..piece.len()];
        file.read_exact(buffer).map_err(read)?;
        equal = buffer == piece;
        Ok(equal)
    })?;
    Ok(equal)
}

/// Reads a file piece by piece until `take` answers that it has seen enough.
fn pieces(
    path: &Path,
    size: u64,
    mut take: impl FnMut(&[u8]) -> Result<bool, PackError>,
) -> Result<(), PackError> {
    if size == 0 {
        return Ok(());
    }
    let read = |error| PackError::read(path, error);
    let mut file = File::open(path).map_err(read)?;
    let mut buffer = vec![0; READ_SIZE.min(size as usize)];
    let mut rest = size;
    while rest > 0 {
        let count = rest.min(buffer.len() as u64) as usize;
        match file.read_exact(&mut buffer[..count]) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(PackError::Changed { path: path.into() });
            }
            Err(error) => return Err(read(error)),
        }
        if !take(&buffer[..count])? {
            return Ok(());
        }
        rest -= count as u64;
    }
    Ok(())
}
