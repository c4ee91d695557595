//! What is tried when the host refuses what the one before needed.
//!
//! 1. This program makes the namespaces.
//! 2. A program of the host that may makes them ([lent](super::lent)), and all else is the same.
//!
//! 3. That program makes the sandbox from its arguments ([boxed](super::boxed)), around an overlay that another one mounts
//!    [outside](super::outside). Some of what the sandbox promises does not hold then, so that this has to be asked for.
//! 4. The same around a plain copy of the layers.
//!
//! What of the sandbox a host does not give in these namespaces is left out, if that is asked for.
//!
//! A start finds out by being refused, so that who is not refused pays for nothing.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use flatimage_reserved::declared::Sandbox;
use nix::sched::CloneFlags;
use nix::sys::wait::waitpid;
use nix::unistd::sethostname;

use super::channel::{Channel, Message};
use super::failure::{Attempt, Failure};
use super::lent::{self, Lent};
use super::shared::{Key, Obtained, Ready, SharedRoot};
use super::{Context, identity, refusal, root};
use crate::plan::{Action, IdMap, Lack, Maker, Plan};
use crate::sys::{Fork, MountAttributes, create_filesystem, fork_into};
use crate::trace::trace;

mod around;

use around::Boxed;
pub use around::{join_copy, join_outside, last};

/// The same plan one rung lower, and what is needed for it.
///
/// # Errors
/// `refusal` when there is none.
pub fn next(plan: &Plan, refusal: Failure) -> Result<(Plan, Lent), Failure> {
    let program = match plan.rung.maker {
        Maker::Native => lent::lender(),
        _ => None,
    };
    let Some(program) = program else {
        return Err(refusal);
    };
    trace(|| format!("refused: {}", refusal.text));
    match lent::borrow(&program, &plan.identity, None) {
        Ok(lent) => {
            let plan = plan.lent_by(&program, &refusal.text);
            trace(|| plan.rung.to_string());
            Ok((plan, lent))
        }
        Err(reason) => {
            trace(|| format!("{} does not help: {reason}", program.display()));
            Err(refusal)
        }
    }
}

/// New namespaces for a plan whose namespaces are lent, instead of those that were built in.
///
/// # Errors
/// When they are not lent any more.
pub fn renew(plan: &Plan) -> Result<Option<Lent>, Failure> {
    let borrow = |program| lent::borrow(program, &plan.identity, None);
    plan.lender().map(borrow).transpose().map_err(Failure::ours)
}

/// What a start needs to enter the root of a running instance, of process `pid`.
///
/// # Errors
/// When its user namespace is one that was lent, and none can be nested in it.
pub fn join(plan: &Plan, root: SharedRoot, key: &Key, pid: u32) -> Result<Ready, Failure> {
    let nested = match key.is_lent() {
        false => None,
        true => Some(nest(plan, &root).map_err(|reason| {
            Failure::ours(format!(
                "process {pid} runs a container of this data directory in namespaces that bwrap made, and there are no further \
                 ones ({reason}); wait for its end or choose another data directory with FIM_DIR_DATA"
            ))
        })?),
    };
    Ok(Ready {
        root,
        entering: None,
        nested,
        is_lent: key.is_lent(),
        plan: None,
    })
}

fn nest(plan: &Plan, root: &SharedRoot) -> Result<OwnedFd, String> {
    let program = lent::lender().ok_or("the PATH has no bwrap that is root's")?;
    lent::borrow(&program, &plan.identity, Some(&root.user)).map(|lent| lent.nested)
}

/// The same plan without what the host does not give, and a warning.
///
/// # Errors
/// `failure` unless that was asked for.
pub fn without(
    plan: &Plan,
    lack: Lack,
    failure: Failure,
    context: &Context<'_>,
) -> Result<Plan, Failure> {
    match context.sandbox {
        Sandbox::BestEffort if !plan.rung.lacks.contains(&lack) => {
            (context.warn)(&format!("the container lacks {}", lack.words()));
            let plan = plan.lacking(lack);
            trace(|| plan.rung.to_string());
            Ok(plan)
        }
        Sandbox::BestEffort => Err(failure),
        // All that is missing is said at once.
        Sandbox::Required => match lowered(&plan.lacking(lack)) {
            Ok((lower, Attempted::Granted)) => Err(refusal::explain_lacks(&lower.rung.lacks)),
            _ => Err(failure),
        },
    }
}

/// A nested user namespace for a further try in a root, where those that are lent have to be lent again.
///
/// # Errors
/// When it is not lent again.
pub fn nest_again(plan: &Plan, obtained: &Obtained) -> Result<Option<OwnedFd>, Failure> {
    let nested = obtained.key.is_lent();
    let nested = nested.then(|| nest(plan, &obtained.root));
    nested.transpose().map_err(Failure::ours)
}

/// The plan as a start of the image at `image` with the data directory at `data` would come out on this host.
///
/// # Errors
/// When there can be no process to try it.
pub fn examine(
    plan: &Plan,
    sandbox: Sandbox,
    (image, data): (&Path, &Path),
) -> Result<Plan, Failure> {
    let (lower, attempted) = lowered(plan)?;
    Ok(match (attempted, sandbox) {
        (Attempted::Granted, Sandbox::Required) if !lower.rung.lacks.is_empty() => {
            plan.refused(&refusal::explain_lacks(&lower.rung.lacks).text)
        }
        (Attempted::Granted, _) => lower,
        (Attempted::Lacking(lack), _) => plan.refused(&refusal::explain_lacks(&[lack]).text),
        (Attempted::Refused(error), _) => match next(plan, refusal::explain(&error, image)) {
            Ok((plan, _)) => plan,
            Err(failure) => match Boxed::of(plan, failure, sandbox, Some(data)) {
                Ok(boxed) => boxed.outside().unwrap_or_else(|| boxed.copied()),
                Err(failure) => plan.refused(&failure.text),
            },
        },
    })
}

/// The plan without anything that a container of it would lack here, and what came of the last try.
fn lowered(plan: &Plan) -> Result<(Plan, Attempted), Failure> {
    let mut plan = plan.clone();
    loop {
        match attempt(&plan)? {
            Attempted::Lacking(lack) if !plan.rung.lacks.contains(&lack) => {
                plan = plan.lacking(lack);
            }
            attempted => return Ok((plan, attempted)),
        }
    }
}

/// What a host gives.
enum Attempted {
    Granted,
    Lacking(Lack),
    Refused(io::Error),
}

/// Does what every container begins with, in a process that ends after it.
fn attempt(plan: &Plan) -> Result<Attempted, Failure> {
    let (ours, theirs) = Channel::pair().attempting(|| "make a pair of sockets".into())?;
    let namespaces = CloneFlags::CLONE_NEWUSER
        | CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWUTS;
    let child = match fork_into(namespaces) {
        Err(error) => return Ok(Attempted::Refused(error)),
        Ok(Fork::Child) => {
            drop(ours);
            let message = begin(plan, &theirs).err().unwrap_or(Message::Ready);
            std::process::exit(theirs.send(&message).is_err().into())
        }
        Ok(Fork::Parent(child)) => child,
    };
    drop(theirs);
    if let Some(extents) = plan.identity.map.extents() {
        let mapped = identity::map_outer(child, &extents);
        mapped
            .and_then(|()| ours.send(&Message::Mapped))
            .attempting(|| format!("give the container {}", plan.identity.map))?;
    }
    let answer = ours.receive();
    let _ = waitpid(child, None);
    match answer.attempting(|| "hear from a process".into())? {
        Some(Message::Ready) => Ok(Attempted::Granted),
        Some(Message::Lacking(lack)) => Ok(Attempted::Lacking(lack)),
        Some(Message::Refused { errno }) => {
            Ok(Attempted::Refused(io::Error::from_raw_os_error(errno)))
        }
        _ => Err(Failure::ours("a process that tried the sandbox was killed")),
    }
}

fn begin(plan: &Plan, supervisor: &Channel) -> Result<(), Message> {
    let refused = |error: io::Error| Message::Refused {
        errno: error.raw_os_error().unwrap_or(libc::EPERM),
    };
    match plan.identity.map {
        IdMap::Single { uid, gid } => identity::map_outer_single(uid, gid).map_err(refused)?,
        _ => {
            let told = supervisor.receive();
            told.and_then(|_| identity::become_outer_root())
                .map_err(refused)?;
        }
    }
    root::separate_mounts().map_err(|error| refused(error.into()))?;
    if plan.namespaces.contains(&"pid") {
        create_filesystem(c"proc", &[], MountAttributes::default())
            .map_err(|_| Message::Lacking(Lack::Processes))?;
    }
    let names = plan.steps.iter().find_map(|step| match &step.action {
        Action::Hostname { name } => Some(name),
        _ => None,
    });
    names
        .map_or(Ok(()), sethostname)
        .map_err(|_| Message::Lacking(Lack::HostName))
}
