//! Bits have numbers of their own below 64, and groups consist of declared bits.

use std::collections::HashMap;

use crate::report::Report;
use crate::source::{Bits, Encoding, Region, Source};
use crate::{encode, nearest};

pub fn check(source: &Source, report: &mut Report) {
    for placed in &source.regions {
        let Encoding::Bits(bits) = &placed.item.encoding else {
            continue;
        };
        let path = format!("{}.encoding.bits", placed.path);
        let mut seen: HashMap<u8, &str> = HashMap::new();
        for (place, bit) in bits.bits.iter().enumerate() {
            let at = format!("{path}.bits[{place}].number");
            if bit.number > 63 {
                let what = format!(
                    "bit `{}` has the number {}, beyond a 64-bit integer",
                    bit.name, bit.number
                );
                report.add(
                    &at,
                    what,
                    free(&bits.bits.iter().map(|bit| bit.number).collect::<Vec<_>>()),
                );
            }
            if let Some(other) = seen.insert(bit.number, &bit.name) {
                let what = format!(
                    "bits `{other}` and `{}` have the same number {}",
                    bit.name, bit.number
                );
                report.add(
                    &at,
                    what,
                    free(&bits.bits.iter().map(|bit| bit.number).collect::<Vec<_>>()),
                );
            }
        }
        required(bits, &placed.item, &placed.path, report);
        let known: Vec<&str> = bits.bits.iter().map(|bit| bit.name.as_str()).collect();
        for (place, group) in bits.groups.iter().enumerate() {
            for (member, name) in group
                .bits
                .iter()
                .enumerate()
                .filter(|(_, name)| !known.contains(&name.as_str()))
            {
                let at = format!("{path}.groups[{place}].bits[{member}]");
                report.add(
                    &at,
                    format!("group `{}` names the unknown bit `{name}`", group.name),
                    nearest::hint(name, &known),
                );
            }
        }
    }
}

/// What cannot be taken away has to be there from the start.
fn required(bits: &Bits, region: &Region, path: &str, report: &mut Report) {
    let Ok(default) = encode::encode(&region.encoding, region.default.as_ref()) else {
        return;
    };
    let default = default.try_into().map_or(0, u64::from_le_bytes);
    for bit in bits.bits.iter().filter(|bit| bit.number < 64) {
        if bit.required.is_some() && default >> bit.number & 1 == 0 {
            let what = format!(
                "bit `{}` has to stay and is not in the default of region `{}`",
                bit.name, region.name
            );
            let mend = format!("add `{}` to the default", bit.name);
            report.add(&format!("{path}.default"), what, mend);
        }
    }
}

fn free(taken: &[u8]) -> String {
    match (0..64).find(|number| !taken.contains(number)) {
        Some(number) => format!("the first free number is {number}"),
        None => "all 64 numbers are taken: declare another region".to_owned(),
    }
}
