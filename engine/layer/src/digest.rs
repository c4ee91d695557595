//! The name of an image's content.

use std::fs::File;
use std::sync::Arc;

use dwarfs::zerocopy::IntoBytes;
use sha2::{Digest, Sha256};

use crate::error::{OpenError, ReadError};
use crate::section::{Extent, HEADER_SIZE, probe};

/// The SHA-256 of the headers of all sections of the image that lies in `file` at `offset` and is `length` bytes
/// long (both in bytes), in lower-case hexadecimal.
///
/// A header holds the SHA-512/256 of its section, so two images that are whole ([`crate::verify()`] with
/// [`crate::Checksums::All`]) have the same digest exactly when they are the same; and only the headers are read.
///
/// # Errors
/// As [`probe`]; [`OpenError::Damaged`] when the sections do not fill the image.
pub fn digest(file: &File, offset: u64, length: u64) -> Result<String, OpenError> {
    probe(file, offset, length)?;
    let io = |source| ReadError::from(source).at(offset);
    let extent = Extent::new(Arc::new(file.try_clone().map_err(io)?), offset, length);
    let mut hash = Sha256::new();
    let mut at = 0;
    while at < length {
        let header = extent.header(at).map_err(|error| error.at(offset))?;
        hash.update(header.as_bytes());
        at = at
            .checked_add(HEADER_SIZE)
            .and_then(|at| at.checked_add(header.payload_size.get()))
            .filter(|end| *end <= length)
            .ok_or(OpenError::Damaged {
                offset,
                reason: "a section lies beyond the end",
            })?;
    }
    let bytes = hash.finalize();
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::pack::{PackOptions, pack};

    #[test]
    fn the_same_content_has_the_same_digest_wherever_it_lies() {
        let place = tempfile::tempdir().unwrap();
        let tree = place.path().join("tree");
        std::fs::create_dir(&tree).unwrap();
        let packed = |content: &str| {
            std::fs::write(tree.join("file"), content).unwrap();
            // The time is part of the content.
            let file = File::options().write(true).open(tree.join("file")).unwrap();
            file.set_modified(std::time::UNIX_EPOCH).unwrap();
            let root = File::open(&tree).unwrap();
            root.set_modified(std::time::UNIX_EPOCH).unwrap();
            let mut bytes = Vec::new();
            pack(&tree, &mut bytes, &PackOptions::default(), &mut |_| {}).unwrap();
            bytes
        };
        let (one, other) = (packed("one"), packed("other"));
        let path = place.path().join("layers");
        let mut file = File::create(&path).unwrap();
        for bytes in [&b"12345678"[..], &one, &other, &one] {
            file.write_all(bytes).unwrap();
        }
        let file = File::open(path).unwrap();
        let (one, other) = (one.len() as u64, other.len() as u64);
        let first = digest(&file, 8, one).unwrap();
        assert_eq!(first.len(), 64);
        assert_ne!(digest(&file, 8 + one, other).unwrap(), first);
        assert_eq!(digest(&file, 8 + one + other, one).unwrap(), first);
        assert!(digest(&file, 8, one - 1).is_err());
    }
}
