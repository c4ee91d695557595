//! Who makes the sandbox, and what of it the host does not give.
//!
//! The first rung of the ladder is this program itself, and nothing is looked at before the host has refused it.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::Plan;

/// Who makes the sandbox, and what is missing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Rung {
    /// Who makes the namespaces.
    pub maker: Maker,
    /// Why it is not this program, in a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What of the sandbox does not hold, each in a sentence.
    pub lacks: Vec<String>,
}

/// Who makes the namespaces of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Maker {
    /// This program.
    #[default]
    Native,
    /// A program of the host that may, where this one may not. All else is done as natively.
    Bwrap(PathBuf),
    /// Nobody: the host refuses them.
    Nobody,
}

impl Plan {
    /// The same plan with namespaces that `program` makes, because of `reason`. Nothing of the promise is missing then.
    pub fn lent_by(&self, program: &Path, reason: &str) -> Plan {
        let rung = Rung {
            maker: Maker::Bwrap(program.to_owned()),
            reason: Some(reason.to_owned()),
            lacks: self.rung.lacks.clone(),
        };
        Plan {
            rung,
            ..self.clone()
        }
    }

    /// Whether somebody else makes the namespaces.
    pub fn lender(&self) -> Option<&Path> {
        match &self.rung.maker {
            Maker::Bwrap(program) => Some(program),
            Maker::Native | Maker::Nobody => None,
        }
    }
}
