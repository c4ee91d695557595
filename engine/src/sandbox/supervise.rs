//! The supervisor while the program runs: it hands on signals, gives the root to further starts, and answers how the
//! program ended. It waits for whatever comes first and never looks at a clock.

use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::sys::signalfd::{SignalFd, siginfo};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::channel::{Channel, Message};
use super::failure::{Attempt, Failure};
use super::shared::Obtained;
use super::terminal::Terminal;
use super::{descendants, init, signals};
use crate::host::Stream;

mod jobs;

/// Supervises the instance that `entering` starts, until its program has ended.
///
/// # Errors
/// When the program could not be started, or a process that the root needs has ended.
pub fn supervise(
    obtained: &Obtained,
    entering: Pid,
    connection: &Connection<'_>,
) -> Result<u8, Failure> {
    let mut container = Container {
        connection,
        entering,
        first: None,
        held: Vec::new(),
        terminal: None,
    };
    loop {
        let ready = container.wait(obtained)?;
        if let Some(events) = ready.terminal {
            container.copy(events);
        }
        if ready.message
            && let Some(code) = container.hear().map_err(|failure| {
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
            container.take_signal()?;
        }
    }
}

/// What a supervisor hears from.
pub struct Connection<'a> {
    /// The way to the instance.
    pub channel: Channel,
    /// The signals of this process.
    pub signals: SignalFd,
    /// The standard streams that a terminal of the container's own stands for.
    pub streams: &'a [Stream],
    /// Where no pid namespace ends what the container has started: the children of this process that are not its.
    pub spared: Option<Vec<Pid>>,
}

/// What there is to do.
struct Ready {
    terminal: Option<[PollFlags; 2]>,
    message: bool,
    signal: bool,
    start: bool,
    server: bool,
}

/// The processes of the instance, as far as they are known.
struct Container<'a> {
    connection: &'a Connection<'a>,
    /// The one that enters the root.
    entering: Pid,
    /// The first process of the container, once it is started.
    first: Option<Pid>,
    /// Signals that came before it was.
    held: Vec<Signal>,
    /// Its terminal, while the caller's is there.
    terminal: Option<Terminal>,
}

impl Container<'_> {
    fn wait(&self, obtained: &Obtained) -> Result<Ready, Failure> {
        let readable = PollFlags::POLLIN;
        let mut waited = vec![
            PollFd::new(self.connection.channel.as_fd(), readable),
            PollFd::new(self.connection.signals.as_fd(), readable),
        ];
        let starts = waited.len();
        let listener = obtained.listener.iter();
        waited.extend(listener.map(|fd| PollFd::new(fd.as_fd(), readable)));
        let servers = waited.len();
        let processes = obtained.root.servers.iter();
        waited.extend(processes.map(|fd| PollFd::new(fd.as_fd(), readable)));
        let terminal = waited.len();
        waited.extend(self.terminal.iter().flat_map(Terminal::waited));
        match poll(&mut waited, PollTimeout::NONE) {
            Err(Errno::EINTR) => {}
            result => drop(result.attempting(|| "wait for the container".into())?),
        }
        let events = |fd: &PollFd<'_>| fd.revents().unwrap_or(PollFlags::empty());
        let ready = |fd: &PollFd<'_>| fd.any().unwrap_or(false);
        Ok(Ready {
            message: ready(&waited[0]),
            signal: ready(&waited[1]),
            start: waited[starts..servers].iter().any(ready),
            server: waited[servers..terminal].iter().any(ready),
            terminal: match &waited[terminal..] {
                [outer, inner] => Some([events(outer), events(inner)]),
                _ => None,
            },
        })
    }

    /// Takes one message; answers the exit code if that is what it says.
    fn hear(&mut self) -> Result<Option<u8>, Failure> {
        let message = self.connection.channel.receive();
        match message.attempting(|| "hear from the container".into())? {
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
            Some(Message::Ended { code }) => {
                self.show_all();
                Ok(Some(code))
            }
            Some(Message::Terminal(inner)) => self.begin(inner).map(|()| None),
            Some(Message::Stopped(signal)) => self.stop(signal).map(|()| None),
            Some(Message::Failed { code, text }) => Err(Failure { code, text }),
            Some(_) => Ok(None),
            None => {
                self.show_all();
                self.killed().map(Some)
            }
        }
    }

    /// The end of a container that could not say a word.
    fn killed(&self) -> Result<u8, Failure> {
        let first = self.first.ok_or_else(killed_early)?;
        let status = waitpid(first, None).attempting(|| "wait for the container".into())?;
        self.end_descendants();
        init::exit_code(status).ok_or_else(|| Failure::ours("the container stopped"))
    }

    /// Without its server the root answers nothing but errors: the program is ended before it makes
    /// something of them.
    fn end(&self) {
        if let Some(first) = self.first {
            // It may have ended by itself meanwhile.
            let _ = kill(first, Signal::SIGKILL);
        }
        self.end_descendants();
    }

    fn end_descendants(&self) {
        if let Some(spared) = &self.connection.spared {
            descendants::end(spared);
        }
    }

    fn take_signal(&mut self) -> Result<(), Failure> {
        let received = self.connection.signals.read_signal();
        match received.attempting(|| "wait for a signal".into())? {
            Some(received) => self.act_on(&received),
            None => Ok(()),
        }
    }

    fn act_on(&mut self, received: &siginfo) -> Result<(), Failure> {
        let own_terminal = !self.connection.streams.is_empty();
        match signals::to_hand_on(received, own_terminal) {
            Some(signal) => self.send(signal),
            None if is(received, Signal::SIGWINCH) => {
                self.terminal.iter().for_each(Terminal::resize);
            }
            None if is(received, Signal::SIGCONT) => self.go_on(false),
            None => self.reap()?,
        }
        Ok(())
    }

    /// Sends the container a signal, now or once it is there.
    fn send(&mut self, signal: Signal) {
        match self.first {
            // It may have ended meanwhile.
            Some(first) => drop(kill(first, signal)),
            None => self.held.push(signal),
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

fn is(received: &siginfo, signal: Signal) -> bool {
    received.ssi_signo == signal as u32
}
