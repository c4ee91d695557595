//! Work that sees the files of a data directory as the container does.
//!
//! In a user namespace with the container's map, `stat` answers the ids that the container sees, `security.capability`
//! is what a program of the container would read, and root may read whatever belongs to those ids: also a file that its
//! owner has closed to everybody, which an ordinary caller could not read on the host.

use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;

use nix::fcntl::OFlag;
use nix::sched::CloneFlags;
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::sys::wait::waitpid;
use nix::unistd::{Pid, getppid, pipe2};

use crate::plan::IdMap;
use crate::sandbox::identity::{become_outer_root, map_outer, map_outer_single};
use crate::sandbox::plain;
use crate::sys::{Fork, fork_into};

/// What the other process says: a letter for how it went, then a text.
const DONE: u8 = b'd';
const FAILED: u8 = b'f';

/// Runs `work` in a process that is root of a user namespace with `map`, and answers what it answers. The process ends
/// with the caller, however that ends. Like every fork, only for a process with one thread.
///
/// # Errors
/// In words: that of `work`, or why there is no such process.
pub fn inside(
    map: &IdMap,
    work: impl FnOnce() -> Result<String, String>,
) -> Result<String, String> {
    let words = |error: io::Error| plain(&error);
    let pipe = || pipe2(OFlag::O_CLOEXEC).map_err(|error| words(error.into()));
    let (answer, answering) = pipe()?;
    let (go, going) = pipe()?;
    let parent = Pid::this();
    match fork_into(CloneFlags::CLONE_NEWUSER)
        .map_err(|error| format!("no user namespace: {}", words(error)))?
    {
        Fork::Child => {
            drop((answer, going));
            let result = enter(map, parent, go).map_err(words).and_then(|()| work());
            let (letter, text) = match result {
                Ok(text) => (DONE, text),
                Err(text) => (FAILED, text),
            };
            let answer = [&[letter], text.as_bytes()].concat();
            let told = std::fs::File::from(answering).write_all(&answer);
            std::process::exit(i32::from(told.is_err()))
        }
        Fork::Parent(child) => {
            drop((answering, go));
            let mapped = match map.extents() {
                Some(extents) => map_outer(child, &extents)
                    .and_then(|()| std::fs::File::from(going).write_all(b"g")),
                // It maps itself.
                None => Ok(()),
            };
            let mut text = Vec::new();
            let read = std::fs::File::from(answer).read_to_end(&mut text);
            let _ = waitpid(child, None);
            mapped.map_err(|error| format!("its ids cannot be mapped: {}", words(error)))?;
            read.map_err(words)?;
            understood(&text)
        }
    }
}

fn understood(answer: &[u8]) -> Result<String, String> {
    match answer.split_first() {
        Some((&DONE, text)) => Ok(String::from_utf8_lossy(text).into_owned()),
        Some((_, text)) => Err(String::from_utf8_lossy(text).into_owned()),
        None => Err("the process that should do it was killed".to_owned()),
    }
}

fn enter(map: &IdMap, parent: Pid, go: OwnedFd) -> io::Result<()> {
    match *map {
        IdMap::Single { uid, gid } => map_outer_single(uid, gid)?,
        _ => {
            std::fs::File::from(go).read_exact(&mut [0])?;
            become_outer_root()?;
        }
    }
    // Last: a change of ids takes it back (prctl(2), PR_SET_PDEATHSIG).
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    match getppid() == parent {
        true => Ok(()),
        false => Err(io::ErrorKind::BrokenPipe.into()),
    }
}
