//! The first process of the container while the program runs.

use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::signalfd::{SignalFd, siginfo};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::{end_others, exit_code};
use crate::plan::Exec;
use crate::sandbox::channel::{Channel, Message};
use crate::sandbox::failure::{Attempt, Failure};
use crate::sandbox::guest::Home;
use crate::sandbox::hints::Hints;
use crate::sandbox::terminal::Inside;
use crate::sandbox::{asked, signals};

/// The first process.
pub struct First<'a> {
    /// The program.
    pub program: Pid,
    /// The way to the supervisor.
    pub supervisor: &'a Channel,
    /// The terminal, if the container has one.
    pub terminal: Option<Inside>,
    /// What guests are given; `None` where this is for the program of a guest, which is not the first process.
    pub home: Option<&'a Home<'a>>,
}

impl First<'_> {
    /// Reaps until the program has ended, handing on signals meanwhile. Tells what it may have missed.
    ///
    /// # Errors
    /// When it cannot wait, or the supervisor is gone.
    pub fn supervise(
        mut self,
        signals: &SignalFd,
        (hints, exec): (&Hints<'_>, &Exec),
    ) -> Result<u8, Failure> {
        let ended = self.watch(signals);
        let code = ended.as_ref().ok();
        if let Some(hint) = code.and_then(|code| hints.after(*code, exec)) {
            let _ = self.supervisor.send(&hint);
        }
        end_others(self.home);
        ended
    }

    fn watch(&mut self, signals: &SignalFd) -> Result<u8, Failure> {
        loop {
            if let Some(code) = self.reap().attempting(|| "wait for the program".into())? {
                return Ok(code);
            }
            if self.is_signalled(signals)? {
                let signal = signals
                    .read_signal()
                    .attempting(|| "wait for a signal".into())?;
                self.hand_on(signal.as_ref());
            }
        }
    }

    /// Waits; answers whether it was for a signal.
    fn is_signalled(&mut self, signals: &SignalFd) -> Result<bool, Failure> {
        let readable = PollFlags::POLLIN;
        let questions = self.home.and_then(|home| home.questions.as_ref());
        let mut waited = vec![
            PollFd::new(signals.as_fd(), readable),
            PollFd::new(self.supervisor.as_fd(), readable),
        ];
        waited.extend(questions.map(|questions| PollFd::new(questions.as_fd(), readable)));
        match poll(&mut waited, PollTimeout::NONE) {
            Err(Errno::EINTR) => return Ok(false),
            result => drop(result.attempting(|| "wait for a signal".into())?),
        }
        let ready = |place: usize| waited.get(place).is_some_and(|fd| fd.any() == Some(true));
        let (signalled, told, asked) = (ready(0), ready(1), ready(2));
        if let (true, Some(questions), Some(home)) = (asked, questions, self.home) {
            asked::answer(questions, (&home.wanted, &home.calls));
        }
        if told {
            self.hear()?;
        }
        Ok(signalled)
    }

    fn hear(&mut self) -> Result<(), Failure> {
        match self.supervisor.receive() {
            Ok(Some(Message::Go { foreground })) => {
                if let Some(terminal) = &mut self.terminal {
                    terminal.go(self.program, foreground);
                }
            }
            Ok(Some(Message::Guest(guest))) => {
                if let Some(home) = self.home {
                    home.let_in(guest.into());
                }
            }
            Ok(Some(Message::Signal(signal))) => self.deliver(signal),
            Ok(Some(_)) => {}
            _ => {
                self.deliver(Signal::SIGKILL);
                return Err(Failure::ours("the supervisor is gone"));
            }
        }
        Ok(())
    }

    fn hand_on(&self, received: Option<&siginfo>) {
        let own_terminal = self.terminal.is_some();
        let Some(signal) =
            received.and_then(|received| signals::to_hand_on(received, own_terminal))
        else {
            return;
        };
        self.deliver(signal);
    }

    fn deliver(&self, signal: Signal) {
        // What a terminal sends goes to all that are in front of it.
        let is_for_all = matches!(
            signal,
            Signal::SIGHUP | Signal::SIGINT | Signal::SIGQUIT | Signal::SIGTSTP | Signal::SIGKILL
        );
        let has_group = self.terminal.is_some() || self.home.is_none();
        // It may have ended meanwhile.
        let _ = match has_group && is_for_all {
            true => killpg(self.program, signal),
            false => kill(self.program, signal),
        };
    }

    /// Takes the status of every child that has ended; answers the program's. That it was stopped is told.
    fn reap(&self) -> nix::Result<Option<u8>> {
        let stopped = match self.terminal {
            Some(_) => WaitPidFlag::WUNTRACED,
            None => WaitPidFlag::empty(),
        };
        let mut code = None;
        loop {
            let status = match waitpid(None, Some(WaitPidFlag::WNOHANG | stopped)) {
                Err(Errno::ECHILD) | Ok(WaitStatus::StillAlive) => return Ok(code),
                status => status?,
            };
            if status.pid() != Some(self.program) {
                if let (Some(home), Some(ended)) = (self.home, status.pid()) {
                    home.calls.forget(ended);
                }
                continue;
            }
            match status {
                // Nobody is left to tell when the supervisor is gone.
                WaitStatus::Stopped(_, signal) => {
                    let _ = self.supervisor.send(&Message::Stopped(signal));
                }
                ended => code = exit_code(ended),
            }
        }
    }
}
