//! Whatever takes one of several names has a name to take.

use crate::report::Report;
use crate::source::{Encoding, Field, FieldKind, Source};

pub fn check(source: &Source, report: &mut Report) {
    for placed in &source.regions {
        let path = format!("{}.encoding", placed.path);
        match &placed.item.encoding {
            Encoding::Choice(choices) if choices.is_empty() => {
                missing(report, &format!("{path}.choice"), "the choice has no names");
            }
            Encoding::Bits(bits) => {
                if bits.bits.is_empty() {
                    missing(report, &format!("{path}.bits.bits"), "there are no bits");
                }
                for (place, group) in bits.groups.iter().enumerate() {
                    if group.bits.is_empty() {
                        let path = format!("{path}.bits.groups[{place}].bits");
                        missing(
                            report,
                            &path,
                            &format!("group `{}` has no bits", group.name),
                        );
                    }
                }
            }
            Encoding::List(fields) => each_field(report, &format!("{path}.list"), &fields.fields),
            Encoding::Record(fields) => {
                each_field(report, &format!("{path}.record"), &fields.fields)
            }
            _ => {}
        }
    }
}

fn each_field(report: &mut Report, path: &str, fields: &[Field]) {
    for (place, field) in fields.iter().enumerate() {
        if matches!(&field.kind, FieldKind::Choice(names) if names.is_empty()) {
            let path = format!("{path}.fields[{place}].kind");
            missing(
                report,
                &path,
                &format!("field `{}` has no names to choose", field.name),
            );
        }
    }
}

fn missing(report: &mut Report, path: &str, what: &str) {
    report.add(path, what, "declare at least one");
}
