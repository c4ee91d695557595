//! `fusermount3`, by which hosts let ordinary users mount FUSE filesystems.
//!
//! It is set-user-id. Who starts it names one end of a pair of sockets in a variable, and gets the descriptor of the mounted
//! filesystem from the other (`send_fd` in util/fusermount.c of libfuse). It mounts over a directory of the caller's, with
//! `nosuid` and `nodev`, for the caller alone.

use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::prctl::get_no_new_privs;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};

use super::failure::{Attempt, Failure};
use super::lent::of_root;
use crate::sys::receive_with_descriptors;

/// The name of the program.
const PROGRAM: &str = "fusermount3";

/// The variable with the number of the descriptor that it answers at.
const VARIABLE: &str = "_FUSE_COMMFD";

/// The bit of a mode that makes it run as its owner.
const SET_USER_ID: u32 = 0o4000;

/// The first `fusermount3` in the caller's `PATH` that root alone can change, and that can be root for this process.
pub fn find() -> Option<PathBuf> {
    match get_no_new_privs() {
        Ok(false) => of_root(PROGRAM, |mode| mode & SET_USER_ID != 0),
        // No program that it starts becomes somebody else (prctl(2)).
        _ => None,
    }
}

/// Has `mounter` mount a FUSE filesystem over the directory `at`. Answers the descriptor that it is to be served on.
///
/// # Errors
/// With its last word, when it does not.
pub fn mount(mounter: &Path, at: &Path, options: &str) -> Result<OwnedFd, Failure> {
    let (ours, theirs) = socketpair(
        AddressFamily::Unix,
        SockType::Stream,
        None,
        SockFlag::SOCK_CLOEXEC,
    )
    .attempting(|| "make a pair of sockets".into())?;
    fcntl(&theirs, FcntlArg::F_SETFD(FdFlag::empty())).attempting(|| "pass a descriptor".into())?;
    let spawned = Command::new(mounter)
        .args(["-o", options, "--"])
        .arg(at)
        .env_clear()
        .env(VARIABLE, theirs.as_raw_fd().to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn();
    drop(theirs);
    let mut child = spawned.attempting(|| format!("run {}", mounter.display()))?;
    let answer = receive_with_descriptors(ours.as_fd(), &mut [0; 16]);
    let mut words = String::new();
    if let Some(mut said) = child.stderr.take() {
        // What it says is of use only when it refuses.
        let _ = said.read_to_string(&mut words);
    }
    let _ = child.wait();
    let descriptor = answer.ok().and_then(|(_, fds)| fds.into_iter().next());
    descriptor.ok_or_else(|| {
        let reason = words.lines().last().unwrap_or("it says nothing");
        Failure::ours(format!("cannot mount {}: {reason}", at.display()))
    })
}

/// Has `mounter` take the FUSE filesystem at `at` away, from whoever still uses it too. Answers whether it did.
pub fn unmount(mounter: &Path, at: &Path) -> bool {
    let done = Command::new(mounter)
        .args(["-u", "-z", "-q", "--"])
        .arg(at)
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    done.is_ok_and(|status| status.success())
}
