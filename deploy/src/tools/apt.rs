//! Fetches tools with the host's own package client, without being root.
//!
//! `apt-get` is given a state and a cache directory of its own. It then needs no lock and no package list of the system, and
//! changes nothing of it; mirrors, proxies and keys are those the host is configured with. Packages are unpacked, not
//! installed.

use std::ffi::OsStr;
use std::fs;
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
        download(&scratch, &absent)?;
        for wanted in absent {
            keep(&scratch, &kept, wanted)?;
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

/// Downloads the packages of the tools into `scratch/packages`.
fn download(scratch: &Path, wanted: &[&Wanted]) -> Result<(), ToolsError> {
    let packages = scratch.join("packages");
    for dir in ["state/lists/partial", "cache/archives/partial", "packages"] {
        file::create_dir(&scratch.join(dir))?;
    }
    let config = scratch.join("apt.conf");
    file::write_changed(&config, CONFIGURATION.as_bytes())?;
    file::write_changed(&scratch.join("status"), b"")?;
    let apt = |command: &[&str]| {
        let mut apt = Command::new("apt-get");
        apt.arg("-c")
            .arg(&config)
            .args(["-q", "-q"])
            .current_dir(&packages);
        for (key, value) in [
            ("Dir::State", scratch.join("state").into_os_string()),
            (
                "Dir::State::status",
                scratch.join("status").into_os_string(),
            ),
            ("Dir::Cache", scratch.join("cache").into_os_string()),
            ("Debug::NoLocking", "1".into()),
            // As root, apt would hand downloads to a user who cannot write here.
            ("APT::Sandbox::User", "root".into()),
            ("Acquire::Languages", "none".into()),
            ("Acquire::Retries", "3".into()),
        ] {
            let option = [OsStr::new(key), &value].join(OsStr::new("="));
            apt.arg("-o").arg(option);
        }
        apt.args(command);
        apt
    };
    // One unreachable repository among several makes the update fail although ours may be there: the download decides.
    let updated = answer(&mut apt(&["update"]), "apt-get update");
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
    answer(&mut apt(&command), &typed).map_err(|refused| match (updated, refused) {
        (Err(Refused::Failed(first)), _) | (_, Refused::Failed(first)) => first,
        (_, Refused::Absent) => ToolsError::Nowhere(command[1..].join(" and ")),
    })?;
    Ok(())
}

/// Unpacks a package and keeps its program; the version goes last, as the mark of a complete pair.
fn keep(scratch: &Path, kept: &Path, wanted: &'static Wanted) -> Result<(), ToolsError> {
    let packages = scratch.join("packages");
    let missing = || ToolsError::Package {
        package: wanted.package,
        name: wanted.name,
    };
    let package = fs::read_dir(&packages)
        .map_err(failed("read", &packages))?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .find(|path| is_package(path, wanted.package))
        .ok_or_else(missing)?;
    let tree = scratch.join(wanted.name);
    let mut unpack = Command::new("dpkg-deb");
    let version = dpkg(
        Command::new("dpkg-deb")
            .arg("-f")
            .arg(&package)
            .arg("Version"),
    )?;
    dpkg(unpack.arg("-x").arg(&package).arg(&tree))?;
    let program = wanted.packaged.iter().map(|inside| tree.join(inside));
    let program = program
        .into_iter()
        .find(|path| path.is_file())
        .ok_or_else(missing)?;
    let bytes = file::read(&program)?;
    let path = kept.join(wanted.name);
    file::remove(&version_path(kept, wanted))?;
    file::write_whole(&path, 0o755, |file| {
        std::io::Write::write_all(file, &bytes).map_err(failed("write", &path))
    })?;
    file::write_changed(&version_path(kept, wanted), version.as_bytes())?;
    Ok(())
}

fn is_package(path: &Path, package: &str) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.strip_prefix(package)
        .is_some_and(|rest| rest.starts_with('_') && rest.ends_with(".deb"))
}

fn dpkg(command: &mut Command) -> Result<String, ToolsError> {
    answer(command, "dpkg-deb").map_err(|refused| match refused {
        Refused::Failed(error) => error,
        Refused::Absent => ToolsError::Nowhere("`bash` or `busybox`".to_owned()),
    })
}

enum Refused {
    /// There is no such program.
    Absent,
    Failed(ToolsError),
}

/// Runs a command and returns what it prints; when it fails, its last line of complaint.
fn answer(command: &mut Command, typed: &str) -> Result<String, Refused> {
    let failed = |answer: String| {
        Refused::Failed(ToolsError::Fetch {
            command: typed.to_owned(),
            answer,
        })
    };
    let output = match command.env("LC_ALL", "C").stdin(Stdio::null()).output() {
        Ok(output) => output,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(Refused::Absent),
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
