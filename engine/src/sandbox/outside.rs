//! A root that is mounted outside of namespaces, where the host lets `fusermount3` mount and nobody else.
//!
//! ```text
//! <data>/mounts/layers     the layers, until they are stacked
//! <data>/mounts/skeleton   the places to mount on, below the layers
//! <data>/mounts/root       the layers and the changes, as fuse-overlayfs stacks them
//! ```
//!
//! The mounts are the host's, so that nothing takes them away by itself. A process of this start, the [guard], does: it mounts,
//! starts the servers, hands the root over, and waits until nobody holds the other end of a pipe any more, which every supervisor does
//! that uses the root (the lease of a [`SharedRoot`]). Then it unmounts, and ends when the servers have. So it is the kernel
//! that tells it, however the supervisors end.
//!
//! The servers end with the guard, however that ends; guard and fuse-overlayfs have the lock of the instance that started them. So
//! nobody else stacks these changes while one of them is there. When the guard is killed, dead mounts are left, and nothing but
//! them. The next start [takes them away](mend).

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use flatimage_reserved::effect::Stacker;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::wait::waitpid;
use nix::unistd::pipe2;

use super::channel::{Channel, Message};
use super::failure::{Attempt, Failure};
use super::shared::SharedRoot;
use super::{Context, boxed, mounter};
use crate::data::{self, changes::MOUNTS, marks};
use crate::plan::{Maker, Plan};
use crate::sys::{Fork, fork, open_process};

mod guard;

const LAYERS: &str = "layers";
const SKELETON: &str = "skeleton";
const ROOT: &str = "root";

/// How often one place is unmounted at most: what is left of several starts lies on top of each other.
const MOST_MOUNTS: usize = 8;

/// Where the root of the data directory `data` is mounted.
pub fn root_of(data: &Path) -> PathBuf {
    data.join(MOUNTS).join(ROOT)
}

/// Who can mount the root of `plan` so, with changes in `data`.
pub fn mounter_for(plan: &Plan, data: &Path) -> Option<PathBuf> {
    // Nobody can translate the marks of unionfs-fuse without a root that the kernel stacks.
    let able = plan
        .stack()
        .is_some_and(|stack| stack.can(Stacker::FuseOverlayfs))
        && !marks::are_of_unionfs(data);
    able.then(mounter::find).flatten()
}

/// Takes away what starts have left that were killed with everything that belongs to them. Only while nobody uses the data directory
/// `data`. What cannot be taken away is found by whoever needs the place.
pub fn mend(data: &Path) {
    let mounts = data.join(MOUNTS);
    if fs::symlink_metadata(&mounts).is_err() {
        return;
    }
    let mounter = mounter::find();
    for name in [ROOT, LAYERS] {
        let place = mounts.join(name);
        for _ in 0..MOST_MOUNTS {
            // Whether something is mounted there is known without a look at what may not answer.
            let removed = fs::remove_dir(&place);
            let is_mounted =
                removed.is_err_and(|error| error.raw_os_error() == Some(Errno::EBUSY as i32));
            let mounter = mounter.as_deref().filter(|_| is_mounted);
            if !mounter.is_some_and(|mounter| mounter::unmount(mounter, &place)) {
                break;
            }
        }
    }
    if let Ok(data) = File::open(data) {
        let _ = data::remove(data.as_fd(), MOUNTS.as_ref());
    }
}

/// Mounts the root of `plan`, which is on this rung, of a data directory that nobody else uses.
///
/// # Errors
/// Why it cannot be mounted; nothing is left of it then.
pub fn build(plan: &Plan, below: &Plan, context: &Context<'_>) -> Result<SharedRoot, Failure> {
    let (Some(data), Maker::Outside { program, mounter }) = (context.data, &below.rung.maker)
    else {
        return Err(Failure::ours("the plan has no root outside"));
    };
    data.mark_for(Stacker::FuseOverlayfs, &plan.identity.map)?;
    let servers = (context.servers)()
        .ok_or_else(|| Failure::ours("there is no directory to keep fuse-overlayfs in"))?;
    let outside = guard::Outside {
        layers: plan,
        skeleton: below,
        context,
        mounter,
        servers: &servers,
        data: &data.path,
    };
    let root = hand_over(&outside, data)?;
    if boxed::can(program, &root_of(&data.path)) {
        return Ok(root);
    }
    give_up(root);
    Err(Failure::ours(format!(
        "{} cannot use a root that is mounted outside",
        program.display()
    )))
}

/// Waits for the end of a root that nobody else has.
fn give_up(root: SharedRoot) {
    drop(root.lease);
    for server in root.servers {
        let mut ended = [PollFd::new(server.as_fd(), PollFlags::POLLIN)];
        // The guard is the last of them, and ends in any case.
        while poll(&mut ended, PollTimeout::NONE) == Err(Errno::EINTR) {}
    }
}

/// Makes the directories, which nobody else can look into.
fn prepare(plan: &Plan, data: &Path) -> io::Result<()> {
    let mounts = data.join(MOUNTS);
    let make = |path: &Path| DirBuilder::new().mode(0o700).create(path);
    make(&mounts)?;
    for name in [LAYERS, ROOT] {
        make(&mounts.join(name))?;
    }
    for name in [ROOT, "work"] {
        match fs::create_dir(data.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    let skeleton = mounts.join(SKELETON);
    fs::create_dir(&skeleton)?;
    boxed::furnish(plan, &skeleton)
}

/// Starts the guard and waits until it has mounted.
fn hand_over(outside: &guard::Outside<'_>, data: &data::Directory) -> Result<SharedRoot, Failure> {
    let (ours, theirs) = Channel::pair().attempting(|| "make a pair of sockets".into())?;
    let (watched, lease) = pipe2(OFlag::O_CLOEXEC).attempting(|| "make a pipe".into())?;
    let guard = match fork().attempting(|| "start a process".into())? {
        Fork::Child => {
            drop((ours, lease));
            guard::run(outside, theirs, &watched, data.locks())
        }
        Fork::Parent(guard) => guard,
    };
    drop((theirs, watched));
    let process: OwnedFd = open_process(guard).attempting(|| "watch a process".into())?;
    let failure = match ours.receive() {
        Ok(Some(Message::Root {
            user,
            mounts,
            mut servers,
        })) => {
            servers.push(process);
            return Ok(SharedRoot {
                user,
                mounts,
                servers,
                lease: Some(lease),
            });
        }
        Ok(Some(Message::Failed { code, text })) => Failure { code, text },
        _ => Failure::ours("the process that mounts the root was killed"),
    };
    drop(lease);
    let _ = waitpid(guard, None);
    Err(failure)
}
