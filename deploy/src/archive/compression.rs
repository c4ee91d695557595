//! Compressed archives, told by how they begin.

use std::io::{self, BufReader, Chain, Cursor, Read};

use flate2::read::MultiGzDecoder;
use lzma_rust2::XzReader;

use super::{BLOCK, invalid};

/// The memory that xz may take: its largest preset takes 65 MiB.
const XZ_LIMIT_KIB: u32 = 256 << 10;

/// The input with its first bytes, which were looked at.
type Whole<R> = Chain<Cursor<Vec<u8>>, R>;

/// The archive in a file that is plain, or compressed with gzip, xz or zstd.
pub(crate) fn decompressed<'a>(input: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let mut input = BufReader::with_capacity(1 << 17, input);
    let mut start = Vec::new();
    (&mut input).take(BLOCK as u64).read_to_end(&mut start)?;
    let whole = |input| -> Whole<_> { Cursor::new(start.clone()).chain(input) };
    let starts = |magic: &[u8]| start.starts_with(magic);
    if starts(b"\x1f\x8b") {
        return Ok(Box::new(MultiGzDecoder::new(whole(input))));
    }
    if starts(b"\xfd7zXZ\0") {
        return Ok(Box::new(XzReader::new_mem_limit(
            whole(input),
            true,
            XZ_LIMIT_KIB,
        )));
    }
    if starts(b"\x28\xb5\x2f\xfd") || is_skippable(&start) {
        return Ok(Box::new(zstd::Decoder::new(whole(input))?));
    }
    if starts(b"BZh") {
        return Err(invalid(
            "it is compressed with bzip2; compress it with gzip, xz or zstd, or not at all",
        ));
    }
    Ok(Box::new(whole(input)))
}

/// Whether this is a frame that zstd passes over, as parallel compressors write at the start.
fn is_skippable(start: &[u8]) -> bool {
    matches!(start, [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..])
}
