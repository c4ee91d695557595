//! Runs a plan.
//!
//! The supervisor is the process that the user started. It gets the [root](shared) that it shares with the other
//! instances of its data directory, and a child in namespaces of its own, which is the first process of the
//! [instance]; it hands on signals and answers the exit code. The mounts live in namespaces that only supervisors
//! and instances hold, and an instance ends with its supervisor: whatever is killed, nothing is left.

use std::borrow::Cow;
use std::cell::Cell;
use std::fs::File;
use std::path::{Path, PathBuf};

use flatimage_reserved::declared::Sandbox;
use nix::sys::prctl;
use nix::sys::signal::Signal;

use crate::data;
use crate::host::Host;
use crate::plan::{Lack, Plan};

mod asked;
pub(crate) mod boxed;
mod builder;
pub(crate) mod channel;
mod descendants;
mod detach;
pub(crate) mod failure;
mod folding;
mod guest;
pub(crate) mod handing;
mod hints;
pub(crate) mod identity;
pub(crate) mod init;
mod instance;
mod kernel;
mod ladder;
pub(crate) mod lent;
mod mapped;
mod mounter;
mod native;
mod outside;
pub(crate) mod peer;
mod place;
mod refusal;
mod root;
mod server;
mod shared;
pub(crate) mod signals;
mod skeleton;
mod spelling;
mod stacking;
mod supervise;
mod terminal;

use channel::Message;
pub(crate) use detach::{fall_silent, let_go};
use failure::Attempt;
pub use failure::{Failure, OURS, plain};
pub use guest::{Visit, visit};
use instance::{Entering, Given};
pub use kernel::{Kernel, RootKernel, build, run};
pub use ladder::examine;
pub use outside::mend;
pub use shared::Explicit;
use shared::Obtained;

/// Limits in bytes; `None` for what is usual.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    /// Memory for decompressed blocks of layers.
    pub blocks: Option<u64>,
    /// Disk for unpacked layers that are not used.
    pub unpacked: Option<u64>,
}

/// What a start has beside its plan.
pub struct Context<'a> {
    /// The host.
    pub host: &'a Host,
    /// The image file.
    pub image: File,
    /// Its path.
    pub image_path: &'a Path,
    /// What is done where the host refuses a part of the sandbox.
    pub sandbox: Sandbox,
    /// Where in it the tools begin.
    pub tools_offset: u64,
    /// Unpacks the programs that serve a root, if they are not yet; `None` where there is no directory to keep them in.
    pub servers: &'a dyn Fn() -> Option<PathBuf>,
    /// The data directory; `None` when changes are kept in memory.
    pub data: Option<&'a data::Directory>,
    /// What the caller chose for this start alone.
    pub explicit: Explicit,
    /// How much of what may be used.
    pub limits: Limits,
    /// Is told what went wrong without ending the start.
    pub warn: &'a dyn Fn(&str),
}

/// Runs `plan` and answers the exit code of the program.
///
/// # Errors
/// When the container cannot be built or the program not be started.
pub fn start(plan: &Plan, context: Context<'_>) -> Result<u8, Failure> {
    let mut obtained = shared::obtain(plan, &context)?;
    let lower = obtained.plan.take();
    let mut plan = lower.map_or(Cow::Borrowed(plan), |lower| Cow::Owned(*lower));
    loop {
        plan = match run_in(&plan, &mut obtained, &context)? {
            Outcome::Ended(code) => return Ok(code),
            Outcome::Lacking(lack, failure) => {
                let lower = ladder::without(&plan, lack, failure, &context)?;
                obtained.nested = ladder::nest_again(&lower, &obtained)?;
                Cow::Owned(lower)
            }
        };
    }
}

/// What came of an instance.
enum Outcome {
    /// Its program has ended with this code.
    Ended(u8),
    /// It did not begin, because the host does not give it everything.
    Lacking(Lack, Failure),
}

/// Runs an instance in the root that was obtained.
fn run_in(plan: &Plan, obtained: &mut Obtained, context: &Context<'_>) -> Result<Outcome, Failure> {
    // Before the fork: the end of a child that ends at once must not be missed.
    let signals =
        signals::block(!plan.exec.terminal.is_empty()).attempting(|| "block signals".into())?;
    let spared = match plan.namespaces.contains(&"pid") {
        true => None,
        false => {
            descendants::adopt().attempting(|| "watch the container".into())?;
            Some(descendants::children())
        }
    };
    let Entering { pid, channel } = match (plan.boxed(), obtained.entering.take()) {
        (Some(around), _) => boxed::enter(plan, around, context)?,
        (None, Some(entering)) => entering,
        (None, None) => {
            let given = Given {
                image: &context.image,
                image_path: context.image_path,
                tools_offset: context.tools_offset,
                nested: obtained.nested.take(),
                mapped: mapped::mounts(plan, &obtained.root.user, context.warn),
            };
            instance::enter(plan, &obtained.root, given)?
        }
    };
    // Who is not there any more is found missing by what it does not answer.
    let _ = channel.send(&Message::Registered);
    let connection = supervise::Connection {
        channel,
        signals,
        streams: &plan.exec.terminal,
        lack: Cell::new(None),
        missed: Cell::new(None),
        plan: Some(plan),
        spared,
    };
    let ended = supervise::supervise(supervise::Of::Instance(obtained, pid), &connection);
    hints::say(connection.missed.take());
    match (ended, connection.lack.get()) {
        (Err(failure), Some(lack)) => Ok(Outcome::Lacking(lack, failure)),
        (ended, _) => ended.map(Outcome::Ended),
    }
}

/// A process ends when its parent does, however that ends: the supervisor's children with the supervisor.
pub(crate) fn die_with_parent() -> Result<(), Failure> {
    prctl::set_pdeathsig(Signal::SIGKILL)
        .attempting(|| "tie the container to its supervisor".into())
}
