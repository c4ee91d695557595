//! The declaration without doubt: what has been checked, in the shape that emitters want.

pub(crate) mod build;
mod layout;

pub(crate) use build::build;

use crate::name::Name;
pub use crate::source::{
    Answer, ArgumentKind, Hint, Missing, Namespace, Side, Sign, Stacker, Test, Windows,
};

/// The whole declaration.
#[derive(Debug, Clone)]
pub struct Model {
    /// Version of the binary format.
    pub format: u32,
    /// Bytes of the reserved space when a build does not choose another size.
    pub size: u64,
    /// The regions, by offset.
    pub regions: Vec<Region>,
    /// The commands that are not a region, as declared.
    pub actions: Vec<Action>,
    /// The rules of the filter of system calls.
    pub filter: Vec<Rule>,
    /// Programs that install packages, as declared.
    pub package_managers: Vec<PackageManager>,
    /// Variables of the host that belong to no region, as declared.
    pub variables: Vec<Variable>,
}

/// One region.
#[derive(Debug, Clone)]
pub struct Region {
    /// Unique name.
    pub name: Name,
    /// The command is `fim-<command>`.
    pub command: Option<Name>,
    /// First byte, counted from the start of the reserved space.
    pub offset: u64,
    /// Bytes of both slots.
    pub size: u64,
    /// How the value is stored.
    pub encoding: Encoding,
    /// The default as it is stored.
    pub default: Vec<u8>,
    /// One line of help.
    pub summary: String,
    /// Help.
    pub docs: String,
    /// The variable of the host that counts instead of what is stored.
    pub variable: Option<String>,
    /// What the value does.
    pub effects: Vec<Effect>,
}

/// How a value is stored.
#[derive(Debug, Clone)]
pub enum Encoding {
    /// On or off.
    Flag,
    /// One of the names.
    Choice(Vec<Choice>),
    /// Named bits and groups of them.
    Bits(Vec<Bit>, Vec<Group>),
    /// A text.
    Text {
        /// Its most bytes.
        max: u32,
        /// What it begins with, if it is an address.
        schemes: Vec<String>,
        /// Where it is a path, if it is one.
        path: Option<Side>,
    },
    /// Texts by name.
    Map,
    /// Records in order.
    List(Vec<Field>),
    /// A record or nothing.
    Record(Vec<Field>),
    /// Bytes.
    Blob,
}

/// One name that a choice can have.
#[derive(Debug, Clone)]
pub struct Choice {
    /// What is typed and stored.
    pub name: Name,
    /// What `show` prints.
    pub output: String,
    /// One line of help.
    pub summary: String,
    /// What it does.
    pub effects: Vec<Effect>,
}

/// One bit.
#[derive(Debug, Clone)]
pub struct Bit {
    /// 0 to 63.
    pub number: u8,
    /// What is typed and listed.
    pub name: Name,
    /// One line of help.
    pub summary: String,
    /// Help.
    pub docs: String,
    /// Why it cannot be taken away.
    pub required: Option<String>,
    /// What is said after a failure for want of it.
    pub hint: Option<Hint>,
    /// While it is set.
    pub effects: Vec<Effect>,
    /// While it is not set.
    pub otherwise: Vec<Effect>,
}

/// A name for several bits.
#[derive(Debug, Clone)]
pub struct Group {
    /// What is typed.
    pub name: Name,
    /// The bits.
    pub mask: u64,
    /// One line of help.
    pub summary: String,
}

/// One field of a record.
#[derive(Debug, Clone)]
pub struct Field {
    /// Name.
    pub name: Name,
    /// Key in what is printed.
    pub output: String,
    /// What it holds.
    pub kind: FieldKind,
    /// What is printed while the record is unset.
    pub unset: Option<String>,
    /// One line of help.
    pub summary: String,
}

/// What a field holds.
#[derive(Debug, Clone)]
pub enum FieldKind {
    /// A text.
    Text,
    /// An absolute path, stored as a text.
    Path(Side),
    /// A u64.
    Number,
    /// Any number of texts.
    Texts,
    /// One of the names.
    Choice(Vec<Name>),
}

/// An effect, with everything filled in that may be left out when typed.
#[derive(Debug, Clone)]
#[allow(
    missing_docs,
    reason = "the fields are those of `source::effect`, where they are described"
)]
pub enum Effect {
    /// A path of the host appears.
    Bind {
        source: String,
        target: String,
        access: Access,
        missing: Missing,
        glob: bool,
    },
    /// Shared libraries of the host appear.
    Libraries { names: Vec<String>, target: String },
    /// A variable is set.
    Setenv { name: String, value: String },
    /// An empty filesystem in memory.
    Tmpfs { target: String },
    /// A symbolic link.
    Symlink { link: String, target: String },
    /// A namespace is kept.
    Share { namespace: Namespace },
    /// Names are found in any case.
    Fold,
    /// Rules of the filter do not hold.
    Allow { rules: Vec<Name> },
    /// The container has the caller's subordinate ids.
    Subordinate,
    /// Rules of the filter hold that pretend.
    Emulate { rules: Vec<Name> },
    /// A file in memory.
    File { target: String, text: String },
    /// What is hidden by default is not.
    Unmask { target: String },
    /// Programs start in this directory.
    Enter { directory: String },
    /// The layers and the changes are stacked by this.
    Stack { with: Stacker },
    /// Programs of the host can be asked for.
    Portal,
    /// A program of the host that may be run.
    Admit { program: String },
    /// A message bus of the host, filtered.
    Bus {
        address: String,
        target: String,
        talk: Vec<String>,
        own: Vec<String>,
    },
    /// Once for every entry.
    ForEach { effects: Vec<Effect> },
    /// While all conditions hold.
    When {
        conditions: Vec<Condition>,
        effects: Vec<Effect>,
    },
}

/// What may be done with a bound path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// Read.
    Ro,
    /// Read and write.
    Rw,
    /// Read and write, device nodes included.
    Dev,
    /// What the field of that name says.
    Field(Name),
}

/// A condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// The variable is set on the host.
    Env(String),
    /// The path exists on the host.
    Exists(String),
    /// Root in the container, or not.
    Root(bool),
    /// The caller is root on the host, or not.
    Privileged(bool),
    /// The flag or choice has this value.
    Is(String),
}

/// A command that is not a region.
#[derive(Debug, Clone)]
pub struct Action {
    /// The command is `fim-<name>`.
    pub name: Name,
    /// One line of help.
    pub summary: String,
    /// Help.
    pub docs: String,
    /// What follows the command.
    pub shape: Shape,
}

/// What follows an action's command.
#[derive(Debug, Clone)]
pub enum Shape {
    /// Arguments.
    Arguments(Vec<Argument>),
    /// A verb.
    Verbs(Vec<ActionVerb>),
}

/// A verb of an action.
#[derive(Debug, Clone)]
pub struct ActionVerb {
    /// What is typed.
    pub name: Name,
    /// One line of help.
    pub summary: String,
    /// Its arguments.
    pub arguments: Vec<Argument>,
}

/// An argument of an action.
#[derive(Debug, Clone)]
pub struct Argument {
    /// Name.
    pub name: Name,
    /// What it takes.
    pub kind: ArgumentKind,
    /// Whether it can be left out.
    pub optional: bool,
    /// One line of help.
    pub summary: String,
}

/// A program that installs packages.
#[derive(Debug, Clone)]
pub struct PackageManager {
    /// Its name in the container's `PATH`.
    pub program: String,
    /// One line: whose it is.
    pub summary: String,
    /// The distributions whose images have it.
    pub distributions: Vec<String>,
    /// What is run first.
    pub refresh: Vec<String>,
    /// What is run then, the packages appended.
    pub install: Vec<String>,
}

/// A variable of the host that belongs to no region.
#[derive(Debug, Clone)]
pub struct Variable {
    /// Its name without `FIM_`, in lower case.
    pub name: Name,
    /// One line: what it says.
    pub summary: String,
    /// What the book says.
    pub docs: String,
    /// What can stand in it, each with one line; the first is the default.
    pub choices: Vec<(Name, String)>,
}

impl Variable {
    /// The name as it stands in an environment.
    #[must_use]
    pub fn full_name(&self) -> String {
        format!("FIM_{}", self.name.upper())
    }
}

/// A rule of the filter of system calls.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Unique name.
    pub name: Name,
    /// One line: what is denied.
    pub summary: String,
    /// Why.
    pub reason: String,
    /// Whether it answers calls as if they had been done, where an effect asks for it.
    pub emulates: bool,
    /// What is denied.
    pub deny: Vec<Denial>,
}

/// Calls that are denied.
#[derive(Debug, Clone)]
pub struct Denial {
    /// Which.
    pub calls: Calls,
    /// The number of an argument, from 0, and what its lower 32 bits must be.
    pub condition: Option<(u8, Test)>,
    /// What the caller is told.
    pub answer: Answer,
}

/// System calls by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Calls {
    /// These, as far as a machine has them.
    Named(Vec<String>),
    /// All with a higher number.
    Above(String),
}

impl Model {
    /// The layout as text: one line a region with name, offset, size and the encoding's signature. It travels in every
    /// image, so that a later program can read settings that have moved since.
    #[must_use]
    pub fn layout(&self) -> String {
        layout::table(self)
    }

    /// The sha256 of everything that gives bytes a meaning: the layout and the defaults.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        layout::digest(self)
    }
}
