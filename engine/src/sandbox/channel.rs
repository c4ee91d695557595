//! What the supervisor and the first process of the container say to each other.
//!
//! A pair of `SOCK_SEQPACKET` sockets: one message is one packet, a closed end is the end of
//! the process behind it. The first byte says what a message is.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, UnixAddr, sendmsg, socketpair,
};

use crate::sys::receive_with_descriptor;

/// The longest message in bytes; a longer text is cut.
const LONGEST: usize = 4096;

/// One message.
#[derive(Debug)]
pub enum Message {
    /// To the container: the id maps are written.
    Mapped,
    /// From the container: the descriptor of the mounted FUSE filesystem, to be served.
    Fuse(OwnedFd),
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
        let (bytes, fd) = match message {
            Message::Mapped => (vec![b'M'], None),
            Message::Fuse(fd) => (vec![b'F'], Some([fd.as_raw_fd()])),
            Message::Ended { code } => (vec![b'D', *code], None),
            Message::Failed { code, text } => {
                let text = &text.as_bytes()[..text.len().min(LONGEST - 2)];
                ([b"E", &[*code][..], text].concat(), None)
            }
        };
        let rights: Vec<ControlMessage<'_>> =
            fd.iter().map(|fd| ControlMessage::ScmRights(fd)).collect();
        let data = [IoSlice::new(&bytes)];
        sendmsg::<UnixAddr>(
            self.0.as_raw_fd(),
            &data,
            &rights,
            MsgFlags::MSG_NOSIGNAL,
            None,
        )?;
        Ok(())
    }

    /// Waits for a message; `None` when the other end is gone.
    ///
    /// # Errors
    /// As recvmsg(2); `InvalidData` for a message that is none of ours.
    pub fn receive(&self) -> io::Result<Option<Message>> {
        let mut bytes = [0; LONGEST];
        let (length, fd) = receive_with_descriptor(self.0.as_fd(), &mut bytes)?;
        Ok(Some(match (&bytes[..length], fd) {
            ([], _) => return Ok(None),
            (b"M", _) => Message::Mapped,
            (b"F", Some(fd)) => Message::Fuse(fd),
            ([b'D', code], _) => Message::Ended { code: *code },
            ([b'E', code, text @ ..], _) => Message::Failed {
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

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::Read;

    #[test]
    fn messages_arrive_whole_and_with_their_descriptor() {
        let (one, other) = Channel::pair().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        std::fs::write(&path, "contents").unwrap();
        one.send(&Message::Fuse(File::open(&path).unwrap().into()))
            .unwrap();
        one.send(&Message::Failed {
            code: 127,
            text: "no `x`".into(),
        })
        .unwrap();
        drop(one);
        let Some(Message::Fuse(fd)) = other.receive().unwrap() else {
            panic!("no descriptor")
        };
        let mut text = String::new();
        File::from(fd).read_to_string(&mut text).unwrap();
        assert_eq!(text, "contents");
        let Some(Message::Failed { code: 127, text }) = other.receive().unwrap() else {
            panic!("no failure")
        };
        assert_eq!(text, "no `x`");
        assert!(other.receive().unwrap().is_none());
    }
}
