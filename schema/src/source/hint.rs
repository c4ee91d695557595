//! Hints as typed: how a container shows that a bit which is not set was wanted.

use schemars::JsonSchema;
use serde::Deserialize;

/// What is said after a program has failed while the bit was not set and its want was seen.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Hint {
    /// What was seen, as the beginning of a sentence.
    pub text: String,
    /// By what it is seen.
    pub sign: Sign,
    /// Whether what the bit opens takes a map of the program's ids: user id 0 can have none without the capability `SETFCAP`, so that the bit
    /// would not help it and nothing is said (`verify_root_map` of Linux).
    #[serde(default, rename = "maps-ids")]
    pub maps_ids: bool,
}

/// By what it is seen that a bit was wanted.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Sign {
    /// One of these system calls was denied with `EPERM`. The container's first process hears of each, so they should be rare.
    Calls(Vec<String>),
    /// Something was sent where no way leads, or a datagram to a port of the container that nobody listens at.
    Unreachable,
    /// The program is made for windows, and the caller has a display.
    Windows(Windows),
}

/// A program for windows, and the display that it would have.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Windows {
    /// The variable of the host that names the display.
    pub variable: String,
    /// Patterns for the names of libraries, one of which the program needs.
    pub libraries: Vec<String>,
}
