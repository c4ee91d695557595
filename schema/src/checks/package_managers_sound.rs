//! A program that installs packages can be found and asked, and one at most is a distribution's own.

use std::collections::HashMap;

use crate::report::Report;
use crate::source::Source;

pub fn check(source: &Source, report: &mut Report) {
    let mut programs: HashMap<&str, usize> = HashMap::new();
    let mut distributions: HashMap<&str, usize> = HashMap::new();
    for placed in &source.package_managers {
        let (path, manager) = (&placed.path, &placed.item);
        let at = format!("{path}.program");
        if manager.program.is_empty() || manager.program.contains(['/', '\0']) {
            let what = format!("`{}` is no name of a program", manager.program);
            report.add(&at, what, "write the name that it has in `PATH`");
        }
        once(report, &mut programs, &at, &manager.program, "program");
        for (place, name) in manager.distributions.iter().enumerate() {
            let at = format!("{path}.distributions[{place}]");
            once(report, &mut distributions, &at, name, "distribution");
        }
        for (key, words) in [("refresh", &manager.refresh), ("install", &manager.install)] {
            if words.is_empty() {
                let what = format!("`{key}` runs nothing");
                report.add(
                    &format!("{path}.{key}"),
                    what,
                    "write program and arguments",
                );
            }
        }
    }
}

fn once<'a>(
    report: &mut Report,
    seen: &mut HashMap<&'a str, usize>,
    path: &str,
    name: &'a str,
    kind: &str,
) {
    let line = report.line(path);
    if let Some(first) = seen.insert(name, line) {
        let what = format!("the {kind} `{name}` is declared twice");
        let mend = format!("keep one; the other one is on line {first}");
        report.add(path, what, mend);
    }
}
