//! Text to [`Declaration`](super::Declaration), item by item, so that a mistake in one region does not hide those in another.

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Action, PackageManager, Region, Rule, Variable};
use crate::nearest;
use crate::report::Report;

/// What could be parsed of a declaration.
#[derive(Debug)]
pub struct Source {
    pub format: u32,
    pub size: u64,
    pub regions: Vec<Placed<Region>>,
    pub actions: Vec<Placed<Action>>,
    pub filter: Vec<Placed<Rule>>,
    pub package_managers: Vec<Placed<PackageManager>>,
    pub variables: Vec<Placed<Variable>>,
}

/// An item and its path in the file.
#[derive(Debug)]
pub struct Placed<T> {
    pub path: String,
    pub item: T,
}

const KEYS: [&str; 7] = [
    "format",
    "size",
    "regions",
    "actions",
    "filter",
    "package-managers",
    "variables",
];

/// Parses `text`; `None` when it is no YAML mapping at all.
pub fn parse(text: &str, report: &mut Report) -> Option<Source> {
    let value: Value = match serde_yaml::from_str(text) {
        Ok(value) => value,
        Err(error) => {
            let line = error.location().map_or(1, |place| place.line());
            report.add_line(
                line,
                format!("not YAML: {error}"),
                "mend the indentation or the quotes there",
            );
            return None;
        }
    };
    let Value::Object(mut top) = value else {
        report.add_line(1, "not a mapping", "start with `format: 1`");
        return None;
    };
    for key in top.keys().filter(|key| !KEYS.contains(&key.as_str())) {
        report.add(
            key,
            format!("unknown field `{key}`"),
            nearest::hint(key, &KEYS),
        );
    }
    let (format, size) = (
        field(&mut top, "format", report),
        field(&mut top, "size", report),
    );
    let (regions, actions) = (
        items(&mut top, "regions", report),
        items(&mut top, "actions", report),
    );
    let filter = items(&mut top, "filter", report);
    let package_managers = items(&mut top, "package-managers", report);
    let variables = items(&mut top, "variables", report);
    Some(Source {
        format: format?,
        size: size?,
        regions,
        actions,
        filter,
        package_managers,
        variables,
    })
}

fn field<T: DeserializeOwned>(
    top: &mut serde_json::Map<String, Value>,
    key: &str,
    report: &mut Report,
) -> Option<T> {
    let Some(value) = top.remove(key) else {
        report.add_line(
            1,
            format!("missing field `{key}`"),
            format!("add `{key}: …` at the top"),
        );
        return None;
    };
    shaped(key, value, report)
}

fn items<T: DeserializeOwned>(
    top: &mut serde_json::Map<String, Value>,
    key: &str,
    report: &mut Report,
) -> Vec<Placed<T>> {
    match top.remove(key) {
        Some(Value::Array(values)) => {
            let placed = values.into_iter().enumerate().filter_map(|(place, value)| {
                let path = format!("{key}[{place}]");
                shaped(&path, value, report).map(|item| Placed { path, item })
            });
            placed.collect()
        }
        None | Some(Value::Null) => Vec::new(),
        Some(_) => {
            report.add(
                key,
                format!("`{key}` is not a list"),
                "write one item a line, each after `- `",
            );
            Vec::new()
        }
    }
}

/// The value as a `T`, or a mistake at the place inside it that does not fit.
fn shaped<T: DeserializeOwned>(path: &str, value: Value, report: &mut Report) -> Option<T> {
    match serde_path_to_error::deserialize(value) {
        Ok(item) => Some(item),
        Err(error) => {
            let inner = error.path().to_string();
            let place = if inner == "." {
                path.to_owned()
            } else {
                format!("{path}.{inner}")
            };
            let what = error.into_inner().to_string();
            let mend = mend(&what);
            report.add(&place, what, mend);
            None
        }
    }
}

/// A hint for the message of a failed parse, which lists the names that it knows in backticks.
fn mend(what: &str) -> String {
    let quoted: Vec<&str> = what.split('`').skip(1).step_by(2).collect();
    match quoted.split_first() {
        Some((typed, known)) if what.starts_with("unknown ") && !known.is_empty() => {
            nearest::hint(typed, known)
        }
        Some((name, _)) if what.starts_with("missing field") => format!("add `{name}: …`"),
        _ => "the JSON Schema beside the file says what can stand here".to_owned(),
    }
}
