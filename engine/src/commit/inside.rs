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
    let parent = Pid::this();
    let mut lent = None;
    loop {
        let (answer, answering) = pipe()?;
        let (go, going) = pipe()?;
        let forked = match lent {
            None => fork_into(CloneFlags::CLONE_NEWUSER),
            Some(_) => fork(),
        };
        let child = match forked {
            Err(error) => {
                lent = Some(borrow(map, lent.as_ref(), &words(error))?);
                continue;
            }
            Ok(Fork::Child) => {
                drop((answer, going));
                let (letter, text) = match enter(map, parent, go, lent) {
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
                lent = Some(borrow(map, lent.as_ref(), &reason)?);
            }
            _ => return understood(&text),
        }
    }
}

/// The namespace of a program of the host that may make one, after `reason` was why this one may not.
fn borrow(map: &IdMap, before: Option<&Lent>, reason: &str) -> Result<Lent, String> {
    let identity = Identity {
        uid: 0,
        gid: 0,
        map: map.clone(),
    };
    let lender = lent::lender().filter(|_| before.is_none());
    let borrowed = lender.and_then(|lender| lent::borrow(&lender, &identity, None).ok());
    borrowed.ok_or_else(|| format!("no user namespace: {reason}"))
}

fn understood(answer: &[u8]) -> Result<String, String> {
    match answer.split_first() {
        Some((&DONE, text)) => Ok(String::from_utf8_lossy(text).into_owned()),
        Some((_, text)) => Err(String::from_utf8_lossy(text).into_owned()),
        None => Err("the process that should do it was killed".to_owned()),
    }
}

fn enter(map: &IdMap, parent: Pid, go: OwnedFd, lent: Option<Lent>) -> io::Result<()> {
    match *map {
        IdMap::Single { uid, gid } => match lent {
            Some(lent) => lent.become_root()?,
            None => map_outer_single(uid, gid)?,
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
