//! Joins the root of running instances, or builds one.

use std::borrow::Cow;
use std::os::fd::OwnedFd;

use nix::sched::CloneFlags;
use nix::sys::wait::waitpid;
use nix::unistd::Pid;

use super::listen::{Answer, Listener, ask};
use super::{Difference, Key, SharedRoot};
use crate::data::instances::{Gate, Living};
use crate::data::{self, DataError};
use crate::plan::{Plan, Way};
use crate::sandbox::builder::{self, Builder};
use crate::sandbox::channel::{Channel, Message};
use crate::sandbox::failure::{Attempt, Failure};
use crate::sandbox::guest::Door;
use crate::sandbox::instance::{self, Entering};
use crate::sandbox::{Context, identity, kernel, refusal, server};
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
        let (root, entering) = build(plan, context)?;
        return Ok(Obtained {
            root,
            entering,
            key,
            listener: None,
            door: None,
        });
    };
    let mut gate = data.enter()?;
    let ((root, entering), key) = match running(&mut gate, data)? {
        Some(found) => {
            let (living, running, root) = found;
            compare(&key, &running, living.pid, context)?;
            trace(|| format!("joined the root of process {}", living.pid));
            ((root, None), running)
        }
        None => (build(plan, context)?, key),
    };
    let (listener, door) = register(&mut gate).map_err(|source| DataError::Unusable {
        path: data.path.clone(),
        source,
    })?;
    Ok(Obtained {
        root,
        entering,
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

/// Whether the root that runs will do.
fn compare(wanted: &Key, running: &Key, pid: u32, context: &Context<'_>) -> Result<(), Failure> {
    match wanted.differs_from(running, context.explicit) {
        Difference::None => Ok(()),
        Difference::Stored(what) => {
            (context.warn)(&format!(
                "the running container (process {pid}) has other {what}, which this start shares; the \
                 next one after its end has the new ones"
            ));
            Ok(())
        }
        Difference::Explicit(what) => Err(Failure::ours(format!(
            "process {pid} runs a container with other {what} than this start asks for; wait for its end or \
             choose another data directory with FIM_DIR_DATA"
        ))),
        Difference::Foreign(what) => Err(Failure::ours(format!(
            "process {pid} runs a container of this data directory with {what}; wait for its end or choose \
             another data directory with FIM_DIR_DATA"
        ))),
    }
}

/// Builds a root, and answers the builder where it enters it. What the host refuses to stack in one way is stacked in the next,
/// with a warning.
fn build(plan: &Plan, context: &Context<'_>) -> Result<(SharedRoot, Option<Entering>), Failure> {
    let mut plan = Cow::Borrowed(plan);
    loop {
        let built = match mark(&plan, context) {
            Ok(()) => build_once(&plan, context)?,
            Err(error) => Built::Unstacked(error.to_string()),
        };
        let reason = match built {
            Built::Root(root, entering) => return Ok((root, entering)),
            Built::Unstacked(reason) => reason,
        };
        let next = plan.restacked(&reason);
        let next = next.ok_or_else(|| Failure::ours(reason))?;
        if let Some(instead) = next.stack().and_then(|stack| stack.instead.as_ref()) {
            (context.warn)(instead);
        }
        plan = Cow::Owned(next);
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
    Root(SharedRoot, Option<Entering>),
    /// Whoever was to stack the layers cannot, for this reason.
    Unstacked(String),
}

/// Builds a root in new namespaces.
fn build_once(plan: &Plan, context: &Context<'_>) -> Result<Built, Failure> {
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
    let namespaces = CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS;
    match fork_into(namespaces).map_err(|error| refusal::explain(&error))? {
        Fork::Child => {
            drop((ours, outer));
            let mut builder = Builder::new(context, theirs, server, unpacked);
            match kernel::build(plan, &mut builder) {
                Ok(()) => {
                    builder.done();
                    match inner {
                        Some(channel) => {
                            let image = (&context.image, context.tools_offset);
                            instance::begin(plan, Ok(()), channel, image)
                        }
                        None => std::process::exit(0),
                    }
                }
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
                (Ok(Built::Root(..)), Some(channel)) => Some(Entering {
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
                Built::Root(root, _) => {
                    let root = SharedRoot {
                        servers: servers.into_iter().chain(root.servers).collect(),
                        lease,
                        ..root
                    };
                    Built::Root(root, entering)
                }
                unstacked => unstacked,
            })
        }
    }
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

/// The root, with those servers that the builder started.
fn await_root(plan: &Plan, channel: &Channel, builder: Pid) -> Result<Built, Failure> {
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
        }) => {
            let root = SharedRoot {
                user,
                mounts,
                servers,
                lease: None,
            };
            Ok(Built::Root(root, None))
        }
        Some(Message::Unstacked { text }) => Ok(Built::Unstacked(text)),
        Some(Message::Failed { code, text }) => Err(Failure { code, text }),
        _ => Err(Failure::ours(
            "the container's root could not be built: the process that builds it was killed",
        )),
    }
}
