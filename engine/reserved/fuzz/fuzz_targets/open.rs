//! Opens and decodes a reserved space that consists of arbitrary bytes: whatever they are, the answer is a value or an
//! error, and a value that is read can be written again.
//!
//! Checksums keep random bytes out, so each input is used three ways: as a whole space; as a layout that is sealed as
//! the program would seal it; and as stored values behind sealed headers.
//!
//! `cargo +nightly fuzz run open`, in `engine/reserved`.

#![no_main]

use flatimage_reserved::declared::{REGIONS, SPACE};
use flatimage_reserved::{Opened, layout, wire};
use libfuzzer_sys::fuzz_target;
use sha2::{Digest as _, Sha256};

/// Bytes of the space that is made around a layout: small, since one is made for every input.
const SIZE: usize = 65536;

fuzz_target!(|bytes: &[u8]| {
    read_all(bytes);
    sealed_layout(bytes);
    for decl in REGIONS {
        if let Ok(value) = wire::decode(&decl.encoding, bytes) {
            let again = wire::encode(&decl.encoding, &value);
            assert_eq!(again.as_deref(), Ok(bytes), "{}", decl.name);
        }
    }
});

fn read_all(bytes: &[u8]) {
    for base in [0, 3] {
        if let Ok(opened) = Opened::open(bytes, SPACE, base) {
            for decl in REGIONS {
                let _ = opened.value(decl);
                let _ = opened.check(decl);
            }
        }
    }
}

/// The bytes as the layout of another program's image, small enough to be made for every input.
fn sealed_layout(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(placed) = layout::parse(text, 1 << 20) {
        assert_eq!(layout::parse(&layout::write(&placed), 1 << 20), Ok(placed));
    }
    // As `flatimage_reserved`'s superblock is written: magic, format, length, generation, size, digest, layout, sum.
    let mut slot = b"FIMRSRVD".to_vec();
    slot.extend(SPACE.format.to_le_bytes());
    slot.extend((bytes.len() as u32).to_le_bytes());
    slot.extend(1_u64.to_le_bytes());
    slot.extend((SIZE as u64).to_le_bytes());
    slot.extend([0; 32]);
    slot.extend(bytes);
    let sum = Sha256::digest(&slot);
    slot.extend(&sum[..16]);
    if slot.len() <= 4096 {
        slot.resize(SIZE, 0);
        read_all(&slot);
    }
}
