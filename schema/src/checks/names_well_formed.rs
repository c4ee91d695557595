//! Every name can be a command, a constant, a type and a field.

use crate::name::Name;
use crate::report::Report;
use crate::source::{Argument, Encoding, Field, FieldKind, Source};

pub fn check(source: &Source, report: &mut Report) {
    for region in &source.regions {
        let (path, region) = (&region.path, &region.item);
        formed(report, &format!("{path}.name"), &region.name);
        if let Some(command) = &region.command {
            formed(report, &format!("{path}.command"), command);
        }
        match &region.encoding {
            Encoding::Bits(bits) => {
                for (place, bit) in bits.bits.iter().enumerate() {
                    formed(
                        report,
                        &format!("{path}.encoding.bits.bits[{place}].name"),
                        &bit.name,
                    );
                }
                for (place, group) in bits.groups.iter().enumerate() {
                    formed(
                        report,
                        &format!("{path}.encoding.bits.groups[{place}].name"),
                        &group.name,
                    );
                }
            }
            Encoding::Choice(choices) => {
                for (place, choice) in choices.iter().enumerate() {
                    formed(
                        report,
                        &format!("{path}.encoding.choice[{place}].name"),
                        &choice.name,
                    );
                }
            }
            Encoding::List(fields) => {
                each_field(report, &format!("{path}.encoding.list"), &fields.fields)
            }
            Encoding::Record(fields) => {
                each_field(report, &format!("{path}.encoding.record"), &fields.fields)
            }
            Encoding::Flag | Encoding::Text(_) | Encoding::Map | Encoding::Blob => {}
        }
    }
    for rule in &source.filter {
        formed(report, &format!("{}.name", rule.path), &rule.item.name);
    }
    for action in &source.actions {
        let (path, action) = (&action.path, &action.item);
        formed(report, &format!("{path}.name"), &action.name);
        each_argument(report, path, &action.arguments);
        for (place, verb) in action.verbs.iter().enumerate() {
            let path = format!("{path}.verbs[{place}]");
            formed(report, &format!("{path}.name"), &verb.name);
            each_argument(report, &path, &verb.arguments);
        }
    }
}

fn each_argument(report: &mut Report, path: &str, arguments: &[Argument]) {
    for (place, argument) in arguments.iter().enumerate() {
        formed(
            report,
            &format!("{path}.arguments[{place}].name"),
            &argument.name,
        );
    }
}

fn each_field(report: &mut Report, path: &str, fields: &[Field]) {
    for (place, field) in fields.iter().enumerate() {
        formed(report, &format!("{path}.fields[{place}].name"), &field.name);
        if let FieldKind::Choice(names) = &field.kind {
            for (name, text) in names.iter().enumerate() {
                formed(
                    report,
                    &format!("{path}.fields[{place}].kind.choice[{name}]"),
                    text,
                );
            }
        }
    }
}

/// Words that Rust keeps for itself even behind `r#`, or that the generated types use.
const KEPT: [&str; 4] = ["self", "super", "crate", "default"];

fn formed(report: &mut Report, path: &str, name: &str) {
    if Name::new(name).is_none() {
        let mend = "use lower-case letters, digits and single words joined by `_` or `-`, starting with a letter";
        report.add(path, format!("`{name}` is no name"), mend);
    } else if KEPT.contains(&name) {
        report.add(
            path,
            format!("`{name}` is kept for the generated code"),
            "choose another name",
        );
    }
}
