//! The icon of an application: checked before it is kept, and made into the files of an icon theme.
//!
//! What comes in is somebody else's bytes. Each format is read as a whole, within bounds of size and memory, so that what is
//! kept can be shown.

use sha2::{Digest, Sha256};

use picture::Picture;

mod jpeg;
mod picture;
mod png;
mod svg;

pub use picture::Pixels;

/// The sizes in which a PNG is installed, in pixels: those that the Icon Theme Specification's default theme has.
pub const SIZES: [u32; 9] = [16, 22, 24, 32, 48, 64, 96, 128, 256];

/// The most pixels of a side.
const LONGEST_SIDE: u32 = 4096;

/// The largest file that is looked at, in bytes. A photograph may be larger than what is kept of it.
pub const LARGEST_FILE: u64 = 16 << 20;

/// The side of the largest icon that is installed, and of what is kept of a JPEG.
const LARGEST_ICON: u32 = SIZES[SIZES.len() - 1];

/// The side of what smaller icons are made from.
const INTERMEDIATE: u32 = 2 * LARGEST_ICON;

/// Why something is no icon.
#[derive(Debug, thiserror::Error)]
pub enum IconError {
    /// It begins like none of them.
    #[error("it is no PNG, SVG or JPEG")]
    Unknown,
    /// It begins like one and is none.
    #[error("it is no whole {format}: {reason}")]
    Broken {
        /// `PNG`, `SVG` or `JPEG`.
        format: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// It has too many pixels.
    #[error(
        "it is {width} by {height} pixels large; at most {LONGEST_SIDE} by {LONGEST_SIDE} are read"
    )]
    TooLarge {
        /// Pixels of a row.
        width: u64,
        /// Rows.
        height: u64,
    },
}

/// The two formats that icon themes have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Png,
    Svg,
}

/// A file of an icon theme.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum File {
    /// A PNG.
    Png {
        /// Pixels of a row, and rows.
        size: u32,
        /// The file.
        bytes: Vec<u8>,
    },
    /// An SVG, for every size.
    Svg(Vec<u8>),
}

/// An icon that can be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Icon {
    format: Format,
    bytes: Vec<u8>,
}

impl Icon {
    /// Checks that `bytes` are a PNG or an SVG, which stay as they are, or a JPEG, of which a PNG is made that is no larger
    /// than any installed icon.
    ///
    /// # Errors
    /// Why they are none.
    pub fn check(bytes: Vec<u8>) -> Result<Icon, IconError> {
        let format = match bytes.as_slice() {
            [0x89, b'P', b'N', b'G', ..] => {
                png::decode(&bytes)?;
                Format::Png
            }
            [0xff, 0xd8, 0xff, ..] => return Icon::of_jpeg(&bytes),
            text if svg::is_text(text) => {
                svg::check(text)?;
                Format::Svg
            }
            _ => return Err(IconError::Unknown),
        };
        Ok(Icon { format, bytes })
    }

    fn of_jpeg(bytes: &[u8]) -> Result<Icon, IconError> {
        let picture = jpeg::decode(bytes)?;
        let side = picture.width.max(picture.height).min(LARGEST_ICON);
        let bytes =
            png::encode(&picture.within(side), None).map_err(|reason| IconError::Broken {
                format: "JPEG",
                reason,
            })?;
        Ok(Icon {
            format: Format::Png,
            bytes,
        })
    }

    /// The icon that was stored under `key`; `None` when these are other bytes.
    pub fn stored(key: &str, bytes: Vec<u8>) -> Option<Icon> {
        let format = match key.split(':').next()? {
            "png" => Format::Png,
            "svg" => Format::Svg,
            _ => return None,
        };
        let icon = Icon { format, bytes };
        (icon.key() == key).then_some(icon)
    }

    /// What says which icon it is, without it: format and SHA-256.
    pub fn key(&self) -> String {
        let format = match self.format {
            Format::Png => "png",
            Format::Svg => "svg",
        };
        let digest = Sha256::digest(&self.bytes);
        digest.iter().fold(format!("{format}:"), |key, byte| {
            key + &format!("{byte:02x}")
        })
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The files of the icon in an icon theme, each with `mark` in it as a comment.
    ///
    /// # Errors
    /// As [`Icon::check`].
    pub fn files(&self, mark: &str) -> Result<Vec<File>, IconError> {
        if self.format == Format::Svg {
            return Ok(vec![File::Svg(svg::marked(&self.bytes, mark))]);
        }
        let picture = self.intermediate()?;
        let sizes = SIZES.iter().map(|size| {
            let scaled = picture.within(*size).centred(*size);
            let bytes = png::encode(&scaled, Some(mark));
            let broken = |reason| IconError::Broken {
                format: "PNG",
                reason,
            };
            Ok(File::Png {
                size: *size,
                bytes: bytes.map_err(broken)?,
            })
        });
        sizes.collect()
    }

    /// Its pixels in a square of that side; `None` of an icon that has none.
    ///
    /// # Errors
    /// As [`Icon::check`].
    pub fn pixels(&self, side: u32) -> Result<Option<Pixels>, IconError> {
        match self.format {
            Format::Svg => Ok(None),
            Format::Png => Ok(Some(self.intermediate()?.within(side).centred(side).into())),
        }
    }

    /// A large picture is made smaller once and not for every size.
    fn intermediate(&self) -> Result<Picture, IconError> {
        let picture = png::decode(&self.bytes)?;
        Ok(match picture.width.max(picture.height) > INTERMEDIATE {
            true => picture.within(INTERMEDIATE),
            false => picture,
        })
    }
}

/// Refuses what would take too much memory.
fn within_bounds(width: u64, height: u64) -> Result<(), IconError> {
    match width.max(height) > u64::from(LONGEST_SIDE) {
        true => Err(IconError::TooLarge { width, height }),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests;
