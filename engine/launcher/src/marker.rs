//! What the launcher reads of the marker. Its layout is in `deploy/src/marker.rs`.

use rustix::fd::OwnedFd;
use rustix::io::pread;

use crate::Failure;

/// Bytes of an image before the runtime: a multiple of every page size, for who maps it.
pub const LENGTH: u64 = 1 << 16;

/// Bytes that the marker has room in; they end where the runtime begins.
const ROOM: u64 = 512;

const MAGIC: &[u8] = b"FLATIMAGE-MARKER-v3\0\0\0\0\0";

pub struct Marker {
    /// Bytes of the runtime, as it is executed.
    pub runtime_size: u64,
    /// Where the compressed runtime ends in the image.
    pub end: u64,
    /// Names the private copy, in lower-case hexadecimal.
    pub build_id: [u8; 64],
}

impl Marker {
    pub fn read(image: &OwnedFd) -> Result<Marker, Failure> {
        let mut bytes = [0; 128];
        let read = pread(image, &mut bytes[..], LENGTH - ROOM)
            .map_err(|errno| Failure("the image cannot be read", Some(errno)))?;
        if read != bytes.len() || !bytes.starts_with(MAGIC) {
            return Err(Failure(
                "this program is not part of an image; `deploy` makes one of it",
                None,
            ));
        }
        let mut build_id = [0; 64];
        for (digits, byte) in build_id.chunks_exact_mut(2).zip(&bytes[96..]) {
            digits.copy_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
        }
        Ok(Marker {
            end: number(&bytes, 32),
            runtime_size: number(&bytes, 40),
            build_id,
        })
    }
}

fn number(bytes: &[u8; 128], at: usize) -> u64 {
    let found = bytes[at..].first_chunk::<8>();
    found.map_or(0, |found| u64::from_le_bytes(*found))
}

fn digit(value: u8) -> u8 {
    match value {
        0..=9 => b'0' + value,
        _ => b'a' + value - 10,
    }
}
