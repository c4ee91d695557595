//! The terminal of the container as its first process has it.
//!
//! The first process leads the session and the program has a process group of its own: one that led the session could not
//! be stopped, because nobody would be left in it to continue it (setpgid(2), orphaned process groups).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::fcntl::{OFlag, openat};
use nix::sys::signal::{Signal, killpg};
use nix::sys::stat::Mode;
use nix::unistd::{
    Pid, dup2_stderr, dup2_stdin, dup2_stdout, getsid, setpgid, setsid, tcgetpgrp, tcsetpgrp,
};

use crate::host::Stream;
use crate::sandbox::channel::{Channel, Message};
use crate::sandbox::failure::{Attempt, Failure};
use crate::sys::{control, open_peer};

/// The container's terminal. It holds the program's side open, so that the supervisor hears of its end from us.
pub struct Inside {
    terminal: OwnedFd,
    foreground: bool,
}

impl Inside {
    /// Makes a terminal in the filesystem `devpts`, puts it in the place of `streams`, hands its main side to the supervisor,
    /// and waits until that one is ready.
    ///
    /// # Errors
    /// When there can be none, or the supervisor is gone.
    pub fn new(
        devpts: BorrowedFd<'_>,
        streams: &[Stream],
        supervisor: &Channel,
    ) -> Result<Inside, Failure> {
        let terminal = open(devpts, streams, supervisor).attempting(|| "make a terminal".into())?;
        match supervisor.receive() {
            Ok(Some(Message::Go { foreground })) => Ok(Inside {
                terminal,
                foreground,
            }),
            _ => Err(Failure::ours("the supervisor is gone")),
        }
    }

    /// Gives the program its process group. Both the program and the first process do it, so that neither goes on before
    /// it is done.
    pub fn adopt(&self, program: Pid) {
        // The second of the two may come after execve.
        let _ = setpgid(program, program);
        self.place(program);
    }

    /// What the supervisor says: the program goes on, with the terminal or without.
    pub fn go(&mut self, program: Pid, foreground: bool) {
        self.foreground = foreground;
        self.place(program);
        let _ = killpg(program, Signal::SIGCONT);
    }

    /// Whoever uses the terminal from the background is stopped, and the supervisor hears of it. `SIGTTOU` is blocked here, or
    /// the first process could not choose who is in the foreground.
    fn place(&self, program: Pid) {
        // The leader's group has its number; both the program and the first process come here.
        let Ok(ours) = getsid(None) else {
            return;
        };
        let group = match self.foreground {
            // Another group is there by the program's own choice.
            true if tcgetpgrp(&self.terminal) != Ok(ours) => return,
            true => program,
            false => ours,
        };
        let _ = tcsetpgrp(&self.terminal, group);
    }
}

fn open(
    devpts: BorrowedFd<'_>,
    streams: &[Stream],
    supervisor: &Channel,
) -> std::io::Result<OwnedFd> {
    setsid()?;
    let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let main = openat(devpts, "ptmx", flags, Mode::empty())?;
    let terminal = open_peer(main.as_fd())?;
    control(terminal.as_fd())?;
    for stream in streams {
        match stream {
            Stream::Input => dup2_stdin(&terminal)?,
            Stream::Output => dup2_stdout(&terminal)?,
            Stream::Error => dup2_stderr(&terminal)?,
        }
    }
    supervisor.send(&Message::Terminal(main))?;
    Ok(terminal)
}
