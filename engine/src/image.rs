//! The image file: where its layers are, and which layers are stacked on them.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use flatimage_layer::{Layer, probe};

use crate::data::changes::LAYERS;
use crate::host::Host;
use crate::plan::LayerSource;

/// An image on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Its path, without links.
    pub path: PathBuf,
    /// Where the first layer's size is: the first byte after the reserved space.
    pub layers_offset: u64,
}

/// A DwarFS image below this many bytes may have no entries, and is opened to see.
const SMALLEST_WITH_ENTRIES: u64 = 4096;

impl Image {
    /// First byte of the first layer's DwarFS image, behind its size.
    pub fn first_layer(&self) -> u64 {
        self.layers_offset + 8
    }

    /// The embedded layers: `count` of them within `end` bytes after the reserved space. Each
    /// is a u64, little endian, that says how many bytes of DwarFS follow.
    ///
    /// # Errors
    /// When the file is shorter than what is said to be in it.
    pub fn layers(&self, count: u64, end: u64) -> io::Result<Vec<LayerSource>> {
        let file = File::open(&self.path)?;
        let end = self.layers_offset.saturating_add(end);
        if file.metadata()?.len() < end {
            return Err(truncated());
        }
        let mut layers = Vec::new();
        let mut at = self.layers_offset;
        for _ in 0..count {
            let mut size = [0; 8];
            file.read_exact_at(&mut size, at)?;
            let size = u64::from_le_bytes(size);
            let offset = at + 8;
            at = offset
                .checked_add(size)
                .filter(|next| *next <= end)
                .ok_or_else(truncated)?;
            layers.push(LayerSource {
                path: self.path.clone(),
                offset,
                size,
            });
        }
        Ok(layers)
    }
}

fn truncated() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "the file is shorter than the layers in it",
    )
}

/// The layers that are files of their own: those of `FIM_LAYERS` (files and directories,
/// separated by colons), then those of the data directory.
pub fn external_layers(host: &Host, data: &Path, warn: &dyn Fn(&str)) -> Vec<LayerSource> {
    let listed = host
        .environment
        .get("FIM_LAYERS")
        .map_or("", String::as_str);
    let listed = listed
        .split(':')
        .filter(|path| !path.is_empty())
        .flat_map(|path| {
            let path = Path::new(path);
            if path.is_dir() {
                files_of(path)
            } else {
                vec![path.to_owned()]
            }
        });
    let listed = listed.filter_map(|path| whole_or_left_out(&path, warn));
    let own = data_layers(data, warn).into_iter().map(|(_, layer)| layer);
    listed.chain(own).collect()
}

/// The layers of the data directory, lowest first, and the names that they have in it.
pub fn data_layers(data: &Path, warn: &dyn Fn(&str)) -> Vec<(PathBuf, LayerSource)> {
    let files = files_of(&data.join(LAYERS)).into_iter();
    files
        .filter_map(|path| {
            let layer = whole_or_left_out(&path, warn)?;
            Some((path, layer))
        })
        .collect()
}

fn whole_or_left_out(path: &Path, warn: &dyn Fn(&str)) -> Option<LayerSource> {
    whole_file(path)
        .inspect_err(|reason| {
            warn(&format!(
                "the layer {} is left out: {reason}",
                path.display()
            ));
        })
        .ok()
}

/// The layer that a file is, as far as its first bytes tell.
///
/// # Errors
/// In words: why it is none.
pub fn whole_file(path: &Path) -> Result<LayerSource, String> {
    let path = fs::canonicalize(path).map_err(|error| crate::sandbox::plain(&error))?;
    let file = File::open(&path).map_err(|error| crate::sandbox::plain(&error))?;
    let size = file
        .metadata()
        .map_err(|error| crate::sandbox::plain(&error))?
        .len();
    probe(&file, 0, size).map_err(|error| error.to_string())?;
    Ok(LayerSource {
        path,
        offset: 0,
        size,
    })
}

/// The layers that have entries. One without any would cost a mount and show nothing.
pub fn with_entries(layers: Vec<LayerSource>) -> Vec<LayerSource> {
    layers
        .into_iter()
        .filter(|layer| !is_empty(layer))
        .collect()
}

fn is_empty(layer: &LayerSource) -> bool {
    layer.size < SMALLEST_WITH_ENTRIES
        && File::open(&layer.path)
            .ok()
            .and_then(|file| Layer::open(file.into(), layer.offset, layer.size).ok())
            .is_some_and(|layer| layer.is_empty())
}

fn files_of(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else {
        return Vec::new();
    };
    let mut files: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_file())
        .collect();
    files.sort_by_cached_key(|path| natural(&path.to_string_lossy()));
    files
}

/// A key that sorts numbers in names by their value: 9 before 10.
fn natural(name: &str) -> Vec<(u128, String)> {
    let mut parts = Vec::new();
    let mut rest = name;
    while !rest.is_empty() {
        let text = rest
            .find(|character: char| character.is_ascii_digit())
            .unwrap_or(rest.len());
        let (before, tail) = rest.split_at(text);
        let digits = tail
            .find(|character: char| !character.is_ascii_digit())
            .unwrap_or(tail.len());
        let (number, after) = tail.split_at(digits);
        parts.push((0, before.to_owned()));
        parts.push((number.parse().unwrap_or(u128::MAX), String::new()));
        rest = after;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_names_sort_by_value() {
        let mut names = ["layer-10", "layer-9", "layer-009b", "base", "layer-1"];
        names.sort_by_cached_key(|name| natural(name));
        assert_eq!(
            names,
            ["base", "layer-1", "layer-9", "layer-009b", "layer-10"]
        );
    }

    fn image_with(bytes: &[u8]) -> (tempfile::TempDir, Image) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("image");
        fs::write(&path, bytes).unwrap();
        (
            directory,
            Image {
                path,
                layers_offset: 4,
            },
        )
    }

    #[test]
    fn layers_follow_each_other() {
        let mut bytes = b"head".to_vec();
        for content in [&b"abc"[..], b"", b"de"] {
            bytes.extend((content.len() as u64).to_le_bytes());
            bytes.extend(content);
        }
        let (_directory, image) = image_with(&bytes);
        let layers = image.layers(3, bytes.len() as u64 - 4).unwrap();
        let places: Vec<_> = layers
            .iter()
            .map(|layer| (layer.offset, layer.size))
            .collect();
        assert_eq!(places, [(12, 3), (23, 0), (31, 2)]);
    }

    #[test]
    fn a_layer_that_reaches_too_far_is_an_error() {
        let mut bytes = b"head".to_vec();
        bytes.extend(u64::MAX.to_le_bytes());
        let (_directory, image) = image_with(&bytes);
        assert!(image.layers(1, 8).is_err());
        assert!(image.layers(1, 9).is_err());
    }
}
