//! The sections of an image: where they lie, and how their bytes are checked and decompressed.
//!
//! An image is a sequence of sections, each a header of 64 bytes and a payload that is compressed on its own. The last
//! section is an index of all of them; images without one are walked header by header.

use std::cell::RefCell;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use dwarfs::section::{CompressAlgo, Header, MagicVersion, SectionIndexEntry, SectionType};
use dwarfs::zerocopy::{FromBytes, FromZeros, IntoBytes};

use crate::error::{OpenError, ReadError};
use crate::xattr::{self, Xattrs};

/// Bytes of a section's header.
pub(crate) const HEADER_SIZE: u64 = size_of::<Header>() as u64;

/// Bytes of an entry of the index.
const ENTRY_SIZE: u64 = size_of::<SectionIndexEntry>() as u64;

/// The format since which there is an index of sections.
const FIRST_WITH_INDEX: (u8, u8) = (2, 4);

/// Memory that an LZMA decoder may take beyond its output, in KiB (the largest preset takes 65 MiB).
const LZMA_MEMORY_KIB: u32 = 128 << 10;

/// The bytes of one image within a file.
#[derive(Debug)]
pub(crate) struct Extent {
    file: Arc<File>,
    offset: u64,
    length: u64,
}

/// Where a section lies, in bytes from the start of the image.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    start: u64,
    end: u64,
}

/// Where the sections of an image lie.
#[derive(Debug)]
pub(crate) struct Sections {
    extent: Extent,
    /// The blocks of file content, in the order in which chunks number them.
    blocks: Vec<Span>,
    /// The section with the layout of the metadata.
    pub(crate) schema: Span,
    /// The section with the metadata.
    pub(crate) metadata: Span,
    /// The section with extended attributes.
    xattrs: Option<Span>,
}

/// Checks cheaply that a DwarFS image of `length` bytes lies in `file` at `offset` (in bytes): magic, version and sizes.
///
/// # Errors
/// [`OpenError::NotDwarfs`] when it is something else, [`OpenError::Damaged`] when the file ends before the image does.
pub fn probe(file: &File, offset: u64, length: u64) -> Result<(), OpenError> {
    let size = file
        .metadata()
        .map_err(|source| OpenError::Io { offset, source })?
        .len();
    if offset.checked_add(length).is_none_or(|end| end > size) {
        return Err(OpenError::Damaged {
            offset,
            reason: "the file ends before the image does",
        });
    }
    if length < HEADER_SIZE {
        return Err(OpenError::NotDwarfs {
            offset,
            reason: "too few bytes",
        });
    }
    let mut header = Header::new_zeroed();
    file.read_exact_at(header.as_mut_bytes(), offset)
        .map_err(|source| OpenError::Io { offset, source })?;
    if header.magic_version.magic != MagicVersion::MAGIC {
        return Err(OpenError::NotDwarfs {
            offset,
            reason: "it does not start with `DWARFS`",
        });
    }
    let MagicVersion { major, minor, .. } = header.magic_version;
    if !dwarfs::SUPPORTED_VERSION_RANGE.contains(&(major, minor)) {
        return Err(OpenError::Unsupported {
            offset,
            feature: "a format other than DwarFS 2.3 to 2.5",
        });
    }
    check_algorithm(header.compress_algo).map_err(|error| error.at(offset))?;
    if header.payload_size.get() > length - HEADER_SIZE {
        return Err(OpenError::Damaged {
            offset,
            reason: "its first section is longer than the image",
        });
    }
    Ok(())
}

impl Extent {
    /// The bytes of `file` from `offset`, `length` of them; they have been probed.
    pub(crate) fn new(file: Arc<File>, offset: u64, length: u64) -> Extent {
        Extent {
            file,
            offset,
            length,
        }
    }

    fn read(&self, buffer: &mut [u8], at: u64) -> Result<(), ReadError> {
        Ok(self.file.read_exact_at(buffer, self.offset + at)?)
    }

    pub(crate) fn header(&self, at: u64) -> Result<Header, ReadError> {
        if at
            .checked_add(HEADER_SIZE)
            .is_none_or(|end| end > self.length)
        {
            return Err(ReadError::Damaged("a section lies beyond the end"));
        }
        let mut header = Header::new_zeroed();
        self.read(header.as_mut_bytes(), at)?;
        if header.magic_version.magic != MagicVersion::MAGIC {
            return Err(ReadError::Damaged("a section does not start with `DWARFS`"));
        }
        Ok(header)
    }

    /// The index at the end of the image, when there is one.
    fn index(&self) -> Result<Option<Vec<(SectionType, u64)>>, ReadError> {
        let first = self.header(0)?.magic_version;
        if (first.major, first.minor) < FIRST_WITH_INDEX {
            return Ok(None);
        }
        let mut last = SectionIndexEntry::new_zeroed();
        self.read(last.as_mut_bytes(), self.length - ENTRY_SIZE)?;
        let payload_at = last.offset() + HEADER_SIZE;
        if last.section_type() != SectionType::SECTION_INDEX || payload_at > self.length {
            return Ok(None);
        }
        let Ok(header) = self.header(last.offset()) else {
            return Ok(None);
        };
        let size = self.length - payload_at;
        if header.section_type != SectionType::SECTION_INDEX
            || header.compress_algo != CompressAlgo::NONE
            || header.payload_size.get() != size
            || !size.is_multiple_of(ENTRY_SIZE)
        {
            return Ok(None);
        }
        let mut payload = vec![0; size as usize];
        self.read(&mut payload, payload_at)?;
        verify(&header, &payload)?;
        let entries = payload.chunks_exact(ENTRY_SIZE as usize).map(|bytes| {
            let entry = SectionIndexEntry::read_from_bytes(bytes)
                .expect("chunks have the size of an entry");
            (entry.section_type(), entry.offset())
        });
        Ok(Some(entries.collect()))
    }

    /// Checks the section at `at` against its checksums, the slow one only if asked for, and answers where it ends.
    pub(crate) fn verify(&self, at: u64, slow: bool) -> Result<u64, ReadError> {
        let header = self.header(at)?;
        let size = header.payload_size.get();
        let start = at + HEADER_SIZE;
        let end = start.checked_add(size).filter(|end| *end <= self.length);
        let end = end.ok_or(ReadError::Damaged("a section lies beyond the end"))?;
        let mut payload = vec![0; size as usize];
        self.read(&mut payload, start)?;
        verify(&header, &payload)?;
        if slow && header.validate_slow_checksum(&payload).is_err() {
            return Err(ReadError::Damaged("a checksum does not match"));
        }
        Ok(end)
    }

    /// Finds the sections by going from header to header.
    fn walk(&self) -> Result<Vec<(SectionType, u64)>, ReadError> {
        let mut found = Vec::new();
        let mut at = 0;
        while at < self.length {
            let header = self.header(at)?;
            found.push((header.section_type, at));
            at = (at + HEADER_SIZE)
                .checked_add(header.payload_size.get())
                .ok_or(ReadError::Damaged("a section lies beyond the end"))?;
        }
        Ok(found)
    }
}

impl Sections {
    /// Finds all sections.
    pub(crate) fn open(extent: Extent) -> Result<Sections, ReadError> {
        let found = match extent.index()? {
            Some(index) => index,
            None => extent.walk()?,
        };
        let mut blocks = Vec::with_capacity(found.len());
        let (mut schema, mut metadata, mut xattrs) = (None, None, None);
        for (i, &(kind, start)) in found.iter().enumerate() {
            let end = found.get(i + 1).map_or(extent.length, |next| next.1);
            if end > extent.length || end.checked_sub(start).is_none_or(|size| size < HEADER_SIZE) {
                return Err(ReadError::Damaged(
                    "its sections overlap or lie beyond the end",
                ));
            }
            let span = Span { start, end };
            match kind {
                SectionType::BLOCK => blocks.push(span),
                SectionType::METADATA_V2_SCHEMA => schema = Some(span),
                SectionType::METADATA_V2 => metadata = Some(span),
                xattr::SECTION => xattrs = Some(span),
                _ => {}
            }
        }
        let schema = schema.ok_or(ReadError::Damaged("it has no schema"))?;
        let metadata = metadata.ok_or(ReadError::Damaged("it has no metadata"))?;
        Ok(Sections {
            extent,
            blocks,
            schema,
            metadata,
            xattrs,
        })
    }

    /// The size of the image, in bytes.
    pub(crate) fn length(&self) -> u64 {
        self.extent.length
    }

    /// Loads the extended attributes, if there are any.
    pub(crate) fn xattrs(&self) -> Result<Option<Xattrs>, ReadError> {
        let load = |span| Xattrs::read(self.load(span, xattr::SECTION, xattr::MAX_SIZE)?);
        self.xattrs.map(load).transpose()
    }

    /// Loads block `number`; it may decompress to at most `limit` bytes.
    pub(crate) fn block(&self, number: u32, limit: u64) -> Result<Vec<u8>, ReadError> {
        let span = self
            .blocks
            .get(number as usize)
            .ok_or(ReadError::Damaged("a chunk names a missing block"))?;
        self.load(*span, SectionType::BLOCK, limit)
    }

    /// Loads a section of this type, which may decompress to at most `limit` bytes.
    pub(crate) fn load(
        &self,
        span: Span,
        kind: SectionType,
        limit: u64,
    ) -> Result<Vec<u8>, ReadError> {
        let header = self.extent.header(span.start)?;
        let size = header.payload_size.get();
        if header.section_type != kind || size > span.end - span.start - HEADER_SIZE {
            return Err(ReadError::Damaged("a section is not what the index says"));
        }
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let payload_at = span.start + HEADER_SIZE;
        if header.compress_algo == CompressAlgo::NONE {
            if size > limit as u64 {
                return Err(TOO_LONG);
            }
            let mut payload = vec![0; size as usize];
            self.extent.read(&mut payload, payload_at)?;
            verify(&header, &payload)?;
            return Ok(payload);
        }
        SCRATCH.with_borrow_mut(|scratch| {
            scratch.payload.resize(size as usize, 0);
            self.extent.read(&mut scratch.payload, payload_at)?;
            verify(&header, &scratch.payload)?;
            scratch.decompress(header.compress_algo, limit)
        })
    }
}

const TOO_LONG: ReadError = ReadError::Damaged("a section is longer than it may be");

fn verify(header: &Header, payload: &[u8]) -> Result<(), ReadError> {
    header
        .validate_fast_checksum(payload)
        .map_err(|_| ReadError::Damaged("a checksum does not match"))
}

fn check_algorithm(algorithm: CompressAlgo) -> Result<(), ReadError> {
    match algorithm {
        CompressAlgo::NONE
        | CompressAlgo::ZSTD
        | CompressAlgo::LZMA
        | CompressAlgo::LZ4
        | CompressAlgo::LZ4HC => Ok(()),
        CompressAlgo::BROTLI => Err(ReadError::Unsupported("brotli compression")),
        CompressAlgo::FLAC => Err(ReadError::Unsupported("flac compression")),
        CompressAlgo::RICEPP => Err(ReadError::Unsupported("ricepp compression")),
        _ => Err(ReadError::Unsupported("an unknown compression")),
    }
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// What a thread keeps from one section to the next: both parts are dear to allocate.
#[derive(Default)]
struct Scratch {
    payload: Vec<u8>,
    zstd: Option<zstd::bulk::Decompressor<'static>>,
}

impl Scratch {
    fn decompress(&mut self, algorithm: CompressAlgo, limit: usize) -> Result<Vec<u8>, ReadError> {
        check_algorithm(algorithm)?;
        match algorithm {
            CompressAlgo::ZSTD => self.decompress_zstd(limit),
            CompressAlgo::LZMA => decompress_lzma(&self.payload, limit),
            _ => decompress_lz4(&self.payload, limit),
        }
    }

    fn decompress_zstd(&mut self, limit: usize) -> Result<Vec<u8>, ReadError> {
        let zstd = match &mut self.zstd {
            Some(zstd) => zstd,
            none => none.insert(zstd::bulk::Decompressor::new()?),
        };
        zstd.decompress(&self.payload, limit).map_err(|_| BAD_DATA)
    }
}

const BAD_DATA: ReadError = ReadError::Damaged("a section does not decompress");

/// A payload is a whole `.xz` stream.
fn decompress_lzma(payload: &[u8], limit: usize) -> Result<Vec<u8>, ReadError> {
    let memory = u32::try_from(limit >> 10)
        .unwrap_or(u32::MAX)
        .saturating_add(LZMA_MEMORY_KIB);
    let reader = lzma_rust2::XzReader::new_mem_limit(payload, false, memory);
    let mut out = Vec::new();
    reader
        .take(limit as u64 + 1)
        .read_to_end(&mut out)
        .map_err(|_| BAD_DATA)?;
    if out.len() > limit {
        Err(TOO_LONG)
    } else {
        Ok(out)
    }
}

/// A payload is the size of the output, 32 bits in little-endian order, and one LZ4 block.
fn decompress_lz4(payload: &[u8], limit: usize) -> Result<Vec<u8>, ReadError> {
    let (size, data) = payload.split_first_chunk::<4>().ok_or(BAD_DATA)?;
    let size = u32::from_le_bytes(*size) as usize;
    if size > limit {
        return Err(TOO_LONG);
    }
    lz4_flex::block::decompress(data, size).map_err(|_| BAD_DATA)
}
