//! The process that shows the root so that names are found in any case.
//!
//! The builder forks it where the overlay is mounted and nothing is mounted over it, and then goes to a copy of those
//! mounts, in which it mounts the folded view over the overlay. Instances are in copies of the second mount namespace,
//! this process is in the first: it sees the overlay, and does not keep alive the view that it serves. When the last
//! instance is gone the kernel ends the connection, and this process with it, and with that the first namespace, the
//! overlay and the layers.

use std::os::fd::OwnedFd;

use flatimage_fold::{FoldOptions, Serving, serve};
use nix::sched::{CloneFlags, unshare};

use super::channel::{Channel, Message};
use super::detach::{fall_silent, let_go};
use super::failure::{Attempt, Failure, plain};
use super::root;
use crate::sys::{Fork, fork, open_process};
use crate::trace::trace;

/// Shows the root folded, in a mount namespace that the caller is in from then on. `fuse` is an opened `/dev/fuse`.
/// Answers the process that serves.
///
/// # Errors
/// When there can be no such process or mount, or the server cannot do its work.
pub fn fold(fuse: OwnedFd) -> Result<OwnedFd, Failure> {
    let (ours, theirs) = Channel::pair().attempting(|| "make a pair of sockets".into())?;
    let server = match fork().attempting(|| "start a process".into())? {
        Fork::Child => {
            drop(ours);
            run(theirs)
        }
        Fork::Parent(server) => server,
    };
    drop(theirs);
    let process = open_process(server).attempting(|| "watch the server".into())?;
    unshare(CloneFlags::CLONE_NEWNS).attempting(|| "copy the mounts of the root".into())?;
    root::mount_folded(&fuse)?;
    ours.send(&Message::Fuse(fuse))
        .attempting(|| "hand the root to its server".into())?;
    match ours.receive() {
        Ok(Some(Message::Ready)) => Ok(process),
        Ok(Some(Message::Failed { code, text })) => Err(Failure { code, text }),
        _ => Err(Failure::ours(
            "the container's root could not be built: the process that finds names in any case was killed",
        )),
    }
}

/// The server. Tells the builder when it serves, or why it cannot.
fn run(builder: Channel) -> ! {
    let_go(Some(&builder));
    let message = match begin(&builder) {
        Ok(serving) => {
            trace(|| "root folded".into());
            fall_silent();
            // A builder that is gone took the mount with it.
            let _ = builder.send(&Message::Ready);
            drop(builder);
            let ended = serving.join();
            std::process::exit(ended.is_err().into())
        }
        Err(Failure { code, text }) => Message::Failed { code, text },
    };
    let _ = builder.send(&message);
    std::process::exit(1)
}

fn begin(builder: &Channel) -> Result<Serving, Failure> {
    let root = root::open_root()?;
    match builder.receive() {
        Ok(Some(Message::Fuse(fuse))) => serve(fuse, root, FoldOptions::default())
            .map_err(|error| Failure::ours(format!("names cannot be folded: {}", plain(&error)))),
        _ => Err(Failure::ours("the builder is gone")),
    }
}
