//! The tools stage: the programs that every image carries beside its root filesystem.
//!
//! `bash` and the applets of `busybox` are in every container, whatever the root filesystem lacks. They are static, so that
//! they run in any root. Each comes from the first place that has it: the directory given with `--tools`, `PATH`, the host's
//! package client. They are compressed together, because static programs have a library in common, which makes the whole a quarter
//! smaller. Those of the container come first: whoever needs these stops behind them. They are described by two texts that
//! follow them: `tools.json` (see [`manifest::ToolEntry`]) and `meta.json` (see [`manifest::MetaEntry`]). Among them are programs
//! with their loader and libraries ([`bundled`]): `bwrap` for sandboxes inside of the container, and what serves its root, which a
//! container has nothing of, as little as of what fetches files for the runtime.

mod apt;
mod bundled;
mod find;
pub mod manifest;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::digest::{self, Inputs, Stamp};
use crate::elf::ElfError;
use crate::file::{self, FileError};
use find::{Found, Search};
use manifest::Directory;

/// Compression level of the tools. They are compressed once and unpacked at every first start, and zstd unpacks all levels
/// equally fast.
const LEVEL: i32 = 22;

/// The largest window (as a power of two) that every decoder takes without being told.
const LARGEST_WINDOW: u32 = 27;

/// A tool that every image carries.
pub(crate) struct Wanted {
    pub(crate) name: &'static str,
    pub(crate) directory: Directory,
    /// SPDX expression.
    pub(crate) licence: &'static str,
    /// Arguments that make it print its version in the first line.
    version: &'static [&'static str],
    /// Arguments that make it list the names it answers to; `None` when it has but one.
    applets: Option<&'static [&'static str]>,
    /// The Debian package that has it static, and where in it.
    package: &'static str,
    packaged: &'static [&'static str],
}

const WANTED: [Wanted; 2] = [
    Wanted {
        name: "bash",
        directory: Directory::Bin,
        licence: "GPL-3.0-or-later",
        version: &["--version"],
        applets: None,
        package: "bash-static",
        packaged: &["bin/bash-static", "usr/bin/bash-static"],
    },
    Wanted {
        name: "busybox",
        directory: Directory::Sbin,
        licence: "GPL-2.0-only",
        version: &["--help"],
        applets: Some(&["--list"]),
        package: "busybox-static",
        packaged: &["bin/busybox", "usr/bin/busybox"],
    },
];

/// Why the tools could not be gathered.
#[derive(Debug, thiserror::Error)]
pub enum ToolsError {
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// What was given is no directory.
    #[error("`{}` is not a directory; give one that holds static `bash` and `busybox`", .0.display())]
    NotADirectory(PathBuf),
    /// A file of the given directory is no program.
    #[error("`{}` cannot be a tool; give a static program for this machine", path.display())]
    NotAProgram {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: ElfError,
    },
    /// A program of the given directory needs the host's libraries, or another machine.
    #[error("`{}` is {what}; give a static program for this machine", path.display())]
    Unfit {
        /// The program.
        path: PathBuf,
        /// What makes it unfit.
        what: &'static str,
    },
    /// A program does not answer as the tool it should be would.
    #[error("`{}` does not answer to `{arguments}` as `{name}` does; give another one with `--tools DIR`", path.display())]
    Mute {
        /// The program.
        path: PathBuf,
        /// The tool it should be.
        name: &'static str,
        /// What it was asked.
        arguments: String,
    },
    /// Neither the directory nor `PATH` has it, and the host has no package client that could get it.
    #[error(
        "no static {0} on this host and no `apt-get` to fetch it; put it into a directory and give that with `--tools DIR`"
    )]
    Nowhere(String),
    /// The package client was asked and did not deliver.
    #[error(
        "`{command}` failed: {answer}; mend that, or give static `bash` and `busybox` with `--tools DIR`"
    )]
    Fetch {
        /// The command as typed.
        command: String,
        /// The last line it printed.
        answer: String,
    },
    /// A package came without the program it is known for.
    #[error("package `{package}` has no `{name}`; give one with `--tools DIR`")]
    Package {
        /// The package.
        package: &'static str,
        /// The program.
        name: &'static str,
    },
    /// What was given does not describe the tools.
    #[error("`{}` does not describe the tools: {reason}", path.display())]
    Described {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// A program cannot be bundled with its libraries.
    #[error("cannot bundle `{name}`: {reason}")]
    Bundle {
        /// The program or library.
        name: String,
        /// Why not.
        reason: String,
    },
    /// The compressor failed.
    #[error("cannot compress the tools")]
    Compress(#[source] std::io::Error),
}

/// The tools, ready to be assembled.
pub(crate) struct Tools {
    /// All tools, one after the other, compressed.
    pub(crate) blob: PathBuf,
    /// What the runtime needs to unpack them.
    tools_json: PathBuf,
    /// Where they came from.
    meta_json: PathBuf,
    /// A line for the user.
    pub(crate) summary: String,
    /// Whether nothing had to be done.
    pub(crate) unchanged: bool,
}

/// What an image says of its tools.
pub(crate) struct Described {
    /// As it stands in the image.
    pub(crate) bytes: Vec<u8>,
    /// The programs among them that can stack a root.
    pub(crate) servers: Vec<String>,
}

impl Tools {
    /// What an image with these tools says of them; by the files given, where there are some.
    pub(crate) fn described(
        &self,
        table: Option<&Path>,
        metadata: Option<&Path>,
    ) -> Result<Described, ToolsError> {
        let made = file::read(&self.tools_json)?;
        let made =
            manifest::parse(&made).map_err(|reason| not_described(&self.tools_json, reason))?;
        let tools = match table {
            None => made,
            Some(path) => {
                let given = manifest::parse(&file::read(path)?);
                let chosen = given.and_then(|given| manifest::chosen(given, &made));
                chosen.map_err(|reason| not_described(path, reason))?
            }
        };
        let metadata_path = metadata.unwrap_or(&self.meta_json);
        let metadata = file::read(metadata_path)?;
        manifest::check_metadata(&metadata)
            .map_err(|reason| not_described(metadata_path, reason))?;
        let servers = tools
            .tools
            .iter()
            .filter(|tool| bundled::serves(&tool.name));
        Ok(Described {
            servers: servers.map(|tool| tool.name.clone()).collect(),
            bytes: manifest::description(&tools, &metadata),
        })
    }
}

fn not_described(path: &Path, reason: String) -> ToolsError {
    ToolsError::Described {
        path: path.to_owned(),
        reason,
    }
}

/// A file that is found nowhere but in packages, or made here.
struct Part {
    name: String,
    directory: Directory,
    program: Vec<u8>,
    about: About,
}

/// Where a file came from.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct About {
    version: String,
    licence: String,
    source: String,
}

/// What the licences of everything that is linked into the program come to.
const LICENCE_OF_FETCHER: &str =
    "MIT AND Apache-2.0 AND BSD-3-Clause AND CDLA-Permissive-2.0 AND ISC AND LGPL-2.1-or-later";

/// The program that fetches files for the runtime, as a part of an image.
fn fetcher(program: Vec<u8>) -> Part {
    Part {
        name: "fim-fetch".to_owned(),
        directory: Directory::Host,
        program,
        about: About {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            licence: LICENCE_OF_FETCHER.to_owned(),
            source: "this project".to_owned(),
        },
    }
}

/// Gathers the tools into `cache`. `given` is the directory of `--tools`, `fetcher` the compiled program.
pub(crate) fn gather(
    cache: &Path,
    given: Option<&Path>,
    fetcher: Vec<u8>,
) -> Result<Tools, ToolsError> {
    if let Some(dir) = given.filter(|dir| !dir.is_dir()) {
        return Err(ToolsError::NotADirectory(dir.to_owned()));
    }
    let path = std::env::var_os("PATH");
    let search = Search {
        given,
        path: path.as_deref(),
        run: &find::run,
    };
    let found = find_or_fetch(cache, &search)?;
    let (mut parts, without) = match bundled::gather(cache, path.as_deref()) {
        Ok(bundled) => (bundled, None),
        Err(reason) => (Vec::new(), Some(reason)),
    };
    parts.push(self::fetcher(fetcher));
    let dir = cache.join("tools");
    file::create_dir(&dir)?;
    let tools = Tools {
        blob: dir.join("tools.blob"),
        tools_json: dir.join("tools.json"),
        meta_json: dir.join("meta.json"),
        summary: summary(&found, &parts, without.as_ref()),
        unchanged: false,
    };
    let inputs = inputs(&found, &parts);
    let stamp = Stamp::at(dir.join("stamp"));
    let outputs = [&tools.blob, &tools.tools_json, &tools.meta_json];
    if stamp.says(&inputs) && outputs.iter().all(|path| path.is_file()) {
        return Ok(Tools {
            unchanged: true,
            ..tools
        });
    }
    stamp.clear()?;
    let (blob, entries) = compress(&found, &parts)?;
    file::write_changed(&tools.blob, &blob)?;
    file::write_changed(&tools.tools_json, &manifest::tools_json(&entries))?;
    file::write_changed(&tools.meta_json, &manifest::meta_json(&found, &parts))?;
    stamp.set(&inputs)?;
    Ok(tools)
}

fn find_or_fetch(cache: &Path, search: &Search) -> Result<Vec<Found>, ToolsError> {
    let mut found = Vec::new();
    let mut missing = Vec::new();
    for wanted in &WANTED {
        match find::find(wanted, search)? {
            Some(tool) => found.push(tool),
            None => missing.push(wanted),
        }
    }
    found.extend(apt::fetch(cache, &missing, search)?);
    found.sort_by_key(|tool| tool.wanted.name);
    Ok(found)
}

fn inputs(found: &[Found], parts: &[Part]) -> digest::Sum {
    let mut inputs = Inputs::of_stage("tools 5");
    for tool in found {
        inputs.add(tool.wanted.name);
        inputs.add(&tool.source);
        inputs.add(&tool.version);
        inputs.add(tool.links.join("\n"));
        inputs.add(&tool.program);
    }
    for part in parts {
        inputs.add(&part.name);
        inputs.add(&part.about.source);
        inputs.add(&part.program);
    }
    inputs.finish()
}

fn compress(
    found: &[Found],
    parts: &[Part],
) -> Result<(Vec<u8>, Vec<manifest::ToolEntry>), ToolsError> {
    let tools = found.iter().map(|tool| {
        let (name, links) = (tool.wanted.name.to_owned(), tool.links.clone());
        (name, tool.wanted.directory, &tool.program, links)
    });
    let parts = parts.iter().map(|part| {
        let name = part.name.clone();
        (name, part.directory, &part.program, Vec::new())
    });
    let mut all = Vec::new();
    let mut entries = Vec::new();
    for (name, directory, program, links) in tools.chain(parts) {
        entries.push(manifest::ToolEntry {
            name,
            directory,
            offset: all.len() as u64,
            size: program.len() as u64,
            sha256: digest::hex(&digest::of(program)),
            links,
        });
        all.extend_from_slice(program);
    }
    Ok((packed(&all)?, entries))
}

/// One frame whose window spans all of it.
fn packed(all: &[u8]) -> Result<Vec<u8>, ToolsError> {
    let window = all
        .len()
        .next_power_of_two()
        .ilog2()
        .clamp(10, LARGEST_WINDOW);
    let pack = || {
        let mut encoder = zstd::Encoder::new(Vec::new(), LEVEL)?;
        encoder.set_pledged_src_size(Some(all.len() as u64))?;
        encoder.include_contentsize(true)?;
        encoder.window_log(window)?;
        std::io::Write::write_all(&mut encoder, all)?;
        encoder.finish()
    };
    pack().map_err(ToolsError::Compress)
}

fn summary(found: &[Found], parts: &[Part], without: Option<&ToolsError>) -> String {
    let tools = found
        .iter()
        .map(|tool| format!("{} {} ({})", tool.wanted.name, tool.version, tool.source));
    let parts = parts
        .iter()
        .map(|part| format!("{} ({})", part.name, part.about.source));
    let without = without.map(|reason| {
        format!("without bubblewrap, fuse-overlayfs and unionfs-fuse, because {reason}")
    });
    let all: Vec<String> = tools.chain(parts).chain(without).collect();
    all.join(", ")
}

fn failed_bundle(name: &str, reason: &str) -> ToolsError {
    ToolsError::Bundle {
        name: name.to_owned(),
        reason: reason.to_owned(),
    }
}
