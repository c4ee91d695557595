//! The content of all files, cut into blocks.
//!
//! A file that fits in a block is not torn in two, and a larger one starts a block, as long as that leaves no block less
//! than half full: an aligned read then decompresses one block. Holes take no space, however large they are.

use std::collections::HashMap;
use std::io::Write;

use super::blocks::Writer;
use super::scan::{Index, Regular, Tree};
use super::source::{Part, Source};
use super::twins::Known;
use super::{PackError, Progress, order};

/// Where a piece of content lies in the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// In a block: bytes from its start, and bytes.
    Data { block: u32, offset: u32, size: u32 },
    /// Nowhere: so many zeros.
    Hole { size: u64 },
}

impl Piece {
    /// Bytes of the file that this piece makes up.
    pub(super) fn size(self) -> u64 {
        match self {
            Piece::Data { size, .. } => size.into(),
            Piece::Hole { size } => size,
        }
    }
}

/// The content of all files.
#[derive(Debug, Default)]
pub(super) struct Contents {
    /// The pieces of each different content.
    pub(super) pieces: Vec<Vec<Piece>>,
    /// The content of each file, as an index of `pieces`.
    pub(super) of_file: HashMap<Index, u32>,
    /// The number of blocks.
    pub(super) blocks: u32,
}

impl Contents {
    /// The number of the block that holes are said to be in, if there are any: the one behind the last.
    pub(super) fn hole_block(&self) -> Option<u32> {
        let is_hole = |piece: &Piece| matches!(piece, Piece::Hole { .. });
        let has_holes = self.pieces.iter().flatten().any(is_hole);
        has_holes.then_some(self.blocks)
    }
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
        bytes_total: tree.data_size(),
    };
    for file in order::files(tree) {
        let key = known.key(file)?;
        let content = match known.twin(file, key)? {
            Some(content) => content,
            None => {
                let content = contents.pieces.len() as u32;
                contents.pieces.push(cutter.file(file)?);
                known.add(file, key, content);
                content
            }
        };
        contents.of_file.insert(file.index, content);
        done.bytes_done = done.bytes_done.saturating_add(file.data_size);
        progress(done);
    }
    cutter.cut()?;
    contents.blocks = cutter.writer.next_block();
    Ok(contents)
}

/// Collects content until there is a block of it.
struct Cutter<'a, 'w, W> {
    writer: &'a mut Writer<'w, W>,
    block_size: usize,
    block: Vec<u8>,
}

impl<W: Write> Cutter<'_, '_, W> {
    fn file(&mut self, file: Regular) -> Result<Vec<Piece>, PackError> {
        let mut pieces = Vec::new();
        if file.size == 0 {
            return Ok(pieces);
        }
        let source = Source::open(file)?;
        let parts = source.parts()?;
        let data: u64 = parts
            .iter()
            .filter(|part| !part.is_hole)
            .map(|part| part.size)
            .sum();
        let room = (self.block_size - self.block.len()) as u64;
        // A short block compresses worse: rather tear a file than leave more than half of a block empty.
        if data > room && self.block.len() * 2 >= self.block_size {
            self.cut()?;
        }
        for part in parts {
            match part.is_hole {
                true => self.hole(part.size, &mut pieces),
                false => self.data(&source, part, &mut pieces)?,
            }
        }
        source.check()?;
        Ok(pieces)
    }

    /// The number of whole blocks of a hole has 32 bits, so what is larger takes several pieces.
    fn hole(&self, size: u64, pieces: &mut Vec<Piece>) {
        let most = self.block_size as u64 * u64::from(u32::MAX);
        let mut rest = size;
        while rest > 0 {
            let size = rest.min(most);
            pieces.push(Piece::Hole { size });
            rest -= size;
        }
    }

    fn data(
        &mut self,
        source: &Source,
        part: Part,
        pieces: &mut Vec<Piece>,
    ) -> Result<(), PackError> {
        let mut done = 0;
        while done < part.size {
            if self.block.len() == self.block_size {
                self.cut()?;
            }
            let offset = self.block.len();
            let room = (self.block_size - offset) as u64;
            let count = (part.size - done).min(room);
            self.block.resize(offset + count as usize, 0);
            source.read(&mut self.block[offset..], part.offset + done)?;
            pieces.push(Piece::Data {
                block: self.writer.next_block(),
                offset: offset as u32,
                size: count as u32,
            });
            done += count;
        }
        Ok(())
    }

    fn cut(&mut self) -> Result<(), PackError> {
        if self.block.is_empty() {
            return Ok(());
        }
        let next = Vec::with_capacity(self.block_size);
        self.writer.block(std::mem::replace(&mut self.block, next))
    }
}
