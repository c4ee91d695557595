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
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::unistd::{pipe2, setsid};

use crate::plan::Bus;
use crate::sandbox::failure::Attempt;
use crate::sandbox::{Failure, die_with_parent, identity, signals};
use crate::sys::{Fork, MountAttributes, close_all_but, create_filesystem, fork};

mod handshake;
mod relay;

/// Forks the agent for the socket of `bus`. What it cannot do it says on standard error: a program that needs no bus runs.
pub fn serve(listener: OwnedFd, bus: &Bus) {
    let failed = match fork() {
        Ok(Fork::Parent(_)) => return,
        Ok(Fork::Child) => match run(listener, bus) {
            Ok(()) => std::process::exit(0),
            Err(failure) => failure.text,
        },
        Err(error) => {
            eprintln!("flatimage: warning: there is no message bus: {error}");
            return;
        }
    };
    eprintln!("flatimage: warning: there is no message bus: {failed}");
    std::process::exit(1)
}

fn run(listener: OwnedFd, bus: &Bus) -> Result<(), Failure> {
    die_with_parent()?;
    setsid().attempting(|| "begin a session".into())?;
    signals::restore_defaults().attempting(|| "unblock signals".into())?;
    close_all_but(3, listener.as_fd()).attempting(|| "close what is the supervisor's".into())?;
    identity::enter_alike().attempting(|| "make a mount namespace".into())?;
    let room = create_filesystem(c"tmpfs", &[(c"mode", c"700")], MountAttributes::default())
        .attempting(|| "mount a filesystem".into())?;
    // Readable for as long as this process is there, which is how the filter knows when to end.
    let (ready, told) = pipe2(OFlag::O_CLOEXEC).attempting(|| "make a pipe".into())?;
    let path = PathBuf::from(format!("/proc/self/fd/{}/bus", room.as_raw_fd()));
    let mut filter = Command::new(&bus.proxy);
    filter
        .arg(format!("--fd={}", told.as_raw_fd()))
        .arg(&bus.address)
        .arg(&path)
        .arg("--filter")
        .args(bus.rules())
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    for inherited in [&room, &told] {
        fcntl(inherited, FcntlArg::F_SETFD(FdFlag::empty()))
            .attempting(|| "pass a descriptor".into())?;
    }
    filter
        .spawn()
        .attempting(|| format!("run {}", bus.proxy.display()))?;
    drop(told);
    let mut ready = File::from(ready);
    ready
        .read_exact(&mut [0])
        .attempting(|| format!("hear from {}: it has ended", bus.proxy.display()))?;
    relay::run(&UnixListener::from(listener), &path);
    drop(ready);
    Ok(())
}
