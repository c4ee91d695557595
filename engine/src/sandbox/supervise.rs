//! The supervisor while the program runs: it hands on signals, gives the root to further starts, and answers how the
//! program ended. It waits for whatever comes first and never looks at a clock.

use std::cell::Cell;
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
use super::{descendants, init, refusal, signals};
use crate::bus;
use crate::host::Stream;
use crate::plan::{Lack, Plan};
use crate::portal::Portal;

mod jobs;

/// Whose program it is.
pub enum Of<'a> {
    /// That of an instance, which the process enters.
    Instance(&'a Obtained, Pid),
    /// That of a guest in an instance of somebody else.
    Guest,
}

/// Supervises a program until it has ended.
///
/// # Errors
/// When the program could not be started, or a process that the root needs has ended.
pub fn supervise(of: Of<'_>, connection: &Connection<'_>) -> Result<u8, Failure> {
    let (obtained, entering, first) = match of {
        Of::Instance(obtained, entering) => (Some(obtained), Some(entering), None),
        Of::Guest => (None, None, Some(First::Told)),
    };
    let mut container = Container {
        connection,
        obtained,
        entering,
        first,
        is_running: false,
        held: Vec::new(),
        terminal: None,
        portal: None,
    };
    loop {
        let ready = container.wait()?;
        if let Some(code) = container.act(ready)? {
            return Ok(code);
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
    /// Set when the instance did not begin, because the host does not give it everything.
    pub lack: Cell<Option<Lack>>,
    /// Set when the program has failed and it is known what it may have missed.
    pub missed: Cell<Option<String>>,
    /// The plan of the instance; not of a guest.
    pub plan: Option<&'a Plan>,
}

/// What there is to do.
struct Ready {
    terminal: Option<[PollFlags; 2]>,
    message: bool,
    signal: bool,
    start: bool,
    guest: bool,
    server: bool,
    portal: Vec<bool>,
}

/// How the first process of a program is reached.
#[derive(Clone, Copy)]
enum First {
    /// It is a child of the supervisor.
    Child(Pid),
    /// It is told everything.
    Told,
}

/// The processes of the instance, as far as they are known.
struct Container<'a> {
    connection: &'a Connection<'a>,
    /// The root and who may ask for it; not of a guest.
    obtained: Option<&'a Obtained>,
    /// The one that enters the root; not of a guest.
    entering: Option<Pid>,
    /// The first process of the container, once it is started.
    first: Option<First>,
    /// Whether the program runs, or is about to.
    is_running: bool,
    /// Signals that came before it was.
    held: Vec<Signal>,
    /// Its terminal, while the caller's is there.
    terminal: Option<Terminal>,
    /// Where it asks for programs of the host, if it may.
    portal: Option<Portal>,
}

impl Container<'_> {
    /// Does what there is to do; answers the exit code if the program has ended.
    fn act(&mut self, ready: Ready) -> Result<Option<u8>, Failure> {
        if let Some(events) = ready.terminal {
            self.copy(events);
        }
        if ready.message {
            match self.hear() {
                // What else went wrong did so because of that.
                Err(_) if !self.is_served() => return Err(Failure::unserved()),
                Ok(None) => {}
                ended => return ended,
            }
        }
        if ready.server {
            self.end();
            return Err(Failure::unserved());
        }
        if let Some(obtained) = self.obtained {
            if let (true, Some(listener)) = (ready.start, &obtained.listener) {
                listener.answer(&obtained.key, &obtained.root);
            }
            if let (true, Some(door)) = (ready.guest, &obtained.door) {
                door.let_in(&self.connection.channel);
            }
        }
        if let Some(portal) = &mut self.portal {
            portal.act(&ready.portal);
        }
        if ready.signal {
            self.take_signal()?;
        }
        Ok(None)
    }

    fn is_served(&self) -> bool {
        self.obtained
            .is_none_or(|obtained| obtained.root.is_served())
    }

    fn wait(&self) -> Result<Ready, Failure> {
        let readable = PollFlags::POLLIN;
        let mut waited = vec![
            PollFd::new(self.connection.channel.as_fd(), readable),
            PollFd::new(self.connection.signals.as_fd(), readable),
        ];
        let starts = waited.len();
        let obtained = self.obtained;
        let listener = obtained.and_then(|obtained| obtained.listener.as_ref());
        waited.extend(listener.map(|fd| PollFd::new(fd.as_fd(), readable)));
        let guests = waited.len();
        // Before the program runs the container would not understand.
        let door = obtained.and_then(|obtained| obtained.door.as_ref());
        let door = door.filter(|_| self.is_running);
        waited.extend(door.map(|fd| PollFd::new(fd.as_fd(), readable)));
        let servers = waited.len();
        let processes = obtained.iter().flat_map(|obtained| &obtained.root.servers);
        waited.extend(processes.map(|fd| PollFd::new(fd.as_fd(), readable)));
        let portal = waited.len();
        waited.extend(self.portal.iter().flat_map(Portal::waited));
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
            start: waited[starts..guests].iter().any(ready),
            guest: waited[guests..servers].iter().any(ready),
            server: waited[servers..portal].iter().any(ready),
            portal: waited[portal..terminal].iter().map(ready).collect(),
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
                self.first = Some(First::Child(first));
                self.send_held();
                Ok(None)
            }
            // The first process of the container is not waited for: what is left of it is
            // the kernel letting go of the mounts, and letting go of an overlay syncs the
            // whole filesystem that the changes are on.
            Some(Message::Ended { code }) => {
                self.show_all();
                Ok(Some(code))
            }
            Some(Message::Running) => {
                self.is_running = true;
                // A container that somebody else has made does not know its first process as the host does.
                self.first = self.first.or(Some(First::Told));
                self.send_held();
                Ok(None)
            }
            Some(Message::Portal(listener)) => {
                let plan = self.connection.plan;
                self.portal = plan.and_then(|plan| Portal::new(listener, plan));
                Ok(None)
            }
            Some(Message::Bus { listener, target }) => {
                let plan = self.connection.plan;
                if let Some((bus, plan)) = plan.and_then(|plan| Some((plan.bus(&target)?, plan))) {
                    bus::serve(listener, bus, plan.lender());
                }
                Ok(None)
            }
            Some(Message::Terminal(inner)) => self.begin(inner).map(|()| None),
            Some(Message::Stopped(signal)) => self.stop(signal).map(|()| None),
            Some(Message::Failed { code, text }) => Err(Failure { code, text }),
            Some(Message::Missed { text }) => {
                self.connection.missed.set(Some(text));
                Ok(None)
            }
            Some(Message::Lacking(lack)) => {
                self.connection.lack.set(Some(lack));
                Err(refusal::explain_lacks(&[lack]))
            }
            Some(_) => Ok(None),
            None => {
                self.show_all();
                self.killed().map(Some)
            }
        }
    }

    /// The end of a container that could not say a word.
    fn killed(&self) -> Result<u8, Failure> {
        let first = match self.first {
            Some(First::Child(first)) => first,
            // Whoever ends with the instance is killed.
            Some(First::Told) if self.is_running => return Ok(128 + Signal::SIGKILL as u8),
            Some(First::Told) => return Err(Failure::ours("the instance has ended")),
            None if self
                .connection
                .plan
                .is_some_and(|plan| plan.boxed().is_some()) =>
            {
                return Err(Failure::ours(
                    "bwrap has not made the container; what it said before this line is why",
                ));
            }
            None => return Err(killed_early()),
        };
        let status = waitpid(first, None).attempting(|| "wait for the container".into())?;
        self.end_descendants();
        init::exit_code(status).ok_or_else(|| Failure::ours("the container stopped"))
    }

    /// Without its server the root answers nothing but errors: the program is ended before it makes
    /// something of them.
    fn end(&self) {
        if let Some(First::Child(first)) = self.first {
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
        // What the caller's terminal sends reaches only programs in the caller's process group.
        let is_apart = !self.connection.streams.is_empty() || self.obtained.is_none();
        match signals::to_hand_on(received, is_apart) {
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
            Some(First::Child(first)) => drop(kill(first, signal)),
            Some(First::Told) if self.is_running => {
                let _ = self.connection.channel.send(&Message::Signal(signal));
            }
            _ => self.held.push(signal),
        }
    }

    fn send_held(&mut self) {
        for signal in std::mem::take(&mut self.held) {
            self.send(signal);
        }
    }

    /// Takes the status of the process that entered the root. One that was killed may have left behind a container
    /// that nobody knows the id of; it ends with the supervisor.
    fn reap(&mut self) -> Result<(), Failure> {
        if let Some(portal) = &mut self.portal {
            portal.reap();
        }
        let entering = self.entering;
        match entering.map(|pid| waitpid(pid, Some(WaitPidFlag::WNOHANG))) {
            Some(Ok(WaitStatus::Signaled(..))) => Err(killed_early()),
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
