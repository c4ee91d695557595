//! Packs what programs changed into a layer.
//!
//! The upper directory of the overlay is a layer as it stands: what was deleted is a whiteout (a character device 0:0), a
//! directory that was made anew has an attribute that hides what is below it (`user.overlay.opaque`; both in
//! Documentation/filesystems/overlayfs.rst). So it is packed as it is found, by a process that sees it as the
//! [container does](inside).

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use flatimage_layer::{Owners, PackError, PackOptions, Progress, pack};
use nix::unistd::{fchdir, geteuid};

use crate::data::changes::MOUNTS;
use crate::plan::IdMap;
use crate::sandbox::plain;

mod inside;

pub use inside::inside;

/// What there was to pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changes {
    /// Nothing.
    None,
    /// Something, and it is packed.
    Packed,
}

/// Packs the directory `changes`, whose files have the ids of `map`, into the file `layer` and syncs it.
///
/// # Errors
/// In words; what is in the file is then no layer.
pub fn pack_changes(
    changes: &OwnedFd,
    map: &IdMap,
    layer: &File,
    level: u8,
    progress: &mut dyn FnMut(Progress),
) -> Result<Changes, String> {
    let packed = inside(map, || {
        let words = |error: std::io::Error| plain(&error);
        fchdir(changes.as_fd()).map_err(|error| words(error.into()))?;
        let mut entries = fs::read_dir(".").map_err(words)?;
        if entries.next().is_none() {
            return Ok(String::new());
        }
        pack_here(layer, level, progress)?;
        layer.sync_all().map_err(words)?;
        Ok("packed".to_owned())
    })?;
    Ok(match packed.is_empty() {
        true => Changes::None,
        false => Changes::Packed,
    })
}

/// Packs the working directory.
fn pack_here(layer: &File, level: u8, progress: &mut dyn FnMut(Progress)) -> Result<(), String> {
    let mut out = BufWriter::new(layer);
    let owners = match geteuid().is_root() {
        true => Owners::AsFound,
        // It is done by the caller, who has all of them.
        false => Owners::Mapped {
            uids: Vec::new(),
            gids: Vec::new(),
        },
    };
    let options = PackOptions {
        level,
        owners,
        ..PackOptions::default()
    };
    pack(Path::new("."), &mut out, &options, progress).map_err(|error| match error {
        PackError::Write(error) => plain(&error),
        other => other.to_string(),
    })?;
    out.flush().map_err(|error| plain(&error))
}

/// Bytes that the files below the working directory, a data directory, take on their disk; a hard link counts once.
///
/// # Errors
/// In words: the first directory that cannot be read.
pub fn disk_usage_here() -> Result<u64, String> {
    use std::os::unix::fs::MetadataExt;
    let mut seen = std::collections::HashSet::new();
    let mut bytes = 0;
    let mut open = vec![Path::new(".").to_owned()];
    // A root that is mounted there shows what is counted elsewhere, and may be dead.
    let mounts = Path::new(".").join(MOUNTS);
    while let Some(directory) = open.pop() {
        let words = |error| format!("{}: {}", directory.display(), plain(&error));
        for entry in fs::read_dir(&directory).map_err(words)? {
            let entry = entry.map_err(words)?;
            if entry.path() == mounts {
                continue;
            }
            let found = entry.metadata().map_err(words)?;
            if found.is_dir() {
                open.push(entry.path());
            }
            if found.nlink() < 2 || seen.insert((found.dev(), found.ino())) {
                // Blocks of 512 bytes, whatever the filesystem's are (stat(2)).
                bytes += found.blocks() * 512;
            }
        }
    }
    Ok(bytes)
}
