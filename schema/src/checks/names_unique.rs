//! No two regions, commands, bits, choices, fields, verbs or arguments of one place share a name.

use std::collections::HashMap;

use crate::report::Report;
use crate::source::{Argument, Encoding, Source};

pub fn check(source: &Source, report: &mut Report) {
    let regions = source.regions.iter();
    let names = regions
        .clone()
        .map(|region| (format!("{}.name", region.path), region.item.name.as_str()));
    unique(report, "region", names);
    let commands = regions.filter_map(|region| {
        Some((
            format!("{}.command", region.path),
            region.item.command.as_deref()?,
        ))
    });
    let actions = source
        .actions
        .iter()
        .map(|action| (format!("{}.name", action.path), action.item.name.as_str()));
    unique(report, "command", commands.chain(actions));
    for region in &source.regions {
        let path = format!("{}.encoding", region.path);
        match &region.item.encoding {
            Encoding::Bits(bits) => {
                let path = format!("{path}.bits");
                let groups = bits.groups.iter().map(|group| group.name.as_str());
                let groups = numbered(format!("{path}.groups"), groups);
                let bits = bits.bits.iter().map(|bit| bit.name.as_str());
                unique(
                    report,
                    "bit",
                    numbered(format!("{path}.bits"), bits).chain(groups),
                );
            }
            Encoding::Choice(choices) => {
                let names = choices.iter().map(|choice| choice.name.as_str());
                unique(report, "choice", numbered(format!("{path}.choice"), names));
            }
            Encoding::List(fields) => {
                let names = fields.fields.iter().map(|field| field.name.as_str());
                unique(
                    report,
                    "field",
                    numbered(format!("{path}.list.fields"), names),
                );
            }
            Encoding::Record(fields) => {
                let names = fields.fields.iter().map(|field| field.name.as_str());
                unique(
                    report,
                    "field",
                    numbered(format!("{path}.record.fields"), names),
                );
            }
            Encoding::Flag | Encoding::Text(_) | Encoding::Map | Encoding::Blob => {}
        }
    }
    let rules = source.filter.iter();
    let rules = rules.map(|rule| (format!("{}.name", rule.path), rule.item.name.as_str()));
    unique(report, "rule", rules);
    for action in &source.actions {
        let verbs = action.item.verbs.iter().map(|verb| verb.name.as_str());
        let path = format!("{}.verbs", action.path);
        unique(report, "verb", numbered(path.clone(), verbs));
        arguments(report, &action.path, &action.item.arguments);
        for (place, verb) in action.item.verbs.iter().enumerate() {
            arguments(report, &format!("{path}[{place}]"), &verb.arguments);
        }
    }
}

fn arguments(report: &mut Report, path: &str, arguments: &[Argument]) {
    let names = arguments.iter().map(|argument| argument.name.as_str());
    unique(
        report,
        "argument",
        numbered(format!("{path}.arguments"), names),
    );
}

/// Names with the paths that they have as items of the list at `path`.
fn numbered<'a>(
    path: String,
    names: impl Iterator<Item = &'a str>,
) -> impl Iterator<Item = (String, &'a str)> {
    names
        .enumerate()
        .map(move |(place, name)| (format!("{path}[{place}].name"), name))
}

fn unique<'a>(report: &mut Report, kind: &str, names: impl Iterator<Item = (String, &'a str)>) {
    // Generated names differ in more than `-` and `_`.
    let mut seen: HashMap<String, usize> = HashMap::new();
    for (path, name) in names {
        let line = report.line(&path);
        if let Some(first) = seen.insert(name.replace('-', "_"), line) {
            let what = format!("the {kind} `{name}` is declared twice");
            report.add(
                &path,
                what,
                format!("rename it; the other one is on line {first}"),
            );
        }
    }
}
