//! The compile stage: makes the launcher, the program at the start of every image, the runtime, which works, and what that runs
//! on the host.
//!
//! Cargo decides what must be compiled again. One program is made for all images: what differs between them is put beside it when an image is assembled
//! ([`crate::marker`]), so that the same sources give the same program.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use serde::Deserialize;

use crate::assemble::Programs;
use crate::elf::{Elf, ElfError};
use crate::file::{self, FileError};

/// A package, and the program in it.
#[derive(Clone, Copy)]
struct Package {
    name: &'static str,
    program: &'static str,
    /// The profile that it is compiled with.
    profile: &'static str,
    /// Where its manifest is, below the workspace's directory, if it is in no workspace.
    apart: Option<&'static str>,
}

/// It is a program without a C library, which nothing relocates.
const LAUNCHER: Package = Package {
    name: "flatimage-launcher",
    program: "fim-launcher",
    profile: "release",
    apart: Some("engine/launcher/Cargo.toml"),
};

const RUNTIME: Package = Package {
    name: "flatimage",
    program: "flatimage",
    profile: "runtime",
    apart: None,
};
const FETCHER: Package = Package {
    name: "flatimage-fetch",
    program: "fim-fetch",
    profile: "small",
    apart: None,
};
/// Separates the words of `CARGO_ENCODED_RUSTFLAGS`.
const SEPARATOR: &str = "\u{1f}";

/// What every image has.
pub(crate) struct Compiled {
    pub(crate) programs: Programs,
    /// The target that they were compiled for.
    pub(crate) triple: String,
    /// Whether Cargo had nothing to do.
    pub(crate) unchanged: bool,
}

/// Why there is no runtime.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// A file could not be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// Cargo could not be started, or did not answer as Cargo does.
    #[error("cannot ask `{}` for {what}", cargo.display())]
    Cargo {
        /// The program that was started.
        cargo: PathBuf,
        /// What it was asked for.
        what: &'static str,
        /// Why it did not answer.
        source: std::io::Error,
    },
    /// Compiling or linking failed; Cargo has said why.
    #[error(
        "`{program}` did not compile ({status}), see above; a C compiler and a static C library are needed (`libc6-dev` on Debian, `glibc-static` on Fedora)"
    )]
    Failed {
        /// What was compiled.
        program: &'static str,
        /// How Cargo ended.
        status: ExitStatus,
    },
    /// The result is no program.
    #[error("`{}` is no program", path.display())]
    NotAProgram {
        /// What Cargo made.
        path: PathBuf,
        /// What is wrong with it.
        source: ElfError,
    },
    /// The result needs libraries of the host.
    #[error(
        "`{}` is not static; install the static C library (`libc6-dev` on Debian, `glibc-static` on Fedora)",
        .0.display()
    )]
    Dynamic(PathBuf),
}

/// The Cargo that runs us, else the one in `PATH`.
fn cargo() -> PathBuf {
    env::var_os("CARGO")
        .unwrap_or_else(|| "cargo".into())
        .into()
}

fn unanswered(what: &'static str) -> impl Fn(std::io::Error) -> CompileError {
    move |source| CompileError::Cargo {
        cargo: cargo(),
        what,
        source,
    }
}

/// Where Cargo puts what it makes of the workspace.
pub(crate) fn target_dir(workspace: &Path) -> Result<PathBuf, CompileError> {
    #[derive(Deserialize)]
    struct Metadata {
        target_directory: PathBuf,
    }
    let unanswered = unanswered("the target directory");
    let output = command(workspace)
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .stderr(Stdio::inherit())
        .output()
        .map_err(&unanswered)?;
    let metadata: Metadata =
        serde_json::from_slice(&output.stdout).map_err(|error| unanswered(error.into()))?;
    Ok(metadata.target_directory)
}

/// Compiles launcher and runtime, and makes sure that they are static.
pub(crate) fn compile(workspace: &Path) -> Result<Compiled, CompileError> {
    let triple = host_triple(workspace)?;
    let mut cargo = command(workspace);
    // It would become the size of a space that the runtime makes; it makes none, and would be compiled again.
    cargo.env_remove("FIM_RESERVED_SIZE");
    let (runtime, unchanged) = make(cargo, RUNTIME, workspace, &triple)?;
    let (launcher, same) = make(command(workspace), LAUNCHER, workspace, &triple)?;
    Ok(Compiled {
        programs: Programs::new(launcher, &runtime),
        triple,
        unchanged: unchanged && same,
    })
}

/// Compiles the program that fetches files for an image, which is as static. It is the same for every image.
pub(crate) fn fetcher(workspace: &Path) -> Result<Vec<u8>, CompileError> {
    let triple = host_triple(workspace)?;
    let made = make(command(workspace), FETCHER, workspace, &triple)?;
    Ok(made.0)
}

/// Has `cargo` make a program; answers it, and whether there was nothing to do.
fn make(
    mut cargo: Command,
    package: Package,
    workspace: &Path,
    triple: &str,
) -> Result<(Vec<u8>, bool), CompileError> {
    let Package {
        name,
        program,
        profile,
        apart,
    } = package;
    cargo.args(["build", "--profile", profile, "--locked"]);
    cargo.args(["--package", name, "--bin", program, "--target", triple]);
    cargo.args(["--message-format", "json-render-diagnostics"]);
    let mut flags = flags(workspace, triple);
    if let Some(manifest) = apart {
        let target = target_dir(workspace)?.join(name);
        cargo
            .args(["--manifest-path", manifest, "--target-dir"])
            .arg(target);
        flags.push([SEPARATOR, "-C", SEPARATOR, "relocation-model=static"].concat());
    }
    if !std::io::stderr().is_terminal() {
        cargo.arg("--quiet");
    }
    let output = cargo
        .env("CARGO_ENCODED_RUSTFLAGS", flags)
        .stderr(Stdio::inherit())
        .output()
        .map_err(unanswered(program))?;
    if !output.status.success() {
        let status = output.status;
        return Err(CompileError::Failed { program, status });
    }
    let (path, unchanged) = executable(&output.stdout, program)
        .ok_or_else(|| unanswered(program)(std::io::Error::other("it named no executable")))?;
    let bytes = file::read(&path)?;
    match Elf::parse(&bytes) {
        Err(source) => Err(CompileError::NotAProgram { path, source }),
        Ok(elf) if !elf.is_static() => Err(CompileError::Dynamic(path)),
        Ok(_) => Ok((bytes, unchanged)),
    }
}

/// Cargo, without what a running `cargo run` or `cargo test` tells the program it runs about that program.
fn command(workspace: &Path) -> Command {
    let mut command = Command::new(cargo());
    command.current_dir(workspace).stdin(Stdio::null());
    for (name, _) in env::vars_os() {
        let name_text = name.to_string_lossy();
        let foreign = [
            "CARGO_PKG_",
            "CARGO_MANIFEST_",
            "CARGO_BIN_",
            "CARGO_CRATE_",
            "DEP_",
        ];
        if foreign.iter().any(|prefix| name_text.starts_with(prefix)) || name_text == "OUT_DIR" {
            command.env_remove(&name);
        }
    }
    command
}

fn host_triple(workspace: &Path) -> Result<String, CompileError> {
    let unanswered = unanswered("the host's target");
    let output = command(workspace)
        .arg("-vV")
        .output()
        .map_err(&unanswered)?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned)
        .ok_or_else(|| unanswered(std::io::Error::other("it did not say")))
}

/// The caller's compiler flags and ours. Where the sources and their dependencies lie on this host is kept out of the program.
fn flags(workspace: &Path, triple: &str) -> OsString {
    let words = |name: &str| {
        let value = env::var_os(name)?.into_string().ok()?;
        let words: Vec<&str> = value.split_whitespace().collect();
        Some(words.join(SEPARATOR).into())
    };
    let of_target = triple.to_uppercase().replace(['-', '.'], "_");
    // In the order in which Cargo itself looks for them.
    let theirs: Option<OsString> = env::var_os("CARGO_ENCODED_RUSTFLAGS")
        .or_else(|| words("RUSTFLAGS"))
        .or_else(|| words(&format!("CARGO_TARGET_{of_target}_RUSTFLAGS")));
    let mut flags: Vec<OsString> = theirs
        .filter(|flags| !flags.is_empty())
        .into_iter()
        .collect();
    flags.extend(["-C", "target-feature=+crt-static"].map(OsString::from));
    // Nobody unwinds, because a panic ends the program: the table by which handlers are found would be read by nobody.
    flags.extend(["-C", "link-arg=-Wl,--no-eh-frame-hdr"].map(OsString::from));
    flags.extend(remap(workspace, "/flatimage"));
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(env::home_dir()?.join(".cargo")));
    flags.extend(home.into_iter().flat_map(|home| remap(&home, "/cargo")));
    flags.join(OsStr::new(SEPARATOR))
}

fn remap(from: &Path, to: &str) -> [OsString; 2] {
    let mut pair = from.as_os_str().to_owned();
    pair.push("=");
    pair.push(to);
    ["--remap-path-prefix".into(), pair]
}

/// The program that a build made and whether it was there already, out of Cargo's messages (one JSON object a line).
fn executable(messages: &[u8], program: &str) -> Option<(PathBuf, bool)> {
    #[derive(Deserialize)]
    struct Message {
        #[serde(default)]
        fresh: bool,
        executable: Option<PathBuf>,
        target: Option<Target>,
    }
    #[derive(Deserialize)]
    struct Target {
        name: String,
    }
    messages
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice::<Message>(line).ok())
        .filter(|message| {
            message
                .target
                .as_ref()
                .is_some_and(|target| target.name == program)
        })
        .find_map(|message| Some((message.executable?, message.fresh)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_told_from_the_other_things_that_cargo_makes() {
        let messages = br#"{"reason":"compiler-artifact","target":{"name":"nix"},"fresh":true,"executable":null}
{"reason":"compiler-artifact","target":{"name":"flatimage"},"fresh":true,"executable":null}
{"reason":"compiler-artifact","target":{"name":"flatimage"},"fresh":false,"executable":"/t/flatimage"}
{"reason":"build-finished","success":true}
"#;
        let found = executable(messages, "flatimage");
        assert_eq!(found, Some(("/t/flatimage".into(), false)));
        assert_eq!(executable(messages, "nix"), None);
        assert_eq!(executable(b"not JSON\n", "flatimage"), None);
    }

    #[test]
    fn the_flags_make_it_static_and_name_no_place_of_this_host() {
        let flags = flags(Path::new("/home/me/a b"), "x86_64-unknown-linux-gnu");
        let flags = flags.into_string().unwrap();
        let words: Vec<&str> = flags.split(SEPARATOR).collect();
        assert!(
            words
                .windows(2)
                .any(|pair| pair == ["-C", "target-feature=+crt-static"])
        );
        assert!(words.contains(&"/home/me/a b=/flatimage"));
    }
}
