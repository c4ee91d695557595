//! Terminals: what of ioctl_tty(2) and ioctl_ptmx(4) no safe crate offers, and signals that one waits for.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::sys::signal::{SigSet, Signal};

use super::check;

/// Lines and columns of a terminal, and its size in pixels where that is known.
#[derive(Clone, Copy)]
pub struct WindowSize(libc::winsize);

/// The other side of the pseudoterminal `main`, unlocked and opened; it does not become the caller's terminal. No path is
/// looked up for it (TIOCGPTPEER).
///
/// # Errors
/// As ioctl(2); `ENOTTY` before Linux 4.13.
pub fn open_peer(main: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let locked: libc::c_int = 0;
    // SAFETY: TIOCSPTLCK reads one integer, which lives until the call returns.
    check(i64::from(unsafe {
        libc::ioctl(main.as_raw_fd(), libc::TIOCSPTLCK, &raw const locked)
    }))?;
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: TIOCGPTPEER takes an integer.
    let fd = check(i64::from(unsafe {
        libc::ioctl(main.as_raw_fd(), libc::TIOCGPTPEER, flags)
    }))?;
    // SAFETY: the kernel has just returned it to us and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// Makes a terminal that of the calling session, whose leader the caller must be.
///
/// # Errors
/// `EPERM` when the session has one, or the terminal has a session.
pub fn control(terminal: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: TIOCSCTTY takes an integer.
    check(i64::from(unsafe {
        libc::ioctl(terminal.as_raw_fd(), libc::TIOCSCTTY, 0)
    }))
    .map(drop)
}

/// The size of a terminal.
///
/// # Errors
/// As ioctl(2).
pub fn window_size(terminal: BorrowedFd<'_>) -> io::Result<WindowSize> {
    // SAFETY: `winsize` is plain old data, for which all zeros is a valid value.
    let mut size: libc::winsize = unsafe { std::mem::zeroed() };
    // SAFETY: TIOCGWINSZ writes one `winsize`, which lives until the call returns.
    check(i64::from(unsafe {
        libc::ioctl(terminal.as_raw_fd(), libc::TIOCGWINSZ, &raw mut size)
    }))?;
    Ok(WindowSize(size))
}

/// Sets the size of a terminal; the processes in its foreground are sent `SIGWINCH` when it is another one.
///
/// # Errors
/// As ioctl(2).
pub fn set_window_size(terminal: BorrowedFd<'_>, size: WindowSize) -> io::Result<()> {
    // SAFETY: TIOCSWINSZ reads one `winsize`, which lives until the call returns.
    check(i64::from(unsafe {
        libc::ioctl(terminal.as_raw_fd(), libc::TIOCSWINSZ, &raw const size.0)
    }))
    .map(drop)
}

/// Takes a blocked signal if it is pending; answers whether it was.
pub fn take_pending(signal: Signal) -> bool {
    let mut set = SigSet::empty();
    set.add(signal);
    let at_once = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: set and time live until the call returns; nothing is asked about who sent it.
    unsafe { libc::sigtimedwait(set.as_ref(), std::ptr::null_mut(), &raw const at_once) >= 0 }
}
