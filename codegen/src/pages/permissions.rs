//! Every permission and what it opens: the bits of all settings that are sets of bits.

use flatimage_reserved::declared::REGIONS;
use flatimage_reserved::{BitDecl, BitsDecl, Encoding, RegionDecl, Sign};

use super::{code, effects, page, table};

const INTRODUCTION: &str = "
Nothing of the host is in a container until a permission opens it. What a permission brings is below, in the words of
the declaration; `fim-plan` prints what it comes to on the host at hand. `$NAME` is a variable of the host.
What the host does not have is left out, unless something else is said.
";

/// The page of all permissions.
pub fn permissions() -> String {
    let body: String = REGIONS
        .iter()
        .filter_map(|region| match region.encoding {
            Encoding::Bits(bits) => Some(setting(region, bits)),
            _ => None,
        })
        .collect();
    page("Permissions and what each opens", INTRODUCTION, &body)
}

fn setting(region: &RegionDecl, bits: &BitsDecl) -> String {
    let command = region
        .command
        .map_or(region.name.to_owned(), |command| format!("fim-{command}"));
    let rows = bits.bits.iter().map(|bit| {
        [
            bit.number.to_string(),
            format!("[`{0}`](#{0})", bit.name),
            bit.summary.to_owned(),
        ]
    });
    let groups: String = bits
        .groups
        .iter()
        .map(|group| {
            let members = bits
                .bits
                .iter()
                .filter(|bit| group.mask >> bit.number & 1 == 1);
            let members: Vec<String> = members.map(|bit| code(bit.name)).collect();
            format!(
                "{} is {}: {}. It stands alone.\n\n",
                code(group.name),
                group.summary,
                members.join(", ")
            )
        })
        .collect();
    let sections: String = bits.bits.iter().map(section).collect();
    format!(
        "## {command}\n\n{}\n\n{}{groups}{sections}",
        region.docs.trim(),
        table(["bit", "name", "what it is"], rows)
    )
}

fn section(bit: &BitDecl) -> String {
    let mut text_of_bit = format!("### {}\n\n{}\n\n", bit.name, bit.docs.trim());
    if let Some(reason) = bit.required {
        text_of_bit.push_str(&format!("It has to stay: {reason}.\n\n"));
    }
    for (head, list) in [("Brings", bit.effects), ("Without it", bit.otherwise)] {
        if !list.is_empty() {
            text_of_bit.push_str(&format!("{head}:\n\n{}\n", effects::list(list, 0)));
        }
    }
    if let Some(hint) = bit.hint {
        let (seen, text) = (sign(&hint.sign), hint.text);
        let line = format!(
            "While it is not given and a program fails, {seen} brings the hint that {text}.\n\n"
        );
        text_of_bit.push_str(&line);
    }
    text_of_bit
}

/// By what a hint is found, in words.
fn sign(sign: &Sign) -> String {
    let codes = |names: &[&str]| {
        let names: Vec<String> = names.iter().map(|name| code(name)).collect();
        names.join(", ")
    };
    match sign {
        Sign::Calls(names) => format!("a denied call of {}", codes(names)),
        Sign::Unreachable => {
            "what was sent where no way leads, or a datagram to a port of the container that nobody listens at,"
                .to_owned()
        }
        Sign::Windows {
            variable,
            libraries,
        } => format!(
            "a {} of the caller's and one of these libraries that the program's file names ({})",
            code(variable),
            codes(libraries)
        ),
    }
}
