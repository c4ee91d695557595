//! The order of writes that leaves the old or the new value, whatever cuts it off.
//!
//! The slot that does not hold the value is written at once, header and payload; synced; then the slot that held it is
//! zeroed; synced; and only then is success reported. Were it reported before the old slot is zeroed, decay of the new
//! one could bring the old value back, an old permission for instance.

use std::os::unix::fs::FileExt as _;

use super::read::{self, Finding};
use super::{Locked, StoreError, read_exact};
use crate::decl::RegionDecl;
use crate::slot::{self, HEADER};
use crate::value::Value;
use crate::wire::{self, EncodeError};

/// Writes `value` into the region.
pub fn value(locked: &Locked<'_>, decl: &RegionDecl, value: &Value) -> Result<(), StoreError> {
    let payload = payload(decl, value)?;
    // What the value takes of its slot: behind it the slot is zero, since `put` writes zeros over what lay there.
    let (held, generation, length) = match read::finding(locked.store, &locked.file, decl)? {
        Finding::Stored {
            slot,
            payload: stored,
            ..
        } if stored == payload => {
            let used = used(locked, decl, 1 - slot)?;
            return scrub(locked, decl, 1 - slot, used);
        }
        Finding::Stored {
            slot,
            generation,
            payload,
        } => (slot, generation, HEADER + payload.len()),
        // A first write that is cut off must not look like damage: the default goes first, and a broken slot of
        // generation 1 means the default.
        Finding::Unwritten => {
            put(locked, decl, 0, &slot::seal(decl.offset, 1, decl.default))?;
            (0, 1, HEADER + decl.default.len())
        }
        Finding::Damaged => (1, 1, used(locked, decl, 1)?),
    };
    let target = 1 - held;
    put(
        locked,
        decl,
        target,
        &slot::seal(decl.offset, generation.saturating_add(1), &payload),
    )?;
    scrub(locked, decl, held, length)
}

fn payload(decl: &RegionDecl, value: &Value) -> Result<Vec<u8>, StoreError> {
    let refused = |source| StoreError::Encode {
        region: decl.name,
        source,
    };
    let payload = wire::encode(&decl.encoding, value).map_err(refused)?;
    let room = decl.slot_size().saturating_sub(HEADER as u64);
    let over = (payload.len() as u64).saturating_sub(room);
    if over > 0 {
        return Err(refused(EncodeError::TooLarge { over, room }));
    }
    Ok(payload)
}

/// Writes a slot and syncs. What an earlier, longer write left behind goes with the same write.
fn put(
    locked: &Locked<'_>,
    decl: &RegionDecl,
    slot: usize,
    sealed: &[u8],
) -> Result<(), StoreError> {
    let used = used(locked, decl, slot)?;
    let mut bytes = sealed.to_vec();
    bytes.resize(bytes.len().max(used), 0);
    write(locked, decl, slot, &bytes)
}

/// Zeroes the bytes that are used of a slot and syncs.
fn scrub(
    locked: &Locked<'_>,
    decl: &RegionDecl,
    slot: usize,
    used: usize,
) -> Result<(), StoreError> {
    match used {
        0 => Ok(()),
        used => write(locked, decl, slot, &vec![0; used]),
    }
}

/// One `pwrite` with the descriptor open for no longer than that, then a sync without it.
fn write(
    locked: &Locked<'_>,
    decl: &RegionDecl,
    slot: usize,
    bytes: &[u8],
) -> Result<(), StoreError> {
    let failed = |source| StoreError::Write {
        path: locked.store.path.clone(),
        source,
    };
    let start = start(locked, decl, slot);
    let writer = locked.writer()?;
    writer.write_all_at(bytes, start).map_err(failed)?;
    drop(writer);
    locked.sync()
}

/// Bytes of a slot up to the last that is not zero.
fn used(locked: &Locked<'_>, decl: &RegionDecl, slot: usize) -> Result<usize, StoreError> {
    const PIECE: usize = 32 * 1024;
    let failed = |source| StoreError::Read {
        path: locked.store.path.clone(),
        source,
    };
    let start = start(locked, decl, slot);
    let size = usize::try_from(decl.slot_size()).unwrap_or(usize::MAX);
    let (mut piece, zeros) = (vec![0; PIECE], vec![0; PIECE]);
    let mut used = 0;
    for place in (0..size).step_by(PIECE) {
        let piece = &mut piece[..PIECE.min(size - place)];
        read_exact(&locked.file, piece, start + place as u64).map_err(failed)?;
        // Comparing whole pieces first is what makes this cheap: nearly all of a slot is zero.
        if *piece != zeros[..piece.len()] {
            used = place
                + piece
                    .iter()
                    .rposition(|byte| *byte != 0)
                    .map_or(0, |last| last + 1);
        }
    }
    Ok(used)
}

fn start(locked: &Locked<'_>, decl: &RegionDecl, slot: usize) -> u64 {
    locked.store.offset(decl) + slot as u64 * decl.slot_size()
}
