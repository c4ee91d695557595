//! Packing a directory tree into an image.

use std::io::Write;
use std::path::{Path, PathBuf};

/// How to pack.
#[derive(Clone, Debug)]
pub struct PackOptions {
    /// 0 (fast) to 9 (small).
    pub level: u8,
    /// Base-2 logarithm of the block size in bytes.
    pub block_size_log2: u32,
    /// Threads that compress.
    pub threads: usize,
}

impl Default for PackOptions {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
        PackOptions {
            level: 7,
            block_size_log2: 17,
            threads,
        }
    }
}

/// What was packed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Packed {
    /// Inodes in the image.
    pub inodes: u64,
    /// Bytes of file content in the tree.
    pub bytes_in: u64,
    /// Bytes of the image.
    pub bytes_out: u64,
}

/// How far packing has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of file content read.
    pub bytes_done: u64,
    /// Bytes of file content in the tree.
    pub bytes_total: u64,
}

/// Why a tree cannot be packed.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// A file or directory of the tree cannot be read.
    #[error("cannot read `{}`: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The image cannot be written.
    #[error("cannot write the image: {0}")]
    Write(#[source] std::io::Error),
}

/// Packs the tree below `source` into a DwarFS image written to `out`.
pub fn pack(
    source: &Path,
    _out: &mut impl Write,
    _options: &PackOptions,
    _progress: &mut dyn FnMut(Progress),
) -> Result<Packed, PackError> {
    Err(PackError::Read {
        path: source.into(),
        source: std::io::ErrorKind::Unsupported.into(),
    })
}
