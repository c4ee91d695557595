//! What the processes of a start say to each other.
//!
//! A pair of `SOCK_SEQPACKET` sockets: one message is one packet, a closed end is the end of
//! the process behind it. The first byte says what a message is.

use std::ffi::OsStr;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, UnixAddr, sendmsg, socketpair,
};
use nix::unistd::Pid;

use crate::plan::Lack;
use crate::sys::receive_with_descriptors;

/// The longest message in bytes; a longer text is cut.
const LONGEST: usize = 4096;

/// One message.
#[derive(Debug)]
pub enum Message {
    /// To the builder of the root: the id maps are written.
    Mapped,
    /// To a server: the descriptor of the mounted FUSE filesystem, to be served.
    Fuse(OwnedFd),
    /// From a server: it serves.
    Ready,
    /// From the builder: the root is built.
    Root {
        /// The user namespace that owns the mounts.
        user: OwnedFd,
        /// The mount namespace with the root.
        mounts: OwnedFd,
        /// The processes that the builder started and the root needs.
        servers: Vec<OwnedFd>,
    },
    /// From what [lends](super::lent) namespaces.
    Lent {
        /// The user namespace that owns the mounts.
        user: OwnedFd,
        /// The mount namespace.
        mounts: OwnedFd,
        /// The user namespace of the program.
        nested: OwnedFd,
    },
    /// From the builder: the host refuses the namespaces, or the capabilities in them.
    Refused {
        /// Number of the error.
        errno: i32,
    },
    /// From the builder: whoever was to stack the layers cannot.
    Unstacked {
        /// Why not.
        text: String,
    },
    /// From the server of the layers: what they say was deleted, of the places that mounts need; `None` where that is too much to tell.
    Deleted(Option<Vec<PathBuf>>),
    /// From the process that entered the root: the container's first process, as the host knows it.
    Started(Pid),
    /// From the container: the host does not give it everything.
    Lacking(Lack),
    /// To the container: the instance is known to others, and its program may begin.
    Registered,
    /// From the container: the program is about to run.
    Running,
    /// From the container: the socket at which programs of the host are asked for.
    Portal(OwnedFd),
    /// From the container: a socket at which programs in it reach a message bus.
    Bus {
        /// The socket.
        listener: OwnedFd,
        /// Where it is in the container.
        target: PathBuf,
    },
    /// To the container: the way to who wants to run a further program in it.
    Guest(OwnedFd),
    /// From a guest: what to run, and the standard streams for it.
    Visit {
        /// Input, output and error.
        streams: [OwnedFd; 3],
        /// A file with the [`Visit`](super::guest::Visit).
        visit: OwnedFd,
    },
    /// From a guest: a signal for its program.
    Signal(Signal),
    /// From the container: the main side of its terminal.
    Terminal(OwnedFd),
    /// From the container: the program was stopped.
    Stopped(Signal),
    /// To the container: the program begins or goes on.
    Go {
        /// Whether it has the terminal.
        foreground: bool,
    },
    /// From the container: what the program, which has ended, may have missed.
    Missed {
        /// One line for the user.
        text: String,
    },
    /// From the container: the program has ended, and every other process with it.
    Ended {
        /// The exit code.
        code: u8,
    },
    /// From the container: the program could not be started.
    Failed {
        /// The exit code.
        code: u8,
        /// One line for the user.
        text: String,
    },
}

/// One end of the connection.
#[derive(Debug)]
pub struct Channel(OwnedFd);

impl Channel {
    /// Two connected ends, both close-on-exec.
    ///
    /// # Errors
    /// As socketpair(2).
    pub fn pair() -> io::Result<(Channel, Channel)> {
        let (one, other) = socketpair(
            AddressFamily::Unix,
            SockType::SeqPacket,
            None,
            SockFlag::SOCK_CLOEXEC,
        )?;
        Ok((Channel(one), Channel(other)))
    }

    /// Sends one message.
    ///
    /// # Errors
    /// `EPIPE` when the other end is gone.
    pub fn send(&self, message: &Message) -> io::Result<()> {
        match message {
            Message::Mapped => self.send_bytes(b"M", &[]),
            Message::Fuse(fd) => self.send_bytes(b"F", &[fd.as_fd()]),
            Message::Ready => self.send_bytes(b"Y", &[]),
            Message::Deleted(paths) => {
                let told = paths.as_ref().map(|paths| told(paths));
                match told.filter(|told| told.len() <= LONGEST) {
                    Some(told) => self.send_bytes(&told, &[]),
                    None => self.send_bytes(b"W", &[]),
                }
            }
            Message::Root {
                user,
                mounts,
                servers,
            } => {
                let fds = [user, mounts].into_iter().chain(servers);
                self.send_bytes(b"R", &fds.map(AsFd::as_fd).collect::<Vec<_>>())
            }
            Message::Lent {
                user,
                mounts,
                nested,
            } => self.send_bytes(b"L", &[user.as_fd(), mounts.as_fd(), nested.as_fd()]),
            Message::Refused { errno } => {
                let errno = errno.to_le_bytes();
                self.send_bytes(&[b"X", &errno[..]].concat(), &[])
            }
            Message::Unstacked { text } => {
                let text = &text.as_bytes()[..text.len().min(LONGEST - 1)];
                self.send_bytes(&[b"U", text].concat(), &[])
            }
            Message::Started(pid) => {
                let pid = pid.as_raw().to_le_bytes();
                self.send_bytes(&[b"S", &pid[..]].concat(), &[])
            }
            Message::Lacking(lack) => self.send_bytes(
                match lack {
                    Lack::Processes => b"Hp",
                    // No others are found by the container.
                    _ => b"Hh",
                },
                &[],
            ),
            Message::Registered => self.send_bytes(b"N", &[]),
            Message::Running => self.send_bytes(b"B", &[]),
            Message::Portal(fd) => self.send_bytes(b"P", &[fd.as_fd()]),
            Message::Bus { listener, target } => {
                let target = target.as_os_str().as_bytes();
                self.send_bytes(&[b"O", target].concat(), &[listener.as_fd()])
            }
            Message::Guest(fd) => self.send_bytes(b"I", &[fd.as_fd()]),
            Message::Visit { streams, visit } => {
                let fds = streams.iter().chain([visit]);
                self.send_bytes(b"V", &fds.map(AsFd::as_fd).collect::<Vec<_>>())
            }
            Message::Signal(signal) => self.send_bytes(&[b'K', *signal as u8], &[]),
            Message::Terminal(fd) => self.send_bytes(b"T", &[fd.as_fd()]),
            Message::Stopped(signal) => self.send_bytes(&[b'Z', *signal as u8], &[]),
            Message::Go { foreground } => self.send_bytes(&[b'G', u8::from(*foreground)], &[]),
            Message::Missed { text } => {
                let text = &text.as_bytes()[..text.len().min(LONGEST - 1)];
                self.send_bytes(&[b"J", text].concat(), &[])
            }
            Message::Ended { code } => self.send_bytes(&[b'D', *code], &[]),
            Message::Failed { code, text } => {
                let text = &text.as_bytes()[..text.len().min(LONGEST - 2)];
                self.send_bytes(&[b"E", &[*code][..], text].concat(), &[])
            }
        }
    }

    fn send_bytes(&self, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        send_packet(self.0.as_fd(), bytes, fds)
    }

    /// Waits for a message; `None` when the other end is gone.
    ///
    /// # Errors
    /// As recvmsg(2); `InvalidData` for a message that is none of ours.
    pub fn receive(&self) -> io::Result<Option<Message>> {
        let mut bytes = [0; LONGEST];
        let mut receive = || receive_with_descriptors(self.0.as_fd(), &mut bytes);
        let (length, fds) = match receive() {
            // The other end was closed before it had read everything. What it said is told after that (`unix_release_sock` in
            // net/unix/af_unix.c, `__skb_try_recv_datagram` in net/core/datagram.c).
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => receive()?,
            received => received?,
        };
        let mut fds = fds.into_iter();
        Ok(Some(match (&bytes[..length], fds.next(), fds.next()) {
            ([], _, _) => return Ok(None),
            (b"M", _, _) => Message::Mapped,
            (b"F", Some(fd), _) => Message::Fuse(fd),
            (b"Y", _, _) => Message::Ready,
            (b"R", Some(user), Some(mounts)) => Message::Root {
                user,
                mounts,
                servers: fds.collect(),
            },
            (b"L", Some(user), Some(mounts)) => match fds.next() {
                Some(nested) => Message::Lent {
                    user,
                    mounts,
                    nested,
                },
                None => return Err(io::ErrorKind::InvalidData.into()),
            },
            ([b'X', errno @ ..], _, _) => Message::Refused {
                errno: number(errno)?,
            },
            ([b'U', text @ ..], _, _) => Message::Unstacked {
                text: String::from_utf8_lossy(text).into_owned(),
            },
            ([b'S', pid @ ..], _, _) => Message::Started(Pid::from_raw(number(pid)?)),
            (b"Hp", _, _) => Message::Lacking(Lack::Processes),
            (b"Hh", _, _) => Message::Lacking(Lack::HostName),
            (b"W", _, _) => Message::Deleted(None),
            ([b'C', paths @ ..], _, _) => {
                let paths = paths.split(|byte| *byte == 0);
                let paths = paths.filter(|path| !path.is_empty());
                let path = |path| PathBuf::from(OsStr::from_bytes(path));
                Message::Deleted(Some(paths.map(path).collect()))
            }
            (b"N", _, _) => Message::Registered,
            (b"B", _, _) => Message::Running,
            (b"P", Some(fd), _) => Message::Portal(fd),
            ([b'O', target @ ..], Some(listener), _) => Message::Bus {
                listener,
                target: OsStr::from_bytes(target).into(),
            },
            (b"I", Some(fd), _) => Message::Guest(fd),
            (b"V", Some(input), Some(output)) => match (fds.next(), fds.next()) {
                (Some(error), Some(visit)) => Message::Visit {
                    streams: [input, output, error],
                    visit,
                },
                _ => return Err(io::ErrorKind::InvalidData.into()),
            },
            ([b'K', signal], _, _) => Message::Signal(Signal::try_from(i32::from(*signal))?),
            (b"T", Some(fd), _) => Message::Terminal(fd),
            ([b'Z', signal], _, _) => Message::Stopped(Signal::try_from(i32::from(*signal))?),
            ([b'G', foreground], _, _) => Message::Go {
                foreground: *foreground != 0,
            },
            ([b'J', text @ ..], _, _) => Message::Missed {
                text: String::from_utf8_lossy(text).into_owned(),
            },
            ([b'D', code], _, _) => Message::Ended { code: *code },
            ([b'E', code, text @ ..], _, _) => Message::Failed {
                code: *code,
                text: String::from_utf8_lossy(text).into_owned(),
            },
            _ => return Err(io::ErrorKind::InvalidData.into()),
        }))
    }

    /// Whether the other end is still there.
    ///
    /// # Errors
    /// As poll(2).
    pub fn is_open(&self) -> io::Result<bool> {
        let mut waited = [PollFd::new(self.0.as_fd(), PollFlags::empty())];
        poll(&mut waited, PollTimeout::ZERO)?;
        Ok(!waited[0].any().unwrap_or(true))
    }
}

fn number(bytes: &[u8]) -> io::Result<i32> {
    let bytes = bytes.try_into();
    bytes
        .map(i32::from_le_bytes)
        .map_err(|_| io::ErrorKind::InvalidData.into())
}

/// Sends one packet with descriptors. Never raises `SIGPIPE`.
///
/// # Errors
/// As sendmsg(2).
pub fn send_packet(socket: BorrowedFd<'_>, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    send_some(socket, bytes, fds).map(drop)
}

/// As [`Message::Deleted`] passes: no path has a zero byte.
fn told(paths: &[PathBuf]) -> Vec<u8> {
    let mut bytes = vec![b'C'];
    for path in paths {
        bytes.extend_from_slice(path.as_os_str().as_bytes());
        bytes.push(0);
    }
    bytes
}

/// Sends as much as goes at once, with descriptors; answers how many bytes that was. Never raises `SIGPIPE`.
///
/// # Errors
/// As sendmsg(2).
pub fn send_some(
    socket: BorrowedFd<'_>,
    bytes: &[u8],
    fds: &[BorrowedFd<'_>],
) -> io::Result<usize> {
    let fds: Vec<_> = fds.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&fds)];
    let rights = if fds.is_empty() { &[][..] } else { &rights };
    let data = [IoSlice::new(bytes)];
    let flags = MsgFlags::MSG_NOSIGNAL;
    Ok(sendmsg::<UnixAddr>(
        socket.as_raw_fd(),
        &data,
        rights,
        flags,
        None,
    )?)
}

impl From<OwnedFd> for Channel {
    fn from(end: OwnedFd) -> Channel {
        Channel(end)
    }
}

impl From<Channel> for OwnedFd {
    fn from(channel: Channel) -> OwnedFd {
        channel.0
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests;
