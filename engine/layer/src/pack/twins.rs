//! Files of the same content, which are stored once.
//!
//! Only files of a size that occurs more than once are hashed, and those of equal hash are compared byte by byte: a
//! collision, even a forged one, costs time and nothing else. Holes count: they are compared by where they are.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};

use super::PackError;
use super::scan::{Regular, Tree};
use super::source::{Part, Source};

/// Bytes that are read at a time.
const READ_SIZE: u64 = 128 << 10;

/// The contents that were written, to find duplicates of.
pub(super) struct Known<'a> {
    /// How many files have this size.
    sizes: HashMap<u64, u32>,
    /// Files and their contents, by size and hash.
    contents: HashMap<(u64, u64), Vec<(Regular<'a>, u32)>>,
    hasher: RandomState,
}

/// What a file is found by again; `None` when no other has its size.
pub(super) type Key = Option<(u64, u64)>;

impl<'a> Known<'a> {
    pub(super) fn new(tree: &'a Tree) -> Known<'a> {
        let mut sizes = HashMap::new();
        for file in tree.files() {
            *sizes.entry(file.size).or_default() += 1;
        }
        Known {
            sizes,
            contents: HashMap::new(),
            hasher: RandomState::new(),
        }
    }

    /// The key of a file.
    pub(super) fn key(&self, file: Regular) -> Result<Key, PackError> {
        if self.sizes.get(&file.size).is_none_or(|count| *count < 2) {
            return Ok(None);
        }
        let mut hasher = self.hasher.build_hasher();
        if file.size > 0 {
            let source = Source::open(file)?;
            for part in source.parts()? {
                hasher.write_u8(part.is_hole.into());
                hasher.write_u64(part.size);
                read(&source, part, |piece, _| {
                    hasher.write(piece);
                    Ok(true)
                })?;
            }
        }
        Ok(Some((file.size, hasher.finish())))
    }

    /// The content that equals that of a file with this key.
    pub(super) fn twin(&self, file: Regular, key: Key) -> Result<Option<u32>, PackError> {
        let candidates = key.and_then(|key| self.contents.get(&key));
        for (other, content) in candidates.into_iter().flatten() {
            if file.size == 0 || same(&Source::open(file)?, &Source::open(*other)?)? {
                return Ok(Some(*content));
            }
        }
        Ok(None)
    }

    /// Notes the content of a file with this key.
    pub(super) fn add(&mut self, file: Regular<'a>, key: Key, content: u32) {
        if let Some(key) = key {
            self.contents.entry(key).or_default().push((file, content));
        }
    }
}

fn same(one: &Source, other: &Source) -> Result<bool, PackError> {
    let parts = one.parts()?;
    if parts != other.parts()? {
        return Ok(false);
    }
    let mut buffer = Vec::new();
    let mut equal = true;
    for part in parts {
        read(one, part, |piece, offset| {
            buffer.resize(piece.len(), 0);
            other.read(&mut buffer, offset)?;
            equal = buffer == piece;
            Ok(equal)
        })?;
        if !equal {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Reads a part piece by piece, unless it is a hole, until `take` answers that it has seen enough. It gets the bytes and
/// where in the file they are.
fn read(
    source: &Source,
    part: Part,
    mut take: impl FnMut(&[u8], u64) -> Result<bool, PackError>,
) -> Result<(), PackError> {
    if part.is_hole {
        return Ok(());
    }
    let mut buffer = vec![0; READ_SIZE.min(part.size) as usize];
    let mut done = 0;
    while done < part.size {
        let count = (part.size - done).min(READ_SIZE) as usize;
        let piece = &mut buffer[..count];
        source.read(piece, part.offset + done)?;
        if !take(piece, part.offset + done)? {
            return Ok(());
        }
        done += count as u64;
    }
    Ok(())
}
