//! Which of two slots holds the value.

use std::io;

use super::StoreError;
use super::medium::{Source, read_exact};
use super::opened::Place;
use crate::decl::RegionDecl;
use crate::slot::{self, HEADER, Header};
use crate::value::Value;
use crate::wire;

/// What is read at once: most values are shorter.
const FIRST: usize = 4096;

/// One slot as found.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Slot {
    /// The header is zero.
    Empty,
    /// Header and payload belong together.
    Whole { generation: u64, payload: Vec<u8> },
    /// They do not.
    Broken,
}

/// What two slots say together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// The payload in that slot is the value.
    Stored {
        slot: usize,
        generation: u64,
        payload: Vec<u8>,
    },
    /// The region has never been written: the image is older than it, or its first write was cut off.
    Unwritten,
    /// The value is lost.
    Damaged,
}

/// The value that was found.
pub fn decoded(place: Place, decl: &RegionDecl, found: Finding) -> Result<Value, StoreError> {
    match found {
        Finding::Stored { payload, .. } => {
            wire::decode(&decl.encoding, &payload).map_err(|source| StoreError::Undecodable {
                region: decl.name,
                offset: place.start,
                source,
            })
        }
        Finding::Unwritten => Ok(decl.default_value()),
        Finding::Damaged => Err(StoreError::Damaged {
            region: decl.name,
            offset: place.start,
        }),
    }
}

/// Reads both slots once.
pub fn finding(
    source: &impl Source,
    place: Place,
    decl: &RegionDecl,
) -> Result<Finding, StoreError> {
    let read = |error| failed_in(source, decl, error);
    let first = read_slot(source, place, 0).map_err(read)?;
    let second = read_slot(source, place, 1).map_err(read)?;
    match (&first, &second) {
        (Slot::Empty, Slot::Empty) => return Ok(Finding::Unwritten),
        (Slot::Broken, Slot::Empty) if is_first_write(source, place, decl).map_err(read)? => {
            return Ok(Finding::Unwritten);
        }
        _ => {}
    }
    let whole = [first, second]
        .into_iter()
        .enumerate()
        .filter_map(|(slot, found)| match found {
            Slot::Whole {
                generation,
                payload,
            } => Some((generation, slot, payload)),
            _ => None,
        });
    let newest = whole.max_by_key(|(generation, ..)| *generation);
    Ok(
        newest.map_or(Finding::Damaged, |(generation, slot, payload)| {
            Finding::Stored {
                slot,
                generation,
                payload,
            }
        }),
    )
}

/// Whether slot 0 is what a cut leaves of the first write of a region, which is that of the default: each byte either
/// arrived or is still zero. Its generation alone does not tell: one flipped bit makes 1 of 3.
fn is_first_write(source: &impl Source, place: Place, decl: &RegionDecl) -> io::Result<bool> {
    let sealed = slot::seal(place.key, 1, decl.default);
    let mut bytes = vec![0; sealed.len()];
    read_exact(source, &mut bytes, place.slot(0))?;
    let mut pairs = bytes.iter().zip(&sealed);
    Ok(pairs.all(|(found, meant)| *found == 0 || found == meant))
}

fn read_slot(source: &impl Source, place: Place, which: usize) -> io::Result<Slot> {
    let start = place.slot(which);
    let size = usize::try_from(place.slot_size).unwrap_or(usize::MAX);
    let mut bytes = vec![0; size.min(FIRST)];
    read_exact(source, &mut bytes, start)?;
    let Some(head) = bytes.first_chunk::<HEADER>() else {
        return Ok(Slot::Empty);
    };
    let Some(header) = Header::parse(head) else {
        return Ok(Slot::Empty);
    };
    let end = HEADER.saturating_add(header.length as usize);
    if end > size {
        return Ok(Slot::Broken);
    }
    let already = bytes.len().min(end);
    bytes.resize(end, 0);
    read_exact(source, &mut bytes[already..], start + already as u64)?;
    let payload = bytes.split_off(HEADER);
    if !header.seals(place.key, &payload) {
        return Ok(Slot::Broken);
    }
    Ok(Slot::Whole {
        generation: header.generation,
        payload,
    })
}

/// Bytes of a slot up to the last that is not zero.
pub fn used(
    source: &impl Source,
    place: Place,
    decl: &RegionDecl,
    slot: usize,
) -> Result<usize, StoreError> {
    const PIECE: usize = 32 * 1024;
    let start = place.slot(slot);
    let size = usize::try_from(place.slot_size).unwrap_or(usize::MAX);
    let (mut piece, zeros) = (vec![0; PIECE], vec![0; PIECE]);
    let mut used = 0;
    for at in (0..size).step_by(PIECE) {
        let piece = &mut piece[..PIECE.min(size - at)];
        read_exact(source, piece, start + at as u64)
            .map_err(|error| failed_in(source, decl, error))?;
        // Comparing whole pieces first is what makes this cheap: nearly all of a slot is zero.
        if *piece != zeros[..piece.len()] {
            let last = piece.iter().rposition(|byte| *byte != 0);
            used = at + last.map_or(0, |last| last + 1);
        }
    }
    Ok(used)
}

/// Why the image cannot be read.
pub fn failed(source: &impl Source, error: io::Error) -> StoreError {
    StoreError::Read {
        path: source.path().to_owned(),
        source: error,
    }
}

fn failed_in(source: &impl Source, decl: &RegionDecl, error: io::Error) -> StoreError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => StoreError::CutOff {
            path: source.path().to_owned(),
            region: decl.name,
        },
        _ => failed(source, error),
    }
}
