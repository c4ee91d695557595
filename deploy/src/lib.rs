//! Builds images: one executable file out of a distribution, a runtime and a few tools.
//!
//! [`build`] runs six stages, in this order: tools, compile, root filesystem, compress, assemble, checksum. What a stage
//! makes is kept below Cargo's target directory together with a digest of what it was made from; a stage whose inputs are
//! unchanged is skipped. Everything is written beside its final name and renamed, so a build may be interrupted anywhere and
//! simply be started again. None of it needs to be root.

mod archive;
mod compile;
mod digest;
mod fetch;
mod file;
mod layer;
mod linked;
mod mmdebstrap;
mod oci;
mod output;
mod reserved;
mod settings;
mod source;
mod timestamp;
mod tree;

pub mod assemble;
pub mod distribution;
pub mod elf;
pub mod marker;
pub mod report;
pub mod tools;

use std::fs::File;
use std::path::{Path, PathBuf};

pub use compile::CompileError;
pub use fetch::FetchError;
pub use file::FileError;
pub use layer::LayerError;
pub use mmdebstrap::MmdebstrapError;
pub use output::OutputError;
pub use report::{Report, Stage};
pub use reserved::{DEFAULT_SIZE as DEFAULT_RESERVED_SIZE, ReservedError};
pub use settings::SettingError;
pub use source::SourceError;

use distribution::Distribution;
use layer::Layers;
use mmdebstrap::Wishes;
use settings::Settings;
use source::{Given, Source};

/// Compression level of layers unless another one is asked for.
pub const DEFAULT_LEVEL: u8 = 7;

/// What to build.
#[derive(Debug, Clone)]
pub struct Options {
    /// Name of the distribution: a file of `deploy/distributions/` without its extension.
    pub distribution: String,
    /// What the distribution is made from, when it takes something.
    pub source: Option<PathBuf>,
    /// SHA-256 that `source` must have, in hexadecimal, when it is a file.
    pub sha256: Option<String>,
    /// Address of the mirror instead of that of the distribution.
    pub mirror: Option<String>,
    /// Release of the distribution, where it has several.
    pub suite: Option<String>,
    /// Packages beside those of the distribution.
    pub include: Vec<String>,
    /// Whether packages are fetched again that were fetched before.
    pub refresh: bool,
    /// Which image of `source` is meant, when it has several.
    pub tag: Option<String>,
    /// Name of the image; the distribution's, or that of `source`, when none.
    pub name: Option<String>,
    /// Where distributions are looked for first.
    pub distributions: Option<PathBuf>,
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
            sha256: None,
            mirror: None,
            suite: None,
            include: Vec::new(),
            refresh: false,
            tag: None,
            name: None,
            distributions: None,
            tools: None,
            reserved_size: DEFAULT_RESERVED_SIZE,
            out: "dist".into(),
            level: DEFAULT_LEVEL,
            workspace: manifest.parent().unwrap_or(manifest).to_owned(),
        }
    }

    /// Where distributions are looked for, in this order.
    fn places(&self) -> Vec<PathBuf> {
        let own = self.workspace.join("deploy/distributions");
        self.distributions.iter().cloned().chain([own]).collect()
    }

    fn given(&self) -> Given<'_> {
        Given {
            name: &self.distribution,
            path: self.source.as_deref(),
            sha256: self.sha256.as_deref(),
            tag: self.tag.as_deref(),
            wishes: Wishes {
                suite: self.suite.as_deref(),
                mirror: self.mirror.as_deref(),
                include: &self.include,
                refresh: self.refresh,
            },
        }
    }

    fn image_name(&self) -> Result<String, Error> {
        let of_source = || {
            let name = self.source.as_ref()?.file_name()?.to_string_lossy();
            Some(without_ending(&name).to_owned())
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
    let distribution = Distribution::load(&options.places(), &options.distribution)?;
    let given = options.given();
    source::check(&distribution, given)?;
    let of_setting = |source| Error::Setting {
        distribution: options.distribution.clone(),
        source,
    };
    let mut settings = Settings::of_distribution(&distribution.settings).map_err(of_setting)?;
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

    let (layers, source) = make_layers(&cache, &distribution, options, &name, report)?;
    if let Some(execution) = source.execution() {
        let user = layers.user();
        let added = settings.add_execution(execution, user.as_ref());
        added.map_err(of_setting)?;
    }
    let sizes = layers.sizes()?;
    let inputs = output::Inputs {
        runtime: &runtime.program,
        tools: &file::read(&tools.blob)?,
        reserved: &reserved::fresh(
            &cache,
            options.reserved_size,
            (sizes.len() as u64, assemble::layers_length(&sizes)),
            &settings,
        )?,
        layers: &layers.paths,
    };
    file::create_dir(&options.out)?;
    Ok(output::write(&cache, &options.out, &name, &inputs, report)?)
}

/// The layers of an image, made where they are not there, and what they are made from.
fn make_layers(
    cache: &Path,
    distribution: &Distribution,
    options: &Options,
    name: &str,
    report: &mut dyn Report,
) -> Result<(Layers, Source), Error> {
    report.begins(Stage::Root);
    let mut progress = |done, total| report.progress(Stage::Root, done, total);
    let mut source = Source::find(distribution, options.given(), cache, &mut progress)?;
    let dir = cache.join("layers");
    file::create_dir(&dir)?;
    let (level, latest) = (options.level, timestamp::given());
    let layers = Layers::of(&source, &distribution.add, (&dir, name), level, latest)?;
    let unchanged = layers.are_made();
    let told = format!("{}: {}", distribution.summary, source.told());
    let mut contents = None;
    if !unchanged {
        let mut warnings = Vec::new();
        let mut warn = |warning| warnings.push(warning);
        contents = Some(source.read(&distribution.add, cache, &mut warn, &mut progress)?);
        warnings.iter().for_each(|warning| report.warns(warning));
    }
    report.ends(Stage::Root, &told, unchanged);

    report.begins(Stage::Compress);
    if let Some(contents) = contents {
        let mut progress = |done, total| report.progress(Stage::Compress, done, total);
        layers.make(contents, &mut progress)?;
    }
    let sizes = layers.sizes()?;
    let bytes = report::bytes(sizes.iter().sum());
    let summary = match sizes.len() {
        1 => format!("layer 0, {bytes}"),
        count => format!("{count} layers, {bytes}"),
    };
    report.ends(Stage::Compress, &summary, unchanged);
    Ok((layers, source))
}

/// The name of an archive without what says that it is one.
fn without_ending(name: &str) -> &str {
    let endings = [".gz", ".xz", ".zst", ".tgz", ".txz", ".tzst"];
    let shorter = endings.iter().find_map(|ending| name.strip_suffix(ending));
    let name = shorter.unwrap_or(name);
    name.strip_suffix(".tar").unwrap_or(name)
}

/// Holds off other builds in the same cache until it is dropped, or the process ends in whatever way.
fn lock(cache: &Path) -> Result<File, FileError> {
    let path = cache.join("lock");
    let file = File::create(&path).map_err(file::failed("create", &path))?;
    file.lock().map_err(file::failed("lock", &path))?;
    Ok(file)
}
