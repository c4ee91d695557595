//! A message bus of the host for programs in the container, filtered.
//!
//! ```text
//! program ── socket in the container ── agent ── xdg-dbus-proxy ── bus of the host
//! ```
//!
//! The first process of the container makes the socket, and the supervisor hands it to an *agent*, a process of its own. The agent
//! runs the program that filters, and copies bytes and descriptors between it and whoever connects. It is there for two
//! reasons: the filter can listen only at a path of the host, and the bus lets in only who names the user id that the
//! kernel says, which programs in the container cannot know ([`handshake`]).
//!
//! The path is one that nobody else has: in a filesystem in memory that is mounted nowhere, reached by a descriptor. The agent
//! ends with the supervisor, the filter with the agent, and the filesystem with both; nothing has to be removed.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::unistd::{Pid, getppid, pipe2};

use crate::plan::Bus;
use crate::sandbox::channel::Channel;
use crate::sandbox::failure::Attempt;
use crate::sandbox::{Failure, die_with_parent, fall_silent, identity, let_go};
use crate::sys::{Fork, MountAttributes, create_filesystem, fork};

mod handshake;
mod relay;

/// Forks the agent for the socket of `bus`. What it cannot do it says on standard error: a program that needs no bus runs.
pub fn serve(listener: OwnedFd, bus: &Bus) {
    let supervisor = Pid::this();
    let failed = match fork() {
        Ok(Fork::Parent(_)) => return,
        Ok(Fork::Child) => match run(listener, bus, supervisor) {
            Ok(()) => std::process::exit(0),
            Err(failure) => failure.text,
        },
        Err(error) => {
            eprintln!("warning: there is no message bus: {error}");
            return;
        }
    };
    eprintln!("warning: there is no message bus: {failed}");
    std::process::exit(1)
}

fn run(listener: OwnedFd, bus: &Bus, supervisor: Pid) -> Result<(), Failure> {
    let kept = Channel::from(listener);
    let_go(Some(&kept));
    identity::enter_alike().attempting(|| "make a mount namespace".into())?;
    // Asked for after that, because the kernel forgets it when capabilities change (prctl(2)).
    die_with_parent()?;
    // It may have ended before, after a program that was quick.
    if getppid() != supervisor {
        return Ok(());
    }
    let room = create_filesystem(c"tmpfs", &[(c"mode", c"700")], MountAttributes::default())
        .attempting(|| "mount a filesystem".into())?;
    let path = PathBuf::from(format!("/proc/self/fd/{}/bus", room.as_raw_fd()));
    let _alive = filter(bus, &room, &path)?;
    fall_silent();
    relay::run(&UnixListener::from(OwnedFd::from(kept)), &path);
    Ok(())
}

/// Starts the program that filters, which listens at `path` in `room`. It runs for as long as somebody has what is answered.
fn filter(bus: &Bus, room: &OwnedFd, path: &Path) -> Result<File, Failure> {
    let proxy = bus.proxy.display();
    let (ready, told) = pipe2(OFlag::O_CLOEXEC).attempting(|| "make a pipe".into())?;
    for inherited in [room, &told] {
        fcntl(inherited, FcntlArg::F_SETFD(FdFlag::empty()))
            .attempting(|| "pass a descriptor".into())?;
    }
    Command::new(&bus.proxy)
        .arg(format!("--fd={}", told.as_raw_fd()))
        .arg(&bus.address)
        .arg(path)
        .arg("--filter")
        .args(bus.rules())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        // It complains when it is ended.
        .stderr(Stdio::null())
        .spawn()
        .attempting(|| format!("run {proxy}"))?;
    drop(told);
    let mut ready = File::from(ready);
    ready.read_exact(&mut [0]).map_err(|_| {
        Failure::ours(format!(
            "{proxy} has ended; run it by hand to see why: {proxy} {} /tmp/bus",
            bus.address
        ))
    })?;
    Ok(ready)
}
