//! The filter of system calls as typed: rules, each with its reason, that deny what nobody has allowed.

use schemars::JsonSchema;
use serde::Deserialize;

/// A rule. It holds unless an effect allows it by name; one that emulates holds only when an effect asks for it by name.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Unique name, for `allow` and for what is printed.
    pub name: String,
    /// One line: what is denied.
    pub summary: String,
    /// Why.
    pub reason: String,
    /// Whether its calls are not denied for safety but answered as if they had been done.
    #[serde(default)]
    pub emulates: bool,
    /// What is denied.
    pub deny: Vec<Denial>,
}

/// System calls that are denied: those in `calls`, or those that Linux got after the one in `above`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Denial {
    /// Their names. A machine that lacks one of them goes without.
    #[serde(default)]
    pub calls: Vec<String>,
    /// Every call with a higher number than this one has.
    #[serde(default)]
    pub above: Option<String>,
    /// Only calls with such an argument.
    #[serde(default)]
    pub when: Option<Condition>,
    /// What the caller is told.
    #[serde(default)]
    pub answer: Answer,
}

/// A condition on the lower 32 bits of an argument.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// Which argument: 0 is the first, 5 the last.
    pub argument: u8,
    /// What it must be.
    pub value: Test,
}

/// A test of 32 bits.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Test {
    /// One of these.
    AnyOf(Vec<u32>),
    /// None of these.
    NoneOf(Vec<u32>),
    /// At least one of these bits is set.
    AnyBitOf(u32),
}

/// The error that a denied call ends with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum Answer {
    /// It is not permitted.
    #[default]
    #[serde(rename = "EPERM")]
    NotPermitted,
    /// As a kernel without this call: programs fall back to an older one.
    #[serde(rename = "ENOSYS")]
    NoSuchCall,
    /// The kind of address is not supported.
    #[serde(rename = "EAFNOSUPPORT")]
    NoSuchFamily,
    /// What the container's first process is answered when it makes the call that this one stands for. For calls that keep in
    /// memory what the rules look at, where a filter does not see it: only `socketcall` can be asked for.
    #[serde(rename = "ask")]
    Asked,
    /// No error: the caller is told that it was done, and nothing is.
    #[serde(rename = "done")]
    Done,
}
