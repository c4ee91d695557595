//! Enters a shared root and starts an instance in it.
//!
//! Entering takes a process of its own: a supervisor that joined the user namespace could not go back to the host. The
//! process joins the two namespaces of the root, unshares those that are the instance's, and forks the first process
//! of the instance as a child of the supervisor's; then it ends. Where the root was just built, the builder is in its
//! namespaces already and goes on as this process, while the supervisor makes the instance known to others. The program begins when
//! both are done.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use nix::sched::{CloneFlags, setns, unshare};
use nix::unistd::Pid;

use super::channel::{Channel, Message};
use super::failure::{Attempt, Failure};
use super::mapped::Mapped;
use super::native::Native;
use super::shared::SharedRoot;
use super::{die_with_parent, kernel, refusal};
use crate::plan::Plan;
use crate::sys::{Fork, fork, fork_sibling};

/// What an instance is started with, beside its plan and root.
pub struct Given<'a> {
    /// The image file.
    pub image: &'a File,
    /// Its path.
    pub image_path: &'a Path,
    /// Where in it the tools begin.
    pub tools_offset: u64,
    /// The user namespace of the program, if somebody [lent](super::lent) it.
    pub nested: Option<OwnedFd>,
    /// What is bound by mounts of its own.
    pub mapped: Mapped,
}

/// Who enters a root, and the way to the instance.
#[derive(Debug)]
pub struct Entering {
    /// The process.
    pub pid: Pid,
    /// The way.
    pub channel: Channel,
}

/// Whether the builder of a root can go on as the process that enters it for `plan`.
///
/// That process must have the caller's rights, because the first process opens with them what is bound from the
/// host: with several ids the builder gives them up. And where the supervisor adopts what the container leaves behind, the
/// builder must have ended before, or what it has started for the root would be taken for that.
pub fn can_be_builder(plan: &Plan) -> bool {
    plan.identity.map.is_single() && plan.namespaces.contains(&"pid")
}

/// Has a new process enter `root`.
///
/// # Errors
/// When there can be no further process.
pub fn enter(plan: &Plan, root: &SharedRoot, given: Given<'_>) -> Result<Entering, Failure> {
    let (ours, theirs) = Channel::pair().attempting(|| "make a pair of sockets".into())?;
    match fork().attempting(|| "start a process".into())? {
        Fork::Parent(pid) => Ok(Entering { pid, channel: ours }),
        Fork::Child => {
            // The supervisor alone may have its end: that it is closed is how the instance knows that the supervisor is gone.
            drop(ours);
            begin(plan, join(root), theirs, given)
        }
    }
}

/// In a process that has `joined` the root's namespaces, with nothing open that the instance must not have: forks the first
/// process of the instance, and tells at `channel` that it is there or why it is not.
pub fn begin(plan: &Plan, joined: Result<(), Failure>, channel: Channel, given: Given<'_>) -> ! {
    let image = given.image.try_clone();
    let begun = joined
        .and_then(|()| image.attempting(|| "open the image".into()))
        .and_then(|image| unshare_and_fork(plan, given.image_path).map(|side| (side, image)));
    let code = match begun {
        Ok((Fork::Parent(first), _)) => u8::from(channel.send(&Message::Started(first)).is_err()),
        Ok((Fork::Child, image)) => {
            let native = Native::new(
                channel,
                image,
                given.tools_offset,
                given.nested,
                given.mapped,
            );
            inside(plan, native)
        }
        Err(Failure { code, text }) => {
            u8::from(channel.send(&Message::Failed { code, text }).is_err())
        }
    };
    std::process::exit(i32::from(code))
}

/// Joins the root's namespaces.
fn join(root: &SharedRoot) -> Result<(), Failure> {
    die_with_parent()?;
    // Entering the user namespace gives the capabilities in it that entering the other one takes.
    setns(root.user.as_fd(), CloneFlags::CLONE_NEWUSER)
        .and_then(|()| setns(root.mounts.as_fd(), CloneFlags::CLONE_NEWNS))
        .attempting(|| "enter the container's root".into())
}

fn unshare_and_fork(plan: &Plan, image: &Path) -> Result<Fork, Failure> {
    unshare(own(plan)).map_err(|error| refusal::explain(&error.into(), image))?;
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

fn inside(plan: &Plan, mut native: Native) -> u8 {
    let result = kernel::run(plan, &mut native);
    let code = result
        .as_ref()
        .map_or_else(|failure| failure.code, |code| *code);
    native.report(result);
    code
}
