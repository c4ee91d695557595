//! The programs that no distribution has static: what stacks a container's root where the kernel does not, and `bwrap`.
//!
//! Each comes with the loader and the libraries that it names, and those they
//! name, from the packages of the host's own client: [`crate::linked`] says which. What is got is kept, complete or not at
//! all. An image without them works, and falls back to the kernel; so a host without a package client, or without a
//! network, is no reason to build none.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::apt::Client;
use super::manifest::Directory;
use super::{About, Part, ToolsError, failed_bundle};
use crate::file;
use crate::linked::Linked;

/// The name of the loader in an image, whatever the architecture calls it.
const LOADER: &str = "ld.so";

/// A program with libraries.
struct Program {
    name: &'static str,
    /// Beside its loader and its libraries.
    directory: Directory,
    /// The Debian package.
    package: &'static str,
    /// Where in it the program is.
    packaged: &'static str,
    /// SPDX expression.
    licence: &'static str,
}

const PROGRAMS: [Program; 3] = [
    Program {
        name: "bwrap",
        directory: Directory::Lib,
        package: "bubblewrap",
        packaged: "usr/bin/bwrap",
        licence: "LGPL-2.0-or-later",
    },
    Program {
        name: "fuse-overlayfs",
        directory: Directory::Servers,
        package: "fuse-overlayfs",
        packaged: "usr/bin/fuse-overlayfs",
        licence: "GPL-3.0-or-later",
    },
    Program {
        name: "unionfs",
        directory: Directory::Servers,
        package: "unionfs-fuse",
        packaged: "usr/bin/unionfs",
        licence: "BSD-3-Clause",
    },
];

/// What a container finds under the name of a program in [`Directory::Lib`]. The places are the runtime's.
const STARTER: &str = "#!/run/flatimage/bin/bash
lib=/run/flatimage/lib
exec $lib/ld.so --library-path $lib --argv0 \"$0\" $lib/${0##*/} \"$@\"
";

/// Whether a tool is a program that serves a root, and no library.
pub(super) fn serves(name: &str) -> bool {
    let serves = |program: &Program| program.directory == Directory::Servers;
    PROGRAMS
        .iter()
        .any(|program| serves(program) && program.name == name)
}

/// SPDX expressions of libraries, by how their names begin. All allow that whoever gets the library gets its source from
/// where it came from, which the metadata name.
const LIBRARIES: [(&str, &str); 5] = [
    ("libcap", "BSD-3-Clause OR GPL-2.0-only"),
    ("libfuse", "LGPL-2.1-only"),
    ("libpcre2", "BSD-3-Clause"),
    ("libselinux", "libselinux-1.0"),
    ("", "LGPL-2.1-or-later"),
];

/// The programs with everything they need, those of the container first; in words, why there are none.
pub(super) fn gather(cache: &Path, path: Option<&OsStr>) -> Result<Vec<Part>, ToolsError> {
    let kept = cache.join("fetched-bundles");
    if let Ok(parts) = load(&kept) {
        return Ok(parts);
    }
    let scratch = cache.join("apt-bundles");
    file::remove_dir(&scratch)?;
    let client = Client {
        path: path.unwrap_or_default(),
        scratch: &scratch,
    };
    client.update("bubblewrap, fuse-overlayfs and unionfs-fuse")?;
    let mut packages = Packages {
        client: &client,
        got: BTreeMap::new(),
    };
    let mut parts = Vec::new();
    for directory in [Directory::Lib, Directory::Servers] {
        parts.extend(collect(&mut packages, directory)?);
    }
    keep(&kept, &parts)?;
    file::remove_dir(&scratch)?;
    load(&kept)
}

/// Unpacked packages.
struct Packages<'a> {
    client: &'a Client<'a>,
    got: BTreeMap<String, Package>,
}

struct Package {
    tree: PathBuf,
    version: String,
    depends: Vec<String>,
}

impl Packages<'_> {
    fn get(&mut self, name: &str) -> Result<(), ToolsError> {
        if self.got.contains_key(name) {
            return Ok(());
        }
        self.client.download(&[name])?;
        let unpacked = self.client.unpack(name)?;
        let package = Package {
            version: unpacked.version,
            depends: alternatives(&unpacked.depends),
            tree: unpacked.tree,
        };
        self.got.insert(name.to_owned(), package);
        Ok(())
    }

    /// The library of that name: in a package that is there, or in one that these depend on.
    fn library(&mut self, name: &str) -> Result<(Vec<u8>, About), ToolsError> {
        loop {
            for (package, unpacked) in &self.got {
                if let Some(path) = find(&unpacked.tree, name) {
                    return Ok((file::read(&path)?, about(package, &unpacked.version, name)));
                }
            }
            let further = self.got.values().flat_map(|package| &package.depends);
            let mut further = further.filter(|name| name.starts_with("lib"));
            let next = further.find(|name| !self.got.contains_key(*name)).cloned();
            let next = next.ok_or_else(|| failed_bundle(name, "no package has it"))?;
            self.get(&next)?;
        }
    }
}

fn about(package: &str, version: &str, name: &str) -> About {
    let program = PROGRAMS.iter().find(|program| program.name == name);
    let library = LIBRARIES.iter().find(|(start, _)| name.starts_with(start));
    About {
        version: version.to_owned(),
        licence: program
            .map(|program| program.licence)
            .or(library.map(|(_, licence)| *licence))
            .unwrap_or_default()
            .to_owned(),
        source: format!("package {package} {version}"),
    }
}

/// The names in a `Depends` field, each alternative on its own, without versions.
fn alternatives(field: &str) -> Vec<String> {
    let one = |text: &str| {
        text.split_whitespace()
            .next()
            .map(|name| name.split(':').next().unwrap_or(name).to_owned())
    };
    field.split([',', '|']).filter_map(one).collect()
}

/// A library in an unpacked package. A link leads to a file beside it; one to anywhere else leads to the host.
fn find(tree: &Path, name: &str) -> Option<PathBuf> {
    let mut open: Vec<PathBuf> = ["lib", "lib64", "usr/lib", "usr/lib64"]
        .iter()
        .map(|directory| tree.join(directory))
        .collect();
    while let Some(directory) = open.pop() {
        let Ok(entries) = fs::read_dir(&directory) else {
            continue;
        };
        for entry in entries.flatten() {
            let Ok(kind) = entry.file_type() else {
                continue;
            };
            if kind.is_dir() {
                open.push(entry.path());
            } else if entry.file_name() == name {
                let path = match fs::read_link(entry.path()) {
                    Ok(target) => directory.join(target.file_name()?),
                    Err(_) => entry.path(),
                };
                if fs::symlink_metadata(&path).is_ok_and(|found| found.is_file()) {
                    return Some(path);
                }
            }
        }
    }
    None
}

/// Every program of a directory, and from there whatever is named, until nothing new is.
fn collect(packages: &mut Packages<'_>, directory: Directory) -> Result<Vec<Part>, ToolsError> {
    let mut parts: BTreeMap<String, Part> = BTreeMap::new();
    let mut wanted = BTreeSet::new();
    let linked = |name: &str, bytes: &[u8]| {
        Linked::parse(bytes).map_err(|error| failed_bundle(name, &error.to_string()))
    };
    let mut loader = None;
    let programs = PROGRAMS
        .iter()
        .filter(|program| program.directory == directory);
    for program in programs {
        packages.get(program.package)?;
        let package = &packages.got[program.package];
        let bytes = file::read(&package.tree.join(program.packaged))?;
        let names = linked(program.name, &bytes)?;
        loader = names.loader().map(str::to_owned).or(loader);
        wanted.extend(names.libraries);
        let part = Part {
            name: program.name.to_owned(),
            directory,
            program: bytes,
            about: about(program.package, &package.version, program.name),
        };
        parts.insert(part.name.clone(), part);
    }
    let loader =
        loader.ok_or_else(|| failed_bundle(directory.name(), "no program names a loader"))?;
    wanted.insert(loader.clone());
    while let Some(name) = wanted.pop_first() {
        let (program, about) = packages.library(&name)?;
        let further = linked(&name, &program)?.libraries;
        // Who names the loader as a library means the one that is there already.
        let stored = if name == loader {
            LOADER.to_owned()
        } else {
            name
        };
        let part = Part {
            name: stored.clone(),
            directory,
            program,
            about,
        };
        parts.insert(stored, part);
        let known = |name: &String| *name == loader || parts.contains_key(name);
        wanted.extend(further.into_iter().filter(|name| !known(name)));
    }
    Ok(parts.into_values().collect())
}

/// How a container starts a program of [`Directory::Lib`].
fn starter(name: &str) -> Part {
    Part {
        name: name.to_owned(),
        directory: Directory::Bin,
        program: STARTER.into(),
        about: About {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            licence: "MIT".to_owned(),
            source: "this project".to_owned(),
        },
    }
}

/// A file that is kept.
#[derive(Serialize, Deserialize)]
struct Kept {
    name: String,
    directory: Directory,
    about: About,
}

impl Kept {
    fn path(&self, below: &Path) -> PathBuf {
        below.join(format!("{}-{}", self.directory.name(), self.name))
    }
}

/// The list goes last, as the mark of a complete collection.
fn keep(kept: &Path, parts: &[Part]) -> Result<(), ToolsError> {
    file::remove_dir(kept)?;
    file::create_dir(kept)?;
    let mut list = Vec::new();
    for part in parts {
        let one = Kept {
            name: part.name.clone(),
            directory: part.directory,
            about: part.about.clone(),
        };
        file::write_changed(&one.path(kept), &part.program)?;
        list.push(one);
    }
    let list = serde_json::to_vec(&list).expect("texts always have a JSON form");
    Ok(file::write_changed(&kept.join("list.json"), &list)?)
}

fn load(kept: &Path) -> Result<Vec<Part>, ToolsError> {
    let list = file::read(&kept.join("list.json"))?;
    let list: Vec<Kept> = serde_json::from_slice(&list)
        .map_err(|error| failed_bundle("list.json", &error.to_string()))?;
    let starters = PROGRAMS
        .iter()
        .filter(|program| program.directory == Directory::Lib)
        .map(|program| Ok(starter(program.name)));
    let kept = list.into_iter().map(|one| {
        let program = file::read(&one.path(kept))?;
        Ok(Part {
            name: one.name,
            directory: one.directory,
            program,
            about: one.about,
        })
    });
    starters.chain(kept).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_package_depends_on_is_named_without_versions() {
        assert_eq!(
            alternatives("fuse3, libc6 (>= 2.34), liba:any | libb"),
            ["fuse3", "libc6", "liba", "libb"]
        );
    }

    #[test]
    fn a_library_is_found_through_a_link_that_stays_in_the_package() {
        let tree = tempfile::tempdir().unwrap();
        let lib = tree.path().join("usr/lib/machine");
        fs::create_dir_all(&lib).unwrap();
        fs::write(lib.join("liba.so.1.2"), "").unwrap();
        std::os::unix::fs::symlink("liba.so.1.2", lib.join("liba.so.1")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", lib.join("libb.so.1")).unwrap();
        let found = |name| find(tree.path(), name);
        assert_eq!(found("liba.so.1"), Some(lib.join("liba.so.1.2")));
        assert_eq!(found("libb.so.1"), None);
        assert_eq!(found("libc.so.1"), None);
    }
}
