//! Letting go of who forked a process that outlives them: a server of a root, or work in the background.
//!
//! What cannot be let go of does no harm but to outlive its owner, so nothing here fails.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use nix::unistd::{chdir, dup2_stderr, dup2_stdin, dup2_stdout, setsid};

use super::channel::Channel;
use super::signals;
use crate::sys::close_all_but;

/// Leaves session, working directory, standard input and output, and every other descriptor but that of `keep` and standard
/// error.
pub fn let_go(keep: Option<&Channel>) {
    let keep: Vec<_> = keep.iter().map(|channel| channel.as_fd()).collect();
    let_go_of_all_but(&keep);
}

/// As [`let_go`], for who keeps several descriptors.
pub fn let_go_of_all_but(keep: &[BorrowedFd<'_>]) {
    let _ = setsid();
    let _ = signals::restore_defaults();
    let _ = chdir("/");
    silence(dup2_stdin);
    silence(dup2_stdout);
    let _ = close_all_but(3, keep);
}

/// Leaves standard error, once there is nothing more to say: whoever waits for the end of the supervisor's output must
/// not wait for the last instance.
pub fn fall_silent() {
    silence(dup2_stderr);
}

fn silence(place: impl Fn(OwnedFd) -> nix::Result<()>) {
    let flags = OFlag::O_RDWR | OFlag::O_CLOEXEC;
    // On the stage there is no `/dev` but the host's.
    let null = ["/dev/null", "/host/dev/null"]
        .into_iter()
        .find_map(|path| nix::fcntl::open(path, flags, Mode::empty()).ok());
    if let Some(null) = null {
        let _ = place(null);
    }
}
