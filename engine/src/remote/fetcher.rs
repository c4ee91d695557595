//! Running `fim-fetch`. What it reads and answers is described where it is (`engine/fetch/src/main.rs`).

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use super::{Unfetched, Wanted};
use crate::relocate;
use crate::sandbox::plain;

/// Its exit code when the server has no such file.
const MISSING: i32 = 3;

/// The program.
pub struct Fetcher {
    program: PathBuf,
    /// What the path leads to, when that is in memory.
    _memory: Option<File>,
    /// Seconds for which a server may say nothing.
    silence: u64,
}

impl Fetcher {
    /// The program at a path.
    pub fn at(program: PathBuf, silence: u64) -> Fetcher {
        Fetcher {
            program,
            _memory: None,
            silence,
        }
    }

    /// The program in memory. The descriptor is closed when it is executed, after the path has been followed.
    pub fn in_memory(memory: File, silence: u64) -> Fetcher {
        Fetcher {
            program: format!("/proc/self/fd/{}", memory.as_raw_fd()).into(),
            _memory: Some(memory),
            silence,
        }
    }

    /// Fetches a file.
    pub(super) fn fetch(
        &self,
        url: &str,
        wanted: &Wanted<'_>,
        to: &Path,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<(), Unfetched> {
        let broken = |error: io::Error| {
            Unfetched::Failed(format!("cannot run `fim-fetch`: {}", plain(&error)))
        };
        let mut child = self.start().map_err(broken)?;
        let (status, words) = self
            .talk(&mut child, &self.request(url, wanted, to), progress)
            .map_err(broken)?;
        let last = words.lines().last().unwrap_or_default().to_owned();
        match status.code() {
            Some(0) => Ok(()),
            Some(MISSING) => Err(Unfetched::Missing(last)),
            Some(_) if !last.is_empty() => Err(Unfetched::Failed(last)),
            _ => Err(Unfetched::Failed(format!(
                "`fim-fetch` could not fetch `{url}`: {status}"
            ))),
        }
    }

    fn start(&self) -> io::Result<Child> {
        Command::new(&self.program)
            // What a terminal sends is for this process; that it has ended is what the other one goes by, and it tidies up.
            .process_group(0)
            .env_clear()
            .envs(relocate::environment())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
    }

    fn request(&self, url: &str, wanted: &Wanted<'_>, to: &Path) -> Vec<u8> {
        let (most, silence) = (wanted.most.to_string(), self.silence.to_string());
        let fields = [
            url.as_ref(),
            to.as_os_str(),
            most.as_ref(),
            silence.as_ref(),
            wanted.sum.unwrap_or_default().as_ref(),
        ];
        let ended = |field: &OsStr| [field.as_bytes(), &[0]].concat();
        fields.into_iter().flat_map(ended).collect()
    }

    /// Hands over the request and listens to the end.
    fn talk(
        &self,
        child: &mut Child,
        request: &[u8],
        progress: &mut dyn FnMut(u64, u64),
    ) -> io::Result<(ExitStatus, String)> {
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(mut stdin), Some(stdout), Some(mut stderr)) = pipes else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        // It may end before it has read all; why is what it says. The pipe stays open: that it is closed tells the program
        // that nobody waits any more, however this process ends.
        let _ = stdin.write_all(request);
        for line in BufReader::new(stdout).lines() {
            let line = line?;
            let numbers = line.split_once(' ');
            let numbers =
                numbers.and_then(|(done, all)| Some((done.parse().ok()?, all.parse().ok()?)));
            if let Some((done, all)) = numbers {
                progress(done, all);
            }
        }
        // One line fits into the pipe, so that it never waits for us meanwhile.
        let mut words = Vec::new();
        stderr.read_to_end(&mut words)?;
        let status = child.wait()?;
        drop(stdin);
        Ok((status, String::from_utf8_lossy(&words).into_owned()))
    }
}
