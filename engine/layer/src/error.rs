//! What can be wrong with an image.

/// Why an image cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The bytes are no DwarFS image.
    #[error("no DwarFS image at offset {offset}: {reason}")]
    NotDwarfs {
        /// Where in the file the image should start, in bytes.
        offset: u64,
        /// What was found instead.
        reason: &'static str,
    },
    /// The image uses something this reader does not know.
    #[error(
        "the image at offset {offset} uses {feature}, which is not supported; repack it with `mkdwarfs -C zstd`"
    )]
    Unsupported {
        /// Where in the file the image starts, in bytes.
        offset: u64,
        /// What it uses.
        feature: &'static str,
    },
    /// The image is damaged.
    #[error("the image at offset {offset} is damaged: {reason}; get a fresh copy of it")]
    Damaged {
        /// Where in the file the image starts, in bytes.
        offset: u64,
        /// What does not fit.
        reason: &'static str,
    },
    /// The file cannot be read.
    #[error("cannot read the image at offset {offset}: {source}")]
    Io {
        /// Where in the file the image starts, in bytes.
        offset: u64,
        /// The system's answer.
        source: std::io::Error,
    },
}

/// Why something in an opened image cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The image is damaged.
    #[error("the image is damaged: {0}")]
    Damaged(&'static str),
    /// Something that this reader does not know, such as the compression of a block.
    #[error("the image uses {0}, which is not supported")]
    Unsupported(&'static str),
    /// The file cannot be read.
    #[error("cannot read the image: {0}")]
    Io(#[from] std::io::Error),
}

impl ReadError {
    /// The same, said of an image that is being opened.
    pub(crate) fn at(self, offset: u64) -> OpenError {
        match self {
            ReadError::Damaged(reason) => OpenError::Damaged { offset, reason },
            ReadError::Unsupported(name) => OpenError::Unsupported {
                offset,
                feature: name,
            },
            ReadError::Io(source) => OpenError::Io { offset, source },
        }
    }
}
