//! Files with holes: four ways of saying which parts of a file an archive holds.

use std::io::{self, Read};

use tar::{GnuExtSparseHeader, GnuSparseHeader, Header};

use super::pax::{Records, number};
use super::{BLOCK, invalid};

/// A part of a file that is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Segment {
    /// Bytes from the start of the file.
    pub(crate) offset: u64,
    /// Bytes.
    pub(crate) size: u64,
}

impl Segment {
    /// All of a file of `size` bytes.
    pub(super) fn whole(size: u64) -> Vec<Segment> {
        let segment = Segment { offset: 0, size };
        if size == 0 { vec![] } else { vec![segment] }
    }
}

/// What records say of a file with holes.
pub(super) enum Found {
    /// Its size, and what is stored.
    Map(u64, Vec<Segment>),
    /// Its size; what is stored is said by the start of its content.
    InContent(u64),
}

/// What the records of GNU tar say, in the versions 0.0, 0.1 and 1.0 of its format.
pub(super) fn of_records(records: &Records) -> io::Result<Option<Found>> {
    if records.value("GNU.sparse.major").is_some() {
        let version = ["GNU.sparse.major", "GNU.sparse.minor"].map(|key| records.value(key));
        if version != [Some(&b"1"[..]), Some(b"0")] {
            return Err(invalid(
                "its holes are described in a way that is not known",
            ));
        }
        let size = records.number("GNU.sparse.realsize")?;
        let size = size.ok_or_else(malformed)?;
        return Ok(Some(Found::InContent(size)));
    }
    let Some(size) = records.number("GNU.sparse.size")? else {
        return Ok(None);
    };
    let numbers: Vec<&[u8]> = match records.value("GNU.sparse.map") {
        Some(map) => map.split(|byte| *byte == b',').collect(),
        None => records
            .all()
            .filter(|(key, _)| *key == b"GNU.sparse.offset" || *key == b"GNU.sparse.numbytes")
            .map(|(_, value)| value)
            .collect(),
    };
    let numbers: Option<Vec<u64>> = numbers.into_iter().map(number).collect();
    Ok(Some(Found::Map(
        size,
        pairs(&numbers.ok_or_else(malformed)?)?,
    )))
}

/// What a header of GNU tar says, and the blocks that may follow it.
pub(super) fn of_header(header: &Header, input: &mut impl Read) -> io::Result<(u64, Vec<Segment>)> {
    let header = header.as_gnu().ok_or_else(malformed)?;
    let mut segments = Vec::new();
    let mut add = |parts: &[GnuSparseHeader]| -> io::Result<()> {
        for part in parts.iter().filter(|part| !part.is_empty()) {
            segments.push(Segment {
                offset: part.offset()?,
                size: part.length()?,
            });
        }
        Ok(())
    };
    add(&header.sparse)?;
    let mut goes_on = header.is_extended();
    while goes_on {
        let mut more = GnuExtSparseHeader::new();
        input.read_exact(more.as_mut_bytes())?;
        add(more.sparse())?;
        goes_on = more.is_extended();
    }
    segments.retain(|segment| segment.size > 0);
    Ok((header.real_size()?, segments))
}

/// The map at the start of a member's content: the number of segments, then offset and size of each, every number on a line;
/// zeros fill the last block.
pub(super) fn of_content(content: &mut impl Read) -> io::Result<Vec<Segment>> {
    let mut text = Vec::new();
    let mut wanted = 1;
    let mut lines = 0;
    while lines < wanted {
        let mut block = [0; BLOCK];
        content.read_exact(&mut block)?;
        for byte in block {
            text.push(byte);
            if byte == b'\n' {
                lines += 1;
                if lines == 1 {
                    let count: Option<u64> = number(&text[..text.len() - 1]);
                    let count = count.and_then(|count| count.checked_mul(2)?.checked_add(1));
                    wanted = count.ok_or_else(malformed)?;
                }
                if lines == wanted {
                    break;
                }
            }
        }
    }
    let numbers = text.split(|byte| *byte == b'\n').skip(1);
    let numbers: Option<Vec<u64>> = numbers.take(wanted as usize - 1).map(number).collect();
    pairs(&numbers.ok_or_else(malformed)?)
}

fn pairs(numbers: &[u64]) -> io::Result<Vec<Segment>> {
    if !numbers.len().is_multiple_of(2) {
        return Err(malformed());
    }
    let segments = numbers.chunks_exact(2).map(|pair| Segment {
        offset: pair[0],
        size: pair[1],
    });
    // The last one may be empty: it says where the file ends.
    Ok(segments.filter(|segment| segment.size > 0).collect())
}

/// Refuses segments that overlap, lie outside of the file, or are not all of the content.
pub(super) fn check(size: u64, segments: &[Segment], content: u64) -> io::Result<()> {
    let (mut at, mut stored) = (0, 0u64);
    for segment in segments {
        let end = segment.offset.checked_add(segment.size);
        let end = end.filter(|end| at <= segment.offset && *end <= size);
        at = end.ok_or_else(malformed)?;
        stored += segment.size;
    }
    match stored == content {
        true => Ok(()),
        false => Err(malformed()),
    }
}

fn malformed() -> io::Error {
    invalid("the map of its holes is malformed")
}
