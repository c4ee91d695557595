//! Programs and libraries, given to the kernel before it asks for all of them.
//!
//! A program that starts maps its libraries and touches them here and there. Each place that the kernel does not have yet is a request of 128
//! KiB at most, because no more is read ahead over FUSE, and one by one: the program waits for each. So whoever reads the start of
//! a program gets the rest of it as well (`FUSE_NOTIFY_STORE`, `fuse_notify_store` in fs/fuse/dev.c), while it goes on.
//!
//! A thread of its own does it. The kernel waits in a store for pages that it has asked for, and the threads that answer must be
//! there to give it those.

use std::collections::HashSet;
use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use fuser::{INodeNo, Notifier};

use super::server::Contents;

/// What programs and libraries begin with.
const ELF: &[u8] = b"\x7fELF";

/// Bytes of the largest file that is given whole: most of a larger one is never used.
const LARGEST: u64 = 4 << 20;

/// Bytes given at once, a multiple of every page size: the kernel keeps nothing of a page that it gets half of.
const PIECE: u32 = 128 << 10;

/// Files that wait; beyond that they are left to be asked for.
const WAITING: usize = 64;

/// A file of which the kernel has the start.
struct Begun {
    number: u64,
    /// How much of it the kernel has, in bytes.
    given: u64,
    size: u64,
}

/// Who is told which files are read.
#[derive(Default)]
pub(super) struct Ahead {
    queue: OnceLock<SyncSender<Begun>>,
    seen: Mutex<HashSet<u64>>,
}

impl Ahead {
    /// Begins to give, until this and all that know it are gone.
    ///
    /// # Errors
    /// When there can be no further thread.
    pub(super) fn begin(&self, contents: Arc<Contents>, kernel: Notifier) -> io::Result<()> {
        let (sender, receiver) = sync_channel(WAITING);
        std::thread::Builder::new()
            .name("ahead".into())
            .spawn(move || give_all(&receiver, &contents, &kernel))?;
        let _ = self.queue.set(sender);
        Ok(())
    }

    /// Notes that the kernel gets `bytes`, the first of a file.
    pub(super) fn starts(&self, number: u64, bytes: &[u8], size: impl FnOnce() -> u64) {
        if !bytes.starts_with(ELF) {
            return;
        }
        let (given, size) = (bytes.len() as u64, size());
        if given >= size || size > LARGEST {
            return;
        }
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let (true, Some(queue)) = (seen.insert(number), self.queue.get()) {
            let _ = queue.try_send(Begun {
                number,
                given,
                size,
            });
        }
    }
}

fn give_all(receiver: &Receiver<Begun>, contents: &Contents, kernel: &Notifier) {
    for file in receiver {
        // The kernel may have forgotten the file, or has no room: then it asks for what it wants.
        let _ = give(&file, contents, kernel);
    }
}

fn give(file: &Begun, contents: &Contents, kernel: &Notifier) -> io::Result<()> {
    let mut at = file.given;
    while at < file.size {
        let store = |bytes: &[u8]| {
            kernel
                .store(INodeNo(file.number), at, bytes)
                .map(|()| bytes.len() as u64)
        };
        let stored = contents.read(file.number, at, PIECE, store);
        match stored.unwrap_or_else(|| Err(io::ErrorKind::InvalidData.into()))? {
            0 => break,
            length => at += length,
        }
    }
    Ok(())
}
