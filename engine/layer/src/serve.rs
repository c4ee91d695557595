//! Serving layers over FUSE.

use std::os::fd::OwnedFd;

use crate::Layer;

/// The ids that exist in the user namespace that mounts; any other owner is reported as 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdMap {
    /// Every id exists.
    All,
    /// Ids below this one exist.
    Below(u32),
}

/// How to serve.
#[derive(Clone, Debug)]
pub struct ServeOptions {
    /// Threads that answer requests.
    pub threads: usize,
    /// Limit of the cache of decompressed blocks, in bytes.
    pub cache_bytes: u64,
    /// Owners that can be reported.
    pub ids: IdMap,
}

impl Default for ServeOptions {
    fn default() -> Self {
        ServeOptions {
            threads: 2,
            cache_bytes: 64 << 20,
            ids: IdMap::All,
        }
    }
}

/// Why layers cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The kernel and the server did not agree.
    #[error("the FUSE handshake failed: {0}")]
    Handshake(#[source] std::io::Error),
}

/// A running server.
#[derive(Debug)]
pub struct Serving;

impl Serving {
    /// Waits until the filesystem is unmounted or its connection aborted.
    pub fn join(self) -> Result<(), ServeError> {
        Ok(())
    }
}

/// Serves `layers` on an opened FUSE descriptor; answers after the handshake.
pub fn serve(
    _fuse: OwnedFd,
    _layers: Vec<Option<Layer>>,
    _options: ServeOptions,
) -> Result<Serving, ServeError> {
    Err(ServeError::Handshake(
        std::io::ErrorKind::Unsupported.into(),
    ))
}
