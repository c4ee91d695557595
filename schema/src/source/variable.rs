//! Variables of the host that belong to no region, as typed.

use schemars::JsonSchema;
use serde::Deserialize;

/// A variable of the host that says something of one start, and that no setting stands behind.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Variable {
    /// Its name, starting with `FIM_`.
    pub name: String,
    /// One line: what it says.
    pub summary: String,
    /// What the book says.
    pub docs: String,
    /// What can stand in it. The first counts where it is unset or empty.
    pub choices: Vec<Word>,
}

/// What can stand in a variable.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Word {
    /// What is typed.
    pub name: String,
    /// One line: what it does.
    pub summary: String,
}
