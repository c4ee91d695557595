//! What the program knows of the image that it is part of.
//!
//! The same program is in images of every distribution. What differs between them is outside of it: the linker leaves a marker
//! in the program, and whoever assembles an image finds it by its magic bytes and writes into it where the rest is, and the few
//! words that every start needs. Layout, all integers little-endian:
//!
//! | bytes | what |
//! |---|---|
//! | 0–23 | `FLATIMAGE-MARKER-v2`, then zeros |
//! | 24–31 | offset of the reserved space in the file |
//! | 32–39 | offset of the tools |
//! | 40–47 | size of the ELF program, which the private copy consists of |
//! | 48–55 | offset of the [description](crate::tools), where the tools end |
//! | 56–63 | size of the description |
//! | 64–95 | sha256 of the description |
//! | 96–127 | build id: sha256 of the unpatched program, the tools, and this marker with zeros for the build id |
//! | 128–191 | distribution, in lower case |
//! | 192–239 | commit of the sources |
//! | 240–255 | version of the project, for who looks at the file |
//! | 256–287 | time of the sources |
//! | 288–383 | names of the programs that can stack a root, separated by spaces |
//!
//! Texts are UTF-8 and end with their first zero byte.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Words behind the magic bytes.
const WORDS: usize = 45;

/// Atomics, because a plain constant would be folded into the code by the compiler and the
/// bytes written after the build would never be read. `used` keeps the linker from dropping it.
#[repr(C)]
struct Marker {
    magic: [u8; 24],
    words: [AtomicU64; WORDS],
}

#[used]
static MARKER: Marker = Marker {
    magic: *b"FLATIMAGE-MARKER-v2\0\0\0\0\0",
    words: [const { AtomicU64::new(0) }; WORDS],
};

/// What the marker of an assembled image says; offsets and sizes in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// Start of the reserved space in the image file.
    pub reserved_offset: u64,
    /// Start of the compressed tools in the image file.
    pub tools_offset: u64,
    /// Size of the program at the start of the image file.
    pub elf_size: u64,
    /// Start of the description in the image file.
    pub description_offset: u64,
    /// Size of the description; 0 in an image without tools.
    pub description_size: u64,
    /// The sha256 that the description has.
    pub description_sum: [u8; 32],
    /// Lower-case hex of the build id.
    pub build_id: String,
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

/// Reads the marker; `None` in a program that was never assembled into an image.
pub fn placement() -> Option<Placement> {
    let bytes = bytes();
    let reserved_offset = number(&bytes, 24);
    (reserved_offset != 0).then(|| Placement {
        reserved_offset,
        tools_offset: number(&bytes, 32),
        elf_size: number(&bytes, 40),
        description_offset: number(&bytes, 48),
        description_size: number(&bytes, 56),
        description_sum: array(&bytes, 64),
        build_id: hex(&array::<32>(&bytes, 96)),
    })
}

/// The words of the marker. What is no plain word counts as missing: some become parts of paths.
pub fn origin() -> &'static Origin {
    static ORIGIN: OnceLock<Origin> = OnceLock::new();
    ORIGIN.get_or_init(|| {
        let bytes = bytes();
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
    })
}

const SIZE: usize = 24 + 8 * WORDS;

fn bytes() -> [u8; SIZE] {
    let mut bytes = [0; SIZE];
    let (magic, words) = bytes.split_at_mut(24);
    magic.copy_from_slice(&MARKER.magic);
    for (bytes, word) in words.chunks_exact_mut(8).zip(&MARKER.words) {
        bytes.copy_from_slice(&word.load(Ordering::Relaxed).to_ne_bytes());
    }
    bytes
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
    fn a_program_that_was_never_assembled_has_no_place_and_no_origin() {
        assert_eq!(placement(), None);
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
