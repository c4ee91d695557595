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
use nix::unistd::{Pid, getegid, geteuid, getppid, pipe2};

use crate::plan::{Bus, IdMap, Identity};
use crate::sandbox::channel::Channel;
use crate::sandbox::failure::Attempt;
use crate::sandbox::{Failure, die_with_parent, fall_silent, identity, lent, let_go};
use crate::sys::{Fork, MountAttributes, create_filesystem, fork};

mod handshake;
mod relay;

/// Forks the agent for the socket of `bus`. `lender` makes its namespaces where this program may not. What it cannot do it says on standard error: a program that needs no bus runs.
pub fn serve(listener: OwnedFd, bus: &Bus, lender: Option<&Path>) {
    let supervisor = Pid::this();
    let failed = match fork() {
        Ok(Fork::Parent(_)) => return,
        Ok(Fork::Child) => match run(listener, (bus, lender), supervisor) {
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

fn run(
    listener: OwnedFd,
    (bus, lender): (&Bus, Option<&Path>),
    supervisor: Pid,
) -> Result<(), Failure> {
    let kept = Channel::from(listener);
    let_go(Some(&kept));
    let room = make_room(lender)?;
    // Asked for after that, because the kernel forgets it when capabilities change (prctl(2)).
    die_with_parent()?;
    // It may have ended before, after a program that was quick.
    if getppid() != supervisor {
        return Ok(());
    }
    let path = PathBuf::from(format!("/proc/self/fd/{}/bus", room.as_raw_fd()));
    let _alive = filter(bus, &room, &path)?;
    fall_silent();
    relay::run(&UnixListener::from(OwnedFd::from(kept)), &path);
    Ok(())
}

/// A filesystem in memory that is mounted nowhere, made in namespaces that this process is in from then on. Its ids are what they are
/// outside: the bus lets in only who names the user id that the kernel says.
fn make_room(lender: Option<&Path>) -> Result<OwnedFd, Failure> {
    let create = || {
        let options = [(c"mode", c"700")];
        create_filesystem(c"tmpfs", &options, MountAttributes::default())
            .attempting(|| "mount a filesystem".into())
    };
    let Some(lender) = lender else {
        identity::enter_alike().attempting(|| "make a mount namespace".into())?;
        return create();
    };
    let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
    let alike = Identity {
        uid,
        gid,
        map: IdMap::Single { uid, gid },
    };
    let lent = lent::borrow(lender, &alike, None).map_err(Failure::ours)?;
    lent.enter()
        .attempting(|| "enter a mount namespace".into())?;
    let room = create()?;
    identity::enter_lent(&lent.nested).attempting(|| "enter a user namespace".into())?;
    Ok(room)
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
