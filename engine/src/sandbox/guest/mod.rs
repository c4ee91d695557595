//! Further programs in an instance that runs.
//!
//! A guest is started by the first process of the instance, so that it is in everything that the instance's own programs are
//! in: namespaces, root, ids, capabilities, filter, keyring. Nothing has to be found out or entered again, and it ends with
//! the instance.
//!
//! 1. Whoever wants to run one connects to the [`Door`] of the supervisor, which looks who it is, and gives it one end
//!    of a new [`Channel`]. The other end goes to the first process. The supervisor does not wait, and has nothing more
//!    to do with it.
//! 2. The first process forks a process for the guest ([`Home::let_in`]), which hears from the channel what to run, and
//!    does for the guest's program what the first process does for that of the instance: terminal, signals, exit code.
//! 3. The caller supervises it as it would an instance of its own. When it is killed the channel closes, and the program
//!    is ended.

use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use super::channel::{Channel, Message};
use super::failure::{Attempt, Failure};
use super::{hints, signals, supervise};
use crate::data::instances::Living;

mod door;
mod inside;
mod request;

pub use door::Door;
use door::{Knocked, knock};
pub use inside::Home;
pub use request::Visit;

/// Runs a program in the instance that is reached with `token`; answers its exit code.
///
/// # Errors
/// When the instance is another user's or has ended, or the program cannot be started.
pub fn visit(visit: &Visit, token: &str, instance: Living) -> Result<u8, Failure> {
    let signals =
        signals::block(!visit.terminal.is_empty()).attempting(|| "block signals".into())?;
    let Living { id, pid } = instance;
    let knocked = knock(token, instance).attempting(|| "reach the instance".into())?;
    let channel = match knocked {
        Knocked::In(channel) => channel,
        Knocked::Gone => return Err(Failure::ours(format!("instance {id} has ended"))),
        Knocked::Refused => {
            return Err(Failure::ours(format!(
                "instance {id} (process {pid}) lets nobody in: it was started by another user or by another version of the \
                 program"
            )));
        }
        Knocked::Silent => {
            return Err(Failure::ours(format!(
                "instance {id} (process {pid}) does not answer: it is stopped, or in another network namespace"
            )));
        }
    };
    ask(visit, &channel).attempting(|| format!("ask instance {id}"))?;
    let connection = supervise::Connection {
        channel,
        signals,
        streams: &visit.terminal,
        lack: Cell::new(None),
        missed: Cell::new(None),
        plan: None,
        spared: None,
    };
    let ended = supervise::supervise(supervise::Of::Guest, &connection);
    hints::say(connection.missed.take());
    ended
}

fn ask(visit: &Visit, channel: &Channel) -> io::Result<()> {
    let own = |stream: &dyn AsFd| stream.as_fd().try_clone_to_owned();
    let streams: [OwnedFd; 3] = [own(&io::stdin())?, own(&io::stdout())?, own(&io::stderr())?];
    channel.send(&Message::Visit {
        streams,
        visit: visit.write()?,
    })
}
