//! The filter denies calls that exist, says why, and can be translated.

use std::collections::HashMap;

use crate::machine::{Machine, calls};
use crate::nearest::nearest;
use crate::report::Report;
use crate::source::{Answer, Condition, Denial, Source, Test};

/// A jump of the filter's machine reaches over 255 instructions, and over the code of eight calls, in which a test takes one
/// instruction for each value.
const MOST_VALUES: usize = 24;

pub fn check(source: &Source, report: &mut Report) {
    once(source, report);
    for placed in &source.filter {
        let (path, rule) = (&placed.path, &placed.item);
        if rule.reason.trim().is_empty() {
            report.add(
                &format!("{path}.reason"),
                "a rule has no reason",
                "say what could be done with the calls",
            );
        }
        if rule.deny.is_empty() {
            let what = format!("the rule `{}` denies nothing", rule.name);
            report.add(&format!("{path}.deny"), what, "add `- calls: […]`");
        }
        for (place, denial) in rule.deny.iter().enumerate() {
            if rule.emulates != (denial.answer == Answer::Done) {
                report.add(
                    &format!("{path}.deny[{place}]"),
                    "a rule either emulates or denies",
                    "give `answer: done` to every call of a rule with `emulates: true` and to no other",
                );
            }
            denied(report, &format!("{path}.deny[{place}]"), denial);
        }
    }
}

/// No call is denied in two places: one of them would be without effect, or an `allow` would be.
fn once(source: &Source, report: &mut Report) {
    let mut seen: HashMap<&str, usize> = HashMap::new();
    for placed in &source.filter {
        for (place, denial) in placed.item.deny.iter().enumerate() {
            for (number, call) in denial.calls.iter().enumerate() {
                let path = format!("{}.deny[{place}].calls[{number}]", placed.path);
                let line = report.line(&path);
                if let Some(first) = seen.insert(call, line) {
                    let mend = format!("keep one; the other one is on line {first}");
                    report.add(&path, format!("the call `{call}` is denied twice"), mend);
                }
            }
        }
    }
}

fn denied(report: &mut Report, path: &str, denial: &Denial) {
    match (&denial.above, denial.calls.len()) {
        (None, 1..) | (Some(_), 0) => {}
        (None, 0) => report.add(path, "no call is named", "give `calls` or `above`"),
        (Some(_), _) => report.add(
            path,
            "`above` and `calls` stand in one denial",
            "make two of it",
        ),
    }
    for (place, call) in denial.calls.iter().enumerate() {
        known(report, &format!("{path}.calls[{place}]"), call, false);
    }
    if let Some(call) = &denial.above {
        known(report, &format!("{path}.above"), call, true);
    }
    if denial.answer == Answer::Asked && !can_be_asked(denial) {
        report.add(
            &format!("{path}.answer"),
            "nobody can answer this call",
            "ask about `socketcall` alone, when argument 0 is any of 1 (a socket) and 8 (a pair)",
        );
    }
    if let Some(condition) = &denial.when {
        sound(report, &format!("{path}.when"), condition);
    }
}

/// Whether the container's first process knows what the call stands for.
fn can_be_asked(denial: &Denial) -> bool {
    let of_a_socket = |when: &Condition| match &when.value {
        Test::AnyOf(values) => {
            when.argument == 0 && values.iter().all(|value| [1, 8].contains(value))
        }
        _ => false,
    };
    denial.calls == ["socketcall"] && denial.when.as_ref().is_some_and(of_a_socket)
}

fn known(report: &mut Report, path: &str, call: &str, everywhere: bool) {
    let mut machines = Machine::ALL.iter().map(|machine| machine.number(call));
    if !machines.clone().any(|number| number.is_some()) {
        let hint = match nearest(call, calls()) {
            Some(name) => format!("did you mean `{name}`?"),
            None => "name it as its manual page does (syscalls(2))".to_owned(),
        };
        report.add(path, format!("unknown system call `{call}`"), hint);
    } else if everywhere && !machines.all(|number| number.is_some()) {
        let what = format!("not every machine has the system call `{call}`");
        report.add(path, what, "name the newest call that all of them have");
    }
}

fn sound(report: &mut Report, path: &str, condition: &Condition) {
    if condition.argument > 5 {
        let what = format!("there is no argument {}", condition.argument);
        report.add(
            &format!("{path}.argument"),
            what,
            "count from 0; a call has six at most",
        );
    }
    let complaint = match &condition.value {
        Test::AnyOf(values) | Test::NoneOf(values) if values.is_empty() => "no value is given",
        Test::AnyOf(values) | Test::NoneOf(values) if values.len() > MOST_VALUES => {
            "too many values for one test"
        }
        Test::AnyBitOf(0) => "no bit is given",
        _ => return,
    };
    report.add(
        &format!("{path}.value"),
        complaint,
        format!("give 1 to {MOST_VALUES} values"),
    );
}
