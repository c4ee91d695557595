//! Builds images: one executable file out of a distribution, a runtime and a few tools.
//!
//! [`build`] runs six stages, in this order: tools, compile, root filesystem, compress, assemble, checksum. What a stage
//! makes is kept below Cargo's target directory together with a digest of what it was made from; a stage whose inputs are
//! unchanged is skipped. Everything is written beside its final name and renamed, so a build may be interrupted anywhere and
//! simply be started again. None of it needs to be root.

mod archive;
mod compile;
mod digest;
mod error;
mod fetch;
mod file;
mod image;
mod inspect;
mod layer;
mod linked;
mod mmdebstrap;
mod oci;
mod options;
mod output;
mod reserved;
mod settings;
mod source;
mod timestamp;
mod tree;
mod upgrade;

pub mod assemble;
pub mod distribution;
pub mod elf;
pub mod marker;
pub mod report;
pub mod tools;

use std::fs::File;
use std::path::{Path, PathBuf};

pub use compile::CompileError;
pub use error::Error;
pub use fetch::FetchError;
pub use file::FileError;
pub use image::ImageError;
pub use inspect::{Inspection, inspect};
pub use layer::LayerError;
pub use mmdebstrap::MmdebstrapError;
pub use options::Options;
pub use output::OutputError;
pub use report::{Report, Stage};
pub use reserved::{DEFAULT_SIZE as DEFAULT_RESERVED_SIZE, ReservedError};
pub use settings::SettingError;
pub use source::SourceError;
pub use upgrade::UpgradeError;

use assemble::Programs;
use distribution::Distribution;
use layer::Layers;
use marker::Origin;
use settings::Settings;
use source::Source;
use timestamp::Revision;

/// Compression level of layers unless another one is asked for.
pub const DEFAULT_LEVEL: u8 = 7;

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

/// Builds an image and its checksum.
///
/// Builds that share a target directory wait for one another.
///
/// # Errors
/// When an input is missing or unfit, or the system refuses. What was built before is then still in place.
pub fn build(options: &Options, report: &mut dyn Report) -> Result<Built, Error> {
    let Checked {
        name,
        distribution,
        mut settings,
    } = Checked::of(options)?;
    let cache = compile::target_dir(&options.workspace)?.join("deploy");
    file::create_dir(&cache)?;
    let _lock = lock(&cache)?;
    source::check_host(&distribution, options.given(), &cache)?;

    let (tools, described, programs) = make_program(&cache, options, report)?;
    let (layers, source) = make_layers(&cache, &distribution, options, &name, report)?;
    if let Some(execution) = source.execution() {
        let user = layers.user();
        let added = settings.add_execution(execution, user.as_ref());
        added.map_err(|error| of_setting(options, error))?;
    }
    let sizes = layers.sizes()?;
    let inputs = output::Inputs {
        programs: &programs,
        tools: &file::read(&tools.blob)?,
        description: &described.bytes,
        origin: &origin(options, described.servers),
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

/// What to upgrade.
#[derive(Debug, Clone)]
pub struct Upgrade {
    /// The image.
    pub image: PathBuf,
    /// Whether it stays under its second name, `<image>.old`.
    pub keep: bool,
    /// Where static `bash` and `busybox` are looked for first.
    pub tools: Option<PathBuf>,
}

/// Gives an image the program and the tools that [`build`] would give it. Settings, layers and the name of the distribution
/// stay. Answers the image, without links.
///
/// # Errors
/// When it is no image, or damaged, or something is refused. The image is then as it was; when it was replaced already and
/// only what is left was not cleared away, it is the new one.
pub fn upgrade(wanted: &Upgrade, report: &mut dyn Report) -> Result<PathBuf, Error> {
    let names = upgrade::Names::of(&wanted.image)?;
    // Before anything is compiled for what is no image.
    let old = image::Image::open(&names.image).map_err(UpgradeError::from)?;
    let options = Options {
        dist: Some(old.marker.origin.distribution.clone()),
        tools: wanted.tools.clone(),
        ..Options::new("")
    };
    drop(old);
    upgrade::clear_way(&names)?;
    let cache = compile::target_dir(&options.workspace)?.join("deploy");
    file::create_dir(&cache)?;
    let _lock = lock(&cache)?;
    let (tools, described, programs) = make_program(&cache, &options, report)?;
    report.begins(Stage::Assemble);
    let renewed = upgrade::Renewed {
        programs: &programs,
        tools: &file::read(&tools.blob)?,
        description: &described.bytes,
        origin: origin(&options, described.servers),
    };
    let kept = upgrade::upgrade(&names, &renewed, wanted.keep)?;
    let summary = format!("{}, {kept}", names.image.display());
    report.ends(Stage::Assemble, &summary, false);
    Ok(names.image)
}

/// The stages tools and compile, which are the same for every image.
fn make_program(
    cache: &Path,
    options: &Options,
    report: &mut dyn Report,
) -> Result<(tools::Tools, tools::Described, Programs), Error> {
    report.begins(Stage::Tools);
    let fetcher = compile::fetcher(&options.workspace)?;
    let tools = tools::gather(cache, options.tools.as_deref(), fetcher)?;
    let described = tools.described(options.tools_json.as_deref(), options.meta_json.as_deref())?;
    report.ends(Stage::Tools, &tools.summary, tools.unchanged);

    report.begins(Stage::Compile);
    let compiled = compile::compile(&options.workspace)?;
    let size = report::bytes(compiled.programs.runtime_size);
    let summary = format!("{}, {size}", compiled.triple);
    report.ends(Stage::Compile, &summary, compiled.unchanged);
    Ok((tools, described, compiled.programs))
}

/// What would be built, one line for each stage, if [`build`] were called. Nothing is read but the distribution's file, and
/// nothing is written or downloaded.
///
/// # Errors
/// When an input is missing or unfit, as far as that can be seen without looking into it.
pub fn plan(options: &Options) -> Result<Vec<(Stage, String)>, Error> {
    let checked = Checked::of(options)?;
    let image = options.out.join(format!("{}.flatimage", checked.name));
    let image = image.display();
    let size = report::bytes(options.reserved_size);
    let tools = match &options.tools {
        Some(dir) => format!("from `{}`, `PATH` or `apt-get`", dir.display()),
        None => "from `PATH` or `apt-get`".to_owned(),
    };
    let root = source::planned(&checked.distribution, options.given())?;
    let compile = format!("the runtime, {size} for settings");
    Ok(vec![
        (Stage::Tools, tools),
        (Stage::Compile, compile),
        (
            Stage::Root,
            format!("{}: {root}", checked.distribution.summary),
        ),
        (Stage::Compress, format!("level {}", options.level)),
        (Stage::Assemble, image.to_string()),
        (Stage::Checksum, format!("{image}.sha256sum")),
    ])
}

/// What is asked for, and makes sense as far as that can be seen without looking into anything.
struct Checked {
    name: String,
    distribution: Distribution,
    settings: Settings,
}

impl Checked {
    fn of(options: &Options) -> Result<Checked, Error> {
        let name = options.image_name()?;
        if options.level > 9 {
            return Err(Error::Level(options.level));
        }
        reserved::check(options.reserved_size)?;
        let origin = origin(options, Vec::new());
        origin.check().map_err(Error::Origin)?;
        let distribution = Distribution::load(&options.places(), &options.distribution)?;
        source::check(&distribution, options.given())?;
        let settings = Settings::of_distribution(&distribution.settings);
        Ok(Checked {
            name,
            settings: settings.map_err(|error| of_setting(options, error))?,
            distribution,
        })
    }
}

/// What the image will say that it was made from.
fn origin(options: &Options, servers: Vec<String>) -> Origin {
    let Revision { commit, timestamp } = timestamp::revision(&options.workspace);
    let distribution = options.dist.as_ref().unwrap_or(&options.distribution);
    Origin {
        distribution: distribution.to_lowercase(),
        commit,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        timestamp,
        servers,
    }
}

fn of_setting(options: &Options, source: SettingError) -> Error {
    Error::Setting {
        distribution: options.distribution.clone(),
        source,
    }
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

/// Holds off other builds in the same cache until it is dropped, or the process ends in whatever way.
fn lock(cache: &Path) -> Result<File, FileError> {
    let path = cache.join("lock");
    let file = File::create(&path).map_err(file::failed("create", &path))?;
    file.lock().map_err(file::failed("lock", &path))?;
    Ok(file)
}
