//! The variable that counts instead of a stored value is one of ours, is read by one region, and can hold its value.

use std::collections::HashMap;

use crate::report::Report;
use crate::source::{Encoding, Source};

/// What every variable of ours starts with, so that nobody else's is taken for one.
const PREFIX: &str = "FIM_";

pub fn check(source: &Source, report: &mut Report) {
    let mut seen: HashMap<&str, usize> = HashMap::new();
    for placed in &source.regions {
        let Some(variable) = placed.item.variable.as_deref() else {
            continue;
        };
        let path = format!("{}.variable", placed.path);
        if !is_ours(variable) {
            let mend = "write `FIM_` and upper-case letters, digits and `_`";
            report.add(&path, format!("`{variable}` is no variable of ours"), mend);
        }
        if let Some(first) = seen.insert(variable, report.line(&path)) {
            let what = format!("the variable `{variable}` is read by two regions");
            report.add(
                &path,
                what,
                format!("rename it; the other one is on line {first}"),
            );
        }
        if !is_one_word(&placed.item.encoding) {
            let what = "the value of this encoding does not fit into a variable";
            let mend = "leave `variable` out; a flag, a choice, bits and a text can have one";
            report.add(&path, what, mend);
        }
    }
}

fn is_ours(variable: &str) -> bool {
    variable.strip_prefix(PREFIX).is_some_and(|rest| {
        let allowed = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
        !rest.is_empty() && rest.bytes().all(allowed)
    })
}

fn is_one_word(encoding: &Encoding) -> bool {
    match encoding {
        Encoding::Flag | Encoding::Choice(_) | Encoding::Bits(_) | Encoding::Text(_) => true,
        Encoding::Map | Encoding::List(_) | Encoding::Record(_) | Encoding::Blob => false,
    }
}
