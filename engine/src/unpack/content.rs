//! Fills the files of a tree, on as many threads as there are processors.

use std::fs::File;
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use flatimage_layer::{Attributes, BlockCache, Layer, Seek};

use super::progress::Progress;
use super::tree::WriteError;
use crate::sys::{Resolve, open_in};

/// Bytes that are read at once.
const PIECE: u32 = 1 << 20;
/// Files that a thread takes at once: those of one block should not be taken by several.
const BATCH: usize = 16;
/// Threads at most; more of them wait for the disk.
const THREADS: usize = 8;
/// Bytes of decompressed blocks that are kept, for each thread.
const CACHE: u64 = 8 << 20;

/// A file that was made, and is empty.
pub struct Content {
    /// The inode that has the content.
    pub inode: u32,
    /// Where the file is, below the tree.
    pub path: PathBuf,
    /// What it is to become.
    pub attributes: Attributes,
}

/// Fills `files`, which are below `root`. No thread is left when it answers.
///
/// # Errors
/// The first one of any thread.
pub fn fill(layer: &Layer, root: BorrowedFd<'_>, files: &[Content]) -> Result<(), WriteError> {
    let threads = thread::available_parallelism().map_or(1, |count| count.get());
    let threads = threads.clamp(1, THREADS);
    let cache = BlockCache::new(CACHE * threads as u64);
    let progress = Progress::new(files.iter().map(|file| file.attributes.data_size).sum());
    let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let work = || {
        while !failed.load(Ordering::Relaxed) {
            let start = next.fetch_add(BATCH, Ordering::Relaxed);
            let Some(rest) = files.get(start..).filter(|rest| !rest.is_empty()) else {
                break;
            };
            for file in &rest[..rest.len().min(BATCH)] {
                fill_one(layer, &cache, root, file, &progress)
                    .inspect_err(|_| failed.store(true, Ordering::Relaxed))?;
            }
        }
        Ok(())
    };
    let results = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let ended = workers.into_iter().map(|worker| worker.join());
        ended.collect::<Vec<_>>()
    });
    results.into_iter().try_for_each(|result| {
        result.unwrap_or_else(|_| Err(io::Error::other("a thread panicked").into()))
    })
}

fn fill_one(
    layer: &Layer,
    cache: &BlockCache,
    root: BorrowedFd<'_>,
    content: &Content,
    progress: &Progress,
) -> Result<(), WriteError> {
    let size = content.attributes.size;
    if size == 0 {
        return Ok(());
    }
    let flags = libc::O_WRONLY;
    let file = File::from(open_in(root, &content.path, flags, Resolve::NoSymlinks)?);
    let mut at = 0;
    while let Some(start) = layer.seek(content.inode, at, Seek::Data) {
        at = start;
        let read = layer.read(cache, content.inode, at, PIECE, |piece| {
            file.write_all_at(piece, at).map(|()| piece.len() as u64)
        });
        let count = read.map_err(|error| WriteError::Layer(error.to_string()))??;
        if count == 0 {
            return Err(WriteError::Layer(
                "it is damaged: a file is shorter than it says".into(),
            ));
        }
        at += count;
        progress.add(count);
    }
    Ok(file.set_len(size)?)
}
