//! Signals on their way from whoever sends them to the program.
//!
//! The supervisor hands them to the first process of the container, and that one to the
//! program. A signal that the terminal raised (Ctrl-C) reaches the program by itself, because
//! all three are in one process group; handing it on would deliver it twice. Not so when the container
//! has a [terminal](super::terminal) of its own: then the program is in no group of the caller's.

use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill, raise, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd, siginfo};
use nix::unistd::Pid;

use crate::sys::take_pending;

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

/// Those with which a terminal stops what is in front of it and a shell continues it.
const OF_JOBS: [Signal; 2] = [Signal::SIGTSTP, Signal::SIGCONT];

/// Blocks the signals that are handed on and `SIGCHLD`, and answers where they are read. With a terminal of the
/// container's own, also those that stop and continue.
///
/// A blocked signal reaches even the first process of a pid namespace, which otherwise gets
/// none that it has no handler for (pid_namespaces(7)).
///
/// # Errors
/// As signalfd(2).
pub fn block(own_terminal: bool) -> nix::Result<SignalFd> {
    let mut set = SigSet::empty();
    HANDED_ON
        .into_iter()
        .chain([Signal::SIGCHLD])
        .chain(OF_JOBS.into_iter().filter(|_| own_terminal))
        .for_each(|signal| set.add(signal));
    set.thread_block()?;
    SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC)
}

/// The signal to hand on, if this one is to be.
pub fn to_hand_on(received: &siginfo, own_terminal: bool) -> Option<Signal> {
    let signal = Signal::try_from(received.ssi_signo as i32).ok()?;
    let from_terminal = received.ssi_code == libc::SI_KERNEL;
    let handed_on = match own_terminal {
        // The size of the container's terminal is set, which raises a signal there.
        true if signal == Signal::SIGWINCH => !from_terminal,
        true => HANDED_ON.contains(&signal) || signal == Signal::SIGTSTP,
        false => HANDED_ON.contains(&signal) && !from_terminal,
    };
    handed_on.then_some(signal)
}

/// Stops the process group of the caller as its terminal would, or, where it was this process alone, this one. Returns when
/// it goes on; false when the kernel has not stopped it, because nobody could continue it.
pub fn stop(signal: Signal) -> bool {
    if signal == Signal::SIGSTOP {
        return raise(signal).is_ok();
    }
    take_pending(Signal::SIGCONT);
    let mut set = SigSet::empty();
    set.add(signal);
    let mut before = SigSet::empty();
    // The group is that of a job: whoever is in it with us stops as well.
    let _ = kill(Pid::from_raw(0), signal);
    let _ = sigprocmask(SigmaskHow::SIG_UNBLOCK, Some(&set), Some(&mut before));
    let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&before), None);
    take_pending(Signal::SIGCONT)
}

/// Keeps this process from being stopped when it says who is in the foreground of a terminal.
///
/// # Errors
/// As sigprocmask(2).
pub fn keep_choosing() -> nix::Result<()> {
    let mut set = SigSet::empty();
    set.add(Signal::SIGTTOU);
    set.thread_block()
}

/// Gives the program the dispositions and the empty mask that it expects.
///
/// # Errors
/// As sigprocmask(2).
pub fn restore_defaults() -> nix::Result<()> {
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?;
    crate::sys::reset_signal(Signal::SIGPIPE)
}
