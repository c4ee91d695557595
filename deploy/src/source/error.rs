//! Why there is nothing to make layers from.

use std::io;
use std::path::PathBuf;

use crate::fetch::FetchError;
use crate::file::FileError;
use crate::mmdebstrap::MmdebstrapError;

/// Why there is nothing to make layers from.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The distribution is made from something and nothing was named.
    #[error(
        "`{distribution}` is made from {wanted}; name it behind the distribution, or with `--from`"
    )]
    Missing {
        /// Name of the distribution.
        distribution: String,
        /// What it is made from.
        wanted: &'static str,
    },
    /// The distribution takes nothing.
    #[error("`{0}` is made from nothing; leave out what follows it")]
    Surplus(String),
    /// What was named is no directory.
    #[error("`{}` is not a directory; name the directory that holds the root filesystem", .0.display())]
    NotADirectory(PathBuf),
    /// What was named is no file.
    #[error("`{}` is not a file; name {wanted}", path.display())]
    NotAFile {
        /// What was named.
        path: PathBuf,
        /// What it should be.
        wanted: &'static str,
    },
    /// A file is not the one that was meant.
    #[error(
        "`{}` has the SHA-256 {found} and not {expected}; take the file that is meant, or say which one it is with `--sha256`",
        path.display()
    )]
    Sum {
        /// The file.
        path: PathBuf,
        /// What was expected, in hexadecimal.
        expected: String,
        /// What it has.
        found: String,
    },
    /// A sum is not one.
    #[error("`{0}` is no SHA-256; give its 64 hexadecimal digits")]
    NotASum(String),
    /// The image of another container program cannot be read.
    #[error("cannot read the image `{}`", path.display())]
    Image {
        /// The image.
        path: PathBuf,
        /// What is wrong.
        source: io::Error,
    },
    /// It could not be downloaded.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// It could not be made of packages.
    #[error(transparent)]
    Mmdebstrap(#[from] MmdebstrapError),
    /// There is no archive for this machine.
    #[error("`{distribution}` has no archive for `{arch}`; give one with `--from`")]
    Machine {
        /// Name of the distribution.
        distribution: String,
        /// This machine.
        arch: &'static str,
    },
    /// An option that would be passed over.
    #[error("`{distribution}` takes no `{option}`; leave it out")]
    Option {
        /// Name of the distribution.
        distribution: String,
        /// The option.
        option: &'static str,
    },
    /// The archive cannot be read.
    #[error("cannot read the archive `{}`", path.display())]
    Archive {
        /// The archive.
        path: PathBuf,
        /// What is wrong.
        source: io::Error,
    },
    /// What a distribution adds cannot be added.
    #[error("cannot add to the root filesystem")]
    Add(#[source] io::Error),
}
