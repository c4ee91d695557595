//! Builds images: one executable file out of a distribution, a runtime and a few tools.
//!
//! [`build`] runs six stages, in this order: tools, compile, root filesystem, compress, assemble, checksum. What a stage
//! makes is kept below Cargo's target directory together with a digest of what it was made from; a stage whose inputs are
//! unchanged is skipped. Everything is written beside its final name and renamed, so a build may be interrupted anywhere and
//! simply be started again. None of it needs to be root.

mod compile;
mod digest;
mod file;
mod layer;
mod linked;
mod output;
mod reserved;
mod timestamp;

pub mod assemble;
pub mod distribution;
pub mod elf;
pub mod marker;
pub mod report;
pub mod tools;

use std::fs::File;
use std::path::{Path, PathBuf};

pub use compile::CompileError;
pub use file::FileError;
pub use layer::LayerError;
pub use output::OutputError;
pub use report::{Report, Stage};
pub use reserved::{DEFAULT_SIZE as DEFAULT_RESERVED_SIZE, ReservedError};

use distribution::Distribution;

/// Compression level of layers unless another one is asked for.
pub const DEFAULT_LEVEL: u8 = 7;

/// What to build.
#[derive(Debug, Clone)]
pub struct Options {
    /// Name of the distribution: a file of `deploy/distributions/` without its extension.
    pub distribution: String,
    /// What the distribution is made from, when it takes something.
    pub source: Option<PathBuf>,
    /// Name of the image; the distribution's, or that of `source`, when none.
    pub name: Option<String>,
    /// Where static `bash` and `busybox` are looked for first.
    pub tools: Option<PathBuf>,
    /// Size of the reserved space in bytes.
    pub reserved_size: u64,
    /// Where the image is written.
    pub out: PathBuf,
    /// Compression level of the layer, 0 (fast) to 9 (small).
    pub level: u8,
    /// The workspace that the runtime is compiled from: that of this program, or one with the same declaration.
    pub workspace: PathBuf,
}

impl Options {
    /// The defaults for a distribution, with the workspace that this program was compiled from.
    pub fn new(distribution: impl Into<String>) -> Options {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
        Options {
            distribution: distribution.into(),
            source: None,
            name: None,
            tools: None,
            reserved_size: DEFAULT_RESERVED_SIZE,
            out: "dist".into(),
            level: DEFAULT_LEVEL,
            workspace: manifest.parent().unwrap_or(manifest).to_owned(),
        }
    }

    fn image_name(&self) -> Result<String, Error> {
        let of_source = || {
            Some(
                self.source
                    .as_ref()?
                    .file_name()?
                    .to_string_lossy()
                    .into_owned(),
            )
        };
        let name = self.name.clone().or_else(of_source);
        let name = name.unwrap_or_else(|| self.distribution.clone());
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._+-".contains(&byte);
        let first = name
            .bytes()
            .next()
            .is_some_and(|byte| byte.is_ascii_alphanumeric());
        if first && name.bytes().all(plain) {
            Ok(name)
        } else {
            Err(Error::Name(name))
        }
    }
}

/// What was built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    /// The image, executable.
    pub image: PathBuf,
    /// Its checksum file, in the format of `sha256sum`.
    pub checksum: PathBuf,
    /// SHA-256 of the image in hexadecimal.
    pub sha256: String,
    /// Size of the image in bytes.
    pub size: u64,
}

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
    /// Layer 0 could not be made.
    #[error(transparent)]
    Layer(#[from] LayerError),
    /// The reserved space cannot be as large as asked.
    #[error(transparent)]
    Reserved(#[from] ReservedError),
    /// The image could not be put together.
    #[error(transparent)]
    Output(#[from] OutputError),
}

/// Builds an image and its checksum.
///
/// Builds that share a target directory wait for one another.
///
/// # Errors
/// When an input is missing or unfit, or the system refuses. What was built before is then still in place.
pub fn build(options: &Options, report: &mut dyn Report) -> Result<Built, Error> {
    let name = options.image_name()?;
    if options.level > 9 {
        return Err(Error::Level(options.level));
    }
    reserved::check(options.reserved_size)?;
    let distribution = Distribution::load(&options.workspace, &options.distribution)?;
    let source = options.source.as_deref();
    layer::check(distribution.root, source)?;
    let cache = compile::target_dir(&options.workspace)?.join("deploy");
    file::create_dir(&cache)?;
    let _lock = lock(&cache)?;

    report.begins(Stage::Tools);
    let tools = tools::gather(&cache, options.tools.as_deref())?;
    report.ends(Stage::Tools, &tools.summary, tools.unchanged);

    report.begins(Stage::Compile);
    let runtime = compile::compile(&compile::Inputs {
        workspace: &options.workspace,
        distribution: &options.distribution,
        reserved_size: options.reserved_size,
        tools_json: &tools.tools_json,
        meta_json: &tools.meta_json,
    })?;
    let summary = format!(
        "{}, {}",
        runtime.triple,
        report::bytes(runtime.program.len() as u64)
    );
    report.ends(Stage::Compile, &summary, runtime.unchanged);

    report.begins(Stage::Root);
    let (tree, unchanged) = layer::root(&cache, distribution.root, source)?;
    report.ends(Stage::Root, &distribution.summary, unchanged);

    report.begins(Stage::Compress);
    let layers = cache.join("layers");
    file::create_dir(&layers)?;
    let layer = layers.join(format!("{name}.layer"));
    let unchanged = layer::compress(&tree, &layer, options.level, &mut |done, total| {
        report.progress(Stage::Compress, done, total);
    })?;
    let size = std::fs::metadata(&layer)
        .map_err(file::failed("read", &layer))?
        .len();
    let summary = format!("layer 0, {}", report::bytes(size));
    report.ends(Stage::Compress, &summary, unchanged);

    let inputs = output::Inputs {
        runtime: &runtime.program,
        tools: &file::read(&tools.blob)?,
        reserved: &reserved::fresh(
            &cache,
            options.reserved_size,
            1,
            assemble::layers_length(&[size]),
        )?,
        layers: &[layer],
    };
    file::create_dir(&options.out)?;
    Ok(output::write(&cache, &options.out, &name, &inputs, report)?)
}

/// Holds off other builds in the same cache until it is dropped, or the process ends in whatever way.
fn lock(cache: &Path) -> Result<File, FileError> {
    let path = cache.join("lock");
    let file = File::create(&path).map_err(file::failed("create", &path))?;
    file.lock().map_err(file::failed("lock", &path))?;
    Ok(file)
}
