//! Arguments can be told apart: what takes all that remains comes last, and nothing required follows what may be left out.

use crate::report::Report;
use crate::source::{Argument, ArgumentKind, Encoding, FieldKind, Source};

pub fn check(source: &Source, report: &mut Report) {
    for placed in &source.actions {
        let (path, action) = (&placed.path, &placed.item);
        if !action.verbs.is_empty() && !action.arguments.is_empty() {
            let what = format!("action `{}` has both verbs and arguments", action.name);
            report.add(
                &format!("{path}.arguments"),
                what,
                "move the arguments below the verbs",
            );
        }
        ordered(report, path, &action.arguments);
        for (place, verb) in action.verbs.iter().enumerate() {
            ordered(report, &format!("{path}.verbs[{place}]"), &verb.arguments);
        }
    }
    for placed in &source.regions {
        let (kind, fields) = match &placed.item.encoding {
            Encoding::List(fields) => ("list", &fields.fields),
            Encoding::Record(fields) => ("record", &fields.fields),
            _ => continue,
        };
        let path = format!("{}.encoding.{kind}", placed.path);
        if fields.is_empty() {
            report.add(
                &path,
                format!("a {kind} has no fields"),
                "declare at least one field",
            );
        }
        for (place, field) in fields.iter().enumerate() {
            if matches!(field.kind, FieldKind::Texts) && place + 1 < fields.len() {
                let what = format!(
                    "field `{}` takes all remaining arguments but is not the last",
                    field.name
                );
                report.add(
                    &format!("{path}.fields[{place}]"),
                    what,
                    "move it to the end",
                );
            }
        }
    }
}

fn ordered(report: &mut Report, path: &str, arguments: &[Argument]) {
    let mut optional: Option<&str> = None;
    let positional = arguments
        .iter()
        .enumerate()
        .filter(|(_, argument)| argument.kind != ArgumentKind::Switch);
    for (place, argument) in positional {
        let at = format!("{path}.arguments[{place}]");
        if argument.kind == ArgumentKind::Command && place + 1 < arguments.len() {
            let what = format!(
                "argument `{}` takes all that remains but is not the last",
                argument.name
            );
            report.add(&at, what, "move it to the end");
        }
        match optional {
            Some(before) if !argument.optional => {
                let what = format!(
                    "argument `{}` is required but follows `{before}`, which is not",
                    argument.name
                );
                report.add(&at, what, "put the required ones first");
            }
            _ => optional = argument.optional.then_some(&argument.name),
        }
    }
}
