//! The plan of a start: what is mounted, which namespaces are new, what is executed.
//!
//! A plan is plain data. [`build`] makes it from the settings, the host and the request and
//! calls nothing of the kernel; [`crate::sandbox`] runs it; `fim-plan` prints it. What is
//! printed is the very value that runs.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use flatimage_reserved::effect::{Access, Missing};
use serde::Serialize;

use crate::host::Stream;

mod accounts;
mod arguments;
mod base;
mod build;
mod bus;
mod display;
mod effects;
mod environment;
mod error;
mod filter;
mod ids;
mod machine;
mod own;
mod person;
mod portal;
mod rung;
mod skeleton;
mod stack;
#[cfg(test)]
mod tests;
mod wanted;

pub use accounts::with_account;
pub use arguments::{Argument, Around, arguments};
pub use base::DEFAULT;
pub use build::{Request, build};
pub use bus::Bus;
pub use error::PlanError;
pub use filter::{Filter, Named};
pub use ids::{Extent, IdMap, ROOT_RANGE};
pub use portal::{ADDRESS, ASKER, Admitted, PLACE};
pub use rung::{Lack, Maker, Rung};
pub use stack::Stack;
pub use wanted::{Wanted, told};

/// Everything that a start does, in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// Who makes the sandbox, and what of it the host does not give.
    pub rung: Rung,
    /// Namespaces that are new for the container, by their name in `/proc/self/ns`.
    pub namespaces: Vec<&'static str>,
    /// Who the program is.
    pub identity: Identity,
    /// The layers, lowest first. Layers without entries are left out.
    pub layers: Vec<LayerSource>,
    /// What makes the root that all instances of the data directory share. A start that finds one that runs
    /// already joins it instead.
    pub root: Vec<Step<RootAction>>,
    /// What is done inside the instance's own namespaces before the program is executed.
    pub steps: Vec<Step>,
    /// The system calls that the program is denied.
    pub filter: Filter,
    /// The programs of the host that may be run for the container; `None` when it cannot ask.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admitted: Option<Admitted>,
    /// What a failure of the program may be blamed on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub wanted: Vec<Wanted>,
    /// The program.
    pub exec: Exec,
}

impl Plan {
    /// How its layers are shown; `None` when there are none.
    pub fn way(&self) -> Option<&Way> {
        self.root.iter().find_map(|step| match &step.action {
            RootAction::Layers { way, .. } => Some(way),
            _ => None,
        })
    }

    /// The message bus whose socket is at `place` in the container.
    pub fn bus(&self, place: &Path) -> Option<&Bus> {
        self.steps.iter().find_map(|step| match &step.action {
            Action::Bus { target, bus } if target == place => Some(bus),
            _ => None,
        })
    }

    /// Whether names are found in any case.
    pub fn is_folded(&self) -> bool {
        self.root.iter().any(|step| step.action == RootAction::Fold)
    }
}

/// Who the program is, inside and outside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Identity {
    /// User id inside.
    pub uid: u32,
    /// Group id inside.
    pub gid: u32,
    /// Which ids of the host the container's ids are.
    pub map: IdMap,
}

/// Where the bytes of a layer are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LayerSource {
    /// The file.
    pub path: PathBuf,
    /// First byte of the DwarFS image in it.
    pub offset: u64,
    /// Bytes of the DwarFS image.
    pub size: u64,
}

/// One action and what caused it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step<A = Action> {
    /// What is done.
    pub action: A,
    /// The region or permission that caused it, or `default`.
    pub cause: String,
}

/// What a step of the shared root does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RootAction {
    /// Shows the layers, each as a directory of its own, read-only.
    Layers {
        /// How many.
        count: usize,
        /// How they are shown.
        way: Way,
    },
    /// Creates the places to mount on in a directory that becomes the lowest layer, so that
    /// no start leaves anything in the data directory.
    Skeleton {
        /// Directories, parents first.
        directories: Vec<PathBuf>,
        /// Files and their contents; most are empty.
        files: BTreeMap<PathBuf, String>,
        /// Symbolic links and what they point to.
        links: Vec<(PathBuf, PathBuf)>,
    },
    /// Stacks the layers and the changes into the root.
    Overlay {
        /// Where changes go.
        upper: Upper,
        /// Who does it.
        stack: Stack,
    },
    /// Copies what all layers show together into a directory, which is the root then.
    Copy {
        /// The directory, in the data directory.
        directory: PathBuf,
    },
    /// Has the root mounted outside of namespaces, as the host allows ordinary users.
    Outside {
        /// Where the root is mounted.
        directory: PathBuf,
        /// Where changes go: the data directory.
        changes: PathBuf,
    },
    /// Shows the root over FUSE so that names are found in any case.
    Fold,
}

impl RootAction {
    /// The places that it creates.
    pub fn places(&self) -> Vec<&Path> {
        match self {
            RootAction::Skeleton {
                directories,
                files,
                links,
            } => {
                let links = links.iter().map(|(link, _)| link);
                let places = directories.iter().chain(files.keys()).chain(links);
                places.map(PathBuf::as_path).collect()
            }
            _ => Vec::new(),
        }
    }
}

/// How layers are shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// Served over FUSE, from where they are.
    Fuse,
    /// Unpacked into the caller's cache.
    Unpacked {
        /// Why not over FUSE.
        reason: String,
    },
}

/// What a step of an instance does. Paths are the container's unless they are a `source`, which is
/// the host's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Shows a file of accounts with one more line, unless it has one for the id.
    Account {
        /// The file: one account a line, fields separated by colons, the id in the third.
        target: PathBuf,
        /// The id that must have a line.
        id: u32,
        /// The line.
        line: String,
    },
    /// Shows a file with the number that stands for the machine, unless the root has no such file.
    Machine {
        /// The file.
        target: PathBuf,
        /// 32 hexadecimal digits (machine-id(5)).
        id: String,
    },
    /// Unpacks the tools of the image into memory; only where there is no private directory
    /// to keep them in.
    UnpackTools {
        /// Where they appear.
        target: PathBuf,
    },
    /// Mounts an empty filesystem in memory.
    Tmpfs {
        /// Where.
        target: PathBuf,
        /// Permission bits of its root.
        mode: u32,
    },
    /// Mounts the processes of the container's own pid namespace.
    Proc {
        /// Where.
        target: PathBuf,
    },
    /// Mounts the terminals of the container's own.
    Devpts {
        /// Where.
        target: PathBuf,
    },
    /// Makes a path of the host appear.
    Bind {
        /// Path on the host, without links.
        source: PathBuf,
        /// Where it appears.
        target: PathBuf,
        /// What the container may do with it.
        #[serde(serialize_with = "access_name")]
        access: Access,
        /// Whether a source that is gone when the step runs is an error.
        #[serde(serialize_with = "missing_name")]
        missing: Missing,
    },
    /// Creates a directory.
    Directory {
        /// Where.
        target: PathBuf,
        /// Permission bits.
        mode: u32,
        /// User and group that it belongs to, as ids of the container.
        owner: (u32, u32),
    },
    /// Creates a symbolic link.
    Symlink {
        /// The link.
        link: PathBuf,
        /// What it points to.
        target: PathBuf,
    },
    /// Copies the program of the image into the container; only where there is no private directory to bind it from.
    CopyProgram {
        /// Where it appears.
        target: PathBuf,
    },
    /// Makes the socket at which programs of the host are asked for.
    Portal {
        /// Where.
        target: PathBuf,
    },
    /// Makes the socket of a message bus.
    Bus {
        /// Where.
        target: PathBuf,
        /// Which one.
        bus: Bus,
    },
    /// Shows a file that is made anew and cannot be written.
    File {
        /// Where.
        target: PathBuf,
        /// What it holds.
        text: String,
    },
    /// Hides what is at a path, if anything is: a file reads as empty, a directory is empty.
    Mask {
        /// What is hidden.
        target: PathBuf,
    },
    /// Holds a directory in its place, if it is there: it cannot be renamed or removed.
    Hold {
        /// What stays where it is.
        target: PathBuf,
    },
    /// Makes a path read-only, if it is there.
    ReadOnly {
        /// What cannot be written.
        target: PathBuf,
    },
    /// Sets the host name.
    Hostname {
        /// The name.
        name: String,
    },
    /// Brings the loopback interface of the new network namespace up.
    Loopback,
}

/// Where an overlay keeps changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Upper {
    /// In the `root` folder of this data directory of the host.
    Directory(PathBuf),
    /// In memory: they are gone when the program ends.
    Memory,
}

/// The program and how it is started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Exec {
    /// What is searched in `PATH` unless it has a slash.
    #[serde(serialize_with = "text")]
    pub program: OsString,
    /// Its arguments, without the program itself.
    #[serde(serialize_with = "texts")]
    pub arguments: Vec<OsString>,
    /// The whole environment.
    pub environment: BTreeMap<String, String>,
    /// The first of these that is a directory in the container is the working directory.
    pub directories: Vec<PathBuf>,
    /// The standard streams that are a terminal of the container's own, which stands for the caller's.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub terminal: Vec<Stream>,
    /// Names of the capabilities that the program can have, in its own user namespace.
    pub capabilities: Vec<&'static str>,
}

fn access_name<S: serde::Serializer>(access: &Access, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(access.name())
}

fn missing_name<S: serde::Serializer>(missing: &Missing, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(match missing {
        Missing::Skip => "skip",
        Missing::Fail => "fail",
    })
}

/// JSON has no bytes: what is no UTF-8 in an argument is shown as a replacement character.
fn text<S: serde::Serializer>(text: &OsStr, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&text.to_string_lossy())
}

fn texts<S: serde::Serializer>(texts: &[OsString], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(texts.iter().map(|text| text.to_string_lossy()))
}
