//! Letting go of who forked a process that outlives them: a server of a root, or work in the background.
//!
//! What cannot be let go of does no harm but to outlive its owner, so nothing here fails.

use std::os::fd::{AsFd, OwnedFd};

use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use nix::unistd::{chdir, dup2_stderr, dup2_stdin, dup2_stdout, setsid};

use super::channel::Channel;
use super::signals;
use crate::sys::close_all_but;

/// Leaves session, working directory, standard input and output, and every other descriptor but that of `keep` and standard
/// error.
pub fn let_go(keep: Option<&Channel>) {
    let _ = setsid();
    let _ = signals::restore_defaults();
    let _ = chdir("/");
    silence(dup2_stdin);
    silence(dup2_stdout);
    // Standard error stays in any case.
    let error = std::io::stderr();
    let _ = close_all_but(3, keep.map_or(error.as_fd(), AsFd::as_fd));
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
