//! The filter of system calls: every rule with its reason.

use flatimage_reserved::declared::{FILTER, REGIONS};
use flatimage_reserved::{Effect, Encoding, RuleDecl};

use super::{code, page, table};

const INTRODUCTION: &str = "
No program in a container can make the system calls below, nor can 32-bit programs or the 32-bit calls of a 64-bit program.
`fim-plan` lists the rules that hold. A permission that allows a rule is named with it. Arguments are counted from 0, and of each the lower
32 bits are looked at.
";

/// The page of the filter.
pub fn filter() -> String {
    let rows = FILTER.rules.iter().map(|rule| {
        [
            format!("[`{0}`](#{0})", rule.name),
            rule.summary.to_owned(),
            allowed_by(rule.name).join(", "),
        ]
    });
    let heads = ["rule", "denies", "allowed by"];
    let sections: String = FILTER.rules.iter().map(section).collect();
    page(
        "System calls that are denied",
        INTRODUCTION,
        &format!("{}{sections}", table(heads, rows)),
    )
}

fn section(rule: &RuleDecl) -> String {
    let denied: String = rule
        .denied
        .iter()
        .map(|line| format!("- {line}\n"))
        .collect();
    format!("## {}\n\n{}\n\n{denied}\n", rule.name, rule.reason.trim())
}

/// The permissions that allow the rule.
fn allowed_by(rule: &str) -> Vec<String> {
    let bits = REGIONS.iter().filter_map(|region| match region.encoding {
        Encoding::Bits(bits) => Some(bits.bits),
        _ => None,
    });
    let allows = |effects: &[Effect]| {
        effects
            .iter()
            .any(|effect| matches!(effect, Effect::Allow { rules } if rules.contains(&rule)))
    };
    let bits = bits.flatten().filter(|bit| allows(bit.effects));
    bits.map(|bit| code(bit.name)).collect()
}
