//! The marker: what an image says of itself before its reserved space.
//!
//! The programs in an image are compiled once for all images. Where its parts lie, and what it was made from, is in a marker
//! between the launcher, the program at the start of the file, and the runtime, which works. It has a fixed place, so that
//! nobody has to search for it.
//!
//! | offset | size | what |
//! |---|---|---|
//! | 0 | 24 | [`MAGIC`] |
//! | 24 | 8 | offset of the reserved space in the image |
//! | 32 | 8 | offset of the tools in the image, where the compressed runtime ends |
//! | 40 | 8 | size of the runtime as it is executed |
//! | 48 | 8 | offset of the description, where the tools end |
//! | 56 | 8 | size of the description |
//! | 64 | 32 | SHA-256 of the description |
//! | 96 | 32 | build id: SHA-256 of the runtime, the tools, and this marker with zeros for the build id |
//! | 128 | 64 | distribution |
//! | 192 | 48 | commit of the sources |
//! | 240 | 16 | version of the project |
//! | 256 | 32 | time of the sources |
//! | 288 | 96 | names of the programs that can stack a root, separated by spaces |
//! | 384 | 32 | SHA-256 of the compressed runtime |
//! | 416 | 32 | SHA-256 of everything before the marker |
//!
//! Numbers are little-endian, texts are UTF-8 and filled up with zeros, of which there is at least one.
//!
//! Version 2 has no sums of the programs and is 64 bytes shorter. It is somewhere in the program that the file begins with, which was not
//! compressed.

/// What the marker begins with.
pub const MAGIC: [u8; 24] = *b"FLATIMAGE-MARKER-v3\0\0\0\0\0";

/// What the markers of all versions begin with.
const MAGIC_OF_ANY: &[u8] = b"FLATIMAGE-MARKER-v";

/// Bytes of a marker.
pub const SIZE: usize = 448;

/// Bytes of one of version 2.
const OLDER_SIZE: usize = 384;

/// Where the compressed runtime begins, and the launcher and the marker end: a multiple of every page size.
pub const RUNTIME_OFFSET: usize = 1 << 16;

/// Where the marker begins in the image.
pub const OFFSET: usize = RUNTIME_OFFSET - 512;

/// Where the build id is.
const BUILD_ID: usize = 96;

/// Where the sum of the compressed runtime is.
const RUNTIME_SUM: usize = 384;

/// Where the sum of everything before the marker is.
const LAUNCHER_SUM: usize = 416;

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
    /// Size of the runtime in bytes, as it is executed.
    pub runtime_size: u64,
    /// SHA-256 of the runtime as it is compressed in the image.
    pub runtime_sum: [u8; 32],
    /// SHA-256 of everything before the marker, as [`launcher_part`] makes it.
    pub launcher_sum: [u8; 32],
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

/// Why there cannot be a marker, or it cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MarkerError {
    /// No magic word.
    #[error("it has no marker")]
    Missing,
    /// The marker of another version.
    #[error(
        "the marker is of version {0} and this deploy knows 2 and 3; build the image anew, or use the deploy that made it"
    )]
    Version(String),
    /// The launcher is no program, or there is no room for it.
    #[error("the launcher is {0} bytes long and no program that fits")]
    Launcher(usize),
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

/// What an image has before the marker: a launcher with [`IDENT`] in it, and zeros.
///
/// # Errors
/// When it is no program or too long.
pub fn launcher_part(launcher: &[u8]) -> Result<Vec<u8>, MarkerError> {
    let ident = IDENT_OFFSET..IDENT_OFFSET + IDENT.len();
    if launcher.len() < ident.end || launcher.len() > OFFSET {
        return Err(MarkerError::Launcher(launcher.len()));
    }
    let mut part = launcher.to_vec();
    part[ident].copy_from_slice(&IDENT);
    part.resize(OFFSET, 0);
    Ok(part)
}

/// The digits of the version, where this is a marker.
fn version(bytes: &[u8]) -> Option<String> {
    let rest = bytes.strip_prefix(MAGIC_OF_ANY)?;
    let digits: Vec<u8> = rest
        .iter()
        .copied()
        .take_while(u8::is_ascii_digit)
        .collect();
    String::from_utf8(digits)
        .ok()
        .filter(|digits| !digits.is_empty())
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
            (40, self.runtime_size),
            (48, self.description_offset),
            (56, self.description_size),
        ] {
            bytes[at..at + 8].copy_from_slice(&number.to_le_bytes());
        }
        bytes[64..96].copy_from_slice(&self.description_sum);
        bytes[RUNTIME_SUM..RUNTIME_SUM + 32].copy_from_slice(&self.runtime_sum);
        bytes[LAUNCHER_SUM..LAUNCHER_SUM + 32].copy_from_slice(&self.launcher_sum);
        bytes[BUILD_ID..BUILD_ID + 32].copy_from_slice(&self.build_id);
        for (text, place) in self.origin.texts().iter().zip(TEXTS) {
            let length = text.len().min(place.len() - 1);
            bytes[place.start..place.start + length].copy_from_slice(&text.as_bytes()[..length]);
        }
        bytes
    }

    /// Reads a marker.
    ///
    /// # Errors
    /// When it is none, of another version, or a text in it is none.
    pub fn decode(bytes: &[u8; SIZE]) -> Result<Marker, MarkerError> {
        match version(bytes) {
            None => Err(MarkerError::Missing),
            Some(_) if bytes.starts_with(&MAGIC) => Marker::fields(bytes),
            Some(version) => Err(MarkerError::Version(version)),
        }
    }

    /// Reads the first marker of version 2 in the program that an image begins with.
    ///
    /// # Errors
    /// When there is none, or one of another version.
    pub fn decode_older(program: &[u8]) -> Result<Marker, MarkerError> {
        let mut windows = program.windows(OLDER_SIZE);
        let older = windows
            .find(|window| window[0] == MAGIC[0] && version(window).is_some())
            .ok_or(MarkerError::Missing)?;
        match version(older).as_deref() {
            Some("2") => {
                let mut bytes = [0; SIZE];
                bytes[..OLDER_SIZE].copy_from_slice(older);
                Marker::fields(&bytes)
            }
            // Who knows this version has its magic word in it.
            Some("3") | None => Err(MarkerError::Missing),
            Some(version) => Err(MarkerError::Version(version.to_owned())),
        }
    }

    fn fields(bytes: &[u8; SIZE]) -> Result<Marker, MarkerError> {
        let number = |at: usize| {
            let found = bytes[at..].first_chunk::<8>();
            found.map_or(0, |found| u64::from_le_bytes(*found))
        };
        let sum = |at: usize| bytes[at..].first_chunk::<32>().copied().unwrap_or_default();
        Ok(Marker {
            reserved_offset: number(24),
            tools_offset: number(32),
            runtime_size: number(40),
            runtime_sum: sum(RUNTIME_SUM),
            launcher_sum: sum(LAUNCHER_SUM),
            description_offset: number(48),
            description_size: number(56),
            description_sum: sum(64),
            build_id: sum(BUILD_ID),
            origin: Origin::decode(bytes)?,
        })
    }

    /// What an image begins with: a launcher as it was compiled with [`IDENT`] in it, and the marker.
    ///
    /// # Errors
    /// When the launcher is no program or too long, or a text does not fit.
    pub fn head(&self, launcher: &[u8]) -> Result<Vec<u8>, MarkerError> {
        self.origin.check()?;
        let mut head = launcher_part(launcher)?;
        head.extend(self.encode());
        head.resize(RUNTIME_OFFSET, 0);
        Ok(head)
    }
}

#[cfg(test)]
pub(crate) mod tests;
