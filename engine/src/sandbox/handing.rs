//! How a program of libfuse 2 gets a filesystem that is mounted already.
//!
//! It takes no mounted descriptor. When the kernel refuses it mount(2), which it does to who has no `CAP_SYS_ADMIN`, it runs
//! `/bin/fusermount` and takes the descriptor that this sends through the socket that `_FUSE_COMMFD` numbers
//! (`fuse_mount_fusermount` in lib/mount.c of libfuse 2.9). On the stage that name leads to this program, which sends on the
//! descriptor that both were started with.

use std::io;
use std::os::fd::{AsFd, OwnedFd, RawFd};

use super::channel::send_some;
use crate::sys::{Capabilities, drop_bounding_set, take_inherited};

/// Has the number of the mounted descriptor.
const VARIABLE: &str = "FIM_MOUNTED";

/// Where libfuse has the number of its socket.
const SOCKET: &str = "_FUSE_COMMFD";

/// The number of `CAP_SYS_ADMIN`, as in `linux/capability.h`.
const ADMINISTRATION: u32 = 21;

/// The variable that tells the program's `fusermount` that it is to send `mounted` on.
pub fn variable(mounted: RawFd) -> String {
    format!("{VARIABLE}={mounted}")
}

/// Keeps whatever this process executes from mounting.
///
/// # Errors
/// As [`drop_bounding_set`].
pub fn give_up_mounting() -> io::Result<()> {
    drop_bounding_set(Capabilities(!(1 << ADMINISTRATION)))
}

/// Sends the mounted descriptor on, if this process was started to do that; answers the exit code.
pub fn answer() -> Option<u8> {
    let mounted = inherited(VARIABLE)?;
    let socket = inherited(SOCKET)?;
    // One byte, and the descriptor with it.
    let sent = send_some(socket.as_fd(), &[0], &[mounted.as_fd()]);
    Some(u8::from(sent.is_err()))
}

fn inherited(variable: &str) -> Option<OwnedFd> {
    take_inherited(std::env::var(variable).ok()?.parse().ok()?)
}
