//! The terminal of the container, and the caller's that it stands for.
//!
//! The program has a pseudoterminal of the container's own and no descriptor of the caller's: what it does to its
//! terminal, or types into it, it does to that one. The supervisor has the other side, copies bytes both ways, and keeps
//! the caller's terminal raw meanwhile, so that Ctrl-C and the like act inside.
//!
//! The caller's terminal is shared with the caller's other programs, and is only taken by who is in the foreground. In a pipe
//! or in the background the program begins without it: it is in the background of its own terminal. It may write
//! there; when it reads, or changes modes, the kernel stops it, and then the supervisor takes the caller's terminal, or
//! is stopped in turn, as a program in the caller's background would be.

use std::os::fd::{AsFd, OwnedFd};

use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signalfd::{SignalFd, siginfo};
use nix::sys::stat::Mode;
use nix::sys::termios::{
    LocalFlags, OutputFlags, SetArg, SpecialCharacterIndices, Termios, cfmakeraw, tcgetattr,
    tcsetattr,
};
use nix::unistd::{getpgrp, tcgetpgrp};

use super::failure::{Attempt, Failure};
use super::signals;
use crate::host::Stream;
use crate::sys::{set_window_size, window_size};

mod buffer;
mod inside;

use buffer::{Buffer, Flow};
pub use inside::Inside;

/// Lines typed ahead that are looked at; a terminal that is gone has no end of them.
const MOST_LINES: usize = 64;

/// The two terminals. The caller's gets its modes back when this goes out of scope.
pub struct Terminal {
    /// The caller's.
    outer: OwnedFd,
    /// The main side of the container's.
    inner: OwnedFd,
    /// The modes of the caller's, from before it was taken.
    modes: Termios,
    taken: bool,
    /// Whether the container's processes output, when the caller's does not.
    processes: bool,
    /// Whether the program has it whenever it can be had: it was asked for, or both input and output are it.
    wanted: bool,
    typed: Buffer,
    shown: Buffer,
}

impl Terminal {
    /// Of the main side of a terminal that stands for those of the caller's `streams`. Its modes and size are the caller's.
    ///
    /// # Errors
    /// When none of the streams is a terminal any more.
    pub fn new(inner: OwnedFd, streams: &[Stream]) -> Result<Terminal, Failure> {
        let outer = open(streams).attempting(|| "open the terminal".into())?;
        let modes = tcgetattr(&outer).attempting(|| "read the modes of the terminal".into())?;
        let mut terminal = Terminal {
            outer,
            inner,
            processes: modes.output_flags.contains(OutputFlags::OPOST),
            taken: false,
            wanted: streams.contains(&Stream::Input) && streams.contains(&Stream::Output),
            typed: Buffer::new(),
            shown: Buffer::new(),
            modes,
        };
        let mut within = terminal.modes.clone();
        within.output_flags.remove(OutputFlags::OPOST);
        tcsetattr(&terminal.inner, SetArg::TCSANOW, &within)
            .attempting(|| "set the modes of the container's terminal".into())?;
        terminal.resize();
        if terminal.wanted && terminal.is_foreground() {
            terminal.take();
        }
        Ok(terminal)
    }

    /// Whether the program has the caller's terminal.
    pub fn is_taken(&self) -> bool {
        self.taken
    }

    /// Whether the supervisor is in the foreground of the caller's terminal, or that is not one of a session at all.
    pub fn is_foreground(&self) -> bool {
        tcgetpgrp(&self.outer).map_or(true, |group| group == getpgrp())
    }

    /// Whether it is for the program, when the supervisor goes on after a stop: `asked` says that the program waits for it.
    pub fn is_wanted(&self, asked: bool) -> bool {
        (self.wanted || asked) && self.is_foreground()
    }

    /// Makes the caller's terminal raw: what is typed means something inside only.
    pub fn take(&mut self) {
        self.wanted = true;
        self.resize();
        if self.taken {
            return;
        }
        // They may have changed while we were stopped.
        if let Ok(modes) = tcgetattr(&self.outer) {
            self.modes = modes;
        }
        self.read_lines();
        let mut raw = self.modes.clone();
        cfmakeraw(&mut raw);
        self.taken = tcsetattr(&self.outer, SetArg::TCSANOW, &raw).is_ok();
        if self.processes {
            self.change_output(|flags| flags.insert(OutputFlags::OPOST));
        }
    }

    /// Reads what was typed ahead while the terminal still has lines: the mark of an end of input would be a zero byte
    /// later (`n_tty_set_termios`).
    fn read_lines(&mut self) {
        if !self.modes.local_flags.contains(LocalFlags::ICANON) {
            return;
        }
        let end = self.modes.control_chars[SpecialCharacterIndices::VEOF as usize];
        for _ in 0..MOST_LINES {
            let mut waited = [PollFd::new(self.outer.as_fd(), PollFlags::POLLIN)];
            if poll(&mut waited, PollTimeout::ZERO) != Ok(1) || !self.typed.has_room() {
                return;
            }
            if self.typed.fill(&self.outer) == Flow::Closed {
                self.typed.push(end);
            }
        }
    }

    /// Gives the caller's terminal back as it was.
    pub fn release(&mut self) {
        if !std::mem::take(&mut self.taken) {
            return;
        }
        // Once somebody else is in the foreground the modes are theirs; to change them would stop us.
        if self.is_foreground() {
            let _ = tcsetattr(&self.outer, SetArg::TCSANOW, &self.modes);
        }
        // The caller's terminal makes line ends of its own again.
        self.processes = tcgetattr(&self.inner)
            .is_ok_and(|modes| modes.output_flags.contains(OutputFlags::OPOST));
        self.change_output(|flags| flags.remove(OutputFlags::OPOST));
    }

    fn change_output(&self, change: impl FnOnce(&mut OutputFlags)) {
        if let Ok(mut modes) = tcgetattr(&self.inner) {
            change(&mut modes.output_flags);
            let _ = tcsetattr(&self.inner, SetArg::TCSANOW, &modes);
        }
    }

    /// Gives the container's terminal the size of the caller's.
    pub fn resize(&self) {
        if let Ok(size) = window_size(self.outer.as_fd()) {
            let _ = set_window_size(self.inner.as_fd(), size);
        }
    }

    /// What to wait for, at the caller's terminal and at the container's.
    pub fn waited(&self) -> [PollFd<'_>; 2] {
        let flag = |on: bool, flag| if on { flag } else { PollFlags::empty() };
        let (read, write) = (PollFlags::POLLIN, PollFlags::POLLOUT);
        let listens = self.taken && self.typed.has_room();
        let outer = flag(listens, read) | flag(!self.shown.is_empty(), write);
        let inner = flag(self.shown.has_room(), read) | flag(!self.typed.is_empty(), write);
        [
            PollFd::new(self.outer.as_fd(), outer),
            PollFd::new(self.inner.as_fd(), inner),
        ]
    }

    /// Copies what can be without waiting, after these events at the two terminals. False when the caller's is gone.
    pub fn copy(&mut self, [outer, inner]: [PollFlags; 2]) -> bool {
        if outer.intersects(PollFlags::POLLHUP | PollFlags::POLLERR) {
            return false;
        }
        let mut flow = Flow::Open;
        if outer.contains(PollFlags::POLLIN) && self.taken && self.typed.has_room() {
            flow = self.typed.fill(&self.outer);
        }
        if inner.contains(PollFlags::POLLIN) {
            // The container's end is told by its first process.
            let _ = self.shown.fill_up(&self.inner);
        }
        if flow == Flow::Open && !self.shown.is_empty() {
            flow = self.shown.drain(&self.outer);
        }
        if !self.typed.is_empty() {
            let _ = self.typed.drain(&self.inner);
        }
        flow == Flow::Open
    }

    /// Shows everything that was written. Waits for the caller's terminal, but not beyond a signal, which is answered.
    pub fn show_all(&mut self, signals: &SignalFd) -> Option<siginfo> {
        loop {
            // The kernel hands over what was written before it says that there is nothing (`n_tty_read`).
            let _ = self.shown.fill_up(&self.inner);
            if self.shown.is_empty() || self.shown.drain(&self.outer) == Flow::Closed {
                return None;
            }
            if self.shown.is_empty() {
                continue;
            }
            let mut waited = [
                PollFd::new(self.outer.as_fd(), PollFlags::POLLOUT),
                PollFd::new(signals.as_fd(), PollFlags::POLLIN),
            ];
            let _ = poll(&mut waited, PollTimeout::NONE);
            if waited[1].any().unwrap_or(false)
                && let Ok(Some(received)) = signals.read_signal()
                && signals::to_hand_on(&received, true).is_some()
            {
                return Some(received);
            }
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.release();
    }
}

/// The caller's terminal, opened anew: descriptors that come from the caller are shared, and to wait for none of them
/// would be to change them for everybody.
fn open(streams: &[Stream]) -> std::io::Result<OwnedFd> {
    let number = match streams.first() {
        Some(Stream::Input) => 0,
        Some(Stream::Output) => 1,
        _ => 2,
    };
    let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let path = format!("/proc/self/fd/{number}");
    match nix::fcntl::open(path.as_str(), flags, Mode::empty()) {
        Ok(terminal) => Ok(terminal),
        // It is another user's, after `su`.
        Err(_) if number == 0 => std::io::stdin().as_fd().try_clone_to_owned(),
        Err(_) if number == 1 => std::io::stdout().as_fd().try_clone_to_owned(),
        Err(_) => std::io::stderr().as_fd().try_clone_to_owned(),
    }
}
