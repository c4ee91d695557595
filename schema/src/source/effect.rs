//! Effects as typed.
//!
//! Strings may hold placeholders (`{value}`, `{key}`, `{field}`) for the region's value and `$NAME` or `${NAME}` for a
//! variable of the host, which is expanded when the container starts.

use schemars::JsonSchema;
use serde::Deserialize;

/// What a value does to the container.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// A path of the host appears in the container.
    Bind(Bind),
    /// Shared libraries of the host appear in the container.
    Libraries(Libraries),
    /// A variable is set in the container.
    Setenv(Setenv),
    /// An empty filesystem in memory.
    Tmpfs(Tmpfs),
    /// A symbolic link.
    Symlink(Symlink),
    /// A namespace of the host is kept instead of a new one.
    Share(Share),
    /// The container has further ids of the host.
    Subordinate(Subordinate),
    /// Names of files are found in any case.
    Fold(Fold),
    /// Rules of the filter of system calls do not hold.
    Allow(Allow),
    /// Rules of the filter of system calls hold that pretend to do what the container cannot.
    Emulate(Emulate),
    /// A file with a text of the declaration's.
    File(Text),
    /// What is hidden or read-only by default below a path is not.
    Unmask(Unmask),
    /// Programs start in a directory.
    Enter(Enter),
    /// The layers and the changes are stacked in another way.
    Stack(Stack),
    /// Programs in the container can ask for programs of the host to be run.
    Portal(Portal),
    /// A program of the host that may be run for the container.
    Admit(Admit),
    /// A message bus of the host, filtered.
    Bus(Bus),
    /// Effects once for every entry of a map or record of a list.
    ForEach(ForEach),
    /// Effects while all conditions given hold.
    When(When),
}

/// A path of the host appears in the container.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Bind {
    /// Path on the host.
    pub source: String,
    /// Path in the container; the same as on the host when it is left out. With `glob`, the directory in which each match is under its
    /// own name.
    #[serde(default)]
    pub target: Option<String>,
    /// `ro`, `rw`, `dev` (device nodes work), or the placeholder of a field that holds one of them.
    pub access: String,
    /// What happens when the host has no such path.
    #[serde(default)]
    pub missing: Missing,
    /// The last component of the source is a pattern with `*` and `?`. Each match is bound at its own path unless there is a target.
    #[serde(default)]
    pub glob: bool,
}

/// What happens when a path is not there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Missing {
    /// It is left out.
    #[default]
    Skip,
    /// The container does not start.
    Fail,
}

/// Shared libraries that the host's loader knows appear read-only in the container, each under the name that programs ask for.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Libraries {
    /// Patterns of names, with `*` and `?`.
    pub names: Vec<String>,
    /// Directory in the container: the machine's own are in `lib` below it, those for 32-bit programs in `lib32`.
    pub target: String,
}

/// A variable is set in the container.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Setenv {
    /// Name of the variable.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// An empty filesystem in memory.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tmpfs {
    /// Path in the container.
    pub target: String,
}

/// A symbolic link.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Symlink {
    /// Path of the link in the container.
    pub link: String,
    /// What it points to.
    pub target: String,
}

/// A namespace of the host is kept.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Share {
    /// Which one.
    pub namespace: Namespace,
}

/// A kind of namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Namespace {
    /// User and group ids.
    User,
    /// Message queues and shared memory.
    Ipc,
    /// Processes.
    Pid,
    /// Network.
    Net,
    /// Host name.
    Uts,
    /// Control groups.
    Cgroup,
}

/// The container has the caller's subordinate ids (subuid(5)) besides the caller's own. The container does not start where there
/// are none; real root's containers have others.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Subordinate {}

/// The root that all instances share is shown case-insensitively. Needs FUSE.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fold {}

/// Rules of the filter of system calls do not hold.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Allow {
    /// Their names.
    pub rules: Vec<String>,
}

/// Rules of the filter of system calls hold that otherwise do not: those that answer calls without doing them.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Emulate {
    /// Their names.
    pub rules: Vec<String>,
}

/// A file in memory that nobody in the container can change.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Text {
    /// Path in the container.
    pub target: String,
    /// What it holds.
    pub text: String,
}

/// What is hidden or read-only by default at a path and below it stays as the kernel shows it.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Unmask {
    /// Path in the container.
    pub target: String,
}

/// Programs start in a directory of the container.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Enter {
    /// Path in the container.
    pub directory: String,
}

/// What stacks the layers and the changes into the root that all instances share.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Stack {
    /// Who does it. What the host or the image cannot do falls to the next.
    pub with: Stacker,
}

/// Who stacks layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Stacker {
    /// The kernel's own overlayfs.
    Kernel,
    /// The program of that name, over FUSE.
    FuseOverlayfs,
    /// The program of that name, over FUSE.
    UnionfsFuse,
}

/// Programs in the container can ask for programs of the host to be run. Those that are are admitted by other effects.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Portal {}

/// A program of the host that may be run for the container, if that can ask for it.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Admit {
    /// Its path on the host with `*` and `?`, its name in the caller's `PATH`, or `*` for every program.
    pub program: String,
}

/// A message bus of the host appears in the container as a socket, through a program that passes on only what the names here
/// allow. Left out when a variable in `address` is not set; the container does not start when the host lacks the program.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Bus {
    /// Address of the bus on the host, as the D-Bus specification has it.
    pub address: String,
    /// Path of the socket in the container.
    pub target: String,
    /// Names whose owners can be called; `.*` at the end stands for every name below.
    #[serde(default)]
    pub talk: Vec<String>,
    /// Names that programs in the container can own, and call; with `.*` as above.
    #[serde(default)]
    pub own: Vec<String>,
}

/// Effects once for every entry of a map (`{key}`, `{value}`) or record of a list (`{field}`).
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ForEach {
    /// What each entry brings.
    pub effects: Vec<Effect>,
}

/// Effects while all conditions given hold.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct When {
    /// A variable of that name is set on the host.
    #[serde(default)]
    pub env: Option<String>,
    /// The path exists on the host, and is absolute when variables have been expanded.
    #[serde(default)]
    pub exists: Option<String>,
    /// Whether the program runs as root in the container.
    #[serde(default)]
    pub root: Option<bool>,
    /// Whether the caller is root on the host.
    #[serde(default)]
    pub privileged: Option<bool>,
    /// The flag or choice has this value.
    #[serde(default)]
    pub is: Option<String>,
    /// What happens then.
    pub effects: Vec<Effect>,
}
