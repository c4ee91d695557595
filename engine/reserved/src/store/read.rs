//! Which of two slots holds the value.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use super::{Store, StoreError, read_exact};
use crate::decl::RegionDecl;
use crate::slot::{HEADER, Header};
use crate::value::Value;
use crate::wire;

/// What is read at once: most values are shorter.
const FIRST: usize = 4096;

/// How often a reader that finds no whole slot looks again. A writer leaves a whole slot at any moment, but a reader
/// looks at the two one after the other; two writes in between can hide it.
const LOOKS: usize = 5;

/// One slot as found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Slot {
    /// The header is zero.
    Empty,
    /// Header and payload belong together.
    Whole { generation: u64, payload: Vec<u8> },
    /// They do not.
    Broken { generation: u64 },
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

/// The value of a region, by a reader that holds no lock.
pub fn value(store: &Store, file: &File, decl: &RegionDecl) -> Result<Value, StoreError> {
    let mut found = finding(store, file, decl)?;
    for _ in 1..LOOKS {
        if matches!(found, Finding::Stored { .. }) {
            break;
        }
        found = finding(store, file, decl)?;
    }
    decoded(store, decl, found)
}

/// The value that was found.
pub fn decoded(store: &Store, decl: &RegionDecl, found: Finding) -> Result<Value, StoreError> {
    let offset = store.offset(decl);
    match found {
        Finding::Stored { payload, .. } => {
            wire::decode(&decl.encoding, &payload).map_err(|source| StoreError::Undecodable {
                region: decl.name,
                offset,
                source,
            })
        }
        Finding::Unwritten => Ok(decl.default_value()),
        Finding::Damaged => Err(StoreError::Damaged {
            region: decl.name,
            offset,
        }),
    }
}

/// Reads both slots once.
pub fn finding(store: &Store, file: &File, decl: &RegionDecl) -> Result<Finding, StoreError> {
    let read = |source| StoreError::Read {
        path: store.path.clone(),
        source,
    };
    let first = slot(store, file, decl, 0).map_err(read)?;
    let second = slot(store, file, decl, 1).map_err(read)?;
    Ok(judge([first, second]))
}

fn judge(slots: [Slot; 2]) -> Finding {
    if let [Slot::Empty, Slot::Empty | Slot::Broken { generation: 1 }]
    | [Slot::Broken { generation: 1 }, Slot::Empty] = slots
    {
        return Finding::Unwritten;
    }
    let whole = slots
        .into_iter()
        .enumerate()
        .filter_map(|(slot, found)| match found {
            Slot::Whole {
                generation,
                payload,
            } => Some(Finding::Stored {
                slot,
                generation,
                payload,
            }),
            _ => None,
        });
    let newest = whole.max_by_key(|found| match found {
        Finding::Stored { generation, .. } => *generation,
        _ => 0,
    });
    newest.unwrap_or(Finding::Damaged)
}

fn slot(store: &Store, file: &File, decl: &RegionDecl, which: u64) -> io::Result<Slot> {
    let start = store.offset(decl) + which * decl.slot_size();
    let size = usize::try_from(decl.slot_size()).unwrap_or(usize::MAX);
    let mut bytes = vec![0; size.min(FIRST)];
    read_exact(file, &mut bytes, start)?;
    let Some(head) = bytes.first_chunk::<HEADER>() else {
        return Ok(Slot::Empty);
    };
    let Some(header) = Header::parse(head) else {
        return Ok(Slot::Empty);
    };
    let broken = Slot::Broken {
        generation: header.generation,
    };
    let end = HEADER.saturating_add(header.length as usize);
    if end > size {
        return Ok(broken);
    }
    let already = bytes.len().min(end);
    bytes.resize(end, 0);
    read_exact(file, &mut bytes[already..], start + already as u64)?;
    let payload = bytes.split_off(HEADER);
    if !header.seals(decl.offset, &payload) {
        return Ok(broken);
    }
    Ok(Slot::Whole {
        generation: header.generation,
        payload,
    })
}

/// Reads as much as there is, up to all of `bytes`.
pub fn up_to(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut length = 0;
    while length < bytes.len() {
        match file.read_at(&mut bytes[length..], offset + length as u64) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}
