//! Every byte of an image is summed: images of either writer are whole, and one flipped bit is found.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use flatimage_layer::{Checksums, OpenError, verify};

fn fixture(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    std::fs::read(path.join(name)).expect(name)
}

/// The image in a file, with other bytes around it.
fn inside(bytes: &[u8]) -> File {
    let file = tempfile::tempfile().expect("a temporary file");
    file.write_all_at(bytes, 100).expect("written");
    file.write_all_at(b"behind", 100 + bytes.len() as u64)
        .expect("written");
    file
}

fn checked(bytes: &[u8], checksums: Checksums) -> Result<u64, OpenError> {
    verify(&inside(bytes), 100, bytes.len() as u64, checksums)
}

#[test]
fn images_of_the_other_writer_are_whole() {
    for name in [
        "default.dwarfs",
        "lz4.dwarfs",
        "lzma.dwarfs",
        "packed-metadata.dwarfs",
    ] {
        let bytes = fixture(name);
        for checksums in [Checksums::Fast, Checksums::All] {
            let sections = checked(&bytes, checksums);
            assert!(
                sections.as_ref().is_ok_and(|sections| *sections > 2),
                "{name}: {sections:?}"
            );
        }
    }
}

#[test]
fn a_flipped_bit_and_a_missing_end_are_found() {
    let whole = fixture("default.dwarfs");
    // The version of a section's header is the one thing that is not summed.
    for place in (40..whole.len())
        .step_by(97)
        .filter(|place| whole[*place..].first() != Some(&b'D'))
    {
        let mut bytes = whole.clone();
        bytes[place] ^= 0x20;
        assert!(checked(&bytes, Checksums::All).is_err(), "byte {place}");
    }
    for length in [0, 10, 64, whole.len() / 2, whole.len() - 1] {
        let cut = &whole[..length];
        assert!(checked(cut, Checksums::Fast).is_err(), "{length} bytes");
    }
}
