//! Enters a shared root and starts an instance in it.
//!
//! Entering takes a process of its own: a supervisor that joined the user namespace could not go back to the host. The
//! process joins the two namespaces of the root, unshares those that are the instance's, and forks the first process
//! of the instance as a child of the supervisor's; then it ends.

use std::fs::File;
use std::os::fd::AsFd;

use nix::sched::{CloneFlags, setns, unshare};
use nix::unistd::Pid;

use super::channel::{Channel, Message};
use super::failure::{Attempt, Failure};
use super::native::Native;
use super::shared::SharedRoot;
use super::{die_with_parent, kernel, refusal};
use crate::plan::Plan;
use crate::sys::{Fork, fork, fork_sibling};

/// Forks the process that enters `root`; answers its pid and the way to the instance. `image` is the image file, in which
/// the tools begin at `tools_offset`.
///
/// # Errors
/// When there can be no further process.
pub fn enter(
    plan: &Plan,
    root: &SharedRoot,
    (image, tools_offset): (File, u64),
) -> Result<(Pid, Channel), Failure> {
    let (ours, channel) = Channel::pair().attempting(|| "make a pair of sockets".into())?;
    match fork().attempting(|| "start a process".into())? {
        Fork::Parent(entering) => Ok((entering, ours)),
        Fork::Child => {
            // The supervisor alone may have its end: that it is closed is how the instance knows that the supervisor is gone.
            drop(ours);
            let code = match join(plan, root) {
                Ok(Fork::Parent(first)) => {
                    u8::from(channel.send(&Message::Started(first)).is_err())
                }
                Ok(Fork::Child) => inside(plan, channel, image, tools_offset),
                Err(failure) => {
                    Native::new(channel, image, tools_offset).report(Err(failure));
                    1
                }
            };
            std::process::exit(i32::from(code))
        }
    }
}

/// Joins the root's namespaces and forks into new ones.
fn join(plan: &Plan, root: &SharedRoot) -> Result<Fork, Failure> {
    die_with_parent()?;
    // Entering the user namespace gives the capabilities in it that entering the other one takes.
    setns(root.user.as_fd(), CloneFlags::CLONE_NEWUSER)
        .and_then(|()| setns(root.mounts.as_fd(), CloneFlags::CLONE_NEWNS))
        .attempting(|| "enter the container's root".into())?;
    unshare(own(plan)).map_err(|error| refusal::explain(&error.into()))?;
    fork_sibling().attempting(|| "start a process".into())
}

/// The namespaces that are the instance's own. The mount namespace always is, because the root's is shared.
fn own(plan: &Plan) -> CloneFlags {
    plan.namespaces
        .iter()
        .fold(CloneFlags::CLONE_NEWNS, |flags, name| {
            flags
                | match *name {
                    "pid" => CloneFlags::CLONE_NEWPID,
                    "ipc" => CloneFlags::CLONE_NEWIPC,
                    "uts" => CloneFlags::CLONE_NEWUTS,
                    "cgroup" => CloneFlags::CLONE_NEWCGROUP,
                    "net" => CloneFlags::CLONE_NEWNET,
                    _ => CloneFlags::empty(),
                }
        })
}

fn inside(plan: &Plan, channel: Channel, image: File, tools_offset: u64) -> u8 {
    let mut native = Native::new(channel, image, tools_offset);
    let result = kernel::run(plan, &mut native);
    let code = result
        .as_ref()
        .map_or_else(|failure| failure.code, |code| *code);
    native.report(result);
    code
}
