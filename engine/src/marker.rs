//! What the program knows of the image that it is part of.
//!
//! The same programs are in images of every distribution. What differs between them, where the rest is, and the few words that every
//! start needs, is in a marker between the launcher, which the file begins with, and the runtime, which is this program. Layout, all
//! integers little-endian:
//!
//! | bytes | what |
//! |---|---|
//! | 0–23 | `FLATIMAGE-MARKER-v3`, then zeros |
//! | 24–31 | offset of the reserved space in the file |
//! | 32–39 | offset of the tools, where the compressed runtime ends |
//! | 40–47 | size of the runtime as it is executed |
//! | 48–55 | offset of the [description](crate::tools), where the tools end |
//! | 56–63 | size of the description |
//! | 64–95 | sha256 of the description |
//! | 96–127 | build id: sha256 of the runtime, the tools, and this marker with zeros for the build id |
//! | 128–191 | distribution, in lower case |
//! | 192–239 | commit of the sources |
//! | 240–255 | version of the project, for who looks at the file |
//! | 256–287 | time of the sources |
//! | 288–383 | names of the programs that can stack a root, separated by spaces |
//! | 384–415 | sha256 of the compressed runtime |
//! | 416–447 | sha256 of everything before the marker |
//!
//! Texts are UTF-8 and end with their first zero byte.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;

use sha2::{Digest as _, Sha256};

/// What it begins with.
const MAGIC: &[u8] = b"FLATIMAGE-MARKER-v3\0\0\0\0\0";

const SIZE: usize = 448;

/// Where the compressed runtime begins in the image.
pub const RUNTIME_OFFSET: u64 = 1 << 16;

/// Where the marker begins in the image.
const OFFSET: u64 = RUNTIME_OFFSET - 512;

static KNOWN: OnceLock<Marker> = OnceLock::new();

/// All that it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marker {
    /// Where the parts are.
    pub placement: Placement,
    /// What the image was made from.
    pub origin: Origin,
}

/// What the marker of an assembled image says; offsets and sizes in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// Start of the reserved space in the image file.
    pub reserved_offset: u64,
    /// Start of the compressed tools in the image file.
    pub tools_offset: u64,
    /// Size of this program, not compressed.
    pub runtime_size: u64,
    /// The sha256 that it has in the image, where it is compressed.
    pub runtime_sum: [u8; 32],
    /// The sha256 of everything before the marker.
    pub launcher_sum: [u8; 32],
    /// Start of the description in the image file.
    pub description_offset: u64,
    /// Size of the description; 0 in an image without tools.
    pub description_size: u64,
    /// The sha256 that the description has.
    pub description_sum: [u8; 32],
    /// Lower-case hex of the build id.
    pub build_id: String,
}

impl Placement {
    /// Whether the compressed runtime is the one that the image was made with.
    ///
    /// # Errors
    /// As reading; `UnexpectedEof` when the image is shorter.
    pub fn has_its_runtime(&self, image: &File) -> io::Result<bool> {
        Ok(sum(image, RUNTIME_OFFSET..self.tools_offset)? == self.runtime_sum)
    }

    /// Whether the launcher is the one that the image was made with.
    ///
    /// # Errors
    /// As above.
    pub fn has_its_launcher(&self, image: &File) -> io::Result<bool> {
        Ok(sum(image, 0..OFFSET)? == self.launcher_sum)
    }
}

fn sum(image: &File, part: std::ops::Range<u64>) -> io::Result<[u8; 32]> {
    let mut sum = Sha256::new();
    let mut piece = vec![0; 1 << 16];
    let mut at = part.start;
    while at < part.end {
        let length = (part.end - at).min(piece.len() as u64) as usize;
        image.read_exact_at(&mut piece[..length], at)?;
        sum.update(&piece[..length]);
        at += length as u64;
    }
    Ok(sum.finalize().into())
}

/// What the image was made from, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Distribution, in lower case; `none` where nobody said.
    pub distribution: String,
    /// Commit of the sources, or `unknown`.
    pub commit: String,
    /// Time of the sources, as whoever built it wrote it.
    pub timestamp: String,
    /// Names of the programs that can stack a root.
    pub servers: Vec<String>,
}

/// Reads the marker of an image.
///
/// # Errors
/// As reading; `InvalidData` when it has none.
pub fn read(image: &File) -> io::Result<Marker> {
    let mut bytes = [0; SIZE];
    image.read_exact_at(&mut bytes, OFFSET)?;
    match bytes.starts_with(MAGIC) {
        true => Ok(Marker {
            placement: placement_in(&bytes),
            origin: origin_in(&bytes),
        }),
        false => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// Makes this the marker of the image that this process is of. Only the first counts.
pub fn know(marker: Marker) {
    let _ = KNOWN.set(marker);
}

/// Where the parts of this process's image are; `None` before that is [known](know).
pub fn placement() -> Option<Placement> {
    KNOWN.get().map(|known| known.placement.clone())
}

/// What this process's image was made from.
pub fn origin() -> &'static Origin {
    static NOBODY_SAID: OnceLock<Origin> = OnceLock::new();
    let nobody_said = || NOBODY_SAID.get_or_init(|| origin_in(&[0; SIZE]));
    KNOWN.get().map_or_else(nobody_said, |known| &known.origin)
}

fn placement_in(bytes: &[u8; SIZE]) -> Placement {
    Placement {
        reserved_offset: number(bytes, 24),
        tools_offset: number(bytes, 32),
        runtime_size: number(bytes, 40),
        runtime_sum: array(bytes, 384),
        launcher_sum: array(bytes, 416),
        description_offset: number(bytes, 48),
        description_size: number(bytes, 56),
        description_sum: array(bytes, 64),
        build_id: hex(&array::<32>(bytes, 96)),
    }
}

/// The words. What is no plain word counts as missing: some become parts of paths.
fn origin_in(bytes: &[u8; SIZE]) -> Origin {
    let word = |range: std::ops::Range<usize>, otherwise: &str| {
        let found = text(&bytes[range]).filter(|word| is_plain(word));
        found.unwrap_or(otherwise).to_owned()
    };
    let servers = text(&bytes[288..384]).unwrap_or_default();
    Origin {
        distribution: word(128..192, "none"),
        commit: word(192..240, "unknown"),
        timestamp: word(256..288, "0"),
        servers: servers.split_whitespace().map(str::to_owned).collect(),
    }
}

fn array<const N: usize>(bytes: &[u8; SIZE], at: usize) -> [u8; N] {
    let mut found = [0; N];
    found.copy_from_slice(&bytes[at..at + N]);
    found
}

fn number(bytes: &[u8; SIZE], at: usize) -> u64 {
    u64::from_le_bytes(array(bytes, at))
}

/// Up to the first zero byte.
fn text(bytes: &[u8]) -> Option<&str> {
    let end = bytes.iter().position(|byte| *byte == 0);
    std::str::from_utf8(&bytes[..end.unwrap_or(bytes.len())]).ok()
}

/// Whether a text is one file name that nobody has to quote.
fn is_plain(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._+-:".contains(&byte);
    !text.is_empty() && !text.starts_with('.') && text.bytes().all(plain)
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_is_of_no_image_has_no_place_and_no_origin() {
        assert_eq!(placement(), None);
        let file = tempfile::tempfile().unwrap();
        assert!(read(&file).is_err());
        file.set_len(RUNTIME_OFFSET).unwrap();
        assert!(read(&file).is_err());
        assert_eq!(origin().distribution, "none");
        assert_eq!(origin().servers, [""; 0]);
    }

    #[test]
    fn a_text_ends_at_its_first_zero_byte_and_is_plain_or_nothing() {
        assert_eq!(text(b"arch\0\0rest"), Some("arch"));
        assert_eq!(text(b"full"), Some("full"));
        assert_eq!(text(b"\xff\0"), None);
        for name in ["arch", "my-own_1.2+x", "2026-01-01T00:00:00Z"] {
            assert!(is_plain(name), "{name}");
        }
        for name in ["", "..", ".x", "a/b", "a b", "a\nb"] {
            assert!(!is_plain(name), "{name}");
        }
    }
}
