//! Who stacks the layers, and who does when that one cannot.

use flatimage_reserved::effect::Stacker;
use serde::Serialize;

use super::{IdMap, Plan, RootAction, Step};
use crate::host::Host;

/// Who stacks the layers and the changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stack {
    /// Who does it.
    #[serde(serialize_with = "name")]
    pub with: Stacker,
    /// Why it is not the one that was asked for, in a sentence.
    pub instead: Option<String>,
    /// Who else could, in the order in which they are tried.
    #[serde(skip)]
    pub further: Vec<Stacker>,
}

impl Stack {
    /// By whoever was asked for, or the next who can. `programs` are those that the image brings along.
    pub fn choose(asked: Stacker, host: &Host, programs: &[String], map: &IdMap) -> Stack {
        let others = Stacker::ALL.into_iter().filter(|other| *other != asked);
        let mut able = [asked]
            .into_iter()
            .chain(others)
            .filter(|one| obstacle(*one, host, programs, map).is_none());
        let with = able.next().unwrap_or(Stacker::Kernel);
        Stack {
            with,
            instead: obstacle(asked, host, programs, map)
                .map(|reason| instead(with, &format!("{} cannot be used: {reason}", asked.name()))),
            further: able.collect(),
        }
    }

    /// Whether `stacker` could do it.
    pub fn can(&self, stacker: Stacker) -> bool {
        self.with == stacker || self.further.contains(&stacker)
    }

    /// Who does it once `reason` showed that this one cannot; `None` when nobody is left.
    fn next(&self, reason: &str) -> Option<Stack> {
        let (with, further) = self.further.split_first()?;
        Some(Stack {
            with: *with,
            instead: Some(instead(*with, reason)),
            further: further.to_vec(),
        })
    }
}

impl Plan {
    /// Who stacks the layers.
    pub fn stack(&self) -> Option<&Stack> {
        self.root.iter().find_map(|step| match &step.action {
            RootAction::Overlay { stack, .. } => Some(stack),
            _ => None,
        })
    }

    /// The same plan with the next who could stack the layers, once `reason` showed that this one cannot.
    pub fn restacked(&self, reason: &str) -> Option<Plan> {
        let next = self.stack()?.next(reason)?;
        let restack = |step: &Step<RootAction>| {
            let mut step = step.clone();
            if let RootAction::Overlay { stack, .. } = &mut step.action {
                stack.clone_from(&next);
            }
            step
        };
        Some(Plan {
            root: self.root.iter().map(restack).collect(),
            ..self.clone()
        })
    }
}

fn instead(with: Stacker, reason: &str) -> String {
    let who = match with {
        Stacker::Kernel => "the kernel's overlayfs",
        other => other.name(),
    };
    format!("{reason}; {who} stacks the layers instead")
}

/// Why somebody cannot.
fn obstacle(stacker: Stacker, host: &Host, programs: &[String], map: &IdMap) -> Option<String> {
    // What it writes beside the changes is not the caller's then, who translates it.
    if stacker == Stacker::UnionfsFuse && matches!(map, IdMap::Subordinate { .. }) {
        return Some("its marks of what is deleted would belong to subordinate ids".to_owned());
    }
    let program = stacker.program()?;
    if !programs.iter().any(|brought| brought == program) {
        return Some(format!("the image brings no `{program}` along"));
    }
    host.no_fuse.clone()
}

fn name<S: serde::Serializer>(stacker: &Stacker, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(stacker.name())
}
