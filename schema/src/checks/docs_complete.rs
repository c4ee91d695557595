//! Whatever people can type is described: summaries are one line, docs are there.

use crate::report::Report;
use crate::source::{Argument, Encoding, Field, Source};

pub fn check(source: &Source, report: &mut Report) {
    for placed in &source.regions {
        let (path, region) = (&placed.path, &placed.item);
        summary(report, path, &region.summary);
        docs(report, path, &region.docs);
        let encoding = format!("{path}.encoding");
        match &region.encoding {
            Encoding::Bits(bits) => {
                for (place, bit) in bits.bits.iter().enumerate() {
                    let path = format!("{encoding}.bits.bits[{place}]");
                    summary(report, &path, &bit.summary);
                    docs(report, &path, &bit.docs);
                    if let Some(reason) = &bit.required {
                        line(report, &format!("{path}.required"), "a reason", reason);
                    }
                }
                for (place, group) in bits.groups.iter().enumerate() {
                    summary(
                        report,
                        &format!("{encoding}.bits.groups[{place}]"),
                        &group.summary,
                    );
                }
            }
            Encoding::Choice(choices) => {
                for (place, choice) in choices.iter().enumerate() {
                    summary(
                        report,
                        &format!("{encoding}.choice[{place}]"),
                        &choice.summary,
                    );
                }
            }
            Encoding::List(fields) => {
                each_field(report, &format!("{encoding}.list"), &fields.fields)
            }
            Encoding::Record(fields) => {
                each_field(report, &format!("{encoding}.record"), &fields.fields)
            }
            Encoding::Flag | Encoding::Text(_) | Encoding::Map | Encoding::Blob => {}
        }
    }
    for rule in &source.filter {
        summary(report, &rule.path, &rule.item.summary);
    }
    for manager in &source.package_managers {
        summary(report, &manager.path, &manager.item.summary);
    }
    for placed in &source.variables {
        let (path, variable) = (&placed.path, &placed.item);
        summary(report, path, &variable.summary);
        docs(report, path, &variable.docs);
        for (place, word) in variable.choices.iter().enumerate() {
            let path = format!("{path}.choices[{place}]");
            summary(report, &path, &word.summary);
        }
    }
    for placed in &source.actions {
        let (path, action) = (&placed.path, &placed.item);
        summary(report, path, &action.summary);
        docs(report, path, &action.docs);
        each_argument(report, path, &action.arguments);
        for (place, verb) in action.verbs.iter().enumerate() {
            let path = format!("{path}.verbs[{place}]");
            summary(report, &path, &verb.summary);
            each_argument(report, &path, &verb.arguments);
        }
    }
}

fn each_field(report: &mut Report, path: &str, fields: &[Field]) {
    for (place, field) in fields.iter().enumerate() {
        summary(report, &format!("{path}.fields[{place}]"), &field.summary);
    }
}

fn each_argument(report: &mut Report, path: &str, arguments: &[Argument]) {
    for (place, argument) in arguments.iter().enumerate() {
        summary(
            report,
            &format!("{path}.arguments[{place}]"),
            &argument.summary,
        );
    }
}

fn summary(report: &mut Report, path: &str, text: &str) {
    line(report, &format!("{path}.summary"), "a summary", text);
}

fn line(report: &mut Report, at: &str, name: &str, text: &str) {
    let text = text.trim_end();
    let (what, mend) = if text.is_empty() {
        ("is empty", "say in one line what it is for")
    } else if text.contains('\n') {
        (
            "has more than one line",
            "keep one line there and move the rest to `docs`",
        )
    } else if text.ends_with('.') {
        ("ends with a full stop", "leave the full stop out")
    } else {
        return;
    };
    report.add(at, format!("{name} {what}"), mend);
}

fn docs(report: &mut Report, path: &str, text: &str) {
    if text.trim().is_empty() {
        report.add(
            &format!("{path}.docs"),
            "the docs are empty",
            "say what it does and what it is good for",
        );
    }
}
