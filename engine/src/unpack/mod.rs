//! Layers where there is no FUSE: unpacked into a cache of the user's.
//!
//! Each layer becomes a directory whose name is the [digest](flatimage_layer::digest) of its content, so images with the
//! same layer share it. It appears by a rename, when it is whole and was checked against every checksum of the layer.
//! What runs holds a lease of what it uses; what nobody uses is removed when it gets old or the cache too large, see
//! [`cache`].

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use flatimage_layer::{Checksums, Layer, digest, verify};
use thiserror::Error;

use crate::plan::{IdMap, LayerSource};
use crate::sandbox::{Context, plain};
use cache::Cache;
use tree::Owners;

mod cache;
mod content;
mod copy;
mod progress;
mod tree;

pub use copy::{copy, copy_of};

/// Unpacked layers, for as long as the lease, or a copy of it, is open.
#[derive(Debug)]
pub struct Unpacked {
    /// The directory of each layer, in the order of the layers; `None` for one that is left out.
    pub directories: Vec<Option<PathBuf>>,
    /// Keeps the directories from being removed.
    pub lease: OwnedFd,
}

/// Why layers cannot be unpacked.
#[derive(Debug, Error)]
pub enum UnpackError {
    /// Nowhere to unpack to.
    #[error(
        "there is no directory to unpack the layers into; set XDG_CACHE_HOME to one of yours that programs can be executed in"
    )]
    NoCache,
    /// The cache cannot be used, or is full.
    #[error("cannot unpack a layer into {}: {}; choose another place with XDG_CACHE_HOME", .path.display(), plain(.source))]
    Cache {
        /// The directory.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// Unpacks those of `layers` that are not in the cache yet. Their owners are what `map` can express, as they are over
/// FUSE. A layer that is damaged is left out, with a warning.
///
/// # Errors
/// When there is no place for them.
pub fn unpack(
    layers: &[LayerSource],
    map: &IdMap,
    context: &Context<'_>,
) -> Result<Unpacked, UnpackError> {
    let warn = context.warn;
    let cache = Cache::open(context.host, map, context.limits.unpacked)?;
    let mut directories = Vec::new();
    for layer in layers {
        directories.push(match provide(&cache, layer, map, warn) {
            Ok(directory) => Some(directory),
            Err(Failed::Layer(reason)) => {
                let path = layer.path.display();
                warn(&format!("the layer {path} is left out: {reason}"));
                None
            }
            Err(Failed::Cache(source)) => {
                let path = cache.path().to_owned();
                return Err(UnpackError::Cache { path, source });
            }
        });
    }
    cache.clean();
    Ok(Unpacked {
        directories,
        lease: cache.into_lease(),
    })
}

/// What kept a layer from being unpacked.
enum Failed {
    Layer(String),
    Cache(io::Error),
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Failed {
        Failed::Cache(error)
    }
}

/// The directory of a layer, unpacked if it was not there.
fn provide(
    cache: &Cache,
    source: &LayerSource,
    map: &IdMap,
    warn: &dyn Fn(&str),
) -> Result<PathBuf, Failed> {
    let bad = |error: flatimage_layer::OpenError| Failed::Layer(error.to_string());
    let file = File::open(&source.path).map_err(|error| Failed::Layer(plain(&error)))?;
    let digest = digest(&file, source.offset, source.size).map_err(bad)?;
    cache.provide(&digest, |place| {
        // Who makes another layer with the same digest must find what hashes to the same SHA-512/256.
        verify(&file, source.offset, source.size, Checksums::All).map_err(bad)?;
        let file = Arc::new(file.try_clone()?);
        let layer = Layer::open(file, source.offset, source.size).map_err(bad)?;
        let written = tree::write(&layer, place, Owners::of(map))?;
        for (count, what) in [
            (written.devices_left_out, "device nodes"),
            (written.lists_left_out, "access control lists"),
        ] {
            if count > 0 {
                let path = source.path.display();
                warn(&format!(
                    "{count} {what} of the layer {path} are left out, because there is no usable /dev/fuse"
                ));
            }
        }
        Ok::<_, Failed>(written.bytes)
    })
}

impl From<tree::WriteError> for Failed {
    fn from(error: tree::WriteError) -> Failed {
        match error {
            tree::WriteError::Layer(reason) => Failed::Layer(reason),
            tree::WriteError::Place(error) => Failed::Cache(error),
        }
    }
}
