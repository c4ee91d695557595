//! What the supervisor does for the container's terminal: it begins, is stopped with the program, and goes on.

use std::os::fd::OwnedFd;

use nix::poll::PollFlags;
use nix::sys::signal::Signal;

use super::Container;
use crate::sandbox::channel::Message;
use crate::sandbox::failure::Failure;
use crate::sandbox::signals;
use crate::sandbox::terminal::Terminal;

impl Container<'_> {
    /// The container has its terminal and waits to begin.
    pub(super) fn begin(&mut self, inner: OwnedFd) -> Result<(), Failure> {
        let terminal = Terminal::new(inner, self.connection.streams)?;
        self.tell(terminal.is_taken());
        self.terminal = Some(terminal);
        Ok(())
    }

    /// Copies what is typed and shown.
    pub(super) fn copy(&mut self, events: [PollFlags; 2]) {
        if let Some(terminal) = &mut self.terminal
            && !terminal.copy(events)
        {
            self.hang_up();
        }
    }

    /// The caller's terminal is gone, and so is the container's: what the kernel does when the other side is closed.
    fn hang_up(&mut self) {
        self.terminal = None;
        self.send(Signal::SIGHUP);
    }

    /// Shows what the container wrote last. Whoever sends a signal meanwhile does not want to wait for that.
    pub(super) fn show_all(&mut self) {
        if let Some(terminal) = &mut self.terminal {
            terminal.show_all(&self.connection.signals);
        }
    }

    /// The program was stopped, and so is the supervisor, as its shell expects. Not so when the program only waits for the
    /// terminal and can have it.
    pub(super) fn stop(&mut self, signal: Signal) -> Result<(), Failure> {
        let waits = matches!(signal, Signal::SIGTTIN | Signal::SIGTTOU);
        let Some(terminal) = &mut self.terminal else {
            // Without a terminal there is nobody who would continue it.
            self.tell(false);
            return Ok(());
        };
        if waits && !terminal.is_taken() && terminal.is_foreground() {
            self.go_on(true);
            return Ok(());
        }
        if let Some(received) = terminal.show_all(&self.connection.signals) {
            self.act_on(&received)?;
        }
        if let Some(terminal) = &mut self.terminal {
            terminal.release();
        }
        if !signals::stop(signal) && waits {
            // Nobody will ever bring it to the foreground: a read there is an error (`job_control` in n_tty.c).
            self.hang_up();
        }
        self.go_on(waits);
        Ok(())
    }

    /// The program goes on, with the terminal if it is ours and the program wants it.
    pub(super) fn go_on(&mut self, asked: bool) {
        let Some(terminal) = &mut self.terminal else {
            return self.tell(false);
        };
        if terminal.is_wanted(asked) {
            terminal.take();
        } else {
            terminal.release();
        }
        let taken = terminal.is_taken();
        self.tell(taken);
    }

    fn tell(&self, foreground: bool) {
        // Nobody is left to tell when the container has ended.
        let _ = self.connection.channel.send(&Message::Go { foreground });
    }
}
