//! The pure function from settings, host and request to a plan.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use flatimage_reserved::active::active;
use flatimage_reserved::decl::RegionDecl;
use flatimage_reserved::value::Value;

use super::base::{self, TOOLS};
use super::effects::{Effects, Interpreter};
use super::environment;
use super::error::PlanError;
use super::machine::{MACHINE_ID, machine_id};
use super::own;
use super::person::{Person, ROOT_HOME};
use super::portal::{self, Admitted};
use super::skeleton::Skeleton;
use super::wanted;
use super::{
    Action, Exec, Filter, IdMap, LayerSource, Plan, RootAction, Rung, Stack, Step, Upper, Wanted,
    Way,
};
use crate::host::{Host, Kind};
use crate::image::Image;
use crate::tools::Tools;
use flatimage_reserved::effect::{Access, Missing, Stacker};

/// The namespaces of every container, in the order in which they are printed.
const NAMESPACES: [&str; 7] = ["user", "mnt", "pid", "ipc", "uts", "cgroup", "net"];

/// What `fim-root` may do with files and processes of the container.
const ROOT_CAPABILITIES: [&str; 6] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "SYS_CHROOT",
];

/// What it may do besides when the container has ids to change to.
const RANGE_CAPABILITIES: [&str; 4] = ["SETGID", "SETUID", "SETPCAP", "SETFCAP"];

/// What is asked for, beside what the image says.
#[derive(Clone, Debug)]
pub struct Request {
    /// The image.
    pub image: Image,
    /// Its data directory.
    pub data: PathBuf,
    /// Directories of the host that images keep programs in, which they execute outside of the container.
    pub private: Vec<PathBuf>,
    /// Where changes go.
    pub upper: Upper,
    /// All layers that have entries, lowest first.
    pub layers: Vec<LayerSource>,
    /// Where the tools of the image are.
    pub tools: Tools,
    /// The copy of the image's program on the host; `None` when there is none but in memory.
    pub program: Option<PathBuf>,
    /// Names of the programs that it brings along to serve a root.
    pub programs: Vec<String>,
    /// The program and its arguments; empty for an interactive shell.
    pub command: Vec<OsString>,
    /// Whether the program runs as root inside.
    pub as_root: bool,
    /// Whether a failure of the program is explained.
    pub hints: bool,
    /// Process id that the container is told as its own on the host.
    pub pid: u32,
}

/// Makes the plan of a start. Calls nothing but the questions of `host`.
///
/// # Errors
/// When a setting cannot be followed and does not allow to be skipped.
pub fn build(
    settings: &[(&'static RegionDecl, Value)],
    host: &Host,
    request: &Request,
) -> Result<Plan, PlanError> {
    let effects = effects(settings, host, request)?;
    let person = Person::new(
        &effects.environment,
        host,
        request.as_root,
        IdMap::of(settings, host)?,
    )?;
    let admitted = effects
        .portal
        .as_ref()
        .map(|_| Admitted::new(&effects.admitted, host));
    let environment = environment::environment(host, request, &person, &effects);
    let mut mounts = effects.steps.clone();
    if let (Some(cause), Some(admitted)) = (&effects.portal, &admitted) {
        mounts.extend(portal::steps(host, request, admitted, cause));
    }
    let (root, steps) = steps(host, request, &person, (&effects, mounts));
    let capabilities = capabilities(request.as_root, &person.identity.map);
    let mut command = request.command.iter().cloned();
    let namespaces: Vec<&'static str> = NAMESPACES
        .into_iter()
        .filter(|namespace| !effects.shared.contains_key(namespace))
        .collect();
    let filter = Filter::new(&effects.allowed, &effects.emulated);
    let exec = Exec {
        program: command.next().unwrap_or_else(|| "bash".into()),
        arguments: command.collect(),
        environment,
        directories: effects
            .directory
            .iter()
            .chain(&host.working_directory)
            .cloned()
            .chain([person.home, PathBuf::from("/")])
            .collect(),
        terminal: host.terminal.clone(),
        capabilities,
    };
    let wanted = match request.hints {
        true => Wanted::of(
            settings,
            host,
            (&filter, &namespaces),
            (&exec, person.identity.uid),
        ),
        false => Vec::new(),
    };
    Ok(Plan {
        rung: Rung::default(),
        namespaces,
        identity: person.identity,
        layers: request.layers.clone(),
        root,
        steps,
        filter: filter.telling(wanted::told(&wanted)),
        admitted,
        wanted,
        exec,
    })
}

fn effects(
    settings: &[(&'static RegionDecl, Value)],
    host: &Host,
    request: &Request,
) -> Result<Effects, PlanError> {
    let interpreter = Interpreter {
        host,
        as_root: request.as_root,
    };
    let mut effects = Effects::default();
    for (region, value) in settings {
        for caused in active(region, value) {
            interpreter.interpret(caused.effect, &caused.cause, &mut effects)?;
        }
    }
    Ok(effects)
}

fn capabilities(as_root: bool, map: &IdMap) -> Vec<&'static str> {
    match (as_root, map.is_single()) {
        (false, _) => Vec::new(),
        (true, true) => ROOT_CAPABILITIES.to_vec(),
        (true, false) => ROOT_CAPABILITIES
            .into_iter()
            .chain(RANGE_CAPABILITIES)
            .collect(),
    }
}

fn steps(
    host: &Host,
    request: &Request,
    person: &Person,
    (effects, asked): (&Effects, Vec<Step>),
) -> (Vec<Step<RootAction>>, Vec<Step>) {
    let brought: Vec<PathBuf> = effects
        .steps
        .iter()
        .filter_map(|step| Some(target(&step.action)?.to_owned()))
        .collect();
    let mut mounts = base::filesystems(effects.shared.get("pid"));
    mounts.extend(provided(request, person, effects.directory.as_deref()));
    // What is written into a directory that a setting brought would be written on the host.
    mounts.retain(|step| {
        let writes = matches!(
            step.action,
            Action::Symlink { .. } | Action::Directory { .. }
        );
        let place = target(&step.action);
        !writes || !place.is_some_and(|place| brought.iter().any(|at| place.starts_with(at)))
    });
    mounts.extend(asked);
    // A mount hides what was mounted below its target before: parents come first. The sort
    // is stable, so that of two for one target the setting's comes last.
    mounts.sort_by(|one, other| target(&one.action).cmp(&target(&other.action)));

    let skeleton = skeleton(&mut mounts, host, (person, effects.directory.as_deref()));
    let own = own::read_only(&mounts, host, request);
    let mut steps: Vec<Step> = person.accounts().actions().into_iter().map(step).collect();
    steps.push(step(machine(host, request)));
    steps.extend(mounts);
    steps.extend(own);
    steps.extend(base::restrictions(&brought, &effects.unmasked));
    steps.extend(system(request, effects));
    let map = &person.identity.map;
    (root(host, request, skeleton, effects, map), steps)
}

/// The root that instances share.
fn root(
    host: &Host,
    request: &Request,
    skeleton: RootAction,
    effects: &Effects,
    map: &IdMap,
) -> Vec<Step<RootAction>> {
    let layers = (!request.layers.is_empty()).then_some(RootAction::Layers {
        count: request.layers.len(),
        way: match &host.no_fuse {
            None => Way::Fuse,
            Some(reason) => Way::Unpacked {
                reason: reason.clone(),
            },
        },
    });
    let asked = effects.stacker.clone();
    let (asked, cause) = asked.unwrap_or((Stacker::Kernel, base::DEFAULT.to_owned()));
    let overlay = Step {
        action: RootAction::Overlay {
            upper: request.upper.clone(),
            stack: Stack::choose(asked, host, &request.programs, map),
        },
        cause,
    };
    let fold = effects.folded.iter().map(|cause| Step {
        action: RootAction::Fold,
        cause: cause.clone(),
    });
    let actions = layers.into_iter().chain([skeleton]).map(step);
    actions.chain([overlay]).chain(fold).collect()
}

/// A step that no setting asked for.
fn step<A>(action: A) -> Step<A> {
    Step {
        action,
        cause: base::DEFAULT.to_owned(),
    }
}

/// The number that stands for the machine: another one for each data directory, so that programs can neither tell the host
/// nor each other by it.
fn machine(host: &Host, request: &Request) -> Action {
    Action::Machine {
        target: MACHINE_ID.into(),
        id: machine_id(host.machine_id.as_deref(), &request.data),
    }
}

/// The tools, the directory for sockets that the user's programs make, and the one that programs start in where nothing of it lasts.
fn provided(request: &Request, person: &Person, start: Option<&Path>) -> Vec<Step> {
    let directory = |target: &Path, mode| {
        let owner = person.owner();
        step(Action::Directory {
            target: target.to_owned(),
            mode,
            owner,
        })
    };
    let mut steps = vec![directory(&person.runtime_directory(), 0o700)];
    if let Some(start) = start.filter(|path| base::is_in_memory(path)) {
        steps.push(directory(start, 0o755));
    }
    // Root of the container, who makes the skeleton, is somebody else here.
    if person.owner() != (0, 0) {
        steps.push(directory(&person.home, 0o755));
    }
    match &request.tools {
        Tools::None => {}
        Tools::Memory => steps.push(step(Action::UnpackTools {
            target: TOOLS.into(),
        })),
        Tools::Directory(directory) => steps.push(step(Action::Bind {
            source: directory.clone(),
            target: TOOLS.into(),
            access: Access::Ro,
            missing: Missing::Fail,
        })),
    }
    steps
}

/// The host name, which is the image's, and the loopback interface.
fn system(request: &Request, effects: &Effects) -> Vec<Step> {
    let name = request
        .image
        .path
        .file_stem()
        .unwrap_or_default()
        .to_string_lossy();
    let name: String = name
        .chars()
        .filter(|character| character.is_ascii_alphanumeric() || *character == '-')
        .take(63)
        .collect();
    let name = if name.is_empty() {
        "flatimage".to_owned()
    } else {
        name
    };
    let mut steps = Vec::new();
    if !effects.shared.contains_key("uts") {
        steps.push(step(Action::Hostname { name }));
    }
    if !effects.shared.contains_key("net") {
        steps.push(step(Action::Loopback));
    }
    steps
}

/// The places that the mounts need. Links that belong into the root move there.
fn skeleton(
    mounts: &mut Vec<Step>,
    host: &Host,
    (person, directory): (&Person, Option<&Path>),
) -> RootAction {
    let mut skeleton = Skeleton::default();
    for (path, contents) in person.accounts().files() {
        skeleton.file_with(Path::new(path), contents);
    }
    skeleton.file(Path::new(MACHINE_ID));
    mounts.retain(|step| match &step.action {
        Action::Bind { source, target, .. } => {
            match host.files.resolve(source) {
                Some((_, Kind::Other)) => skeleton.file(target),
                _ => skeleton.cover(target),
            }
            true
        }
        Action::Tmpfs { target, .. }
        | Action::Proc { target }
        | Action::Devpts { target }
        | Action::UnpackTools { target } => {
            skeleton.cover(target);
            true
        }
        Action::File { target, .. } => {
            skeleton.file(target);
            true
        }
        Action::Symlink { link, target } => !skeleton.link(link, target),
        _ => true,
    });
    skeleton.directory(Path::new("/sys"));
    if let Some(directory) = directory {
        skeleton.directory(directory);
    }
    // Instances that join may be somebody else: each finds its home there.
    for home in [&person.home, &host.account.home, Path::new(ROOT_HOME)] {
        skeleton.directory(home);
    }
    skeleton.into_action()
}

/// The place in the container that an action is about.
fn target(action: &Action) -> Option<&Path> {
    match action {
        Action::Tmpfs { target, .. }
        | Action::Proc { target }
        | Action::Devpts { target }
        | Action::Bind { target, .. }
        | Action::UnpackTools { target }
        | Action::Directory { target, .. }
        | Action::CopyProgram { target }
        | Action::Portal { target }
        | Action::Bus { target, .. }
        | Action::File { target, .. }
        | Action::Symlink { link: target, .. } => Some(target),
        _ => None,
    }
}
