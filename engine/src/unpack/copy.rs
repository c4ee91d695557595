//! A plain copy of what all layers show together, which programs write into where nothing can be stacked.
//!
//! ```text
//! <data>/copies/<layers>        the copy for these layers, with all changes since
//! <data>/copies/.new-<layers>   one that is being made, or was when its maker was killed
//! ```

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flatimage_layer::Layer;

use super::tree::{self, Owners, WriteError};
use crate::data::{self, changes::COPIES};
use crate::plan::{IdMap, LayerSource};
use crate::sandbox::plain;

/// Where the copy is in the data directory `data`. `name` stands for the layers.
pub fn copy_of(data: &Path, name: &str) -> PathBuf {
    data.join(COPIES).join(name)
}

/// Makes the copy of `layers` at `path`, which is [where it is](copy_of), if there is none. Only for who keeps others from doing the same meanwhile.
/// A layer that cannot be read is left out, with a warning.
///
/// # Errors
/// In words: when there is no place for it.
pub fn copy(path: &Path, layers: &[LayerSource], warn: &dyn Fn(&str)) -> Result<(), String> {
    let (Some(copies), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(format!("{} is no place for a copy", path.display()));
    };
    if path.is_dir() {
        return Ok(());
    }
    let name = name.to_string_lossy();
    let failed = |error: io::Error| {
        format!(
            "cannot copy the layers to {}: {}",
            path.display(),
            plain(&error)
        )
    };
    match DirBuilder::new().mode(0o700).create(copies) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(error)),
        _ => {}
    }
    let unfinished = format!(".new-{name}");
    let opened = File::open(copies).map_err(failed)?;
    data::remove(opened.as_fd(), unfinished.as_ref()).map_err(|stays| failed(stays.reason))?;
    let read = layers.iter().filter_map(|layer| match open(layer) {
        Ok(layer) => Some(layer),
        Err(reason) => {
            warn(&format!(
                "the layer {} is left out: {reason}",
                layer.path.display()
            ));
            None
        }
    });
    let read: Vec<Layer> = read.collect();
    let read: Vec<&Layer> = read.iter().collect();
    let owners = Owners::of(&IdMap::Single { uid: 0, gid: 0 });
    let unfinished = copies.join(unfinished);
    let written = tree::write_merged(&read, &unfinished, owners).map_err(|error| match error {
        WriteError::Layer(reason) => reason,
        WriteError::Place(error) => failed(error),
    })?;
    if written.devices_left_out > 0 {
        warn(&format!(
            "{} device nodes of the layers are left out",
            written.devices_left_out
        ));
    }
    // The name must not last longer than the contents.
    let renamed = nix::unistd::syncfs(&opened)
        .map_err(io::Error::from)
        .and_then(|()| fs::rename(&unfinished, path));
    renamed.map_err(failed)
}

fn open(layer: &LayerSource) -> Result<Layer, String> {
    let file = File::open(&layer.path).map_err(|error| plain(&error))?;
    Layer::open(Arc::new(file), layer.offset, layer.size).map_err(|error| error.to_string())
}
