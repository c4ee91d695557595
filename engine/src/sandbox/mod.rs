//! Runs a plan.
//!
//! Two processes: the supervisor is the one that the user started; it serves the layers and
//! hands on signals. The first process of the container is its child in new namespaces; it
//! builds the root and starts the program. The mounts live in the child's namespace only, so
//! they end with it, and it ends with the supervisor: whatever is killed, nothing is left.

use std::collections::HashMap;
use std::fs::File;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flatimage_layer::{IdMap as ServedIds, Layer, ServeOptions, serve};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::CloneFlags;
use nix::sys::signal::kill;
use nix::sys::signalfd::SignalFd;
use nix::sys::wait::waitpid;
use nix::unistd::Pid;

use crate::data::Claim;
use crate::plan::{IdMap, LayerSource, Plan};
use crate::sys::{Fork, fork_into};
use crate::trace::trace;

mod channel;
mod failure;
mod identity;
mod init;
mod kernel;
mod native;
mod place;
mod refusal;
mod root;
mod signals;

use channel::{Channel, Message};
use failure::Attempt;
pub use failure::{Failure, OURS, plain};
pub use kernel::{Kernel, run};

/// Threads that serve the layers. Requests wait for decompression, not for each other.
const SERVER_THREADS: usize = 3;

/// Runs `plan` and answers the exit code of the program. `image` is the image file, in which
/// the tools begin at `tools_offset`; `claim` keeps the data directory until then; `warn` is told
/// what went wrong without ending the start.
///
/// # Errors
/// When the container cannot be built or the program not be started.
pub fn start(
    plan: &Plan,
    image: File,
    tools_offset: u64,
    claim: Option<Claim>,
    warn: &dyn Fn(&str),
) -> Result<u8, Failure> {
    let (ours, theirs) = Channel::pair().attempting(|| "make a pair of sockets".into())?;
    // Before the fork: the end of a child that ends at once must not be missed.
    let signals = signals::block().attempting(|| "block signals".into())?;
    match fork_into(flags(plan)) {
        Ok(Fork::Child) => {
            drop(ours);
            // It outlives the supervisor by a moment, in which the next start may come.
            drop(claim);
            std::process::exit(i32::from(inside(plan, theirs, image, tools_offset)))
        }
        Ok(Fork::Parent(container)) => {
            drop(theirs);
            supervise(plan, container, &ours, &signals, warn)
        }
        Err(error) => Err(refusal::explain(&error)),
    }
}

fn flags(plan: &Plan) -> CloneFlags {
    plan.namespaces
        .iter()
        .fold(CloneFlags::empty(), |flags, name| {
            flags
                | match *name {
                    "user" => CloneFlags::CLONE_NEWUSER,
                    "mnt" => CloneFlags::CLONE_NEWNS,
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
    let mut native = native::Native::new(channel, image, tools_offset);
    let result = run(plan, &mut native);
    let code = result
        .as_ref()
        .map_or_else(|failure| failure.code, |code| *code);
    native.report(result);
    code
}

fn supervise(
    plan: &Plan,
    container: Pid,
    channel: &Channel,
    signals: &SignalFd,
    warn: &dyn Fn(&str),
) -> Result<u8, Failure> {
    if let IdMap::Range { first, count } = plan.identity.map {
        identity::map_outer_range(container, first, count)
            .attempting(|| format!("give the container the ids from {first} on"))?;
        channel
            .send(&Message::Mapped)
            .attempting(|| "start the container".into())?;
    }
    // While the child makes its namespaces.
    let mut layers = Some(open_layers(&plan.layers, warn));
    trace(|| "layers opened".into());
    loop {
        let (message, signal) = wait(channel, signals)?;
        if message {
            match channel
                .receive()
                .attempting(|| "hear from the container".into())?
            {
                Some(Message::Fuse(fuse)) => {
                    let layers = layers.take().unwrap_or_default();
                    serve(fuse, layers, options(&plan.identity.map)).map_err(|error| {
                        Failure::ours(format!("cannot serve the layers: {error}"))
                    })?;
                    trace(|| "layers served".into());
                }
                // The first process of the container is not waited for: what is left of it is
                // the kernel letting go of the mounts, and letting go of an overlay syncs the
                // whole filesystem that the changes are on.
                Some(Message::Ended { code }) => return Ok(code),
                Some(Message::Failed { code, text }) => return Err(Failure { code, text }),
                Some(Message::Mapped) => {}
                None => return killed(container),
            }
        }
        if signal {
            hand_on(container, signals)?;
        }
    }
}

/// The end of a container that could not say a word.
fn killed(container: Pid) -> Result<u8, Failure> {
    let status = waitpid(container, None).attempting(|| "wait for the container".into())?;
    init::exit_code(status).ok_or_else(|| Failure::ours("the container stopped"))
}

/// Waits until the container says something or a signal arrives.
fn wait(channel: &Channel, signals: &SignalFd) -> Result<(bool, bool), Failure> {
    let mut waited = [
        PollFd::new(channel.as_fd(), PollFlags::POLLIN),
        PollFd::new(signals.as_fd(), PollFlags::POLLIN),
    ];
    match poll(&mut waited, PollTimeout::NONE) {
        Err(Errno::EINTR) => return Ok((false, false)),
        result => result.attempting(|| "wait for the container".into())?,
    };
    let [message, signal] = waited.map(|fd| fd.any().unwrap_or(false));
    Ok((message, signal))
}

fn hand_on(container: Pid, signals: &SignalFd) -> Result<(), Failure> {
    let received = signals
        .read_signal()
        .attempting(|| "wait for a signal".into())?;
    if let Some(signal) = received.as_ref().and_then(signals::to_hand_on) {
        // It may have ended meanwhile.
        let _ = kill(container, signal);
    }
    Ok(())
}

/// Opens the layers; one that cannot be opened is empty.
fn open_layers(sources: &[LayerSource], warn: &dyn Fn(&str)) -> Vec<Option<Layer>> {
    let mut files: HashMap<PathBuf, Arc<File>> = HashMap::new();
    sources
        .iter()
        .map(|source| {
            open_layer(source, &mut files)
                .inspect_err(|reason| {
                    warn(&format!(
                        "the layer {} is left out: {reason}",
                        source.path.display()
                    ));
                })
                .ok()
        })
        .collect()
}

fn open_layer(
    source: &LayerSource,
    files: &mut HashMap<PathBuf, Arc<File>>,
) -> Result<Layer, String> {
    let file = match files.get(&source.path) {
        Some(file) => file.clone(),
        None => {
            let file = open_file(&source.path)?;
            files.insert(source.path.clone(), file.clone());
            file
        }
    };
    Layer::open(file, source.offset, source.size).map_err(|error| error.to_string())
}

fn open_file(path: &Path) -> Result<Arc<File>, String> {
    File::open(path)
        .map(Arc::new)
        .map_err(|error| plain(&error))
}

fn options(map: &IdMap) -> ServeOptions {
    ServeOptions {
        threads: SERVER_THREADS,
        ids: match map {
            IdMap::Single { .. } => ServedIds::Below(1),
            IdMap::Range { count, .. } => ServedIds::Below(*count),
        },
        ..ServeOptions::default()
    }
}
