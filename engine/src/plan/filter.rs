//! Which rules of the declared filter of system calls hold.

use std::collections::BTreeMap;

use flatimage_reserved::declared::FILTER;
use serde::Serialize;

/// The filter of a plan.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Filter {
    /// Names of the rules that hold.
    pub rules: Vec<&'static str>,
    /// The rules that do not, and why.
    pub opened: Vec<Opened>,
}

/// A rule that a setting has allowed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Opened {
    /// Its name.
    pub rule: &'static str,
    /// The region or permission that allowed it.
    pub cause: String,
}

impl Filter {
    /// All declared rules but those in `allowed`, which has the cause for each name.
    pub fn without(allowed: &BTreeMap<&'static str, String>) -> Filter {
        let mut filter = Filter::default();
        for rule in FILTER.rules {
            match allowed.get(rule.name) {
                Some(cause) => filter.opened.push(Opened {
                    rule: rule.name,
                    cause: cause.clone(),
                }),
                None => filter.rules.push(rule.name),
            }
        }
        filter
    }
}
