//! Serving layers to the kernel over FUSE.
//!
//! The root directory of the filesystem has one directory, named `0`, with all layers [merged](crate::merge).
//! Nothing ever changes, so the kernel is told to keep everything: names, also those that do not exist, attributes,
//! directories, links and pages; and it is asked not to send the requests that mean nothing here (`open`, `opendir`,
//! extended attributes when there are none), each of which would be a round trip.
//!
//! Whoever mounts the filesystem may be another process: only the descriptor is needed here. When the last namespace
//! that holds the mount goes, reads of the descriptor fail with `ENODEV` and the threads end.

mod ahead;
mod server;
mod xattr;

use std::io;
use std::os::fd::OwnedFd;
use std::thread::JoinHandle;

use fuser::{Config, Session, SessionACL};

use crate::cache::BlockCache;
use crate::layer::Layer;
use crate::merge::Merged;
use crate::stack::Stack;
use server::Server;

/// With fewer blocks than this in the cache, requests for neighbouring files decompress the same ones over and over.
const MIN_BLOCKS: u64 = 4;

/// What the cache may grow to for the sake of `MIN_BLOCKS`, in bytes.
const MAX_GROWN_CACHE: u64 = 64 << 20;

/// The ids that exist in the user namespace that mounts. An owner that does not exist is reported as 0: overlayfs
/// refuses to copy up a file whose owner it cannot express, even for uid 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdMap {
    /// Every id exists.
    All,
    /// Ids below this one exist; every other is reported as 0.
    Below(u32),
    /// Everything belongs to this user and group, who are the only ones.
    One(u32, u32),
}

impl IdMap {
    fn has(self, id: u32) -> bool {
        match self {
            IdMap::All => true,
            IdMap::Below(limit) => id < limit,
            IdMap::One(..) => false,
        }
    }

    fn user(self, id: u32) -> u32 {
        match self {
            IdMap::One(user, _) => user,
            _ if self.has(id) => id,
            _ => 0,
        }
    }

    fn group(self, id: u32) -> u32 {
        match self {
            IdMap::One(_, group) => group,
            _ => self.user(id),
        }
    }
}

/// How to serve.
#[derive(Clone, Debug)]
pub struct ServeOptions {
    /// Threads that answer requests, at least one.
    pub threads: usize,
    /// Limit of the cache of decompressed blocks, in bytes. The kernel caches what it was given, so little is enough:
    /// 8 MiB read a Debian tree as fast as 64 do. Images of large blocks get up to 64 MiB, see [`serve()`].
    pub cache_bytes: u64,
    /// Owners that can be reported.
    pub ids: IdMap,
}

impl Default for ServeOptions {
    fn default() -> Self {
        ServeOptions {
            threads: 2,
            cache_bytes: 8 << 20,
            ids: IdMap::All,
        }
    }
}

/// Why layers cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The kernel and the server did not agree.
    #[error("the FUSE handshake failed: {0}; is the filesystem mounted with this descriptor?")]
    Handshake(#[source] io::Error),
    /// A thread could not be started, or ended in the middle.
    #[error("the FUSE server ended: {0}")]
    Ended(#[source] io::Error),
}

/// A running server.
#[derive(Debug)]
pub struct Serving {
    thread: JoinHandle<io::Result<()>>,
}

impl Serving {
    /// Waits until the filesystem is unmounted or its connection aborted.
    ///
    /// # Errors
    /// When the server ended for another reason.
    pub fn join(self) -> Result<(), ServeError> {
        let result = self
            .thread
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("a thread panicked")));
        match result {
            // A thread that had a request in its hands meanwhile is told so in this way, and not by ENODEV
            // (`fuse_dev_do_read` in fs/fuse/dev.c).
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => Ok(()),
            result => result.map_err(ServeError::Ended),
        }
    }
}

/// Layers, merged and ready to be served.
#[derive(Debug)]
pub struct Tree {
    merged: Merged,
    /// Of the layer with the largest blocks, in bytes.
    block_size: u64,
}

impl Tree {
    /// Merges layers, of which later ones win. One that is `None` is left out.
    #[must_use]
    pub fn new(layers: Vec<Option<Layer>>) -> Tree {
        let sizes = layers.iter().flatten().map(Layer::block_size);
        Tree {
            block_size: sizes.max().unwrap_or(0),
            merged: Merged::new(Stack::new(layers)),
        }
    }

    /// Whether the layers say that what is at a path from their root was deleted: a whiteout is there. A link on the way leads
    /// nowhere.
    #[must_use]
    pub fn is_deleted(&self, path: &[u8]) -> bool {
        self.merged.is_deleted(path)
    }
}

/// Serves `tree` on an opened `/dev/fuse` descriptor that is mounted by somebody else; answers after the handshake,
/// for which it waits.
///
/// The cache is as large as the options say, or as four blocks of the layer with the largest, up to 64 MiB.
///
/// # Errors
/// When the handshake fails or a thread cannot be started.
pub fn serve(fuse: OwnedFd, tree: Tree, options: ServeOptions) -> Result<Serving, ServeError> {
    let wanted = tree
        .block_size
        .saturating_mul(MIN_BLOCKS)
        .min(MAX_GROWN_CACHE);
    let cache = BlockCache::new(options.cache_bytes.max(wanted));
    let server = Server::new(tree.merged, cache, options.ids);
    let (contents, ahead) = server.shared();
    let mut config = Config::default();
    config.acl = SessionACL::All;
    config.n_threads = Some(options.threads.max(1));
    let session =
        Session::from_fd(server, fuse, SessionACL::All, config).map_err(ServeError::Handshake)?;
    ahead
        .begin(contents, session.notifier())
        .map_err(ServeError::Ended)?;
    drop(ahead);
    let thread = std::thread::Builder::new()
        .name("layers".into())
        .spawn(move || session.run());
    Ok(Serving {
        thread: thread.map_err(ServeError::Ended)?,
    })
}
