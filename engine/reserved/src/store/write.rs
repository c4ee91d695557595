//! The order of writes that leaves the old or the new value, whatever cuts it off.
//!
//! The slot that does not hold the value is written at once, header and payload; synced; then the slot that held it is
//! zeroed; synced; and only then is success reported. Were it reported before the old slot is zeroed, decay of the new
//! one could bring the old value back, an old permission for instance.

use super::StoreError;
use super::medium::{Medium, write_durably};
use super::opened::Place;
use super::read::{self, Finding};
use crate::decl::RegionDecl;
use crate::slot::{self, HEADER};
use crate::value::Value;
use crate::wire::{self, EncodeError};

/// Writes an encoded value into the region.
pub fn value(
    medium: &impl Medium,
    place: Place,
    decl: &RegionDecl,
    payload: &[u8],
) -> Result<(), StoreError> {
    // What the value takes of its slot: behind it the slot is zero, since `put` writes zeros over what lay there.
    let (held, generation, length) = match read::finding(medium, place, decl)? {
        Finding::Stored {
            slot,
            payload: stored,
            ..
        } if stored == payload => {
            let used = read::used(medium, place, decl, 1 - slot)?;
            return scrub(medium, place, 1 - slot, used);
        }
        Finding::Stored {
            slot,
            generation,
            payload,
        } => (slot, generation, HEADER + payload.len()),
        // A first write that is cut off must not look like damage: the default goes first.
        Finding::Unwritten => {
            put(
                medium,
                place,
                decl,
                0,
                &slot::seal(place.key, 1, decl.default),
            )?;
            (0, 1, HEADER + decl.default.len())
        }
        Finding::Damaged => (1, 1, read::used(medium, place, decl, 1)?),
    };
    let sealed = slot::seal(place.key, generation.saturating_add(1), payload);
    if let Err(error) = put(medium, place, decl, 1 - held, &sealed) {
        // What has arrived of a value that was refused should not stay; if this fails too, it does not count.
        if let Ok(used) = read::used(medium, place, decl, 1 - held) {
            let _ = scrub(medium, place, 1 - held, used);
        }
        return Err(error);
    }
    scrub(medium, place, held, length)
}

/// The bytes of a value, which fit into a slot of `slot_size` bytes.
pub fn payload(decl: &RegionDecl, value: &Value, slot_size: u64) -> Result<Vec<u8>, StoreError> {
    let refused = |source| StoreError::Encode {
        region: decl.name,
        source,
    };
    let payload = wire::encode(&decl.encoding, value).map_err(refused)?;
    let room = slot_size.saturating_sub(HEADER as u64);
    let over = (payload.len() as u64).saturating_sub(room);
    if over > 0 {
        return Err(refused(EncodeError::TooLarge { over, room }));
    }
    Ok(payload)
}

/// Writes a slot and syncs. What an earlier, longer write left behind goes with the same write.
fn put(
    medium: &impl Medium,
    place: Place,
    decl: &RegionDecl,
    slot: usize,
    sealed: &[u8],
) -> Result<(), StoreError> {
    let used = read::used(medium, place, decl, slot)?;
    let mut bytes = sealed.to_vec();
    bytes.resize(bytes.len().max(used), 0);
    write_durably(medium, &bytes, place.slot(slot))
}

/// Zeroes the bytes that are used of a slot and syncs.
pub fn scrub(
    medium: &impl Medium,
    place: Place,
    slot: usize,
    used: usize,
) -> Result<(), StoreError> {
    match used {
        0 => Ok(()),
        used => write_durably(medium, &vec![0; used], place.slot(slot)),
    }
}
