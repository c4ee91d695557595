//! The abstract unix sockets by which supervisors are reached, and who may be at the other end of one.
//!
//! Nothing of an abstract socket is left when its process is killed. Its name is no secret, `/proc/net/unix` shows it, and
//! belongs to whoever takes it first: so both ends look at each other.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::Path;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    self, AddressFamily, Backlog, SockFlag, SockType, UnixAddr, getsockopt, sockopt,
};
use nix::unistd::{Pid, geteuid};

use crate::sys::open_process;

/// Milliseconds that a supervisor may take to answer. It answers at once unless it is stopped.
const PATIENCE: u16 = 5000;

fn seqpacket(flags: SockFlag) -> nix::Result<OwnedFd> {
    socket::socket(
        AddressFamily::Unix,
        SockType::SeqPacket,
        flags | SockFlag::SOCK_CLOEXEC,
        None,
    )
}

/// Listens at `name`; what is returned is never waited for.
///
/// # Errors
/// As bind(2); `EADDRINUSE` when somebody else has the name.
pub fn listen(name: &str) -> io::Result<OwnedFd> {
    listen_at(&UnixAddr::new_abstract(name.as_bytes())?)
}

/// Listens at a new file in the working directory.
///
/// # Errors
/// As bind(2); `EADDRINUSE` when there is such a file.
pub fn listen_in_directory(name: &Path) -> io::Result<OwnedFd> {
    listen_at(&UnixAddr::new(name)?)
}

/// Listens for connections without packets at a new file in the working directory. Whoever accepts waits.
///
/// # Errors
/// As bind(2); `EADDRINUSE` when there is such a file.
pub fn listen_for_streams(name: &Path) -> io::Result<OwnedFd> {
    UnixListener::bind(name).map(OwnedFd::from)
}

fn listen_at(address: &UnixAddr) -> io::Result<OwnedFd> {
    let listener = seqpacket(SockFlag::SOCK_NONBLOCK)?;
    socket::bind(listener.as_raw_fd(), address)?;
    socket::listen(&listener, Backlog::MAXCONN)?;
    Ok(listener)
}

/// Connects to whoever listens at `name`; `None` when nobody does.
///
/// # Errors
/// When no socket can be made.
pub fn connect(name: &str) -> io::Result<Option<OwnedFd>> {
    let address = UnixAddr::new_abstract(name.as_bytes())?;
    let connection = seqpacket(SockFlag::empty())?;
    let connected = socket::connect(connection.as_raw_fd(), &address);
    Ok(connected.is_ok().then_some(connection))
}

/// Connects to whoever listens at a file.
///
/// # Errors
/// As connect(2).
pub fn connect_to_file(path: &Path) -> io::Result<OwnedFd> {
    let connection = seqpacket(SockFlag::empty())?;
    socket::connect(connection.as_raw_fd(), &UnixAddr::new(path)?)?;
    Ok(connection)
}

/// Whether the process at the other end is one of the same user, outside of any container.
pub fn is_one_of_us(peer: BorrowedFd<'_>) -> bool {
    let Ok(who) = getsockopt(&peer, sockopt::PeerCredentials) else {
        return false;
    };
    // A process of another pid namespace has no pid here, and so no file to read.
    let theirs = fs::read_link(format!("/proc/{}/ns/user", who.pid()));
    let ours = fs::read_link("/proc/self/ns/user");
    let same = matches!((theirs, ours), (Ok(theirs), Ok(ours)) if theirs == ours);
    who.uid() == geteuid().as_raw() && same && is_still_there(peer)
}

/// The pid that was looked at could be another process's by now, unless the one that connected
/// still runs. Before Linux 6.5 the kernel cannot tell.
fn is_still_there(peer: BorrowedFd<'_>) -> bool {
    match getsockopt(&peer, sockopt::PeerPidfd) {
        Ok(process) => {
            let mut waited = [PollFd::new(process.as_fd(), PollFlags::POLLIN)];
            poll(&mut waited, PollTimeout::ZERO) == Ok(0)
        }
        Err(Errno::ENOPROTOOPT) => true,
        Err(_) => false,
    }
}

/// Whether the process runs, and still does after a while.
pub fn outlives_patience(pid: u32) -> bool {
    open_process(Pid::from_raw(pid as i32)).is_ok_and(|process| !becomes_readable(process.as_fd()))
}

/// Waits for a while.
pub fn becomes_readable(fd: BorrowedFd<'_>) -> bool {
    let mut waited = [PollFd::new(fd, PollFlags::POLLIN)];
    poll(&mut waited, PATIENCE).is_ok_and(|readable| readable > 0)
}
