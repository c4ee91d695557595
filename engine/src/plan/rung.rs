//! Who makes the sandbox, and what of it the host does not give.
//!
//! The first rung of the ladder is this program itself, and nothing is looked at before the host has refused it.

use std::path::{Path, PathBuf};

use flatimage_reserved::effect::{Access, Missing};
use serde::Serialize;

use super::base::DEFAULT;
use super::{Action, Plan, RootAction, Step};

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
    /// An overlay.
    Overlay,
    /// A user namespace that the program does not share with the mounts.
    Nesting,
    /// Places of mounts that links of the image do not lead away.
    Places,
    /// What root of the container may do with files of others.
    Capabilities,
    /// That nothing is left, whatever is killed.
    CleanUp,
}

impl Lack {
    /// What it is.
    pub fn name(self) -> &'static str {
        match self {
            Lack::Processes => "processes",
            Lack::HostName => "host name",
            Lack::Overlay => "overlay",
            Lack::Nesting => "namespace",
            Lack::Places => "places of mounts",
            Lack::Capabilities => "capabilities",
            Lack::CleanUp => "certain end",
        }
    }

    /// What is missing and what that means, for a sentence.
    pub fn words(self) -> &'static str {
        match self {
            Lack::Processes => {
                "processes of its own: programs see those of the outer container, and can send signals to the caller's"
            }
            Lack::HostName => "a host name of its own: programs see the one of the outer container",
            Lack::Overlay => {
                "an overlay: changes go to a plain copy of the layers, which starts with an overlay do not see and no commit packs"
            }
            Lack::Nesting => {
                "a second user namespace: the mounts belong to the one that programs are in, where they have no capability to change them"
            }
            Lack::Places => {
                "mounts that no link moves: one of the image can lead a mount to another place, and an empty file or directory there"
            }
            Lack::Capabilities => {
                "capabilities of root: fim-root has the user id 0 and no right beyond the caller's"
            }
            Lack::CleanUp => {
                "an end that is certain: when all of its processes are killed at once a dead mount stays, which the next start takes away"
            }
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
    /// A program of the host makes the whole sandbox from its arguments, around an overlay that another one mounts outside of it.
    Outside {
        /// The one that makes the sandbox.
        program: PathBuf,
        /// The one that mounts.
        mounter: PathBuf,
    },
    /// A program of the host makes the whole sandbox from its arguments, around a plain copy of the layers.
    Arguments(PathBuf),
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
            // They come with who makes the sandbox.
            Lack::Overlay | Lack::Nesting | Lack::Places | Lack::Capabilities | Lack::CleanUp => {}
        }
        plan
    }

    /// The same plan with a sandbox that `program` makes from its arguments around a copy of the layers in `directory`, because of
    /// `reason`.
    pub fn copied(&self, program: &Path, directory: &Path, reason: &str) -> Plan {
        let rung = Rung {
            maker: Maker::Arguments(program.to_owned()),
            reason: Some(reason.to_owned()),
            lacks: vec![Lack::Overlay, Lack::Nesting, Lack::Places],
        };
        self.around(
            rung,
            RootAction::Copy {
                directory: directory.to_owned(),
            },
        )
    }

    /// The same plan with a sandbox that `program` makes from its arguments around a root in `directory` that is mounted with
    /// `mounter`, with the changes in the data directory `changes`, because of `reason`.
    pub fn outside(
        &self,
        (program, mounter): (&Path, &Path),
        (directory, changes): (&Path, &Path),
        reason: &str,
    ) -> Plan {
        let rung = Rung {
            maker: Maker::Outside {
                program: program.to_owned(),
                mounter: mounter.to_owned(),
            },
            reason: Some(reason.to_owned()),
            lacks: vec![Lack::CleanUp, Lack::Nesting, Lack::Places],
        };
        self.around(
            rung,
            RootAction::Outside {
                directory: directory.to_owned(),
                changes: changes.to_owned(),
            },
        )
    }

    /// The same plan on a rung where the root is there before the sandbox is.
    fn around(&self, rung: Rung, root: RootAction) -> Plan {
        let mut plan = Plan {
            rung,
            ..self.clone()
        };
        if !plan.exec.capabilities.is_empty() {
            plan.rung.lacks.push(Lack::Capabilities);
            plan.exec.capabilities = Vec::new();
        }
        plan.root
            .retain(|step| matches!(step.action, RootAction::Skeleton { .. }));
        plan.root.push(Step {
            action: root,
            cause: DEFAULT.to_owned(),
        });
        plan
    }

    /// Who makes the whole sandbox from arguments, and the directory that becomes its root.
    pub fn boxed(&self) -> Option<(&Path, &Path)> {
        let program = match &self.rung.maker {
            Maker::Arguments(program) | Maker::Outside { program, .. } => program.as_path(),
            Maker::Native | Maker::Bwrap(_) | Maker::Nobody => return None,
        };
        self.root.iter().find_map(|step| match &step.action {
            RootAction::Copy { directory } | RootAction::Outside { directory, .. } => {
                Some((program, directory.as_path()))
            }
            _ => None,
        })
    }

    /// Whether its root is a plain copy of the layers.
    pub fn is_copied(&self) -> bool {
        matches!(self.rung.maker, Maker::Arguments(_))
    }

    /// Whether its root is mounted outside of namespaces.
    pub fn is_outside(&self) -> bool {
        matches!(self.rung.maker, Maker::Outside { .. })
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
            _ => None,
        }
    }
}
