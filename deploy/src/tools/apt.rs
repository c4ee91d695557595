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
use super::{ToolsError, Wanted};
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
        let host = Host {
            path: search.path.unwrap_or_default(),
            scratch: &scratch,
        };
        host.download(&absent)?;
        for wanted in absent {
            host.keep(&kept, wanted)?;
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
struct Host<'a> {
    /// Where its programs are looked for.
    path: &'a OsStr,
    /// Removed afterwards.
    scratch: &'a Path,
}

impl Host<'_> {
    fn packages(&self) -> PathBuf {
        self.scratch.join("packages")
    }

    /// Downloads the packages of the tools.
    fn download(&self, wanted: &[&Wanted]) -> Result<(), ToolsError> {
        for dir in ["state/lists/partial", "cache/archives/partial", "packages"] {
            file::create_dir(&self.scratch.join(dir))?;
        }
        file::write_changed(&self.scratch.join("apt.conf"), CONFIGURATION.as_bytes())?;
        file::write_changed(&self.scratch.join("status"), b"")?;
        // One unreachable repository among several makes the update fail although ours may be there: the download decides.
        let updated = self.answer(&mut self.apt(&["update"]), "apt-get update");
        if let Err(Refused::Absent) = updated {
            let names: Vec<_> = wanted
                .iter()
                .map(|wanted| format!("`{}`", wanted.name))
                .collect();
            return Err(ToolsError::Nowhere(names.join(" and ")));
        }
        let mut command = vec!["download"];
        command.extend(wanted.iter().map(|wanted| wanted.package));
        let typed = format!("apt-get {}", command.join(" "));
        match (self.answer(&mut self.apt(&command), &typed), updated) {
            (Ok(_), _) => Ok(()),
            (_, Err(Refused::Failed(first))) => Err(first),
            (Err(refused), _) => Err(refused.into()),
        }
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
        let missing = || ToolsError::Package {
            package: wanted.package,
            name: wanted.name,
        };
        let packages = self.packages();
        let package = fs::read_dir(&packages)
            .map_err(failed("read", &packages))?
            .filter_map(|entry| entry.ok().map(|entry| entry.path()))
            .find(|path| is_package(path, wanted.package))
            .ok_or_else(missing)?;
        let tree = self.scratch.join(wanted.name);
        let dpkg = |option: &str, rest: &OsStr| {
            let mut dpkg = Command::new("dpkg-deb");
            self.answer(
                dpkg.arg(option).arg(&package).arg(rest),
                &format!("dpkg-deb {option}"),
            )
        };
        let version = dpkg("-f", "Version".as_ref())?;
        dpkg("-x", tree.as_os_str())?;
        let mut programs = wanted.packaged.iter().map(|inside| tree.join(inside));
        let bytes = file::read(&programs.find(|path| path.is_file()).ok_or_else(missing)?)?;
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
