//! Which rules of the declared filter of system calls hold.

use std::collections::BTreeMap;

use flatimage_reserved::declared::FILTER;
use serde::Serialize;

/// The filter of a plan.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Filter {
    /// Names of the rules that hold.
    pub rules: Vec<&'static str>,
    /// Those among them that answer calls as if they had been done, and why they hold.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub emulated: Vec<Named>,
    /// The rules that do not, and why.
    pub opened: Vec<Named>,
    /// Calls of which the container's first process hears when they are denied.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub told: Vec<&'static str>,
}

/// A rule and the setting that is responsible for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Named {
    /// Its name.
    pub rule: &'static str,
    /// The region or permission.
    pub cause: String,
}

impl Filter {
    /// All declared rules but those in `allowed`, and of those that emulate the ones in `emulated`. Both have the cause for each name.
    pub fn new(allowed: &Causes, emulated: &Causes) -> Filter {
        let mut filter = Filter::default();
        for rule in FILTER.rules {
            let asked = if rule.emulates { emulated } else { allowed };
            let named = asked.get(rule.name).map(|cause| Named {
                rule: rule.name,
                cause: cause.clone(),
            });
            if named.is_some() == rule.emulates {
                filter.rules.push(rule.name);
            }
            match rule.emulates {
                true => filter.emulated.extend(named),
                false => filter.opened.extend(named),
            }
        }
        filter
    }

    /// The same, with what the first process is to hear of.
    pub fn telling(self, told: Vec<&'static str>) -> Filter {
        Filter { told, ..self }
    }
}

/// Names of rules, each with its cause.
type Causes = BTreeMap<&'static str, String>;
