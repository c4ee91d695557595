//! Who makes the sandbox, and what of it the host does not give.
//!
//! The first rung of the ladder is this program itself, and nothing is looked at before the host has refused it.

use std::path::{Path, PathBuf};

use flatimage_reserved::effect::{Access, Missing};
use serde::Serialize;

use super::{Action, Plan};

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

    /// The same plan without a process namespace of the container's own: its `/proc` is the one that is there, because of `reason`.
    pub fn sharing_processes(&self, reason: &str) -> Plan {
        let namespaces = self.namespaces.iter().copied();
        let mut plan = Plan {
            namespaces: namespaces.filter(|name| *name != "pid").collect(),
            ..self.clone()
        };
        for step in &mut plan.steps {
            if let Action::Proc { target } = &step.action {
                step.action = Action::Bind {
                    source: target.clone(),
                    target: target.clone(),
                    access: Access::Rw,
                    missing: Missing::Fail,
                };
            }
        }
        plan.rung.lacks.push(format!(
            "processes of its own: programs see those around the container and can send signals to the caller's, because {reason}"
        ));
        plan
    }

    /// The same plan where there is no start, because of `reason`.
    pub fn refused(&self, reason: &str) -> Plan {
        let rung = Rung {
            maker: Maker::Nobody,
            reason: Some(reason.to_owned()),
            lacks: Vec::new(),
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
