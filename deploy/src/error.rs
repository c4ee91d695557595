//! Why nothing was built.

use crate::compile::CompileError;
use crate::file::FileError;
use crate::layer::LayerError;
use crate::output::OutputError;
use crate::reserved::ReservedError;
use crate::settings::SettingError;
use crate::source::SourceError;
use crate::{distribution, tools};

/// Why nothing was built.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The name cannot be that of an image.
    #[error(
        "`{0}` cannot name an image; give letters, digits and `.`, `_`, `+`, `-` with `--name`, a letter or digit first"
    )]
    Name(String),
    /// There is no such compression level.
    #[error("there is no compression level {0}; give 0 (fast) to 9 (small)")]
    Level(u8),
    /// The distribution is not known.
    #[error(transparent)]
    Distribution(#[from] distribution::DistributionError),
    /// The tools could not be gathered.
    #[error(transparent)]
    Tools(#[from] tools::ToolsError),
    /// The runtime could not be compiled.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// There is nothing to make layers from.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A setting of the distribution is none.
    #[error("the distribution `{distribution}` is wrong")]
    Setting {
        /// Name of the distribution.
        distribution: String,
        /// What is wrong.
        source: SettingError,
    },
    /// Layers could not be made.
    #[error(transparent)]
    Layer(#[from] LayerError),
    /// The reserved space cannot be as large as asked.
    #[error(transparent)]
    Reserved(#[from] ReservedError),
    /// What the image is made from cannot be said in it.
    #[error(transparent)]
    Origin(crate::marker::MarkerError),
    /// An image was not upgraded.
    #[error(transparent)]
    Upgrade(#[from] crate::upgrade::UpgradeError),
    /// The image could not be put together.
    #[error(transparent)]
    Output(#[from] OutputError),
}
