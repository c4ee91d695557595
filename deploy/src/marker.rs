//! The marker: the place in the runtime that deploy fills in.
//!
//! The runtime must know where its tools and its reserved space lie and what the image was made from, but is compiled before
//! anybody can say, once for all images. It therefore carries 384 bytes that begin with a magic word; deploy finds them in
//! the finished program and writes the rest. That takes no symbol table (the runtime is stripped) and no `objcopy`.
//!
//! | offset | size | what |
//! |---|---|---|
//! | 0 | 24 | [`MAGIC`] |
//! | 24 | 8 | offset of the reserved space in the image |
//! | 32 | 8 | offset of the tools in the image |
//! | 40 | 8 | size of the runtime, the program at the start of the image |
//! | 48 | 8 | offset of the description, where the tools end |
//! | 56 | 8 | size of the description |
//! | 64 | 32 | SHA-256 of the description |
//! | 96 | 32 | build id: SHA-256 of the unpatched runtime, the tools, and this marker with zeros for the build id |
//! | 128 | 64 | distribution |
//! | 192 | 48 | commit of the sources |
//! | 240 | 16 | version of the project |
//! | 256 | 32 | time of the sources |
//! | 288 | 96 | names of the programs that can stack a root, separated by spaces |
//!
//! Numbers are little-endian, texts are UTF-8 and filled up with zeros, of which there is at least one. A runtime that was never
//! patched has zeros behind the magic word.

/// What the marker begins with. It stands exactly once in a runtime.
pub const MAGIC: [u8; 24] = *b"FLATIMAGE-MARKER-v2\0\0\0\0\0";

/// What the markers of all versions begin with.
const MAGIC_OF_ANY: &[u8] = b"FLATIMAGE-MARKER-v";

/// Bytes of a marker.
pub const SIZE: usize = 384;

/// Where the build id is.
const BUILD_ID: usize = 96;

/// Where the texts are, in the order of [`Origin`].
const TEXTS: [std::ops::Range<usize>; 5] = [128..192, 192..240, 240..256, 256..288, 288..384];

/// Offset of [`IDENT`] in the image.
pub const IDENT_OFFSET: usize = 8;

/// The bytes of `e_ident`, unused by ELF, by which tools such as `binfmt_misc` tell a FlatImage from other programs:
/// `FI`, version 1.
pub const IDENT: [u8; 3] = [b'F', b'I', 1];

/// What deploy tells the runtime about the file it is part of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marker {
    /// Offset of the reserved space in the image, in bytes, a multiple of 4096.
    pub reserved_offset: u64,
    /// Offset of the compressed tools in the image, in bytes.
    pub tools_offset: u64,
    /// Size of the runtime in bytes; the tools follow it.
    pub elf_size: u64,
    /// Offset of the description in bytes; the tools end there.
    pub description_offset: u64,
    /// Size of the description in bytes.
    pub description_size: u64,
    /// SHA-256 of the description.
    pub description_sum: [u8; 32],
    /// What the image was made from.
    pub origin: Origin,
    /// Names what a private copy of the runtime and its tools was made from: two images that differ in any of it have
    /// different ones.
    pub build_id: [u8; 32],
}

/// What an image was made from, in words that every start needs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    /// Name of the distribution, in lower case.
    pub distribution: String,
    /// Commit of the sources.
    pub commit: String,
    /// Version of the project.
    pub version: String,
    /// Time of the sources, RFC 3339.
    pub timestamp: String,
    /// Names of the programs that can stack a root.
    pub servers: Vec<String>,
}

/// Why a runtime cannot be patched, or a marker not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MarkerError {
    /// No magic word, or one too near the end.
    #[error("the runtime has no marker: was another program than `flatimage` compiled?")]
    Missing,
    /// The marker of another version.
    #[error(
        "the marker is of version {0} and this deploy knows version 2 only; build the image anew, or use the deploy that made it"
    )]
    Version(String),
    /// The magic word stands more than once, so nobody can say which one counts.
    #[error("the runtime has {0} markers: its magic word may stand in one static only")]
    Repeated(usize),
    /// The marker has been filled in before.
    #[error(
        "the runtime is patched already: a program as compiled is needed, not one taken from an image"
    )]
    Patched,
    /// The marker has not been filled in.
    #[error("this is the runtime alone and no image")]
    Empty,
    /// A text that a marker cannot hold.
    #[error(
        "{what} cannot be `{text}`; give at most {room} letters, digits and `.`, `_`, `+`, `-`, a letter or digit first"
    )]
    Text {
        /// What it is.
        what: &'static str,
        /// As given.
        text: String,
        /// Bytes that there is room for.
        room: usize,
    },
    /// A text of a marker is none.
    #[error("the marker is damaged: {0} is no text")]
    NoText(&'static str),
}

/// The names of the texts in errors.
const NAMES: [&str; 5] = [
    "the distribution",
    "the commit",
    "the version",
    "the time",
    "a program that stacks the root",
];

impl Origin {
    fn texts(&self) -> [String; 5] {
        [
            self.distribution.clone(),
            self.commit.clone(),
            self.version.clone(),
            self.timestamp.clone(),
            self.servers.join(" "),
        ]
    }

    /// Whether a marker has room for it, and whoever uses a text as a file name gets one.
    ///
    /// # Errors
    /// The first text that does not fit.
    pub fn check(&self) -> Result<(), MarkerError> {
        for ((text, place), what) in self.texts().into_iter().zip(TEXTS).zip(NAMES) {
            let room = place.len() - 1;
            let mut words = text.split(' ').filter(|word| !word.is_empty());
            if text.len() > room || !words.all(is_plain) {
                return Err(MarkerError::Text { what, text, room });
            }
        }
        match is_plain(&self.distribution) {
            true => Ok(()),
            false => Err(MarkerError::Text {
                what: NAMES[0],
                text: self.distribution.clone(),
                room: TEXTS[0].len() - 1,
            }),
        }
    }

    fn decode(bytes: &[u8]) -> Result<Origin, MarkerError> {
        let text = |index: usize| {
            let bytes = &bytes[TEXTS[index].clone()];
            let end = bytes.iter().position(|byte| *byte == 0);
            let text = std::str::from_utf8(&bytes[..end.unwrap_or(bytes.len())]);
            match text {
                Ok(text)
                    if text
                        .split(' ')
                        .all(|word| word.is_empty() || is_plain(word)) =>
                {
                    Ok(text.to_owned())
                }
                _ => Err(MarkerError::NoText(NAMES[index])),
            }
        };
        Ok(Origin {
            distribution: text(0)?,
            commit: text(1)?,
            version: text(2)?,
            timestamp: text(3)?,
            servers: text(4)?.split_whitespace().map(str::to_owned).collect(),
        })
    }
}

fn is_plain(word: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._+-:".contains(&byte);
    !word.is_empty() && !word.starts_with('.') && word.bytes().all(plain)
}

impl Marker {
    /// The marker as it stands in the image.
    pub fn encode(&self) -> [u8; SIZE] {
        let mut bytes = [0; SIZE];
        bytes[..24].copy_from_slice(&MAGIC);
        for (at, number) in [
            (24, self.reserved_offset),
            (32, self.tools_offset),
            (40, self.elf_size),
            (48, self.description_offset),
            (56, self.description_size),
        ] {
            bytes[at..at + 8].copy_from_slice(&number.to_le_bytes());
        }
        bytes[64..96].copy_from_slice(&self.description_sum);
        bytes[BUILD_ID..BUILD_ID + 32].copy_from_slice(&self.build_id);
        for (text, place) in self.origin.texts().iter().zip(TEXTS) {
            let length = text.len().min(place.len() - 1);
            bytes[place.start..place.start + length].copy_from_slice(&text.as_bytes()[..length]);
        }
        bytes
    }

    /// Reads a marker that was filled in.
    ///
    /// # Errors
    /// When it was not, or a text in it is none.
    pub fn decode(bytes: &[u8; SIZE]) -> Result<Marker, MarkerError> {
        let number = |at: usize| {
            let found = bytes[at..].first_chunk::<8>();
            found.map_or(0, |found| u64::from_le_bytes(*found))
        };
        let sum = |at: usize| bytes[at..].first_chunk::<32>().copied().unwrap_or_default();
        if bytes[MAGIC.len()..].iter().all(|byte| *byte == 0) {
            return Err(MarkerError::Empty);
        }
        Ok(Marker {
            reserved_offset: number(24),
            tools_offset: number(32),
            elf_size: number(40),
            description_offset: number(48),
            description_size: number(56),
            description_sum: sum(64),
            build_id: sum(BUILD_ID),
            origin: Origin::decode(bytes)?,
        })
    }

    /// Writes the marker and [`IDENT`] into a runtime as it was compiled.
    ///
    /// # Errors
    /// When the runtime holds no marker, several, or one that is filled in, or a text does not fit.
    pub fn patch(&self, runtime: &mut [u8]) -> Result<(), MarkerError> {
        self.origin.check()?;
        let at = locate(runtime)?;
        runtime[at..at + SIZE].copy_from_slice(&self.encode());
        runtime[IDENT_OFFSET..IDENT_OFFSET + IDENT.len()].copy_from_slice(&IDENT);
        Ok(())
    }
}

/// Where the only marker of a runtime begins, in bytes from its start.
///
/// # Errors
/// When the runtime holds no marker, several, or one that is filled in.
pub fn locate(runtime: &[u8]) -> Result<usize, MarkerError> {
    let (at, marker) = find(runtime)?;
    match marker[MAGIC.len()..].iter().any(|byte| *byte != 0) {
        true => Err(MarkerError::Patched),
        false => Ok(at),
    }
}

/// Where the first marker of whatever version begins.
pub fn first(bytes: &[u8]) -> Option<usize> {
    let mut windows = bytes.windows(MAGIC.len());
    windows.position(is_marker)
}

fn is_marker(window: &[u8]) -> bool {
    window[0] == MAGIC_OF_ANY[0]
        && window.starts_with(MAGIC_OF_ANY)
        && window[MAGIC_OF_ANY.len()].is_ascii_digit()
}

/// The only marker in `bytes`, and where it begins.
///
/// # Errors
/// When there is none, several, or one of another version.
pub fn find(bytes: &[u8]) -> Result<(usize, &[u8; SIZE]), MarkerError> {
    let windows = bytes.windows(MAGIC.len()).enumerate();
    let places: Vec<(usize, &[u8])> = windows.filter(|(_, window)| is_marker(window)).collect();
    match places[..] {
        [] => Err(MarkerError::Missing),
        [(_, magic)] if magic != MAGIC => {
            let version = magic[MAGIC_OF_ANY.len()..].iter();
            let version = version.take_while(|byte| byte.is_ascii_digit());
            Err(MarkerError::Version(
                version.map(|byte| char::from(*byte)).collect(),
            ))
        }
        [(at, _)] => match bytes[at..].first_chunk::<SIZE>() {
            None => Err(MarkerError::Missing),
            Some(marker) => Ok((at, marker)),
        },
        _ => Err(MarkerError::Repeated(places.len())),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    fn marker() -> Marker {
        Marker {
            reserved_offset: 0x0102_0304_0506_0708,
            tools_offset: 0x1112_1314_1516_1718,
            elf_size: 0x2122_2324_2526_2728,
            description_offset: 0x3132_3334_3536_3738,
            description_size: 0x4142_4344_4546_4748,
            description_sum: [0xcd; 32],
            origin: origin(),
            build_id: [0xab; 32],
        }
    }

    pub(crate) fn origin() -> Origin {
        Origin {
            distribution: "blueprint".to_owned(),
            commit: "0123abcd-dirty".to_owned(),
            version: "1.2.3".to_owned(),
            timestamp: "2026-01-01T00:00:00Z".to_owned(),
            servers: vec!["one".to_owned(), "two".to_owned()],
        }
    }

    pub(crate) fn runtime(markers: usize) -> Vec<u8> {
        let mut bytes = crate::elf::tests::synthetic(&[(1, b"code")]);
        for _ in 0..markers {
            bytes.extend_from_slice(b"data");
            bytes.extend_from_slice(&MAGIC);
            bytes.extend_from_slice(&[0; SIZE - MAGIC.len()]);
        }
        bytes
    }

    #[test]
    fn patching_changes_the_marker_and_the_ident_and_nothing_else() {
        let before = runtime(1);
        let at = locate(&before).unwrap();
        let mut after = before.clone();
        marker().patch(&mut after).unwrap();
        assert_eq!(after[8..11], *b"FI\x01");
        assert_eq!(after[at + 24..at + 32], [8, 7, 6, 5, 4, 3, 2, 1]);
        assert_eq!(after[at + 32..at + 34], [0x18, 0x17]);
        assert_eq!(after[at + 40..at + 42], [0x28, 0x27]);
        assert_eq!(after[at + 48..at + 50], [0x38, 0x37]);
        assert_eq!(after[at + 56..at + 58], [0x48, 0x47]);
        assert_eq!(after[at + 64..at + 96], [0xcd; 32]);
        assert_eq!(after[at + 96..at + 128], [0xab; 32]);
        assert_eq!(after[at + 128..at + 138], *b"blueprint\0");
        assert_eq!(after[at + 288..at + 296], *b"one two\0");
        let untouched =
            |index: &usize| !(8..11).contains(index) && !(at..at + SIZE).contains(index);
        for index in (0..before.len()).filter(untouched) {
            assert_eq!(before[index], after[index], "byte {index}");
        }
        let (found, bytes) = find(&after).unwrap();
        assert_eq!((found, Marker::decode(bytes)), (at, Ok(marker())));
    }

    #[test]
    fn a_runtime_has_exactly_one_empty_marker() {
        assert_eq!(locate(&runtime(0)), Err(MarkerError::Missing));
        assert_eq!(locate(&runtime(2)), Err(MarkerError::Repeated(2)));
        let mut cut = runtime(1);
        cut.pop();
        assert_eq!(locate(&cut), Err(MarkerError::Missing));
        let mut patched = runtime(1);
        marker().patch(&mut patched).unwrap();
        assert_eq!(locate(&patched), Err(MarkerError::Patched));
        let empty = runtime(1);
        let (_, bytes) = find(&empty).unwrap();
        assert_eq!(Marker::decode(bytes), Err(MarkerError::Empty));
    }

    #[test]
    fn a_marker_of_another_version_is_named() {
        let mut old = runtime(0);
        old.extend_from_slice(b"FLATIMAGE-MARKER-v1\0\0\0\0\0");
        old.extend_from_slice(&[1; 56]);
        assert_eq!(find(&old), Err(MarkerError::Version("1".to_owned())));
    }

    #[test]
    fn only_plain_texts_that_fit_are_taken() {
        for wrong in ["", "..", "a/b", "a b\n", &"x".repeat(64)] {
            let origin = Origin {
                distribution: wrong.to_owned(),
                ..origin()
            };
            assert!(origin.check().is_err(), "{wrong}");
        }
        let longest = Origin {
            distribution: "x".repeat(63),
            ..origin()
        };
        longest.check().unwrap();
        let mut damaged = marker().encode();
        damaged[128] = b'/';
        assert_eq!(
            Marker::decode(&damaged),
            Err(MarkerError::NoText("the distribution"))
        );
    }
}
