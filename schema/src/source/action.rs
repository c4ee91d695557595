//! Commands that are not a setting, as typed.

use schemars::JsonSchema;
use serde::Deserialize;

/// The command `fim-<name>`: the engine implements one function for it.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Action {
    /// The command is `fim-<name>`.
    pub name: String,
    /// One line for lists of commands.
    pub summary: String,
    /// What the command's help and the book say.
    pub docs: String,
    /// Its arguments, when it has no verbs.
    #[serde(default)]
    pub arguments: Vec<Argument>,
    /// Its verbs.
    #[serde(default)]
    pub verbs: Vec<ActionVerb>,
}

/// A verb: the word after the command.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ActionVerb {
    /// What is typed.
    pub name: String,
    /// One line of help.
    pub summary: String,
    /// Its arguments.
    #[serde(default)]
    pub arguments: Vec<Argument>,
}

/// An argument.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Argument {
    /// Name in the help.
    pub name: String,
    /// What it takes.
    pub kind: ArgumentKind,
    /// Whether it can be left out.
    #[serde(default)]
    pub optional: bool,
    /// One line of help.
    pub summary: String,
}

/// What an argument takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ArgumentKind {
    /// A text.
    Text,
    /// A path.
    Path,
    /// `--name`, given or not.
    Switch,
    /// A program and all that follows it, passed on untouched.
    Command,
}
