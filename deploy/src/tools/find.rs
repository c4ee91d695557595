//! Looks for tools on the host: in the directory given, then in `PATH`.
//!
//! What the user gives must fit or be refused by name. What merely lies in `PATH` is taken when it fits and passed over when
//! it does not: almost every host has a `bash` there that is of no use here.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{ToolsError, Wanted};
use crate::elf::Elf;
use crate::file;

/// A tool as it was found.
pub(crate) struct Found {
    pub(crate) wanted: &'static Wanted,
    pub(crate) program: Vec<u8>,
    pub(crate) version: String,
    /// Sorted, without the tool's own name.
    pub(crate) links: Vec<String>,
    /// For people; no path of this host, so that the same tools give the same image everywhere.
    pub(crate) source: String,
}

/// Where to look.
pub(crate) struct Search<'a> {
    pub(crate) given: Option<&'a Path>,
    pub(crate) path: Option<&'a OsStr>,
    /// Runs a program and returns what it prints: [`run`], or a test's stand-in.
    pub(crate) run: &'a dyn Fn(&Path, &[&str]) -> Option<String>,
}

/// Runs a program without input and returns what it prints, standard output first. `None` when it fails.
pub(crate) fn run(program: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program)
        .args(arguments)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .output()
        .ok()?;
    let text = [output.stdout, output.stderr].concat();
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&text).into_owned())
}

/// Finds a tool in the directory given or in `PATH`.
pub(crate) fn find(wanted: &'static Wanted, search: &Search) -> Result<Option<Found>, ToolsError> {
    if let Some(path) = search.given.and_then(|dir| candidates(wanted, dir).next()) {
        return load(wanted, &path, "directory".to_owned(), search).map(Some);
    }
    let path = search.path.unwrap_or_default();
    Ok(std::env::split_paths(path)
        .filter(|dir| dir.is_absolute())
        .flat_map(|dir| candidates(wanted, &dir).collect::<Vec<_>>())
        .find_map(|path| load(wanted, &path, "PATH".to_owned(), search).ok()))
}

/// Reads a program and asks it what it is.
pub(crate) fn load(
    wanted: &'static Wanted,
    path: &Path,
    source: String,
    search: &Search,
) -> Result<Found, ToolsError> {
    let program = file::read(path)?;
    let unfit = |what| ToolsError::Unfit {
        path: path.to_owned(),
        what,
    };
    let elf = Elf::parse(&program).map_err(|source| ToolsError::NotAProgram {
        path: path.to_owned(),
        source,
    })?;
    if !elf.is_native() {
        return Err(unfit("made for another machine"));
    }
    if !elf.is_static() {
        return Err(unfit("dynamically linked"));
    }
    let ask = |arguments: &[&str]| (search.run)(path, arguments);
    let mute = |arguments: &[&str]| ToolsError::Mute {
        path: path.to_owned(),
        name: wanted.name,
        arguments: arguments.join(" "),
    };
    let version = ask(wanted.version).and_then(|text| version(&text));
    let version = version.ok_or_else(|| mute(wanted.version))?;
    let links = match wanted.applets {
        None => Vec::new(),
        Some(arguments) => {
            let listed = ask(arguments).map(|text| applets(wanted.name, &text));
            listed
                .filter(|links| !links.is_empty())
                .ok_or_else(|| mute(arguments))?
        }
    };
    Ok(Found {
        wanted,
        program,
        version,
        links,
        source,
    })
}

/// A tool may be called by its own name or, as distributions do beside a dynamic one, with `-static` behind it.
fn candidates(wanted: &'static Wanted, dir: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let dir = dir.to_owned();
    ["", "-static"]
        .into_iter()
        .map(move |suffix| dir.join(format!("{}{suffix}", wanted.name)))
        .filter(|path| path.is_file())
}

/// The first word of the first line that looks like a version: `v1.35.0`, `5.2.15(1)-release`.
fn version(text: &str) -> Option<String> {
    let numbered = |word: &&str| word.starts_with(|first: char| first.is_ascii_digit());
    text.lines()
        .next()?
        .split_whitespace()
        .map(|word| word.strip_prefix('v').unwrap_or(word))
        .find(numbered)
        .map(|word| word.split('(').next().unwrap_or(word).to_owned())
}

fn applets(own: &str, text: &str) -> Vec<String> {
    let mut names: Vec<String> = text
        .lines()
        .map(str::trim)
        .filter(|name| !name.is_empty() && *name != own && !name.contains('/'))
        .map(str::to_owned)
        .collect();
    names.sort();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::super::WANTED;
    use super::*;
    use crate::elf::tests::{Segments, synthetic};
    use std::fs;

    const STATIC: Segments = &[(1, b"code")];
    const DYNAMIC: Segments = &[(3, b"/lib/ld.so\0")];

    fn answer(_: &Path, arguments: &[&str]) -> Option<String> {
        Some(match arguments {
            ["--list"] => "sh\nls\n[\nbusybox\nls\n".to_owned(),
            _ => "Tool v1.2.3 (built somewhere)\nsecond line 4.5\n".to_owned(),
        })
    }

    fn dir_with(files: &[(&str, Segments)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, segments) in files {
            fs::write(dir.path().join(name), synthetic(segments)).unwrap();
        }
        dir
    }

    fn sources(given: Option<&Path>, path: &[&Path]) -> Vec<Option<String>> {
        let path = std::env::join_paths(path).unwrap();
        let search = Search {
            given,
            path: Some(&path),
            run: &answer,
        };
        WANTED
            .iter()
            .map(|wanted| find(wanted, &search).unwrap().map(|found| found.source))
            .collect()
    }

    #[test]
    fn the_directory_given_comes_before_path_for_each_tool() {
        let given = dir_with(&[("bash", STATIC)]);
        let path = dir_with(&[("bash", STATIC), ("busybox", STATIC)]);
        let from = |text: &str| Some(text.to_owned());
        assert_eq!(
            sources(Some(given.path()), &[path.path()]),
            [from("directory"), from("PATH")]
        );
        assert_eq!(sources(None, &[path.path()]), [from("PATH"), from("PATH")]);
        assert_eq!(sources(None, &[given.path()]), [from("PATH"), None]);
    }

    #[test]
    fn a_dynamic_program_in_path_is_passed_over() {
        let first = dir_with(&[("bash", DYNAMIC), ("busybox", DYNAMIC)]);
        assert_eq!(sources(None, &[first.path()]), [None, None]);
        let second = dir_with(&[("bash-static", STATIC)]);
        let both = sources(None, &[first.path(), second.path()]);
        assert_eq!(both, [Some("PATH".to_owned()), None]);
    }

    #[test]
    fn a_dynamic_program_in_the_directory_given_is_refused_by_name() {
        let given = dir_with(&[("bash", DYNAMIC)]);
        let search = Search {
            given: Some(given.path()),
            path: None,
            run: &answer,
        };
        let error = find(&WANTED[0], &search).err().unwrap().to_string();
        assert!(error.contains("/bash` is dynamically linked"), "{error}");
    }

    #[test]
    fn a_busybox_that_lists_nothing_is_refused() {
        let given = dir_with(&[("busybox", STATIC)]);
        let silent = |path: &Path, arguments: &[&str]| match arguments {
            ["--list"] => None,
            _ => answer(path, arguments),
        };
        let search = Search {
            given: Some(given.path()),
            path: None,
            run: &silent,
        };
        let error = find(&WANTED[1], &search).err().unwrap().to_string();
        assert!(error.contains("`--list`"), "{error}");
    }

    #[test]
    fn a_tool_says_its_version_and_its_links() {
        let given = dir_with(&[("busybox", STATIC)]);
        let search = Search {
            given: Some(given.path()),
            path: None,
            run: &answer,
        };
        let found = find(&WANTED[1], &search).unwrap().unwrap();
        assert_eq!(found.version, "1.2.3");
        assert_eq!(found.links, ["[", "ls", "sh"]);
        assert_eq!(
            version("GNU bash, version 5.2.15(1)-release (x86_64-pc-linux-gnu)").unwrap(),
            "5.2.15"
        );
    }
}
