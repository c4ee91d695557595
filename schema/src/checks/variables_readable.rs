//! A variable is one of ours, says one thing, and can hold what it says.

use std::collections::HashMap;

use crate::name::Name;
use crate::report::Report;
use crate::source::{Encoding, Source, Variable};

/// What every variable of ours starts with, so that nobody else's is taken for one.
const PREFIX: &str = "FIM_";

pub fn check(source: &Source, report: &mut Report) {
    let mut seen: HashMap<&str, usize> = HashMap::new();
    for placed in &source.regions {
        let Some(variable) = placed.item.variable.as_deref() else {
            continue;
        };
        let path = format!("{}.variable", placed.path);
        named(report, &mut seen, &path, variable);
        if !is_one_word(&placed.item.encoding) {
            let what = "the value of this encoding does not fit into a variable";
            let mend = "leave `variable` out; a flag, a choice, bits and a text can have one";
            report.add(&path, what, mend);
        }
    }
    for placed in &source.variables {
        let path = format!("{}.name", placed.path);
        named(report, &mut seen, &path, &placed.item.name);
        choosable(report, &placed.path, &placed.item);
    }
}

fn named<'a>(
    report: &mut Report,
    seen: &mut HashMap<&'a str, usize>,
    path: &str,
    variable: &'a str,
) {
    if !is_ours(variable) {
        let mend = "write `FIM_` and upper-case letters, digits and `_`";
        report.add(path, format!("`{variable}` is no variable of ours"), mend);
    }
    if let Some(first) = seen.insert(variable, report.line(path)) {
        let what = format!("the variable `{variable}` is declared twice");
        let mend = format!("rename it; the other one is on line {first}");
        report.add(path, what, mend);
    }
}

/// Each word of a variable is one, and there are some to choose from.
fn choosable(report: &mut Report, path: &str, variable: &Variable) {
    let mut seen: HashMap<&str, usize> = HashMap::new();
    if variable.choices.is_empty() {
        let what = format!("nothing can stand in `{}`", variable.name);
        report.add(path, what, "list `choices`, the default first");
    }
    for (place, word) in variable.choices.iter().enumerate() {
        let path = format!("{path}.choices[{place}].name");
        if Name::new(&word.name).is_none() {
            let what = format!("`{}` is no name", word.name);
            let mend = "write lower-case letters, digits, `_` and `-`, a letter first";
            report.add(&path, what, mend);
        }
        if let Some(first) = seen.insert(&word.name, report.line(&path)) {
            let what = format!("the choice `{}` is declared twice", word.name);
            let mend = format!("keep one; the other one is on line {first}");
            report.add(&path, what, mend);
        }
    }
}

fn is_ours(variable: &str) -> bool {
    variable.strip_prefix(PREFIX).is_some_and(|rest| {
        let allowed = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
        let well_formed = Name::new(&rest.to_ascii_lowercase()).is_some();
        well_formed && rest.bytes().all(allowed)
    })
}

fn is_one_word(encoding: &Encoding) -> bool {
    match encoding {
        Encoding::Flag | Encoding::Choice(_) | Encoding::Bits(_) | Encoding::Text(_) => true,
        Encoding::Map | Encoding::List(_) | Encoding::Record(_) | Encoding::Blob => false,
    }
}
