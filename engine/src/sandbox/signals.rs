//! Signals on their way from whoever sends them to the program.
//!
//! The supervisor hands them to the first process of the container, and that one to the
//! program. A signal that the terminal raised (Ctrl-C) reaches the program by itself, because
//! all three are in one process group; handing it on would deliver it twice.

use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd, siginfo};

/// The signals that are handed on.
const HANDED_ON: [Signal; 8] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGTERM,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGALRM,
    Signal::SIGWINCH,
];

/// Blocks the signals that are handed on and `SIGCHLD`, and answers where they are read.
///
/// A blocked signal reaches even the first process of a pid namespace, which otherwise gets
/// none that it has no handler for (pid_namespaces(7)).
///
/// # Errors
/// As signalfd(2).
pub fn block() -> nix::Result<SignalFd> {
    let mut set = SigSet::empty();
    HANDED_ON
        .into_iter()
        .chain([Signal::SIGCHLD])
        .for_each(|signal| set.add(signal));
    set.thread_block()?;
    SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC)
}

/// The signal to hand on, if this one is to be.
pub fn to_hand_on(received: &siginfo) -> Option<Signal> {
    let signal = Signal::try_from(received.ssi_signo as i32).ok()?;
    let from_terminal = received.ssi_code == libc::SI_KERNEL;
    (HANDED_ON.contains(&signal) && !from_terminal).then_some(signal)
}

/// Gives the program the dispositions and the empty mask that it expects.
///
/// # Errors
/// As sigprocmask(2).
pub fn restore_defaults() -> nix::Result<()> {
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?;
    crate::sys::reset_signal(Signal::SIGPIPE)
}
