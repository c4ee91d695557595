//! The supervisor while the program runs: it hands on signals, gives the root to further starts, and answers how the
//! program ended. It waits for whatever comes first and never looks at a clock.

use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::sys::signalfd::SignalFd;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::channel::{Channel, Message};
use super::failure::{Attempt, Failure};
use super::shared::Obtained;
use super::{init, signals};

/// Supervises the instance that `entering` starts, until its program has ended.
///
/// # Errors
/// When the program could not be started, or a process that the root needs has ended.
pub fn supervise(
    obtained: &Obtained,
    entering: Pid,
    channel: &Channel,
    signals: &SignalFd,
) -> Result<u8, Failure> {
    let mut container = Container {
        entering,
        first: None,
        held: Vec::new(),
    };
    loop {
        let ready = wait(obtained, channel, signals)?;
        if ready.message
            && let Some(code) = container.hear(channel).map_err(|failure| {
                // What else went wrong did so because of that.
                match obtained.root.is_served() {
                    true => failure,
                    false => Failure::unserved(),
                }
            })?
        {
            return Ok(code);
        }
        if ready.server {
            container.end();
            return Err(Failure::unserved());
        }
        if ready.start
            && let Some(listener) = &obtained.listener
        {
            listener.answer(&obtained.key, &obtained.root);
        }
        if ready.signal {
            container.take_signal(signals)?;
        }
    }
}

/// What there is to do.
struct Ready {
    message: bool,
    signal: bool,
    start: bool,
    server: bool,
}

fn wait(obtained: &Obtained, channel: &Channel, signals: &SignalFd) -> Result<Ready, Failure> {
    let readable = PollFlags::POLLIN;
    let mut waited = vec![
        PollFd::new(channel.as_fd(), readable),
        PollFd::new(signals.as_fd(), readable),
    ];
    waited.extend(
        obtained
            .listener
            .iter()
            .map(|fd| PollFd::new(fd.as_fd(), readable)),
    );
    let servers = waited.len();
    waited.extend(
        obtained
            .root
            .servers
            .iter()
            .map(|fd| PollFd::new(fd.as_fd(), readable)),
    );
    match poll(&mut waited, PollTimeout::NONE) {
        Err(Errno::EINTR) => {}
        result => drop(result.attempting(|| "wait for the container".into())?),
    }
    let ready = |fd: &PollFd<'_>| fd.any().unwrap_or(false);
    Ok(Ready {
        message: ready(&waited[0]),
        signal: ready(&waited[1]),
        start: waited[2..servers].iter().any(ready),
        server: waited[servers..].iter().any(ready),
    })
}

/// The processes of the instance, as far as they are known.
struct Container {
    /// The one that enters the root.
    entering: Pid,
    /// The first process of the container, once it is started.
    first: Option<Pid>,
    /// Signals that came before it was.
    held: Vec<Signal>,
}

impl Container {
    /// Takes one message; answers the exit code if that is what it says.
    fn hear(&mut self, channel: &Channel) -> Result<Option<u8>, Failure> {
        match channel
            .receive()
            .attempting(|| "hear from the container".into())?
        {
            Some(Message::Started(first)) => {
                self.first = Some(first);
                for signal in self.held.drain(..) {
                    let _ = kill(first, signal);
                }
                Ok(None)
            }
            // The first process of the container is not waited for: what is left of it is
            // the kernel letting go of the mounts, and letting go of an overlay syncs the
            // whole filesystem that the changes are on.
            Some(Message::Ended { code }) => Ok(Some(code)),
            Some(Message::Failed { code, text }) => Err(Failure { code, text }),
            Some(_) => Ok(None),
            None => self.killed().map(Some),
        }
    }

    /// The end of a container that could not say a word.
    fn killed(&self) -> Result<u8, Failure> {
        let first = self.first.ok_or_else(killed_early)?;
        let status = waitpid(first, None).attempting(|| "wait for the container".into())?;
        init::exit_code(status).ok_or_else(|| Failure::ours("the container stopped"))
    }

    /// Without its server the root answers nothing but errors: the program is ended before it makes
    /// something of them.
    fn end(&self) {
        if let Some(first) = self.first {
            // It may have ended by itself meanwhile.
            let _ = kill(first, Signal::SIGKILL);
        }
    }

    fn take_signal(&mut self, signals: &SignalFd) -> Result<(), Failure> {
        let received = signals
            .read_signal()
            .attempting(|| "wait for a signal".into())?;
        let Some(received) = received else {
            return Ok(());
        };
        match (signals::to_hand_on(&received), self.first) {
            (Some(signal), Some(first)) => {
                // It may have ended meanwhile.
                let _ = kill(first, signal);
                Ok(())
            }
            (Some(signal), None) => {
                self.held.push(signal);
                Ok(())
            }
            (None, _) => self.reap(),
        }
    }

    /// Takes the status of the process that entered the root. One that was killed may have left behind a container
    /// that nobody knows the id of; it ends with the supervisor.
    fn reap(&self) -> Result<(), Failure> {
        match waitpid(self.entering, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Signaled(..)) => Err(killed_early()),
            _ => Ok(()),
        }
    }
}

fn killed_early() -> Failure {
    Failure::ours("the container was killed while it started")
}
