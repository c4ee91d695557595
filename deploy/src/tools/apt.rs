//! Fetches tools with the host's own package client, without being root.
//!
//! `apt-get` is given a state and a cache directory of its own. It then needs no lock and no package list of the system, and
//! changes nothing of it; mirrors, proxies and keys are those the host is configured with. Packages are unpacked, not
//! installed.

use std::ffi::OsStr;
use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::find::{self, Found, Search};
use super::{ToolsError, Wanted, failed_bundle};
use crate::file::{self, failed};

/// Hooks that distributions hang on an update act on the system's directories and fail for an ordinary user.
const CONFIGURATION: &str = "\
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
";

/// The tools that neither the directory given nor `PATH` has: from earlier runs, else from the package client.
pub(super) fn fetch(
    cache: &Path,
    missing: &[&'static Wanted],
    search: &Search,
) -> Result<Vec<Found>, ToolsError> {
    let kept = cache.join("fetched");
    let absent: Vec<_> = missing
        .iter()
        .copied()
        .filter(|wanted| load(&kept, wanted, search).is_err())
        .collect();
    if !absent.is_empty() {
        file::create_dir(&kept)?;
        let scratch = cache.join("apt");
        file::remove_dir(&scratch)?;
        let client = Client {
            path: search.path.unwrap_or_default(),
            scratch: &scratch,
        };
        let names: Vec<_> = absent
            .iter()
            .map(|wanted| format!("`{}`", wanted.name))
            .collect();
        client.update(&names.join(" and "))?;
        let packages: Vec<_> = absent.iter().map(|wanted| wanted.package).collect();
        client.download(&packages)?;
        for wanted in absent {
            client.keep(&kept, wanted)?;
        }
        file::remove_dir(&scratch)?;
    }
    missing
        .iter()
        .map(|wanted| load(&kept, wanted, search))
        .collect()
}

fn load(kept: &Path, wanted: &'static Wanted, search: &Search) -> Result<Found, ToolsError> {
    let version = file::read(&version_path(kept, wanted))?;
    let version = String::from_utf8_lossy(&version);
    let source = format!("package {} {}", wanted.package, version.trim());
    find::load(wanted, &kept.join(wanted.name), source, search)
}

fn version_path(kept: &Path, wanted: &Wanted) -> PathBuf {
    kept.join(format!("{}.version", wanted.name))
}

/// The host's package client and where it may work.
pub(super) struct Client<'a> {
    /// Where its programs are looked for.
    pub(super) path: &'a OsStr,
    /// Removed afterwards.
    pub(super) scratch: &'a Path,
}

/// A package whose files are there.
pub(super) struct Unpacked {
    /// The root of its files.
    pub(super) tree: PathBuf,
    /// Its version.
    pub(super) version: String,
    /// Its field `Depends`.
    pub(super) depends: String,
}

impl Client<'_> {
    fn packages(&self) -> PathBuf {
        self.scratch.join("packages")
    }

    /// Gets the lists of packages; `wanted` is what for. Of several repositories one that cannot be reached makes the
    /// update fail although the others may do: the download decides, and says what the update said.
    pub(super) fn update(&self, wanted: &str) -> Result<(), ToolsError> {
        for dir in ["state/lists/partial", "cache/archives/partial", "packages"] {
            file::create_dir(&self.scratch.join(dir))?;
        }
        file::write_changed(&self.scratch.join("apt.conf"), CONFIGURATION.as_bytes())?;
        file::write_changed(&self.scratch.join("status"), b"")?;
        match self.answer(&mut self.apt(&["update"]), "apt-get update") {
            Err(Refused::Absent) => Err(ToolsError::Nowhere(wanted.to_owned())),
            Err(Refused::Failed(ToolsError::Fetch { answer, .. })) => {
                Ok(file::write_changed(&self.complaint(), answer.as_bytes())?)
            }
            _ => Ok(()),
        }
    }

    /// Where the complaint of an update that failed is.
    fn complaint(&self) -> PathBuf {
        self.scratch.join("update-failed")
    }

    /// Downloads packages.
    pub(super) fn download(&self, packages: &[&str]) -> Result<(), ToolsError> {
        let command: Vec<_> = ["download"].iter().chain(packages).copied().collect();
        let typed = format!("apt-get {}", command.join(" "));
        let refused = match self.answer(&mut self.apt(&command), &typed) {
            Ok(_) => return Ok(()),
            Err(refused) => refused,
        };
        match fs::read_to_string(self.complaint()) {
            Ok(answer) => Err(ToolsError::Fetch {
                command: "apt-get update".to_owned(),
                answer,
            }),
            Err(_) => Err(refused.into()),
        }
    }

    /// Unpacks a package that was downloaded.
    pub(super) fn unpack(&self, package: &str) -> Result<Unpacked, ToolsError> {
        let packages = self.packages();
        let archive = fs::read_dir(&packages)
            .map_err(failed("read", &packages))?
            .filter_map(|entry| entry.ok().map(|entry| entry.path()))
            .find(|path| is_package(path, package))
            .ok_or_else(|| failed_bundle(package, "it was not downloaded"))?;
        let tree = self.scratch.join("trees").join(package);
        file::create_dir(&self.scratch.join("trees"))?;
        let dpkg = |option: &str, rest: &OsStr| {
            let mut dpkg = Command::new("dpkg-deb");
            self.answer(
                dpkg.arg(option).arg(&archive).arg(rest),
                &format!("dpkg-deb {option}"),
            )
        };
        let (version, depends) = (
            dpkg("-f", "Version".as_ref())?,
            dpkg("-f", "Depends".as_ref())?,
        );
        dpkg("-x", tree.as_os_str())?;
        Ok(Unpacked {
            tree,
            version,
            depends,
        })
    }

    /// `apt-get` with everything it writes below `scratch`.
    fn apt(&self, command: &[&str]) -> Command {
        let mut apt = Command::new("apt-get");
        apt.arg("-c")
            .arg(self.scratch.join("apt.conf"))
            .args(["-q", "-q"]);
        apt.current_dir(self.packages());
        for (key, value) in [
            ("Dir::State", self.scratch.join("state").into_os_string()),
            (
                "Dir::State::status",
                self.scratch.join("status").into_os_string(),
            ),
            ("Dir::Cache", self.scratch.join("cache").into_os_string()),
            ("Debug::NoLocking", "1".into()),
            // As root, apt would hand downloads to a user who cannot write here.
            ("APT::Sandbox::User", "root".into()),
            ("Acquire::Languages", "none".into()),
            ("Acquire::Retries", "3".into()),
        ] {
            apt.arg("-o")
                .arg([OsStr::new(key), &value].join(OsStr::new("=")));
        }
        apt.args(command);
        apt
    }

    /// Unpacks a package and keeps its program; the version goes last, as the mark of a complete pair.
    fn keep(&self, kept: &Path, wanted: &'static Wanted) -> Result<(), ToolsError> {
        let Unpacked { tree, version, .. } = self.unpack(wanted.package)?;
        let mut programs = wanted.packaged.iter().map(|inside| tree.join(inside));
        let program = programs.find(|path| path.is_file());
        let bytes = file::read(&program.ok_or(ToolsError::Package {
            package: wanted.package,
            name: wanted.name,
        })?)?;
        let path = kept.join(wanted.name);
        file::remove(&version_path(kept, wanted))?;
        file::write_whole(&path, 0o755, |file| {
            file.write_all(&bytes).map_err(failed("write", &path))
        })?;
        Ok(file::write_changed(
            &version_path(kept, wanted),
            version.as_bytes(),
        )?)
    }

    /// Runs a command and returns what it prints; when it fails, its last line of complaint.
    fn answer(&self, command: &mut Command, typed: &str) -> Result<String, Refused> {
        let failed = |answer: String| {
            Refused::Failed(ToolsError::Fetch {
                command: typed.to_owned(),
                answer,
            })
        };
        command
            .env("PATH", self.path)
            .env("LC_ALL", "C")
            .stdin(Stdio::null());
        let output = match command.output() {
            Ok(output) => output,
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(Refused::Absent),
            Err(error) => return Err(failed(error.to_string())),
        };
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
        }
        let complaint = String::from_utf8_lossy(&output.stderr);
        let last = complaint
            .lines()
            .map(str::trim)
            .rfind(|line| !line.is_empty());
        Err(failed(
            last.map_or_else(|| output.status.to_string(), str::to_owned),
        ))
    }
}

fn is_package(path: &Path, package: &str) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.strip_prefix(package)
        .is_some_and(|rest| rest.starts_with('_') && rest.ends_with(".deb"))
}

/// Why a command has no answer.
enum Refused {
    /// There is no such program.
    Absent,
    Failed(ToolsError),
}

impl From<Refused> for ToolsError {
    fn from(refused: Refused) -> ToolsError {
        match refused {
            Refused::Failed(error) => error,
            Refused::Absent => ToolsError::Nowhere("`bash` or `busybox`".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::WANTED;
    use super::*;
    use crate::elf::tests::synthetic;

    /// Stand-ins for the package client: packages are text files that name their tool, and unpack to `program`.
    const APT: &str = r#"case "$*" in *download*) echo bash >bash-static_1_all.deb; echo busybox >busybox-static_1_all.deb;; esac"#;
    const DPKG: &str = r#"
case $1 in
-f) echo 1:2.3-4 ;;
-x) mkdir -p "$3/bin"; cp "${0%/*}/program" "$3/bin/bash-static"; cp "${0%/*}/program" "$3/bin/busybox" ;;
esac"#;

    struct Bench {
        dir: tempfile::TempDir,
    }

    impl Bench {
        fn new() -> Bench {
            let bench = Bench {
                dir: tempfile::tempdir().unwrap(),
            };
            fs::write(bench.path("program"), synthetic(&[(1, b"code")])).unwrap();
            bench
        }

        fn path(&self, name: &str) -> PathBuf {
            self.dir.path().join(name)
        }

        /// Written by another process: one that this process holds open for writing, be it in a fork of another test, cannot
        /// be executed.
        fn script(&self, name: &str, body: &str) {
            let text = format!("#!/bin/sh\nPATH=/usr/bin:/bin\n{body}\n");
            let status = Command::new("sh")
                .args(["-c", "printf %s \"$2\" >\"$1\" && chmod 755 \"$1\"", "sh"])
                .arg(self.path(name))
                .arg(text)
                .status();
            assert!(status.unwrap().success());
        }

        fn fetch(&self) -> Result<Vec<Found>, ToolsError> {
            let run = |_: &Path, _: &[&str]| Some("v2.3\n".to_owned());
            let path = self.dir.path().as_os_str();
            let search = Search {
                given: None,
                path: Some(path),
                run: &run,
            };
            let missing: Vec<_> = WANTED.iter().collect();
            fetch(&self.path("cache"), &missing, &search)
        }
    }

    #[test]
    fn what_was_fetched_is_kept_and_nothing_else() {
        let bench = Bench::new();
        bench.script("apt-get", APT);
        bench.script("dpkg-deb", DPKG);
        let sources = |found: Vec<Found>| {
            found
                .into_iter()
                .map(|tool| tool.source)
                .collect::<Vec<_>>()
        };
        let expected = [
            "package bash-static 1:2.3-4",
            "package busybox-static 1:2.3-4",
        ];
        assert_eq!(sources(bench.fetch().unwrap()), expected);
        bench.script("apt-get", "exit 1");
        assert_eq!(sources(bench.fetch().unwrap()), expected);
        let left: Vec<_> = fs::read_dir(bench.path("cache")).unwrap().collect();
        assert_eq!(left.len(), 1);
    }

    #[test]
    fn an_interrupted_fetch_is_begun_again() {
        let bench = Bench::new();
        bench.script("apt-get", APT);
        bench.script("dpkg-deb", "exit 1");
        assert!(bench.fetch().is_err());
        bench.script("dpkg-deb", DPKG);
        assert_eq!(bench.fetch().unwrap().len(), 2);
    }

    #[test]
    fn a_client_that_fails_is_quoted() {
        let bench = Bench::new();
        bench.script(
            "apt-get",
            "echo first >&2; echo E: no network >&2; exit 100",
        );
        let error = bench.fetch().err().unwrap().to_string();
        assert!(
            error.starts_with("`apt-get update` failed: E: no network;"),
            "{error}"
        );
    }

    #[test]
    fn an_update_that_fails_is_no_matter_when_the_download_succeeds() {
        let bench = Bench::new();
        bench.script(
            "apt-get",
            &format!("{APT}\ncase \"$*\" in *update*) exit 100;; esac"),
        );
        bench.script("dpkg-deb", DPKG);
        assert_eq!(bench.fetch().unwrap().len(), 2);
    }

    #[test]
    fn a_host_without_the_client_is_told_what_to_give() {
        let error = Bench::new().fetch().err().unwrap().to_string();
        assert!(error.contains("no static `bash` and `busybox`"), "{error}");
        assert!(error.contains("--tools DIR"), "{error}");
    }
}
