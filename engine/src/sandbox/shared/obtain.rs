//! Joins the root of running instances, or builds one.

use std::borrow::Cow;
use std::io;
use std::os::fd::OwnedFd;

use nix::sched::CloneFlags;
use nix::sys::wait::waitpid;
use nix::unistd::Pid;

use super::listen::{Answer, Listener, ask};
use super::{Key, SharedRoot};
use crate::data::instances::{Gate, Living};
use crate::data::{self, DataError};
use crate::plan::{Plan, Way};
use crate::sandbox::builder::{self, Builder};
use crate::sandbox::channel::{Channel, Message};
use crate::sandbox::failure::{Attempt, Failure};
use crate::sandbox::guest::Door;
use crate::sandbox::instance::{self, Entering, Given};
use crate::sandbox::lent::Lent;
use crate::sandbox::mapped::Mapped;
use crate::sandbox::{Context, identity, kernel, ladder, outside, refusal, server};
use crate::sys::{Fork, fork, fork_into, open_process};
use crate::trace::trace;
use crate::unpack::{self, Unpacked};

/// The root of a start, and where further starts can have it.
pub struct Obtained {
    /// The root.
    pub root: SharedRoot,
    /// Its builder, where that one enters it.
    pub entering: Option<Entering>,
    /// What the root is.
    pub key: Key,
    /// The user namespace for the program, where somebody lent it and the builder does not enter.
    pub nested: Option<OwnedFd>,
    /// The plan on the rung on which the root was made, if that is another one than the first.
    pub plan: Option<Box<Plan>>,
    /// `None` for a root in memory, which is nobody else's.
    pub listener: Option<Listener>,
    /// Where further programs are let in; `None` as well.
    pub door: Option<Door>,
}

/// Answers the root for `plan`: that of the instances of its data directory that run, or a new one. From then on the caller
/// is an instance of the data directory too.
///
/// # Errors
/// When the running root is not one that this start can use, or none can be built.
pub fn obtain(plan: &Plan, context: &Context<'_>) -> Result<Obtained, Failure> {
    let key = Key::of(plan);
    let Some(data) = context.data else {
        let built = build(plan, context)?;
        return Ok(Obtained {
            root: built.root,
            entering: built.entering,
            nested: built.nested,
            plan: built.plan,
            key,
            listener: None,
            door: None,
        });
    };
    let mut gate = data.enter()?;
    let (built, key) = match running(&mut gate, data)? {
        Some((living, running, _)) if running.is_copied() => {
            // Nothing of it is shared but the files, and those only where the layers are the same.
            let ready = ladder::join_copy(plan, context, living.pid)?;
            let key = key.on(ready.plan.as_deref());
            (ready, key)
        }
        Some((living, running, root)) if running.is_outside() => {
            key.share(&running, living.pid, context)?;
            (
                ladder::join_outside(plan, root, context, living.pid)?,
                running,
            )
        }
        Some((living, running, root)) => {
            key.share(&running, living.pid, context)?;
            trace(|| format!("joined the root of process {}", living.pid));
            (ladder::join(plan, root, &running, living.pid)?, running)
        }
        None => {
            outside::mend(&data.path);
            let built = build(plan, context)?;
            let key = key.lent(built.is_lent).on(built.plan.as_deref());
            (built, key)
        }
    };
    let (listener, door) = register(&mut gate).map_err(|source| DataError::Unusable {
        path: data.path.clone(),
        source,
    })?;
    Ok(Obtained {
        root: built.root,
        entering: built.entering,
        nested: built.nested,
        plan: built.plan,
        key,
        listener: Some(listener),
        door: Some(door),
    })
}

fn register(gate: &mut Gate<'_>) -> std::io::Result<(Listener, Door)> {
    let id = gate.register(std::process::id())?;
    let token = gate.token()?;
    Ok((Listener::new(token, id)?, Door::new(token, id)?))
}

/// The root of the instances that run. Those that are about to end are waited for.
fn running(
    gate: &mut Gate<'_>,
    data: &data::Directory,
) -> Result<Option<(Living, Key, SharedRoot)>, Failure> {
    let unusable = |source| DataError::Unusable {
        path: data.path.clone(),
        source,
    };
    let living = gate.living().map_err(unusable)?;
    let token = gate.token().map_err(unusable)?.to_owned();
    // A command that starts several programs was the supervisor of those before, and is none any more.
    let others = living
        .iter()
        .filter(|instance| instance.pid != std::process::id());
    for instance in others {
        match ask(&token, *instance).map_err(unusable)? {
            Answer::Root(key, root) => return Ok(Some((*instance, key, root))),
            Answer::Gone => {}
            Answer::Silent => {
                return Err(Failure::from(DataError::Silent {
                    path: data.path.clone(),
                    pid: instance.pid,
                }));
            }
        }
    }
    if !living.is_empty() {
        trace(|| "waits for the end of the instances before".into());
        gate.wait_for_others().map_err(unusable)?;
    }
    Ok(None)
}

/// A root that a start can enter.
pub struct Ready {
    /// The root.
    pub root: SharedRoot,
    /// Its builder, where that one enters it.
    pub entering: Option<Entering>,
    /// The user namespace for the program, where somebody lent it and the builder does not enter.
    pub nested: Option<OwnedFd>,
    /// Whether somebody lent the namespaces of the root.
    pub is_lent: bool,
    /// The plan on the rung on which it was made, if that is another one than the first.
    pub plan: Option<Box<Plan>>,
}

/// Builds a root. What the host refuses to make in one way is made in the next, and what it refuses to stack in one way is stacked
/// in the next, with a warning.
fn build(plan: &Plan, context: &Context<'_>) -> Result<Ready, Failure> {
    let mut plan = Cow::Borrowed(plan);
    let mut lent = None;
    loop {
        let built = match mark(&plan, context) {
            Ok(()) => build_once(&plan, context, lent.take())?,
            Err(error) => Built::Unstacked(error.to_string()),
        };
        plan = Cow::Owned(match built {
            Built::Root(ready) => {
                let lower = matches!(plan, Cow::Owned(_)).then(|| Box::new(plan.into_owned()));
                return Ok(Ready {
                    plan: lower,
                    ..ready
                });
            }
            Built::Refused(error) => {
                let refusal = refusal::explain(&error, context.image_path);
                match ladder::next(&plan, refusal) {
                    Ok((lower, namespaces)) => {
                        lent = Some(namespaces);
                        lower
                    }
                    Err(refusal) => return ladder::last(&plan, refusal, context),
                }
            }
            Built::Unstacked(reason) => {
                let next = plan.restacked(&reason);
                let next = next.ok_or_else(|| Failure::ours(reason))?;
                if let Some(instead) = next.stack().and_then(|stack| stack.instead.as_ref()) {
                    (context.warn)(instead);
                }
                // Those before have the mounts of who failed.
                lent = ladder::renew(&next)?;
                next
            }
        });
    }
}

/// Has the changes marked as whoever stacks them reads.
fn mark(plan: &Plan, context: &Context<'_>) -> Result<(), DataError> {
    match (context.data, plan.stack()) {
        (Some(data), Some(stack)) => data.mark_for(stack.with, &plan.identity.map),
        _ => Ok(()),
    }
}

/// What came of a builder.
enum Built {
    Root(Ready),
    /// Whoever was to stack the layers cannot, for this reason.
    Unstacked(String),
    /// The host gives no namespaces, or nothing may be done in them.
    Refused(io::Error),
}

/// Builds a root in new namespaces, or in `lent` ones.
fn build_once(plan: &Plan, context: &Context<'_>, lent: Option<Lent>) -> Result<Built, Failure> {
    let unpacked = unpack(plan, context)?;
    let (directories, lease) = unpacked.map(|it| (it.directories, it.lease)).unzip();
    let program = plan.stack().and_then(|stack| stack.with.program());
    let unpacked = builder::Unpacked {
        layers: directories.unwrap_or_default(),
        programs: program.and_then(|_| (context.servers)()),
    };
    let (ours, theirs) = Channel::pair().attempting(|| "make a pair of sockets".into())?;
    let (server, servers) = serve(plan, context)?;
    let (outer, inner) = match instance::can_be_builder(plan) {
        true => Channel::pair().map(|(outer, inner)| (Some(outer), Some(inner))),
        false => Ok((None, None)),
    }
    .attempting(|| "make a pair of sockets".into())?;
    let forked = match lent {
        None => fork_into(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS),
        Some(_) => fork(),
    };
    let forked = match forked {
        Err(error) => return Ok(Built::Refused(error)),
        Ok(forked) => forked,
    };
    match forked {
        Fork::Child => {
            drop((ours, outer));
            let mut builder = Builder::new(context, theirs, server, unpacked, lent);
            match kernel::build(plan, &mut builder) {
                Ok(()) => go_on(plan, context, builder.done(), inner),
                Err(failure) => {
                    builder.report(failure);
                    std::process::exit(1)
                }
            }
        }
        Fork::Parent(builder) => {
            drop((theirs, server, inner));
            let built = await_root(plan, &ours, builder);
            let entering = match (&built, outer) {
                (Ok(Answered::Root(..)), Some(channel)) => Some(Entering {
                    pid: builder,
                    channel,
                }),
                _ => {
                    // It ends by itself, and at once: what it built is the supervisor's now. One that still waits for its ids sees
                    // that nobody gives them.
                    drop(ours);
                    let _ = waitpid(builder, None);
                    None
                }
            };
            Ok(match built? {
                Answered::Root(root) => Built::Root(Ready {
                    root: SharedRoot {
                        servers: servers.into_iter().chain(root.servers).collect(),
                        lease,
                        ..root
                    },
                    is_lent: lent.is_some(),
                    plan: None,
                    nested: match entering {
                        // It has it.
                        Some(_) => None,
                        None => lent.map(|lent| lent.nested),
                    },
                    entering,
                }),
                Answered::Unstacked(reason) => Built::Unstacked(reason),
                Answered::Refused(error) => Built::Refused(error),
            })
        }
    }
}

/// What the builder does when it has built: it enters what it built, where there is an instance at the other end of `channel`.
fn go_on(
    plan: &Plan,
    context: &Context<'_>,
    nested: Option<OwnedFd>,
    channel: Option<Channel>,
) -> ! {
    let Some(channel) = channel else {
        std::process::exit(0)
    };
    let given = Given {
        image: &context.image,
        image_path: context.image_path,
        tools_offset: context.tools_offset,
        nested,
        // Who goes on as the instance has one id.
        mapped: Mapped::new(),
    };
    instance::begin(plan, Ok(()), channel, given)
}

/// Unpacks the layers where they are not served.
fn unpack(plan: &Plan, context: &Context<'_>) -> Result<Option<Unpacked>, Failure> {
    let map = &plan.identity.map;
    match plan.way() {
        Some(Way::Unpacked { .. }) => unpack::unpack(&plan.layers, map, context)
            .map(Some)
            .map_err(|error| Failure::ours(error.to_string())),
        _ => Ok(None),
    }
}

/// Forks the server of the layers, if they are served. Answers the builder's way to it, and the process.
fn serve(plan: &Plan, context: &Context<'_>) -> Result<(Option<Channel>, Vec<OwnedFd>), Failure> {
    if plan.way() != Some(&Way::Fuse) {
        return Ok((None, Vec::new()));
    }
    let (ours, theirs) = Channel::pair().attempting(|| "make a pair of sockets".into())?;
    match fork().attempting(|| "start a process".into())? {
        Fork::Child => {
            drop(ours);
            server::run(plan, context, theirs)
        }
        Fork::Parent(server) => {
            let process = open_process(server).attempting(|| "watch the server".into())?;
            Ok((Some(ours), vec![process]))
        }
    }
}

/// What a builder says.
enum Answered {
    /// The root, with those servers that the builder started.
    Root(SharedRoot),
    Unstacked(String),
    Refused(io::Error),
}

fn await_root(plan: &Plan, channel: &Channel, builder: Pid) -> Result<Answered, Failure> {
    if let Some(extents) = plan.identity.map.extents() {
        identity::map_outer(builder, &extents)
            .attempting(|| format!("give the container {}", plan.identity.map))?;
        channel
            .send(&Message::Mapped)
            .attempting(|| "start the builder".into())?;
    }
    match channel
        .receive()
        .attempting(|| "hear from the builder".into())?
    {
        Some(Message::Root {
            user,
            mounts,
            servers,
        }) => Ok(Answered::Root(SharedRoot {
            user,
            mounts,
            servers,
            lease: None,
        })),
        Some(Message::Unstacked { text }) => Ok(Answered::Unstacked(text)),
        Some(Message::Refused { errno }) => {
            Ok(Answered::Refused(io::Error::from_raw_os_error(errno)))
        }
        Some(Message::Failed { code, text }) => Err(Failure { code, text }),
        _ => Err(Failure::ours(
            "the container's root could not be built: the process that builds it was killed",
        )),
    }
}
