//! Root filesystems of Debian and its derivatives, made by the host's own `mmdebstrap`.
//!
//! It needs no root where the user has ids of its own (`/etc/subuid`), takes proxies and keys from the host's `apt`, and writes
//! an archive, which is kept until something else is asked for.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::digest::{Inputs, Stamp};
use crate::distribution::Mmdebstrap;
use crate::file::{self, FileError, failed};
use crate::timestamp;

/// The program.
const PROGRAM: &str = "mmdebstrap";

/// Why there is no root filesystem.
#[derive(Debug, thiserror::Error)]
pub enum MmdebstrapError {
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The host does not have it.
    #[error(
        "`mmdebstrap` is not installed; `apt-get install mmdebstrap uidmap` installs it, or give a root filesystem with `--from`"
    )]
    Absent,
    /// It could not be started.
    #[error("cannot start `mmdebstrap`")]
    Start(#[source] io::Error),
    /// It was started and failed.
    #[error("`{command}` failed: {answer}")]
    Failed {
        /// The command as typed.
        command: String,
        /// The line that says most.
        answer: String,
    },
}

/// What the command line says.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Wishes<'a> {
    /// A suite instead of that of the distribution.
    pub(crate) suite: Option<&'a str>,
    /// A mirror instead of Debian's.
    pub(crate) mirror: Option<&'a str>,
    /// Packages beside those of the distribution.
    pub(crate) include: &'a [String],
    /// Whether it is made anew although it was made.
    pub(crate) refresh: bool,
}

/// The command without the program and the archive that it writes.
pub(crate) fn arguments(distribution: &Mmdebstrap, wishes: Wishes) -> (Vec<String>, Vec<String>) {
    let include = distribution.include.iter().chain(wishes.include);
    let include: Vec<&str> = include.map(String::as_str).collect();
    let mut options = vec![
        "--quiet".to_owned(),
        "--format=tar".to_owned(),
        format!("--variant={}", distribution.variant),
        format!("--components={}", distribution.components.join(",")),
    ];
    if !include.is_empty() {
        options.push(format!("--include={}", include.join(",")));
    }
    // Nothing that follows is an option, whatever it looks like.
    options.push("--".to_owned());
    options.push(wishes.suite.unwrap_or(&distribution.suite).to_owned());
    let mirror = wishes.mirror.or(distribution.mirror.as_deref());
    (options, mirror.map(str::to_owned).into_iter().collect())
}

/// Refuses a host that has neither the program nor an archive that it made before. Building takes a while before the program
/// is wanted, which is a bad time to hear that.
pub(crate) fn check(kept: &Path, name: &str) -> Result<(), MmdebstrapError> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places = std::env::split_paths(&path);
    let is_there = places.any(|dir| dir.join(PROGRAM).is_file());
    match is_there || kept.join(format!("{name}.tar")).is_file() {
        true => Ok(()),
        false => Err(MmdebstrapError::Absent),
    }
}

/// The archive, from `kept` or made now. Answers whether it was there.
pub(crate) fn make(
    kept: &Path,
    name: &str,
    distribution: &Mmdebstrap,
    wishes: Wishes,
) -> Result<(PathBuf, bool), MmdebstrapError> {
    file::create_dir(kept)?;
    let path = kept.join(format!("{name}.tar"));
    let stamp = Stamp::at(kept.join(format!("{name}.stamp")));
    let (options, mirror) = arguments(distribution, wishes);
    let mut inputs = Inputs::of_stage("mmdebstrap 1");
    for word in options.iter().chain(&mirror) {
        inputs.add(word);
    }
    inputs.add(format!("{:?}", timestamp::given()));
    let inputs = inputs.finish();
    if !wishes.refresh && stamp.says(&inputs) && path.is_file() {
        return Ok((path, true));
    }
    stamp.clear()?;
    file::write_whole(&path, 0o644, |archive| -> Result<(), MmdebstrapError> {
        let archive = archive.try_clone().map_err(failed("write", &path))?;
        run(&options, &mirror, archive.into())
    })?;
    stamp.set(&inputs)?;
    Ok((path, false))
}

fn run(options: &[String], mirror: &[String], archive: Stdio) -> Result<(), MmdebstrapError> {
    let mut command = Command::new(PROGRAM);
    // To standard output, so that it writes where this process opened a file, whoever it becomes.
    command.args(options).arg("-").args(mirror);
    command.env("LC_ALL", "C.UTF-8").stdin(Stdio::null());
    let mut child = match command.stdout(archive).stderr(Stdio::piped()).spawn() {
        Ok(child) => child,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(MmdebstrapError::Absent);
        }
        Err(error) => return Err(MmdebstrapError::Start(error)),
    };
    let mut said = Vec::new();
    if let Some(mut stderr) = child.stderr.take() {
        stderr
            .read_to_end(&mut said)
            .map_err(MmdebstrapError::Start)?;
    }
    let status = child.wait().map_err(MmdebstrapError::Start)?;
    if status.success() {
        return Ok(());
    }
    let words = [
        &[PROGRAM.to_owned()][..],
        options,
        &["-".to_owned()],
        mirror,
    ]
    .concat();
    Err(MmdebstrapError::Failed {
        command: words.join(" "),
        answer: answer(&String::from_utf8_lossy(&said)).unwrap_or_else(|| status.to_string()),
    })
}

/// The first line that says what is wrong; `mmdebstrap` says after it that it cannot go on.
fn answer(said: &str) -> Option<String> {
    let lines = || said.lines().map(str::trim).filter(|line| !line.is_empty());
    let says = |line: &&str| line.starts_with("E:") || line.starts_with("Err");
    lines()
        .find(says)
        .or_else(|| lines().next_back())
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_told_in_one_line() {
        let said = "I: automatically chosen mode: unshare\nE: Unable to locate package none\nE: apt-get failed\n";
        assert_eq!(answer(said).unwrap(), "E: Unable to locate package none");
        assert_eq!(answer("a\nb\n\n").unwrap(), "b");
        assert_eq!(answer(""), None);
    }

    #[test]
    fn wishes_come_before_what_the_distribution_says() {
        let distribution: Mmdebstrap =
            serde_yaml::from_str("{suite: bookworm, include: [perl]}").unwrap();
        let packages = ["vim".to_owned()];
        let wishes = Wishes {
            suite: Some("trixie"),
            mirror: Some("http://127.0.0.1/debian"),
            include: &packages,
            refresh: false,
        };
        let (options, mirror) = arguments(&distribution, wishes);
        assert_eq!(options[4..], ["--include=perl,vim", "--", "trixie"]);
        assert_eq!(mirror, ["http://127.0.0.1/debian"]);
        let (options, mirror) = arguments(&distribution, Wishes::default());
        assert_eq!(options[4..], ["--include=perl", "--", "bookworm"]);
        assert!(mirror.is_empty());
    }
}
