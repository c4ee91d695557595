//! The declaration as people type it. Nothing here is checked beyond its shape; nothing unknown is accepted.

mod action;
mod effect;
mod filter;
mod hint;
mod package_manager;
mod parse;
mod region;
mod variable;

use schemars::JsonSchema;
use serde::Deserialize;

pub use action::{Action, ActionVerb, Argument, ArgumentKind};
pub use effect::{
    Admit, Allow, Bind, Bus, Effect, Emulate, Enter, Fold, ForEach, Libraries, Missing, Namespace,
    Portal, Setenv, Share, Stack, Stacker, Subordinate, Symlink, Text as FileText, Tmpfs, Unmask,
    When,
};
pub use filter::{Answer, Condition, Denial, Rule, Test};
pub use hint::{Hint, Sign, Windows};
pub use package_manager::PackageManager;
pub(crate) use parse::{Source, parse};
pub use region::{
    Bit, Bits, Choice, Encoding, Field, FieldKind, Fields, Group, Region, Side, Text,
};
pub use variable::{Variable, Word};

/// What an image can be told: the regions of its reserved space and the commands beside them.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Declaration {
    /// Version of the binary format. Moving or re-encoding a region needs a new one; adding a region does not.
    pub format: u32,
    /// Bytes of the reserved space when a build does not choose another size.
    pub size: u64,
    /// The settings.
    pub regions: Vec<Region>,
    /// The commands that are not a setting.
    #[serde(default)]
    pub actions: Vec<Action>,
    /// The system calls that containers are denied.
    #[serde(default)]
    pub filter: Vec<Rule>,
    /// The programs that install packages, in the order in which they are looked for.
    #[serde(default, rename = "package-managers")]
    pub package_managers: Vec<PackageManager>,
    /// The variables of the host that belong to no region.
    #[serde(default)]
    pub variables: Vec<Variable>,
}
