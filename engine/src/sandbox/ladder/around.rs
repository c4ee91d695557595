//! The rungs on which `bwrap` makes the sandbox from arguments, around a root that is there before.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use flatimage_reserved::declared::Sandbox;

use super::super::failure::{Attempt, Failure};
use super::super::shared::{Key, Ready, SharedRoot};
use super::super::{Context, boxed, lent, outside};
use crate::plan::{IdMap, Plan};
use crate::trace::trace;
use crate::unpack;

/// A root around which `bwrap` makes the sandbox, with a warning for all that is missing: an overlay that is mounted outside, or
/// else a copy of the layers.
///
/// # Errors
/// `refusal` unless that was asked for and can be had.
pub fn last(plan: &Plan, refusal: Failure, context: &Context<'_>) -> Result<Ready, Failure> {
    let data = context.data.map(|data| data.path.as_path());
    let boxed = Boxed::of(plan, refusal, context.sandbox, data)?;
    if let Some(lower) = boxed.outside() {
        match outside::build(plan, &lower, context) {
            Ok(root) => {
                let copy = boxed.copy_directory();
                if copy.is_dir() {
                    (context.warn)(&format!(
                        "changes of starts around a plain copy stay in {}, and this start does not see them",
                        copy.display()
                    ));
                }
                return Ok(told(lower, root, context));
            }
            Err(failure) => trace(|| format!("no overlay outside: {}", failure.text)),
        }
    }
    ready_copy(plan, boxed.copied(), context)
}

/// What the sandbox of a start can be made around where `bwrap` makes it from arguments.
pub struct Boxed<'a> {
    plan: &'a Plan,
    program: PathBuf,
    data: &'a Path,
    reason: String,
}

impl<'a> Boxed<'a> {
    /// With the data directory `data`.
    ///
    /// # Errors
    /// `refusal` unless that was asked for and can be had; it says so where it could be.
    pub fn of(
        plan: &'a Plan,
        refusal: Failure,
        sandbox: Sandbox,
        data: Option<&'a Path>,
    ) -> Result<Boxed<'a>, Failure> {
        let is_possible = matches!(plan.identity.map, IdMap::Single { .. }) && !plan.is_folded();
        let data = data.filter(|_| is_possible);
        let able = || lent::lender().filter(|program| boxed::can(program, Path::new("/")));
        let Some((data, program)) = data.and_then(|data| Some((data, able()?))) else {
            return Err(refusal);
        };
        match sandbox {
            Sandbox::Required => Err(Failure {
                text: format!(
                    "{}, or start with less of a sandbox by FIM_SANDBOX=best-effort",
                    refusal.text
                ),
                ..refusal
            }),
            Sandbox::BestEffort => Ok(Boxed {
                plan,
                program,
                data,
                reason: refusal.text,
            }),
        }
    }

    /// The plan with an overlay outside, if there can be one.
    pub fn outside(&self) -> Option<Plan> {
        let mounter = outside::mounter_for(self.plan, self.data)?;
        Some(self.plan.outside(
            (&self.program, &mounter),
            (&outside::root_of(self.data), self.data),
            &self.reason,
        ))
    }

    /// The plan with a copy.
    pub fn copied(&self) -> Plan {
        let directory = self.copy_directory();
        self.plan.copied(&self.program, &directory, &self.reason)
    }

    fn copy_directory(&self) -> PathBuf {
        unpack::copy_of(self.data, Key::of(self.plan).layers())
    }
}

/// Warns of all that is missing.
fn told(lower: Plan, root: SharedRoot, context: &Context<'_>) -> Ready {
    for lack in &lower.rung.lacks {
        (context.warn)(&format!("the container lacks {}", lack.words()));
    }
    trace(|| lower.rung.to_string());
    Ready {
        root,
        entering: None,
        nested: None,
        is_lent: false,
        plan: Some(Box::new(lower)),
    }
}

fn ready_copy(plan: &Plan, lower: Plan, context: &Context<'_>) -> Result<Ready, Failure> {
    if let Some((_, directory)) = lower.boxed() {
        unpack::copy(directory, &plan.layers, context.warn).map_err(Failure::ours)?;
    }
    // Nobody enters them: whoever joins makes a sandbox of its own.
    let open = |name: &str| {
        let file = std::fs::File::open(format!("/proc/self/ns/{name}"));
        file.map(OwnedFd::from)
            .attempting(|| format!("open the {name} namespace"))
    };
    let root = SharedRoot {
        user: open("user")?,
        mounts: open("mnt")?,
        servers: Vec::new(),
        lease: None,
    };
    Ok(told(lower, root, context))
}

/// What a start needs to use the copy that process `pid` uses.
///
/// # Errors
/// When that was not asked for, or cannot be had.
pub fn join_copy(plan: &Plan, context: &Context<'_>, pid: u32) -> Result<Ready, Failure> {
    let lower = also(plan, context, pid, "in a plain copy of its files")?.copied();
    ready_copy(plan, lower, context)
}

/// What a start needs to use the root that was mounted outside for process `pid`.
///
/// # Errors
/// As [`join_copy`].
pub fn join_outside(
    plan: &Plan,
    root: SharedRoot,
    context: &Context<'_>,
    pid: u32,
) -> Result<Ready, Failure> {
    let so = "around an overlay outside of it";
    let lower = also(plan, context, pid, so)?.outside();
    let lower = lower.ok_or_else(|| refused_beside(pid, so))?;
    Ok(told(lower, root, context))
}

/// What a start has that does as process `pid` does.
fn also<'a>(
    plan: &'a Plan,
    context: &Context<'a>,
    pid: u32,
    so: &str,
) -> Result<Boxed<'a>, Failure> {
    let reason = format!("process {pid} runs a container of this data directory so");
    let data = context.data.map(|data| data.path.as_path());
    let boxed = Boxed::of(plan, Failure::ours(reason), context.sandbox, data);
    boxed.map_err(|_| refused_beside(pid, so))
}

fn refused_beside(pid: u32, so: &str) -> Failure {
    Failure::ours(format!(
        "process {pid} runs a container of this data directory {so}, as FIM_SANDBOX=best-effort allows; start with that \
         too, wait for its end or choose another data directory with FIM_DIR_DATA"
    ))
}
