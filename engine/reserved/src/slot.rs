//! One slot of a region: a header with generation, length and checksum, then the payload.
//!
//! ```text
//! 0   u64 LE  generation, from 1
//! 8   u32 LE  length of the payload
//! 12  4       zero
//! 16  16      first half of sha256(offset of the region u64 LE, generation u64 LE, length u32 LE, payload)
//! 32          payload
//! ```
//!
//! The offset is part of what is summed, so that the bytes of one region are never taken for another's.

use sha2::{Digest, Sha256};

/// Bytes before the payload.
pub const HEADER: usize = 32;

/// A header as read; whether it tells the truth, the checksum says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    pub generation: u64,
    pub length: u32,
    check: [u8; 16],
}

/// The header and payload of a slot, ready to be written at once.
pub fn seal(region: u64, generation: u64, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    let mut bytes = Vec::with_capacity(HEADER + payload.len());
    bytes.extend_from_slice(&generation.to_le_bytes());
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&checksum(region, generation, length, payload));
    bytes.extend_from_slice(payload);
    bytes
}

impl Header {
    /// The header at the start of `bytes`; `None` when it is all zero, which means that the slot is empty.
    pub fn parse(bytes: &[u8; HEADER]) -> Option<Self> {
        if *bytes == [0; HEADER] {
            return None;
        }
        let (generation, rest) = bytes.split_first_chunk::<8>()?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let (_, check) = rest.split_last_chunk::<16>()?;
        Some(Self {
            generation: u64::from_le_bytes(*generation),
            length: u32::from_le_bytes(*length),
            check: *check,
        })
    }

    /// Whether the payload is the one that was sealed.
    pub fn seals(&self, region: u64, payload: &[u8]) -> bool {
        self.generation > 0 && checksum(region, self.generation, self.length, payload) == self.check
    }
}

fn checksum(region: u64, generation: u64, length: u32, payload: &[u8]) -> [u8; 16] {
    let mut hash = Sha256::new();
    hash.update(region.to_le_bytes());
    hash.update(generation.to_le_bytes());
    hash.update(length.to_le_bytes());
    hash.update(payload);
    let digest: [u8; 32] = hash.finalize().into();
    let mut half = [0; 16];
    half.copy_from_slice(&digest[..16]);
    half
}
