//! Work that sees the files of a data directory as the container does.
//!
//! In a user namespace with the container's map, `stat` answers the ids that the container sees, `security.capability`
//! is what a program of the container would read, and root may read whatever belongs to those ids: also a file that its
//! owner has closed to everybody, which an ordinary caller could not read on the host.
//!
//! Where the host refuses the namespace and all files are the caller's, the caller does the work, as far as their modes let an owner.

use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;

use nix::fcntl::OFlag;
use nix::sched::CloneFlags;
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::sys::wait::waitpid;
use nix::unistd::{Pid, geteuid, getppid, pipe2};

use crate::plan::{IdMap, Identity};
use crate::sandbox::identity::{become_outer_root, map_outer, map_outer_single};
use crate::sandbox::lent::{self, Lent};
use crate::sandbox::plain;
use crate::sys::{Fork, fork, fork_into};

/// What the other process says: a letter for how it went, then a text.
const DONE: u8 = b'd';
const FAILED: u8 = b'f';
/// The host refuses the namespace.
const REFUSED: u8 = b'r';

/// As whom the work is done.
enum Worker {
    /// Root of a new namespace.
    New,
    /// Root of a namespace that somebody lent.
    Lent(Lent),
    /// The caller.
    Caller,
}

/// Runs `work` in a process that is root of a user namespace with `map`, or the caller where the host refuses that and the caller has all
/// of the files, and answers what it answers. The process ends
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
    let parent = Pid::this();
    let mut worker = Worker::New;
    loop {
        let (answer, answering) = pipe()?;
        let (go, going) = pipe()?;
        let forked = match worker {
            Worker::New => fork_into(CloneFlags::CLONE_NEWUSER),
            Worker::Lent(_) | Worker::Caller => fork(),
        };
        let child = match forked {
            Err(error) => {
                worker = next(map, &worker, &words(error))?;
                continue;
            }
            Ok(Fork::Child) => {
                drop((answer, going));
                let (letter, text) = match enter(map, parent, go, &worker) {
                    Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                        (REFUSED, words(error))
                    }
                    Err(error) => (FAILED, words(error)),
                    Ok(()) => match work() {
                        Ok(text) => (DONE, text),
                        Err(text) => (FAILED, text),
                    },
                };
                let answer = [&[letter], text.as_bytes()].concat();
                let told = std::fs::File::from(answering).write_all(&answer);
                std::process::exit(i32::from(told.is_err()))
            }
            Ok(Fork::Parent(child)) => child,
        };
        drop((answering, go));
        let mapped = match map.extents() {
            Some(extents) => {
                map_outer(child, &extents).and_then(|()| std::fs::File::from(going).write_all(b"g"))
            }
            // It maps itself.
            None => Ok(()),
        };
        let mut text = Vec::new();
        let read = std::fs::File::from(answer).read_to_end(&mut text);
        let _ = waitpid(child, None);
        mapped.map_err(|error| format!("its ids cannot be mapped: {}", words(error)))?;
        read.map_err(words)?;
        match text.split_first() {
            Some((&REFUSED, reason)) => {
                let reason = String::from_utf8_lossy(reason);
                worker = next(map, &worker, &reason)?;
            }
            _ => return understood(&text),
        }
    }
}

/// Who does it after `reason` was why `before` cannot: root of a namespace of a program of the host that may make one, or the caller.
fn next(map: &IdMap, before: &Worker, reason: &str) -> Result<Worker, String> {
    let is_first = matches!(before, Worker::New);
    if let Some(lent) = is_first.then(|| borrow(map)).flatten() {
        return Ok(Worker::Lent(lent));
    }
    let is_owner =
        matches!(*map, IdMap::Single { uid, .. } if uid == geteuid().as_raw() && uid != 0);
    match (before, is_owner) {
        (Worker::New | Worker::Lent(_), true) => Ok(Worker::Caller),
        _ => Err(format!("no user namespace: {reason}")),
    }
}

fn borrow(map: &IdMap) -> Option<Lent> {
    let identity = Identity {
        uid: 0,
        gid: 0,
        map: map.clone(),
    };
    lent::borrow(&lent::lender()?, &identity, None).ok()
}

fn understood(answer: &[u8]) -> Result<String, String> {
    match answer.split_first() {
        Some((&DONE, text)) => Ok(String::from_utf8_lossy(text).into_owned()),
        Some((_, text)) => Err(String::from_utf8_lossy(text).into_owned()),
        None => Err("the process that should do it was killed".to_owned()),
    }
}

fn enter(map: &IdMap, parent: Pid, go: OwnedFd, worker: &Worker) -> io::Result<()> {
    match *map {
        IdMap::Single { uid, gid } => match worker {
            Worker::New => map_outer_single(uid, gid)?,
            Worker::Lent(lent) => lent.become_root()?,
            Worker::Caller => {}
        },
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
