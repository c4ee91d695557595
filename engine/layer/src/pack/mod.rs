//! Packing a directory tree into an image.
//!
//! Three steps: [`scan`] walks the tree and reads no content, or [`description`] takes one that is described; [`content`] reads every file once, in an [`order`] that
//! puts together what is alike, finds duplicates and cuts everything into blocks, which [`blocks`] compresses on several threads and writes in
//! order; [`tables`] turns the tree into the metadata, and [`xattr`] its extended attributes into a section of their own.
//! In the end everything is looked at again: what changed meanwhile would be packed half. No more than a few blocks are in memory at a
//! time. The same tree gives the same bytes, whatever the number of threads.

mod blocks;
mod content;
mod description;
mod encode;
mod numbers;
mod options;
mod order;
mod scan;
mod source;
mod tables;
mod twins;
mod xattr;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use blocks::Writer;
pub use description::{Description, Extent, Node, NodeKind};
use numbers::Numbers;
pub use options::{IdRange, Owners, PackOptions};
use scan::Tree;

/// What was packed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Packed {
    /// Inodes in the image.
    pub inodes: u64,
    /// Bytes of file content in the tree; a hard link counts once.
    pub bytes_in: u64,
    /// Bytes of the image.
    pub bytes_out: u64,
}

/// How far packing has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of file content that were read, as the filesystem counts them: holes do not count.
    pub bytes_done: u64,
    /// The same for the whole tree.
    pub bytes_total: u64,
}

/// Why a tree cannot be packed.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// A file or directory of the tree cannot be read.
    #[error("cannot read `{}`: {source}; make it readable or take it out of the tree", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// Something changed or went away while the tree was packed.
    #[error("`{}` changed while it was packed; pack again when nothing writes to it", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// The upper directory of an overlay with `redirect_dir` or `metacopy`.
    #[error(
        "`{}` is one half of what an overlay shows, the other is in another layer; pack the merged tree, or mount the \
         overlay with `redirect_dir=off,metacopy=off`",
        path.display()
    )]
    Half {
        /// The file.
        path: PathBuf,
    },
    /// A description is not one of a tree.
    #[error("the description of the tree is wrong: {0}")]
    Description(&'static str),
    /// There are too many extended attributes.
    #[error(
        "the tree has more than 256 MiB of extended attributes, the most that a layer holds; pack it in parts"
    )]
    Attributes,
    /// The image cannot be written.
    #[error("cannot write the image: {0}")]
    Write(#[source] io::Error),
    /// The tree has more than an image can hold.
    #[error("the tree has more than 2^32 {0}, which no DwarFS image can hold; pack it in parts")]
    TooLarge(&'static str),
    /// A level or block size is out of range.
    #[error("{0}")]
    Options(&'static str),
}

impl PackError {
    fn read(path: &Path, source: io::Error) -> PackError {
        PackError::Read {
            path: path.into(),
            source,
        }
    }

    /// What it means that something that was just seen cannot be read.
    fn during(path: &Path, source: io::Error) -> PackError {
        match source.kind() {
            io::ErrorKind::NotFound => PackError::Changed { path: path.into() },
            _ => PackError::read(path, source),
        }
    }
}

/// Packs the tree below `source` into a DwarFS image written to `out`. Needs no privileges; calls `progress` after each
/// file.
///
/// # Errors
/// When anything in the tree cannot be read or changes meanwhile, or the image cannot be written; what was written is
/// then no image.
pub fn pack(
    source: &Path,
    out: &mut impl Write,
    options: &PackOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<Packed, PackError> {
    options.check()?;
    write(scan::scan(source, options)?, out, options, progress)
}

/// Packs a tree that is described instead of found on disk, so that it can have owners, devices and attributes that whoever
/// packs could not give to a file. The bytes are those that the same tree on disk would become.
///
/// # Errors
/// As [`pack()`], and when the description is not one of a tree.
pub fn pack_description(
    description: &Description,
    out: &mut impl Write,
    options: &PackOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<Packed, PackError> {
    options.check()?;
    write(
        description::scan(description, options)?,
        out,
        options,
        progress,
    )
}

fn write(
    tree: Tree,
    out: &mut impl Write,
    options: &PackOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<Packed, PackError> {
    let level = options.zstd_level();
    std::thread::scope(|scope| {
        let mut writer = Writer::start(scope, out, level, options.threads.max(1));
        let contents = content::write(&tree, &mut writer, options.block_size(), progress)?;
        tree.check_unchanged()?;
        let numbers = Numbers::new(&tree, &contents);
        let metadata = tables::build(&tree, &contents, &numbers, options.block_size())?;
        let metadata = encode::metadata(metadata, contents.hole_block())?;
        let xattrs = xattr::section(&tree, &numbers.of_inode)?;
        let bytes_out = writer.finish(metadata, xattrs)?;
        Ok(Packed {
            inodes: tree.inodes.len() as u64,
            bytes_in: tree.content_size(),
            bytes_out,
        })
    })
}
