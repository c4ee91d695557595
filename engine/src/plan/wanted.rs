//! What a failure of the program could be blamed on: settings that are off, each with the sign by which its want is seen.

use flatimage_reserved::declared::{FILTER, REGIONS};
use flatimage_reserved::{BitDecl, Encoding, RegionDecl, Sign, Value};
use serde::Serialize;

use super::{Exec, Filter};
use crate::host::Host;

/// Something that is closed to the container and may be missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Wanted {
    /// The command of the setting, without `fim-`.
    pub command: &'static str,
    /// The name of what is off.
    pub name: &'static str,
    /// What is said when it was missed, as the beginning of a sentence.
    #[serde(skip)]
    pub text: &'static str,
    /// By what that is seen.
    #[serde(skip)]
    pub sign: Sign,
}

impl Wanted {
    /// What can be missed and seen to be, the surest signs first.
    pub fn of(
        settings: &[(&'static RegionDecl, Value)],
        host: &Host,
        (filter, namespaces): (&Filter, &[&'static str]),
        (exec, uid): (&Exec, u32),
    ) -> Vec<Wanted> {
        let bits = || {
            settings
                .iter()
                .flat_map(|(region, value)| bits(region, value))
        };
        // One display is enough.
        let has_display = bits().any(|(_, bit, is_set)| {
            let sign = bit.hint.map(|hint| hint.sign);
            is_set && matches!(sign, Some(Sign::Windows { variable, .. }) if host.variable(variable).is_some())
        });
        let is_seen = |sign: &Sign| match sign {
            Sign::Calls(names) => names.iter().all(|name| is_denied(filter, name)),
            // The counters are the host's otherwise.
            Sign::Unreachable => namespaces.contains(&"net"),
            Sign::Windows { variable, .. } => {
                !has_display
                    && host.variable(variable).is_some()
                    && !exec.environment.contains_key(*variable)
            }
        };
        // The kernel does not let user id 0 be mapped once more by who has no right to it.
        let can_map = uid != 0 || exec.capabilities.contains(&"SETFCAP");
        let helps = |bit: &BitDecl| can_map || bit.hint.is_none_or(|hint| !hint.maps_ids);
        let mut wanted: Vec<Wanted> = bits()
            .filter(|(_, bit, is_set)| !is_set && helps(bit))
            .filter_map(|(region, bit, _)| Wanted::with(region, bit))
            .filter(|wanted| is_seen(&wanted.sign))
            .collect();
        wanted.sort_by_key(|wanted| wanted.sign.rank());
        wanted
    }

    /// The one that has these names.
    pub fn named(command: &str, name: &str) -> Option<Wanted> {
        REGIONS.iter().find_map(|region| {
            let Encoding::Bits(decl) = &region.encoding else {
                return None;
            };
            let bit = decl.bit(name).filter(|_| region.command == Some(command))?;
            Wanted::with(region, bit)
        })
    }

    fn with(region: &RegionDecl, bit: &BitDecl) -> Option<Wanted> {
        let hint = bit.hint?;
        Some(Wanted {
            command: region.command?,
            name: bit.name,
            text: hint.text,
            sign: hint.sign,
        })
    }
}

/// The system calls that some sign is made of.
pub fn told(wanted: &[Wanted]) -> Vec<&'static str> {
    let calls = wanted.iter().filter_map(|wanted| match wanted.sign {
        Sign::Calls(names) => Some(names),
        _ => None,
    });
    calls.flatten().copied().collect()
}

/// The bits of a setting, and whether each is set.
fn bits<'a>(
    region: &'a &'static RegionDecl,
    value: &'a Value,
) -> impl Iterator<Item = (&'static RegionDecl, &'static BitDecl, bool)> + use<'a> {
    let (bits, set): (&'static [BitDecl], u64) = match (&region.encoding, value) {
        (Encoding::Bits(decl), Value::Bits(set)) => (decl.bits, *set),
        _ => (&[], 0),
    };
    bits.iter()
        .map(move |bit| (*region, bit, set >> bit.number & 1 == 1))
}

/// Whether a rule that holds names the call.
fn is_denied(filter: &Filter, call: &str) -> bool {
    let holding = FILTER
        .rules
        .iter()
        .filter(|rule| filter.rules.contains(&rule.name));
    let mut calls = holding.flat_map(|rule| rule.native.calls);
    calls.any(|known| known.name == call)
}
