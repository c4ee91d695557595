//! What a declared action looks like to the program: a command that is not a setting.

/// The command `fim-<name>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ActionDecl {
    /// Name without `fim-`.
    pub name: &'static str,
    /// One line for lists of commands.
    pub summary: &'static str,
    /// What `--help` prints.
    pub docs: &'static str,
    /// What follows the command.
    pub shape: Shape,
}

/// What follows an action's command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Arguments.
    Arguments(&'static [Argument]),
    /// One of these verbs.
    Verbs(&'static [ActionVerb]),
}

/// A verb of an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ActionVerb {
    /// What is typed.
    pub name: &'static str,
    /// One line of help.
    pub summary: &'static str,
    /// What follows it.
    pub arguments: &'static [Argument],
}

/// An argument of an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Argument {
    /// Name in the help.
    pub name: &'static str,
    /// What it takes.
    pub kind: ArgumentKind,
    /// Whether it can be left out.
    pub optional: bool,
    /// One line of help.
    pub summary: &'static str,
}

/// What an argument takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArgumentKind {
    /// UTF-8.
    Text,
    /// A path.
    Path,
    /// `--name`, given or not.
    Switch,
    /// A program and all that follows it, passed on untouched.
    Command,
}
