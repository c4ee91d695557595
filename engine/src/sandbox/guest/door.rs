//! Where guests come in.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::data::instances::Living;
use crate::sandbox::channel::{Channel, Message, send_packet};
use crate::sandbox::peer::{self, becomes_readable, is_one_of_us};
use crate::sys::{accept, receive_with_descriptors};

/// Where a supervisor is asked to let a further program into its instance.
#[derive(Debug)]
pub struct Door(OwnedFd);

/// What became of asking.
#[derive(Debug)]
pub enum Knocked {
    /// The way to the process that is the guest's in the instance.
    In(Channel),
    /// The instance has ended.
    Gone,
    /// Nobody of us listens there.
    Refused,
    /// It runs and does not answer.
    Silent,
}

/// The number is the version of what a guest and its process in the instance say to each other.
fn name(token: &str, id: u64) -> String {
    format!("flatimage-{token}-{id}-guests-2")
}

impl Door {
    /// That of the instance `id` of the data directory with this token.
    ///
    /// # Errors
    /// As bind(2); `EADDRINUSE` when somebody else has the name.
    pub fn new(token: &str, id: u64) -> io::Result<Door> {
        peer::listen(&name(token, id)).map(Door)
    }

    /// Lets one in who asks, if it is one of us. Waits for nobody.
    pub fn let_in(&self, container: &Channel) {
        let Ok(guest) = accept(self.0.as_fd()) else {
            return;
        };
        if !is_one_of_us(guest.as_fd()) {
            return;
        }
        let Ok((ours, theirs)) = Channel::pair() else {
            return;
        };
        // The container may have ended, and the guest as well: each of them sees its end closed then.
        if container.send(&Message::Guest(ours.into())).is_ok() {
            let _ = send_packet(guest.as_fd(), b"I", &[theirs.as_fd()]);
        }
    }
}

impl AsFd for Door {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Asks the supervisor of an instance to let this process in.
///
/// # Errors
/// When no socket can be made.
pub fn knock(token: &str, instance: Living) -> io::Result<Knocked> {
    let Some(socket) = peer::connect(&name(token, instance.id))? else {
        return Ok(match peer::outlives_patience(instance.pid) {
            true => Knocked::Refused,
            false => Knocked::Gone,
        });
    };
    if !is_one_of_us(socket.as_fd()) {
        return Ok(Knocked::Refused);
    }
    if !becomes_readable(socket.as_fd()) {
        return Ok(Knocked::Silent);
    }
    let mut byte = [0];
    let received = receive_with_descriptors(socket.as_fd(), &mut byte);
    let channel = received.ok().and_then(|(_, fds)| fds.into_iter().next());
    Ok(channel.map_or(Knocked::Gone, |channel| Knocked::In(channel.into())))
}
