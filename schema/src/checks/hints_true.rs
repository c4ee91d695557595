//! A hint names what its own bit would have opened: what is seen cannot be seen while the bit is set.

use crate::report::Report;
use crate::source::{Answer, Effect, Encoding, Hint, Namespace, Sign, Source};

pub fn check(source: &Source, report: &mut Report) {
    for placed in &source.regions {
        let Encoding::Bits(bits) = &placed.item.encoding else {
            continue;
        };
        for (place, bit) in bits.bits.iter().enumerate() {
            if let Some(hint) = &bit.hint {
                let path = format!("{}.encoding.bits.bits[{place}].hint", placed.path);
                said(report, &path, hint);
                opened(source, report, &path, (hint, &bit.effects));
            }
        }
        if placed.item.command.is_none() && bits.bits.iter().any(|bit| bit.hint.is_some()) {
            report.add(
                &format!("{}.encoding", placed.path),
                "a hint names no command",
                "give the region a `command`, or its bits no `hint`",
            );
        }
    }
}

fn said(report: &mut Report, path: &str, hint: &Hint) {
    if hint.text.trim().is_empty() || hint.text.contains('\n') {
        report.add(
            &format!("{path}.text"),
            "a hint is no line",
            "say on one line what was seen",
        );
    }
}

fn opened(source: &Source, report: &mut Report, path: &str, (hint, effects): (&Hint, &[Effect])) {
    let path = format!("{path}.sign");
    match &hint.sign {
        Sign::Calls(calls) if calls.is_empty() => {
            report.add(&path, "no call is named", "name the calls that are seen");
        }
        Sign::Calls(calls) => {
            for call in calls
                .iter()
                .filter(|call| !is_allowed(source, effects, call))
            {
                report.add(
                    &path,
                    format!("the bit does not allow the call `{call}`"),
                    "name calls that a rule denies with `EPERM` and an `allow` of the bit opens",
                );
            }
        }
        Sign::Unreachable => {
            let shares = |effect: &Effect| matches!(effect, Effect::Share(share) if share.namespace == Namespace::Net);
            if !any(effects, &shares) {
                report.add(
                    &path,
                    "the bit brings no network",
                    "add `- share: {namespace: net}` to its effects",
                );
            }
        }
        Sign::Windows(windows) => {
            let sets = |effect: &Effect| matches!(effect, Effect::Setenv(set) if set.name == windows.variable);
            if !any(effects, &sets) {
                let what = format!("the bit does not set `{}`", windows.variable);
                report.add(&path, what, "name a variable that its effects set");
            }
            if windows.libraries.is_empty() {
                report.add(
                    &path,
                    "no library is named",
                    "name those of programs with windows",
                );
            }
        }
    }
}

/// Whether a rule denies the call with `EPERM`, and one of the effects allows the rule.
fn is_allowed(source: &Source, effects: &[Effect], call: &String) -> bool {
    let rules = source.filter.iter().map(|placed| &placed.item);
    let mut denying = rules.filter(|rule| {
        let mut denials = rule.deny.iter();
        denials.any(|denial| denial.answer == Answer::NotPermitted && denial.calls.contains(call))
    });
    denying.any(|rule| {
        any(
            effects,
            &|effect| matches!(effect, Effect::Allow(allow) if allow.rules.contains(&rule.name)),
        )
    })
}

fn any(effects: &[Effect], wanted: &dyn Fn(&Effect) -> bool) -> bool {
    effects.iter().any(|effect| match effect {
        Effect::When(when) => any(&when.effects, wanted),
        Effect::ForEach(each) => any(&each.effects, wanted),
        effect => wanted(effect),
    })
}
