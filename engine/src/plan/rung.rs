//! Who makes the sandbox, and what of it the host does not give.
//!
//! The first rung of the ladder is this program itself, and nothing is looked at before the host has refused it.

use std::path::{Path, PathBuf};

use flatimage_reserved::effect::{Access, Missing};
use serde::Serialize;

use super::{Action, Plan, Step};

/// Who makes the sandbox, and what is missing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Rung {
    /// Who makes the namespaces.
    pub maker: Maker,
    /// Why it is not this program, in a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What of the sandbox the host does not give.
    pub lacks: Vec<Lack>,
}

/// A part of the sandbox that a host may refuse, and without which there is one that is worth something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Lack {
    /// Processes of the container's own: there is no `/proc` for them.
    Processes,
    /// A host name.
    HostName,
}

impl Lack {
    /// What it is.
    pub fn name(self) -> &'static str {
        match self {
            Lack::Processes => "processes",
            Lack::HostName => "host name",
        }
    }

    /// What is missing and what that means, for a sentence.
    pub fn words(self) -> &'static str {
        match self {
            Lack::Processes => {
                "processes of its own: programs see those of the outer container, and can send signals to the caller's"
            }
            Lack::HostName => "a host name of its own: programs see the one of the outer container",
        }
    }
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

    /// The same plan without what a host does not give.
    pub fn lacking(&self, lack: Lack) -> Plan {
        let mut plan = self.clone();
        plan.rung.lacks.push(lack);
        match lack {
            Lack::Processes => {
                plan.namespaces.retain(|name| *name != "pid");
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
            }
            Lack::HostName => {
                let is_name = |step: &Step| matches!(step.action, Action::Hostname { .. });
                plan.steps.retain(|step| !is_name(step));
            }
        }
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
