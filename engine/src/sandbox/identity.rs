//! User namespaces: who the container's ids are on the host.
//!
//! There are two, one in the other. The outer one owns the mounts; in it the caller is root.
//! The inner one is the program's: it is entered last, and from then on not even a program
//! with all capabilities can mount, unmount or configure the network (user_namespaces(7): a
//! mount namespace belongs to the user namespace it was made in).

use std::fs;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Command, Stdio};

use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::prctl;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{Gid, Pid, Uid, pipe2, setgroups, setresgid, setresuid};

use super::failure::plain;
use crate::plan::{Extent, Identity};
use crate::sys::{Fork, fork};

/// Writes the maps of the outer namespace from inside, as an ordinary user can for one id.
///
/// # Errors
/// `EPERM` where the host does not let user namespaces have maps.
pub fn map_outer_single(uid: u32, gid: u32) -> io::Result<()> {
    write_maps(
        "/proc/self",
        &format!("0 {uid} 1"),
        &format!("0 {gid} 1"),
        false,
    )
}

/// Gives process `pid`, which is in a new namespace, several ids: by itself as real root, else by the programs that may give the
/// caller's subordinate ids (newuidmap(1)).
///
/// # Errors
/// As writing to `/proc/<pid>/uid_map` does; in words what a program says.
pub fn map_outer(pid: Pid, extents: &[Vec<Extent>; 2]) -> io::Result<()> {
    let [uids, gids] = extents;
    if Uid::effective().is_root() {
        let lines = |extents| lines(extents, |extent| extent.outside);
        return write_maps(&format!("/proc/{pid}"), &lines(uids), &lines(gids), true);
    }
    for (program, extents) in [("newuidmap", uids), ("newgidmap", gids)] {
        let ids = extents
            .iter()
            .flat_map(|extent| [extent.inside, extent.outside, extent.count]);
        let mut command = Command::new(program);
        command
            .arg(pid.to_string())
            .args(ids.map(|id| id.to_string()))
            .stdin(Stdio::null());
        let ended = command
            .output()
            .map_err(|error| io::Error::other(format!("{program}: {}", plain(&error))))?;
        if !ended.status.success() {
            let words = String::from_utf8_lossy(&ended.stderr);
            let words = words.lines().next().unwrap_or(program);
            return Err(io::Error::other(format!(
                "{words}; `{program}` has to be set-user-id root or to have its capability, as the package `uidmap` or `shadow-utils` \
                 installs it, and `/etc/subuid` and `/etc/subgid` have to list these ids"
            )));
        }
    }
    Ok(())
}

/// Lines of a map to what `outside` answers.
fn lines(extents: &[Extent], outside: impl Fn(&Extent) -> u32) -> String {
    let line =
        |extent: &Extent| format!("{} {} {}\n", extent.inside, outside(extent), extent.count);
    extents.iter().map(line).collect()
}

/// With several ids: becomes root of the outer namespace. Before, the process is the host's
/// root, which the map does not know.
///
/// # Errors
/// `EPERM` when the maps are not written.
pub fn become_outer_root() -> io::Result<()> {
    setgroups(&[])?;
    setresgid(Gid::from_raw(0), Gid::from_raw(0), Gid::from_raw(0))?;
    setresuid(Uid::from_raw(0), Uid::from_raw(0), Uid::from_raw(0))?;
    // A change of ids makes the process not dumpable, and its files in `/proc` root's: the
    // maps of the inner namespace could not be written any more.
    prctl::set_dumpable(true)?;
    Ok(())
}

/// Enters the inner namespace, with every capability in it.
///
/// # Errors
/// `EPERM` or `ENOSPC` where namespaces cannot be nested.
pub fn enter_inner(identity: &Identity) -> io::Result<()> {
    match identity.map.extents() {
        None => {
            unshare(CloneFlags::CLONE_NEWUSER)?;
            let (uid, gid) = (
                format!("{} 0 1", identity.uid),
                format!("{} 0 1", identity.gid),
            );
            write_maps("/proc/self", &uid, &gid, false)
        }
        Some(extents) => {
            // The ids of the outer namespace are the container's already.
            let [uids, gids] = extents.map(|ids| lines(&ids, |extent| extent.inside));
            unshare_with_maps(&uids, &gids)
        }
    }
}

/// Enters an inner namespace that is there already, with every capability in it.
///
/// # Errors
/// As setns(2).
pub fn enter_lent(nested: &OwnedFd) -> io::Result<()> {
    Ok(setns(nested, CloneFlags::CLONE_NEWUSER)?)
}

/// Enters a user namespace in which the ids are what they are outside, for the right to have a mount namespace of one's own.
///
/// # Errors
/// `EPERM` or `ENOSPC` where the host gives no namespaces.
pub fn enter_alike() -> io::Result<()> {
    let (uid, gid) = (Uid::effective(), Gid::effective());
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS)?;
    let (uid, gid) = (format!("{uid} {uid} 1"), format!("{gid} {gid} 1"));
    write_maps("/proc/self", &uid, &gid, false)
}

/// Takes the ids of `identity` in the inner namespace. Capabilities are gone after it, unless
/// the id is 0.
///
/// # Errors
/// As setresuid(2).
pub fn assume(identity: &Identity) -> io::Result<()> {
    // The single id of a map is this process's already.
    if !identity.map.is_single() {
        let (uid, gid) = (Uid::from_raw(identity.uid), Gid::from_raw(identity.gid));
        setresgid(gid, gid, gid)?;
        setresuid(uid, uid, uid)?;
    }
    Ok(())
}

/// A map of several ids can only be written from outside, so a child that stays outside does it.
fn unshare_with_maps(uids: &str, gids: &str) -> io::Result<()> {
    let (reader, writer) = pipe2(nix::fcntl::OFlag::O_CLOEXEC)?;
    let target = Pid::this();
    match fork()? {
        Fork::Child => {
            drop(writer);
            let mut byte = [0];
            let told = nix::unistd::read(reader.as_fd(), &mut byte) == Ok(1);
            let written = told && write_maps(&format!("/proc/{target}"), uids, gids, true).is_ok();
            std::process::exit(i32::from(!written))
        }
        Fork::Parent(child) => {
            let entered = unshare(CloneFlags::CLONE_NEWUSER);
            if entered.is_ok() {
                fs::File::from(writer).write_all(b"g")?;
            }
            let status = waitpid(child, None)?;
            entered?;
            match status {
                WaitStatus::Exited(_, 0) => Ok(()),
                _ => Err(io::ErrorKind::PermissionDenied.into()),
            }
        }
    }
}

/// A map is accepted in one write only. Without a privileged writer the kernel demands that
/// `setgroups` is given up first, so that a group cannot be left to gain access.
fn write_maps(process: &str, uid: &str, gid: &str, groups: bool) -> io::Result<()> {
    if !groups {
        fs::write(format!("{process}/setgroups"), "deny")?;
    }
    fs::write(format!("{process}/uid_map"), uid)?;
    fs::write(format!("{process}/gid_map"), gid)
}
