//! The command line of deploy. See the library for what it does.

use std::env;
use std::error::Error;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};
use deploy::report::Lines;
use deploy::{DEFAULT_LEVEL, DEFAULT_RESERVED_SIZE, Options, Upgrade};

/// Exit code of an own error, the same as that of an image.
const FAILED: u8 = 125;

/// Builds an image: one executable file with a root filesystem, its settings and the program that runs it.
#[derive(Parser)]
#[command(
    name = "deploy",
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true
)]
#[command(disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    existing: Option<Existing>,
    /// What to build: a file of deploy/distributions without its extension, such as `blueprint`
    #[arg(required = true)]
    distribution: Option<String>,
    /// The directory or file that the image is made from, where the distribution needs one
    source: Option<PathBuf>,
    /// The same as SOURCE
    #[arg(long, value_name = "FILE", conflicts_with = "source")]
    from: Option<PathBuf>,
    /// SHA-256 that the file must have
    #[arg(long, value_name = "HEX")]
    sha256: Option<String>,
    /// Name of the image [default: that of the distribution, or of SOURCE]
    #[arg(long)]
    name: Option<String>,
    /// Address that is used instead of that of the distribution's mirror
    #[arg(long, value_name = "URL")]
    mirror: Option<String>,
    /// Release of the distribution [debian]
    #[arg(long)]
    suite: Option<String>,
    /// Packages beside those of the distribution, separated by commas [debian]
    #[arg(long, value_name = "PACKAGES", value_delimiter = ',')]
    include: Vec<String>,
    /// Fetch packages again that were fetched before [debian]
    #[arg(long)]
    refresh: bool,
    /// Which image is meant, where SOURCE has several
    #[arg(long, value_name = "NAME")]
    tag: Option<String>,
    /// Where distributions are looked for before those of deploy
    #[arg(long, value_name = "DIR")]
    distributions: Option<PathBuf>,
    /// Where static `bash` and `busybox` are looked for first
    #[arg(long, value_name = "DIR")]
    tools: Option<PathBuf>,
    /// Size of the reserved space [default: `FIM_RESERVED_SIZE`, else 4194304]
    #[arg(long, value_name = "BYTES")]
    reserved_size: Option<u64>,
    /// Where the image is written
    #[arg(long, value_name = "DIR", default_value = "dist")]
    out: PathBuf,
    /// Say what would be done and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Compression level of the layers, 0 (fast) to 9 (small)
    #[arg(long, value_name = "0-9", default_value_t = DEFAULT_LEVEL)]
    level: u8,
}

/// What is done with an image that is there.
#[derive(Subcommand)]
enum Existing {
    /// Says what an image is made of, without running it
    Inspect {
        /// The image
        image: PathBuf,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Gives an image this tree's program and tools; settings and layers stay
    Upgrade {
        /// The image
        image: PathBuf,
        /// Keep the image as it was, as IMAGE.old
        #[arg(long)]
        keep: bool,
        /// Where static `bash` and `busybox` are looked for first
        #[arg(long, value_name = "DIR")]
        tools: Option<PathBuf>,
    },
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) if error.kind() == ErrorKind::DisplayHelp => {
            print!("{error}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!(
                "error: {}; `deploy --help` says what there is",
                misused(&error)
            );
            return ExitCode::from(FAILED);
        }
    };
    if let Some(existing) = arguments.existing {
        return with_existing(existing);
    }
    let dry_run = arguments.dry_run;
    let options = match options(arguments) {
        Ok(options) => options,
        Err(error) => return failed(&error),
    };
    if dry_run {
        return planned(&options);
    }
    match deploy::build(&options, &mut Lines::new()) {
        Ok(built) => {
            let dir = built.image.parent().unwrap_or(".".as_ref());
            let sums = built.checksum.file_name().unwrap_or_default().display();
            eprintln!(
                "to check it: (cd {} && sha256sum -c {sums})",
                quoted(&dir.to_string_lossy())
            );
            println!("{}", built.image.display());
            ExitCode::SUCCESS
        }
        Err(error) => failed(&told(&error)),
    }
}

fn with_existing(existing: Existing) -> ExitCode {
    let printed = match existing {
        Existing::Inspect { image, json } => deploy::inspect(&image)
            .map(|found| match json {
                true => found.json(),
                false => found.table(),
            })
            .map_err(|error| told(&error)),
        Existing::Upgrade { image, keep, tools } => {
            let wanted = Upgrade { image, keep, tools };
            deploy::upgrade(&wanted, &mut Lines::new())
                .map(|image| format!("{}\n", image.display()))
                .map_err(|error| told(&error))
        }
    };
    match printed {
        Ok(text) => {
            // A reader that has gone away is no error.
            let _ = std::io::stdout().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Err(error) => failed(&error),
    }
}

/// Prints what would be done.
fn planned(options: &Options) -> ExitCode {
    match deploy::plan(options) {
        Ok(stages) => {
            for (stage, what) in stages {
                println!("{stage:<17}{what}");
            }
            ExitCode::SUCCESS
        }
        Err(error) => failed(&told(&error)),
    }
}

/// What is wrong with the arguments, in one line.
fn misused(error: &clap::Error) -> String {
    if error.kind() == ErrorKind::MissingRequiredArgument {
        let existing = env::args()
            .nth(1)
            .is_some_and(|word| ["inspect", "upgrade"].contains(&word.as_str()));
        return match existing {
            true => "name the image".to_owned(),
            false => "name what to build, such as `blueprint`".to_owned(),
        };
    }
    let text = error.to_string();
    let first = text.lines().next().unwrap_or_default();
    first.trim_start_matches("error: ").to_owned()
}

/// A path as a shell takes it.
fn quoted(path: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._+-".contains(&byte);
    match path.bytes().all(plain) {
        true if !path.is_empty() => path.to_owned(),
        true => ".".to_owned(),
        false => format!("'{}'", path.replace('\'', r"'\''")),
    }
}

/// What is asked for: by arguments, and by the variables that a build is told of itself with.
fn options(arguments: Arguments) -> Result<Options, String> {
    let reserved_size = match arguments.reserved_size {
        Some(size) => size,
        None => match env::var("FIM_RESERVED_SIZE") {
            Ok(text) => text.parse().map_err(|_| {
                format!("FIM_RESERVED_SIZE is `{text}`; give a number of bytes, such as 4194304")
            })?,
            Err(_) => DEFAULT_RESERVED_SIZE,
        },
    };
    let path = |name| env::var_os(name).map(PathBuf::from);
    Ok(Options {
        dist: env::var("FIM_DIST").ok(),
        tools_json: path("FIM_FILE_TOOLS"),
        meta_json: path("FIM_FILE_META"),
        source: arguments.source.or(arguments.from),
        sha256: arguments.sha256,
        mirror: arguments.mirror,
        suite: arguments.suite,
        include: arguments.include,
        refresh: arguments.refresh,
        tag: arguments.tag,
        name: arguments.name,
        distributions: arguments.distributions,
        tools: arguments.tools,
        reserved_size,
        out: arguments.out,
        level: arguments.level,
        ..Options::new(arguments.distribution.unwrap_or_default())
    })
}

fn failed(what: &str) -> ExitCode {
    eprintln!("error: {what}");
    ExitCode::from(FAILED)
}

/// An error and its causes in one line. Errors of other crates may tell their cause themselves.
fn told(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text.replace('\n', " ")
}
