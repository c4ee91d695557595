//! An image that is there: where its parts are, without running it.
//!
//! Nothing in it is believed: it may be half of one, or made to mislead. What does not fit is one line.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flatimage_layer::{Kind, Layer, OpenError, ROOT};
use flatimage_reserved::{FieldValue, Record, Store, StoreError, Value, declared};
use serde_json::Value as Json;

use crate::assemble::LAYER_HEADER;
use crate::digest;
use crate::file::{FileError, failed};
use crate::marker::{self, Marker, MarkerError};
use crate::tools::manifest::{self, ToolsJson};

/// Bytes at the start of an image of version 2 that its program is in.
const LARGEST_OLDER_PROGRAM: u64 = 16 << 20;

/// Bytes of the largest description.
const LARGEST_DESCRIPTION: u64 = 1 << 20;

/// Why a file cannot be looked into as an image.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// It could not be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// It has no marker that says where its parts are, or one that says nothing of use.
    #[error("`{}` is no image", path.display())]
    Marker {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: MarkerError,
    },
    /// Its parts are not where they are said to be.
    #[error("`{}` is damaged: {what}; restore it from a copy", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// Its settings cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A layer cannot be read.
    #[error("layer {index} of `{}` is damaged", path.display())]
    Layer {
        /// The file.
        path: PathBuf,
        /// Which one, counted from 0.
        index: usize,
        /// What is wrong.
        source: OpenError,
    },
}

/// A layer in an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    /// First byte of the DwarFS image.
    pub(crate) offset: u64,
    /// Its bytes.
    pub(crate) size: u64,
}

/// An image that was looked at.
pub(crate) struct Image {
    pub(crate) path: PathBuf,
    pub(crate) file: Arc<File>,
    /// Bytes of the file.
    pub(crate) size: u64,
    pub(crate) marker: Marker,
    pub(crate) tools: ToolsJson,
    pub(crate) metadata: Json,
    pub(crate) store: Store,
    pub(crate) layers: Vec<Span>,
}

impl Image {
    /// Looks at an image.
    pub(crate) fn open(path: &Path) -> Result<Image, ImageError> {
        let file = File::open(path).map_err(failed("open", path))?;
        let found = file.metadata().map_err(failed("read", path))?;
        if !found.is_file() {
            let what = io::Error::other("it is not a file");
            return Err(failed("read", path)(what).into());
        }
        let size = found.len();
        let marker = read_marker(path, &file)?;
        let damaged = |what: &str| ImageError::Damaged {
            path: path.to_owned(),
            what: what.to_owned(),
        };
        check_places(&marker, size).map_err(damaged)?;
        let (tools, metadata) = describe(path, &file, &marker)?;
        let store = Store::open(path, marker.reserved_offset)?;
        let listed = store.value(declared::LAYERS)?;
        let (count, length) = extent(&listed);
        let layers = spans(&file, store.end(), (count, length), size);
        let layers = layers.map_err(|error| damaged(&error.to_string()))?;
        Ok(Image {
            path: path.to_owned(),
            file: Arc::new(file),
            size,
            marker,
            tools,
            metadata,
            store,
            layers,
        })
    }

    /// A part of the file.
    pub(crate) fn part(&self, offset: u64, size: u64) -> Part {
        Part {
            file: self.file.clone(),
            at: offset,
            left: size,
        }
    }

    /// A layer, opened.
    pub(crate) fn layer(&self, index: usize) -> Result<Layer, ImageError> {
        let Span { offset, size } = self.layers[index];
        Layer::open(self.file.clone(), offset, size).map_err(|source| ImageError::Layer {
            path: self.path.clone(),
            index,
            source,
        })
    }

    /// Version of a layer's format, as it says itself (the first bytes of a DwarFS image).
    pub(crate) fn format(&self, index: usize) -> Result<String, ImageError> {
        let mut head = [0; 8];
        let read = self
            .file
            .read_exact_at(&mut head, self.layers[index].offset);
        read.map_err(failed("read", &self.path))?;
        Ok(format!("DwarFS {}.{}", head[6], head[7]))
    }

    /// The sum of a part of the file.
    pub(crate) fn sum(&self, offset: u64, size: u64) -> Result<digest::Sum, ImageError> {
        let sum = digest::of_reader(&mut self.part(offset, size));
        Ok(sum.map_err(failed("read", &self.path))?)
    }
}

/// A part of a file, read without moving the file's own position.
pub(crate) struct Part {
    file: Arc<File>,
    at: u64,
    left: u64,
}

impl Read for Part {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX);
        let wanted = wanted.min(buffer.len());
        let read = self.file.read_at(&mut buffer[..wanted], self.at)?;
        self.at += read as u64;
        self.left -= read as u64;
        Ok(read)
    }
}

fn read_marker(path: &Path, file: &File) -> Result<Marker, ImageError> {
    let mut bytes = [0; marker::SIZE];
    let found = match file.read_exact_at(&mut bytes, marker::OFFSET as u64) {
        Ok(()) => Marker::decode(&bytes),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(MarkerError::Missing),
        Err(error) => return Err(failed("read", path)(error).into()),
    };
    let found = match found {
        Err(MarkerError::Missing) => {
            let mut start = Vec::new();
            let read = file.take(LARGEST_OLDER_PROGRAM).read_to_end(&mut start);
            read.map_err(failed("read", path))?;
            Marker::decode_older(&start)
        }
        found => found,
    };
    found.map_err(|source| ImageError::Marker {
        path: path.to_owned(),
        source,
    })
}

/// Whether the parts follow one another inside the file.
fn check_places(marker: &Marker, size: u64) -> Result<(), &'static str> {
    let described = marker
        .description_offset
        .checked_add(marker.description_size);
    let in_order = marker::RUNTIME_OFFSET as u64 <= marker.tools_offset
        && marker.tools_offset <= marker.description_offset
        && described.is_some_and(|end| end <= marker.reserved_offset);
    match in_order && marker.reserved_offset < size {
        true => Ok(()),
        false => Err("its parts do not follow one another"),
    }
}

fn describe(path: &Path, file: &File, marker: &Marker) -> Result<(ToolsJson, Json), ImageError> {
    let damaged = |what: &str| ImageError::Damaged {
        path: path.to_owned(),
        what: format!("the description of the tools {what}"),
    };
    if marker.description_size == 0 {
        return Ok((ToolsJson { tools: Vec::new() }, Json::Null));
    }
    if marker.description_size > LARGEST_DESCRIPTION {
        return Err(damaged("is too large"));
    }
    let mut bytes = vec![0; marker.description_size as usize];
    file.read_exact_at(&mut bytes, marker.description_offset)
        .map_err(failed("read", path))?;
    if digest::of(&bytes) != marker.description_sum {
        return Err(damaged("has another sum"));
    }
    let (table, metadata) = manifest::texts(&bytes).ok_or_else(|| damaged("is cut off"))?;
    let table = manifest::parse(table).map_err(|_| damaged("has no table"))?;
    let metadata = serde_json::from_slice(metadata);
    Ok((table, metadata.map_err(|_| damaged("has no metadata"))?))
}

/// How many layers there are, and how many bytes they take up.
fn extent(layers: &Value) -> (u64, u64) {
    match layers {
        Value::Record(Some(Record(fields))) => match fields[..] {
            [FieldValue::Number(count), FieldValue::Number(length)] => (count, length),
            _ => (0, 0),
        },
        _ => (0, 0),
    }
}

/// Where `count` layers are within `length` bytes from `start`.
fn spans(
    file: &File,
    start: u64,
    (count, length): (u64, u64),
    file_size: u64,
) -> io::Result<Vec<Span>> {
    let too_short = || io::Error::other("it is shorter than the layers in it");
    let end = start.checked_add(length).filter(|end| *end <= file_size);
    let end = end.ok_or_else(too_short)?;
    let mut spans = Vec::new();
    let mut at = start;
    for _ in 0..count {
        let mut size = [0; LAYER_HEADER as usize];
        file.read_exact_at(&mut size, at)?;
        let (offset, size) = (at + LAYER_HEADER, u64::from_le_bytes(size));
        let next = offset.checked_add(size).filter(|next| *next <= end);
        at = next.ok_or_else(too_short)?;
        spans.push(Span { offset, size });
    }
    Ok(spans)
}

/// How many names the directories of a layer have. One that leads back to itself is counted once.
pub(crate) fn entries(layer: &Layer) -> u64 {
    let mut seen = vec![false; layer.inode_count() as usize];
    let mut open = vec![ROOT];
    let mut count = 0;
    while let Some(directory) = open.pop() {
        for (_, entry) in layer.entries(directory, 0) {
            count += 1;
            let is_directory = layer
                .attributes(entry.inode)
                .is_some_and(|found| found.kind == Kind::Directory);
            let seen = seen.get_mut(entry.inode as usize);
            if let Some(seen) = seen.filter(|seen| is_directory && !**seen) {
                *seen = true;
                open.push(entry.inode);
            }
        }
    }
    count
}
