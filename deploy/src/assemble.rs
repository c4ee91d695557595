//! The assemble stage: joins runtime, tools, reserved space and layers to an image.
//!
//! ```text
//! launcher                   with its `e_ident` filled in
//! zeros, marker, zeros       to 64 KiB
//! runtime                    one block of LZ4
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
use crate::marker::{Marker, MarkerError, Origin, RUNTIME_OFFSET, launcher_part};

/// What the offset of the reserved space is a multiple of, so that its slots share no page with anything else.
pub const ALIGNMENT: u64 = 4096;

/// Bytes before each layer: its size.
pub const LAYER_HEADER: u64 = 8;

/// The two programs of an image.
#[derive(Debug, Clone)]
pub struct Programs {
    /// What the image begins with, as it was compiled.
    pub launcher: Vec<u8>,
    /// Bytes of the other one, which works.
    pub runtime_size: u64,
    /// The sum of that one.
    pub runtime_sum: digest::Sum,
    /// The same, compressed.
    pub packed: Vec<u8>,
}

impl Programs {
    /// Of both as they were compiled. LZ4, because a start that can keep no copy unpacks it each time.
    pub fn new(launcher: Vec<u8>, runtime: &[u8]) -> Programs {
        Programs {
            launcher,
            runtime_size: runtime.len() as u64,
            runtime_sum: digest::of(runtime),
            packed: lz4_flex::block::compress(runtime),
        }
    }
}

/// The parts that are held in memory.
#[derive(Debug, Clone, Copy)]
pub struct Parts<'a> {
    /// The programs.
    pub programs: &'a Programs,
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
    /// There is no marker that says so.
    #[error(transparent)]
    Marker(#[from] MarkerError),
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
    let programs_end = (RUNTIME_OFFSET + parts.programs.packed.len()) as u64;
    let tools_end = programs_end + parts.tools.len() as u64;
    let description_size = parts.description.len() as u64;
    let mut marker = Marker {
        reserved_offset: (tools_end + description_size).next_multiple_of(ALIGNMENT),
        tools_offset: programs_end,
        runtime_size: parts.programs.runtime_size,
        runtime_sum: digest::of(&parts.programs.packed),
        // Whoever writes an image refuses what is no launcher.
        launcher_sum: launcher_part(&parts.programs.launcher)
            .map_or([0; 32], |part| digest::of(&part)),
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
/// When the launcher does not fit, a layer is not as long as it said, or a reader or the writer fails. What was written by
/// then is no image.
pub fn assemble<R: Read>(
    parts: &Parts,
    layers: Vec<Layer<R>>,
    out: &mut impl Write,
) -> Result<Layout, AssembleError> {
    let sizes: Vec<u64> = layers.iter().map(|layer| layer.size).collect();
    let layout = plan(parts, &sizes);
    out.write_all(&layout.marker.head(&parts.programs.launcher)?)?;
    out.write_all(&parts.programs.packed)?;
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
    hash.update(parts.programs.runtime_sum);
    hash.update(parts.tools);
    hash.update(marker.encode());
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::marker::tests::origin;
    use crate::marker::{OFFSET, SIZE, tests::launcher};

    const DESCRIPTION: &[u8] = b"described";

    /// Both, of which the runtime is made up of this many other bytes.
    fn programs(length: usize) -> Programs {
        let runtime: Vec<u8> = (0..length).map(|at| ((at * at) >> 3) as u8).collect();
        Programs::new(launcher(), &runtime)
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
        let programs = programs(5000);
        let end = RUNTIME_OFFSET + programs.packed.len();
        let reserved = [0x5a; 8192];
        // Tools that end just before, at and just behind a page.
        let to_page = end.next_multiple_of(4096) - end;
        for tools_length in [to_page - 10, to_page - 9, to_page - 8, 0] {
            let tools = vec![0x77; tools_length];
            let parts = Parts {
                programs: &programs,
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
            let tools_end = (end + tools_length) as u64;
            assert_eq!(marker.description_offset, tools_end);
            assert_eq!(at(tools_end, 9), DESCRIPTION);
            assert_eq!(marker.description_sum, digest::of(DESCRIPTION));
            assert!(marker.reserved_offset - (tools_end + 9) < ALIGNMENT);
            assert_eq!(
                (marker.runtime_size, marker.tools_offset),
                (5000, end as u64)
            );
            let packed = at(RUNTIME_OFFSET as u64, programs.packed.len());
            assert_eq!(marker.runtime_sum, digest::of(packed));
            let unpacked = lz4_flex::block::decompress(packed, 5000).unwrap();
            assert_eq!(programs.runtime_sum, digest::of(&unpacked));
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
    fn an_image_begins_with_the_launcher_and_the_marker() {
        let programs = programs(100);
        let parts = Parts {
            programs: &programs,
            tools: b"tools",
            description: DESCRIPTION,
            origin: &origin(),
            reserved: &[0; 4096],
        };
        let (layout, bytes) = image(&parts, &[]);
        assert_eq!(bytes[OFFSET..OFFSET + SIZE], layout.marker.encode());
        assert_eq!(layout.marker.launcher_sum, digest::of(&bytes[..OFFSET]));
        assert_eq!(bytes[8..11], *b"FI\x01");
        assert!(crate::elf::Elf::parse(&bytes).unwrap().is_static());
    }

    #[test]
    fn images_that_differ_in_anything_of_the_private_copy_have_other_build_ids() {
        let (programs, grown) = (programs(100), programs(101));
        let other = Origin {
            distribution: "other".to_owned(),
            ..origin()
        };
        let id = |programs: &Programs, tools: &[u8], description: &[u8], origin: &Origin| {
            let parts = Parts {
                programs,
                tools,
                description,
                origin,
                reserved: b"",
            };
            plan(&parts, &[]).marker.build_id
        };
        let ids = [
            id(&programs, b"tools", b"one", &origin()),
            id(&programs, b"tools", b"two", &origin()),
            id(&programs, b"toolz", b"one", &origin()),
            id(&programs, b"tools", b"one", &other),
            id(&grown, b"tools", b"one", &origin()),
        ];
        let distinct: std::collections::BTreeSet<_> = ids.iter().collect();
        assert_eq!(distinct.len(), ids.len());
        assert_eq!(ids[0], id(&programs, b"tools", b"one", &origin()));
    }

    #[test]
    fn a_layer_that_is_not_as_long_as_it_said_is_refused() {
        let programs = programs(100);
        let parts = Parts {
            programs: &programs,
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
        let programs = programs(100);
        let parts = Parts {
            programs: &programs,
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
    fn what_is_no_launcher_is_refused() {
        let parts = Parts {
            programs: &Programs::new(Vec::new(), b"runtime"),
            tools: b"",
            description: DESCRIPTION,
            origin: &origin(),
            reserved: b"",
        };
        let none: Vec<Layer<&[u8]>> = Vec::new();
        let error = assemble(&parts, none, &mut Vec::new()).unwrap_err();
        let expected = MarkerError::Launcher(0);
        assert!(matches!(error, AssembleError::Marker(found) if found == expected));
    }
}
