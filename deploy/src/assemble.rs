//! The assemble stage: joins runtime, tools, reserved space and layers to an image.
//!
//! ```text
//! runtime                    with its marker and `e_ident` filled in
//! tools                      one after the other, compressed
//! description                table and metadata of the tools
//! zeros                      to the next multiple of 4096
//! reserved space
//! layer 0, layer 1, …        each: u64 little-endian size, then the DwarFS image
//! ```
//!
//! [`plan`] says where everything goes, [`assemble`] writes it. Neither knows of files: the bytes come from slices and
//! readers and go to a writer.

use std::io::{self, Read, Write};

use sha2::{Digest as _, Sha256};

use crate::digest;
use crate::marker::{IDENT, IDENT_OFFSET, Marker, MarkerError, Origin};

/// What the offset of the reserved space is a multiple of, so that its slots share no page with anything else.
pub const ALIGNMENT: u64 = 4096;

/// Bytes before each layer: its size.
pub const LAYER_HEADER: u64 = 8;

/// The parts that are held in memory.
#[derive(Debug, Clone, Copy)]
pub struct Parts<'a> {
    /// The runtime as it was compiled.
    pub runtime: &'a [u8],
    /// The compressed tools.
    pub tools: &'a [u8],
    /// What is said about the tools; see [`crate::tools::manifest::description`].
    pub description: &'a [u8],
    /// What the image is made from.
    pub origin: &'a Origin,
    /// The reserved space, written as it is.
    pub reserved: &'a [u8],
}

/// A layer on its way into an image.
pub struct Layer<R> {
    /// Bytes of the DwarFS image.
    pub size: u64,
    /// Yields exactly that many bytes.
    pub image: R,
}

/// Where everything is; offsets in bytes from the start of the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// What the runtime is told.
    pub marker: Marker,
    /// Where the DwarFS image of each layer begins, and its size.
    pub layers: Vec<(u64, u64)>,
    /// Size of the image.
    pub end: u64,
}

/// Why parts do not make an image.
#[derive(Debug, thiserror::Error)]
pub enum AssembleError {
    /// The runtime takes no marker.
    #[error(transparent)]
    Marker(#[from] MarkerError),
    /// The runtime is too short to be a program.
    #[error("the runtime is {0} bytes long and no program")]
    Runtime(usize),
    /// A layer could not be read, or is shorter or longer than was said.
    #[error("cannot read layer {index}")]
    Layer {
        /// Which one, counted from 0.
        index: usize,
        /// What its reader answered.
        source: io::Error,
    },
    /// The image could not be written.
    #[error("cannot write")]
    Write(#[from] io::Error),
}

/// Bytes that layers of these sizes take up behind the reserved space.
pub fn layers_length(sizes: &[u64]) -> u64 {
    sizes.iter().map(|size| LAYER_HEADER + size).sum()
}

/// Says where the parts and layers of the given sizes go.
pub fn plan(parts: &Parts, sizes: &[u64]) -> Layout {
    let elf_size = parts.runtime.len() as u64;
    let tools_end = elf_size + parts.tools.len() as u64;
    let description_size = parts.description.len() as u64;
    let mut marker = Marker {
        reserved_offset: (tools_end + description_size).next_multiple_of(ALIGNMENT),
        tools_offset: elf_size,
        elf_size,
        description_offset: tools_end,
        description_size,
        description_sum: digest::of(parts.description),
        origin: parts.origin.clone(),
        build_id: [0; 32],
    };
    marker.build_id = build_id(parts, &marker);
    let mut end = marker.reserved_offset + parts.reserved.len() as u64;
    let layers = sizes
        .iter()
        .map(|size| {
            let start = end + LAYER_HEADER;
            end = start + size;
            (start, *size)
        })
        .collect();
    Layout {
        marker,
        layers,
        end,
    }
}

/// Writes an image and says where everything went. Every byte is written, the zeros too: a hole would let a later change of
/// a setting fail on a full disk.
///
/// # Errors
/// When the runtime takes no marker, a layer is not as long as it said, or a reader or the writer fails. What was written by
/// then is no image.
pub fn assemble<R: Read>(
    parts: &Parts,
    layers: Vec<Layer<R>>,
    out: &mut impl Write,
) -> Result<Layout, AssembleError> {
    if parts.runtime.len() < IDENT_OFFSET + IDENT.len() {
        return Err(AssembleError::Runtime(parts.runtime.len()));
    }
    let sizes: Vec<u64> = layers.iter().map(|layer| layer.size).collect();
    let layout = plan(parts, &sizes);
    let mut runtime = parts.runtime.to_vec();
    layout.marker.patch(&mut runtime)?;
    out.write_all(&runtime)?;
    out.write_all(parts.tools)?;
    out.write_all(parts.description)?;
    let end = layout.marker.description_offset + layout.marker.description_size;
    let padding = (layout.marker.reserved_offset - end) as usize;
    out.write_all(&[0; ALIGNMENT as usize][..padding])?;
    out.write_all(parts.reserved)?;
    for (index, layer) in layers.into_iter().enumerate() {
        out.write_all(&layer.size.to_le_bytes())?;
        copy_layer(index, layer, out)?;
    }
    out.flush()?;
    Ok(layout)
}

fn copy_layer<R: Read>(
    index: usize,
    layer: Layer<R>,
    out: &mut impl Write,
) -> Result<(), AssembleError> {
    let unreadable = |source| AssembleError::Layer { index, source };
    let mut piece = vec![0; 1 << 20];
    let (mut image, mut left) = (layer.image, layer.size);
    loop {
        match image.read(&mut piece) {
            Ok(0) => break,
            Ok(count) => {
                let after = left.checked_sub(count as u64);
                left = after.ok_or_else(|| unreadable(length_error("longer", layer.size)))?;
                out.write_all(&piece[..count])?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(unreadable(error)),
        }
    }
    match left {
        0 => Ok(()),
        _ => Err(unreadable(length_error("shorter", layer.size))),
    }
}

fn length_error(what: &str, said: u64) -> io::Error {
    io::Error::other(format!("it is {what} than its {said} bytes"))
}

/// Whatever differs in the private copy of two images, this differs too: the marker has the sum of what is told of the tools.
fn build_id(parts: &Parts, marker: &Marker) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(parts.runtime);
    hash.update(parts.tools);
    hash.update(marker.encode());
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::marker::tests::origin;
    use crate::marker::{SIZE, locate};

    const DESCRIPTION: &[u8] = b"described";

    fn runtime(length: usize) -> Vec<u8> {
        let mut bytes = crate::marker::tests::runtime(1);
        bytes.resize(bytes.len().max(length), 0x90);
        bytes
    }

    fn image(parts: &Parts, layers: &[&[u8]]) -> (Layout, Vec<u8>) {
        let mut bytes = Vec::new();
        let layers = layers
            .iter()
            .map(|layer| Layer {
                size: layer.len() as u64,
                image: *layer,
            })
            .collect();
        let layout = assemble(parts, layers, &mut bytes).unwrap();
        (layout, bytes)
    }

    #[test]
    fn every_part_is_where_the_layout_says() {
        let runtime = runtime(5000);
        let reserved = [0x5a; 8192];
        // Tools that end just before, at and just behind a page.
        for tools_length in [3182, 3183, 3184, 0] {
            let tools = vec![0x77; tools_length];
            let parts = Parts {
                runtime: &runtime,
                tools: &tools,
                description: DESCRIPTION,
                origin: &origin(),
                reserved: &reserved,
            };
            let (layout, bytes) = image(&parts, &[b"first", b"", b"third layer"]);
            let marker = layout.marker;
            let at = |start: u64, length: usize| &bytes[start as usize..start as usize + length];
            assert_eq!(bytes.len() as u64, layout.end);
            assert_eq!(marker.reserved_offset % ALIGNMENT, 0);
            let tools_end = 5000 + tools_length as u64;
            assert_eq!(marker.description_offset, tools_end);
            assert_eq!(at(tools_end, 9), DESCRIPTION);
            assert_eq!(marker.description_sum, digest::of(DESCRIPTION));
            assert!(marker.reserved_offset - (tools_end + 9) < ALIGNMENT);
            assert_eq!((marker.elf_size, marker.tools_offset), (5000, 5000));
            assert_eq!(at(marker.tools_offset, tools_length), tools);
            assert_eq!(at(marker.reserved_offset, 8192), reserved);
            let sizes: Vec<u64> = layout.layers.iter().map(|(_, size)| *size).collect();
            assert_eq!(sizes, [5, 0, 11]);
            assert_eq!(at(layout.layers[0].0, 5), b"first");
            assert_eq!(at(layout.layers[2].0, 11), b"third layer");
            for (start, size) in &layout.layers {
                assert_eq!(at(start - 8, 8), size.to_le_bytes());
            }
            let behind = layout.end - marker.reserved_offset - 8192;
            assert_eq!(behind, layers_length(&sizes));
        }
    }

    #[test]
    fn the_runtime_is_told_and_otherwise_kept() {
        let runtime = runtime(0);
        let parts = Parts {
            runtime: &runtime,
            tools: b"tools",
            description: DESCRIPTION,
            origin: &origin(),
            reserved: &[0; 4096],
        };
        let (layout, bytes) = image(&parts, &[]);
        let at = locate(&runtime).unwrap();
        assert_eq!(bytes[at..at + SIZE], layout.marker.encode());
        assert_eq!(bytes[8..11], *b"FI\x01");
        assert_eq!(bytes[11..at], runtime[11..at]);
        assert!(crate::elf::Elf::parse(&bytes).unwrap().is_static());
    }

    #[test]
    fn images_that_differ_in_anything_of_the_private_copy_have_other_build_ids() {
        let runtime = runtime(0);
        let other = Origin {
            distribution: "other".to_owned(),
            ..origin()
        };
        let mut grown = runtime.clone();
        grown.push(0);
        let id = |runtime: &[u8], tools: &[u8], description: &[u8], origin: &Origin| {
            let parts = Parts {
                runtime,
                tools,
                description,
                origin,
                reserved: b"",
            };
            plan(&parts, &[]).marker.build_id
        };
        let ids = [
            id(&runtime, b"tools", b"one", &origin()),
            id(&runtime, b"tools", b"two", &origin()),
            id(&runtime, b"toolz", b"one", &origin()),
            id(&runtime, b"tools", b"one", &other),
            id(&grown, b"tools", b"one", &origin()),
        ];
        let distinct: std::collections::BTreeSet<_> = ids.iter().collect();
        assert_eq!(distinct.len(), ids.len());
        assert_eq!(ids[0], id(&runtime, b"tools", b"one", &origin()));
    }

    #[test]
    fn a_layer_that_is_not_as_long_as_it_said_is_refused() {
        let runtime = runtime(0);
        let parts = Parts {
            runtime: &runtime,
            tools: b"",
            description: DESCRIPTION,
            origin: &origin(),
            reserved: b"",
        };
        for size in [4, 6] {
            let layers = vec![Layer {
                size,
                image: &b"bytes"[..],
            }];
            let error = assemble(&parts, layers, &mut Vec::new()).unwrap_err();
            assert!(
                matches!(error, AssembleError::Layer { index: 0, .. }),
                "{error}"
            );
        }
    }

    #[test]
    fn a_full_disk_is_not_blamed_on_the_layer() {
        let runtime = runtime(0);
        let parts = Parts {
            runtime: &runtime,
            tools: b"",
            description: DESCRIPTION,
            origin: &origin(),
            reserved: b"",
        };
        let layers = vec![Layer {
            size: 8000,
            image: &[0; 8000][..],
        }];
        let mut disk = [0; 8192];
        let error = assemble(&parts, layers, &mut &mut disk[..]).unwrap_err();
        assert!(matches!(error, AssembleError::Write(_)), "{error}");
    }

    #[test]
    fn what_is_no_runtime_is_refused() {
        let parts = Parts {
            runtime: b"",
            tools: b"",
            description: DESCRIPTION,
            origin: &origin(),
            reserved: b"",
        };
        let none: Vec<Layer<&[u8]>> = Vec::new();
        let error = assemble(&parts, none, &mut Vec::new()).unwrap_err();
        assert!(matches!(error, AssembleError::Runtime(0)), "{error}");
    }
}
