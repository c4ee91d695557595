//! How a start gets the root of a running instance.
//!
//! Every supervisor listens on an abstract unix socket: nothing of it is left when it is killed. The name holds the token
//! of the data directory, which is no secret: `/proc/net/unix` shows it. Whoever connects gets one packet, with the key of the root and the
//! descriptors of it, and the connection is closed: neither side ever waits for the other to say more.
//!
//! The descriptors are power over every instance, and whoever enters namespaces is in the power of who made them. So both
//! ends deal with the same user only, and only with a process in their own user namespace: a program in a container
//! with the host's network can see the socket, or take a name that has become free, and is not in it.

use std::borrow::Cow;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use serde::{Deserialize, Serialize};

use super::{Key, SharedRoot};
use crate::data::instances::Living;
use crate::sandbox::channel::send_packet;
use crate::sandbox::peer::{self, becomes_readable, is_one_of_us};
use crate::sys::{accept, receive_with_descriptors};

/// Bytes of the longest packet.
const LONGEST: usize = 4096;

/// Where the root of an instance can be had.
#[derive(Debug)]
pub struct Listener(OwnedFd);

/// The text of the packet. The descriptors that come with it are those of the user namespace, the mount namespace, the
/// servers, and, when layers are unpacked or the root is mounted outside, of the lease.
#[derive(Serialize, Deserialize)]
struct Packet<'a> {
    key: Cow<'a, Key>,
    servers: usize,
}

/// What a supervisor answers.
#[derive(Debug)]
pub enum Answer {
    /// Its root.
    Root(Key, SharedRoot),
    /// It has ended, or is about to.
    Gone,
    /// It runs and does not answer.
    Silent,
}

fn name(token: &str, id: u64) -> String {
    format!("flatimage-{token}-{id}")
}

impl Listener {
    /// Listens for the instance `id` of the data directory with this token.
    ///
    /// # Errors
    /// As bind(2); `EADDRINUSE` when somebody else has the name.
    pub fn new(token: &str, id: u64) -> io::Result<Listener> {
        peer::listen(&name(token, id)).map(Listener)
    }

    /// Answers one start that asks. Never waits.
    pub fn answer(&self, key: &Key, root: &SharedRoot) {
        let packet = Packet {
            key: Cow::Borrowed(key),
            servers: root.servers.len(),
        };
        let (Ok(peer), Ok(text)) = (accept(self.0.as_fd()), serde_json::to_vec(&packet)) else {
            return;
        };
        if is_one_of_us(peer.as_fd()) && root.is_served() {
            let mut fds = vec![root.user.as_fd(), root.mounts.as_fd()];
            fds.extend(root.servers.iter().chain(&root.lease).map(AsFd::as_fd));
            // Who is gone meanwhile needs no answer.
            let _ = send_packet(peer.as_fd(), &text, &fds);
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Asks the supervisor of an instance for its root.
///
/// # Errors
/// When no socket can be made.
pub fn ask(token: &str, instance: Living) -> io::Result<Answer> {
    let Some(socket) = peer::connect(&name(token, instance.id))? else {
        return Ok(unreachable(instance.pid));
    };
    // Whoever it is, it is not the supervisor.
    if !is_one_of_us(socket.as_fd()) {
        return Ok(unreachable(instance.pid));
    }
    if !becomes_readable(socket.as_fd()) {
        return Ok(Answer::Silent);
    }
    let mut bytes = [0; LONGEST];
    let Ok((length, fds)) = receive_with_descriptors(socket.as_fd(), &mut bytes) else {
        return Ok(Answer::Gone);
    };
    let mut fds = fds.into_iter();
    let packet = serde_json::from_slice::<Packet<'_>>(&bytes[..length]);
    let (Ok(packet), Some(user), Some(mounts)) = (packet, fds.next(), fds.next()) else {
        return Ok(Answer::Gone);
    };
    let root = SharedRoot {
        user,
        mounts,
        servers: fds.by_ref().take(packet.servers).collect(),
        lease: fds.next(),
    };
    Ok(match root.is_served() {
        true => Answer::Root(packet.key.into_owned(), root),
        false => Answer::Gone,
    })
}

/// Nobody listens: the supervisor has ended, or listens in another network namespace, of which
/// only the first passes.
fn unreachable(pid: u32) -> Answer {
    match peer::outlives_patience(pid) {
        true => Answer::Silent,
        false => Answer::Gone,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use nix::unistd::Pid;

    use super::*;
    use crate::sys::open_process;

    /// Asks for instance 0 of `token` while `listener` is answered by `answer`.
    fn asked(token: &str, listener: &Listener, answer: impl Fn()) -> Answer {
        let living = Living {
            id: 0,
            pid: std::process::id(),
        };
        std::thread::scope(|scope| {
            let asking = scope.spawn(|| ask(token, living).unwrap());
            let mut waited = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
            poll(&mut waited, PollTimeout::NONE).unwrap();
            answer();
            asking.join().unwrap()
        })
    }

    fn root() -> SharedRoot {
        let open = |name: &str| {
            fs::File::open(format!("/proc/self/ns/{name}"))
                .unwrap()
                .into()
        };
        SharedRoot {
            user: open("user"),
            mounts: open("mnt"),
            servers: vec![open_process(Pid::this()).unwrap()],
            lease: Some(fs::File::open("/dev/null").unwrap().into()),
        }
    }

    #[test]
    fn a_root_arrives_with_everything_that_keeps_it() {
        let listener = Listener::new("test-whole", 0).unwrap();
        let key = Key::test("layers");
        let Answer::Root(found, given) =
            asked("test-whole", &listener, || listener.answer(&key, &root()))
        else {
            panic!("no root");
        };
        assert_eq!(found, key);
        assert_eq!((given.servers.len(), given.lease.is_some()), (1, true));
    }

    #[test]
    fn who_closes_without_an_answer_is_gone() {
        let listener = Listener::new("test-gone", 0).unwrap();
        let answer = asked("test-gone", &listener, || drop(accept(listener.as_fd())));
        assert!(matches!(answer, Answer::Gone), "{answer:?}");
    }
}
