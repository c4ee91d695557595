//! Programs that install packages in a container, as typed.

use schemars::JsonSchema;
use serde::Deserialize;

/// A program that installs packages, and how it is asked to.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PackageManager {
    /// Its name in the container's `PATH`, where it is looked for.
    pub program: String,
    /// One line: whose it is.
    pub summary: String,
    /// The distributions whose images have it. Those of others use the first that is found.
    #[serde(default)]
    pub distributions: Vec<String>,
    /// What is run first, program and arguments: the lists of packages are got anew.
    pub refresh: Vec<String>,
    /// What is run then, with the packages behind it. Nobody is asked anything.
    pub install: Vec<String>,
}
