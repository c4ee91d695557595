//! The answers to the kernel's requests.
//!
//! What the kernel may remember:
//!
//! - Of a name that does not exist, nothing: it would exist as soon as the name is created in another case.
//! - Of a directory, its exact name for as long as it likes. The kernel has one entry for a directory and moves it when
//!   the directory is looked up in another case (`d_splice_alias` in `fs/dcache.c`), so none stays behind.
//! - Of another file, no name at all. It has one entry for each case that it was looked up in, and when it is removed
//!   by one of them the others stay. They cannot be taken back in time: that takes the directory's lock, which the
//!   removal holds until we have answered it.
//! - Attributes, content and the targets of links: they change through the kernel's own inode and nothing else.
//!
//! Because no name of a file is remembered, `readdirplus` would look up every file for nothing; it is not offered.
//! Neither is the writeback cache: times, sizes and the end of files opened to append come from below.

mod attributes;
mod requests;
mod xattr;

use std::fs::File;
use std::time::Duration;

use fuser::{InitFlags, OpenFlags};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Result;

use crate::handles::Handles;
use crate::intent::Intents;
use crate::listing::Listing;
use crate::tree::{Entry, Tree, through};

/// How long the kernel may keep what it was told: ten years.
const FOREVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// The most bytes that one request writes. The kernel takes no more than 256 pages of its own accord.
const MAX_WRITE: u32 = 1 << 20;

/// What we would like of the kernel; it grants what it has.
const WANTED: [InitFlags; 6] = [
    InitFlags::FUSE_ASYNC_READ,
    InitFlags::FUSE_ASYNC_DIO,
    InitFlags::FUSE_BIG_WRITES,
    InitFlags::FUSE_MAX_PAGES,
    InitFlags::FUSE_PARALLEL_DIROPS,
    InitFlags::FUSE_CACHE_SYMLINKS,
];

/// What answers the kernel.
pub(crate) struct Server {
    tree: Tree,
    files: Handles<File>,
    directories: Handles<Listing>,
    intents: Intents,
}

impl Server {
    /// A server of this directory with so many threads.
    pub(crate) fn new(tree: Tree, threads: usize) -> Server {
        Server {
            tree,
            files: Handles::new(),
            directories: Handles::new(),
            intents: Intents::new(threads),
        }
    }

    /// Opens a node as a program does.
    fn open_file(&self, id: u64, flags: OpenFlags) -> Result<File> {
        // The lock on names is not held here: opening may copy a file up, whatever its size.
        let fd = self.tree.open(id)?;
        let flags = below(flags.0) - OFlags::NOFOLLOW - OFlags::CREATE - OFlags::EXCL;
        let file = openat(CWD, through(&fd), flags, Mode::empty())?;
        self.tree.opened(id, &file);
        Ok(file.into())
    }
}

/// The flags with which a file is opened below.
///
/// Offsets are the kernel's, also of a file that is opened to append: it may choose that descriptor to write back the
/// pages of a mapping. Buffers are ours, so that they need no alignment for direct access.
fn below(flags: i32) -> OFlags {
    let flags = OFlags::from_bits_retain(flags as u32);
    let ours = OFlags::APPEND | OFlags::DIRECT | OFlags::NONBLOCK | OFlags::NOATIME;
    (flags - ours) | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NOFOLLOW
}

/// How long the kernel may remember a name.
fn name_lifetime(entry: &Entry) -> Duration {
    let directory =
        rustix::fs::FileType::from_raw_mode(entry.stat.st_mode) == rustix::fs::FileType::Directory;
    match directory && entry.exact {
        true => FOREVER,
        false => Duration::ZERO,
    }
}
