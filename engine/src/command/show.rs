//! All settings at once, as a table or as JSON. Ranges over the declaration and knows no setting by name.

use std::io::IsTerminal;

use flatimage_reserved::declared::REGIONS;
use flatimage_reserved::{
    Encoding, Field, FieldValue, Record, RegionDecl, Store, StoreError, Value, Verb, verb,
};
use serde_json::{Map, json};

use super::{Session, json, print, warn};
use crate::sandbox::Failure;

/// Between columns.
const GAP: &str = "  ";

/// What starts and ends a fainter line on a terminal.
const FAINT: [&str; 2] = ["\x1b[2m", "\x1b[0m"];

/// What is known of a setting.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// It has the declared default.
    Default,
    /// It has another value.
    Set,
    /// What is stored is lost; a start takes the default.
    Damaged,
}

impl State {
    const fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Set => "set",
            Self::Damaged => "damaged",
        }
    }
}

/// A setting as it is shown.
struct Setting {
    region: &'static RegionDecl,
    state: State,
    value: Value,
}

impl Session {
    /// Prints every setting. A damaged one is shown with its default and warned of.
    pub(super) fn show(&self, as_json: bool) -> Result<u8, Failure> {
        let settings: Vec<Setting> = REGIONS
            .iter()
            .map(|region| setting(&self.store, region))
            .collect::<Result<_, _>>()?;
        print(&match as_json {
            true => format!("{}\n", json(&object(&settings))?),
            false => table(&settings, self.is_coloured()),
        })
    }

    /// Whether standard output is somebody's terminal who wants colours (<https://no-color.org>).
    fn is_coloured(&self) -> bool {
        let variable = |name| self.host.environment.get(name).map_or("", String::as_str);
        let wanted = variable("NO_COLOR").is_empty() && variable("TERM") != "dumb";
        wanted && std::io::stdout().is_terminal()
    }
}

fn setting(store: &Store, region: &'static RegionDecl) -> Result<Setting, StoreError> {
    let default = region.default_value();
    let (state, value) = match store.value(region) {
        Ok(value) if value == default => (State::Default, value),
        Ok(value) => (State::Set, value),
        Err(error @ (StoreError::Damaged { .. } | StoreError::Undecodable { .. })) => {
            warn(&error.to_string());
            (State::Damaged, default)
        }
        Err(error) => return Err(error),
    };
    Ok(Setting {
        region,
        state,
        value,
    })
}

/// Command, state and value of each setting; a value of several lines goes on below itself.
fn table(settings: &[Setting], coloured: bool) -> String {
    let names: Vec<String> = settings.iter().map(name).collect();
    let width = names.iter().map(String::len).max().unwrap_or(0);
    let states = settings.iter().map(|setting| setting.state.name().len());
    let state_width = states.max().unwrap_or(0);
    let mut text = String::new();
    for (setting, name) in settings.iter().zip(names) {
        let value = shown(setting);
        for (place, line) in value.lines().enumerate() {
            let (name, state) = match place {
                0 => (name.as_str(), setting.state.name()),
                _ => ("", ""),
            };
            let row = format!("{name:width$}{GAP}{state:state_width$}{GAP}{line}");
            let [faint, plain] = match coloured && setting.state == State::Default {
                true => FAINT,
                false => [""; 2],
            };
            text.push_str(&format!("{faint}{}{plain}\n", row.trim_end()));
        }
    }
    text
}

/// The command that changes a setting, or the name of one that no command changes.
fn name(setting: &Setting) -> String {
    match setting.region.command {
        Some(command) => format!("fim-{command}"),
        None => setting.region.name.to_owned(),
    }
}

/// What the setting's own command prints, names in one line; a dash for nothing.
fn shown(setting: &Setting) -> String {
    let output = match &setting.value {
        Value::List(records) => Ok(listed(&setting.region.encoding, records)),
        Value::Blob(bytes) if !bytes.is_empty() => Ok(format!("{} bytes", bytes.len())),
        value => verb::apply(setting.region, value, &Verb::Show).map(|outcome| outcome.output),
    };
    match output {
        // As they are typed: names do not need a line each.
        Ok(output) if matches!(setting.value, Value::Bits(1..)) => {
            output.lines().collect::<Vec<_>>().join(",")
        }
        Ok(output) if !output.is_empty() => output,
        _ => "-".to_owned(),
    }
}

/// The records with their indices, one a line.
fn listed(encoding: &Encoding, records: &[Record]) -> String {
    let Encoding::List(fields) = encoding else {
        return String::new();
    };
    let lines = records.iter().enumerate();
    let lines = lines.map(|(index, one)| format!("{index} {}\n", record(fields, one)));
    lines.collect()
}

/// An object by the names of the regions.
fn object(settings: &[Setting]) -> serde_json::Value {
    let members = settings.iter().map(|setting| {
        let member = json!({
            "command": setting.region.command.map(|command| format!("fim-{command}")),
            "state": setting.state.name(),
            "value": value(&setting.region.encoding, &setting.value),
        });
        (setting.region.name.to_owned(), member)
    });
    members.collect::<Map<_, _>>().into()
}

/// The value in the types of JSON; a blob is its number of bytes.
fn value(encoding: &Encoding, value: &Value) -> serde_json::Value {
    match (encoding, value) {
        (_, Value::Flag(on)) => json!(on),
        (_, Value::Choice(name)) => json!(name),
        (Encoding::Bits(decl), Value::Bits(set)) => {
            let named = decl.bits.iter().filter(|bit| set >> bit.number & 1 == 1);
            named.map(|bit| bit.name).collect()
        }
        (_, Value::Bits(set)) => json!(set),
        (_, Value::Text(text)) => json!(text),
        (_, Value::Map(map)) => json!(map),
        (Encoding::List(fields), Value::List(records)) => {
            records.iter().map(|one| record(fields, one)).collect()
        }
        (Encoding::Record(fields), Value::Record(Some(one))) => record(fields, one),
        (_, Value::Blob(bytes)) => json!({ "bytes": bytes.len() }),
        (_, Value::List(_) | Value::Record(_)) => serde_json::Value::Null,
    }
}

fn record(fields: &[Field], record: &Record) -> serde_json::Value {
    let members = fields.iter().zip(&record.0).map(|(field, value)| {
        let value = match value {
            FieldValue::Text(text) => json!(text),
            FieldValue::Number(number) => json!(number),
            FieldValue::Texts(texts) => json!(texts),
        };
        (field.output.to_owned(), value)
    });
    members.collect::<Map<_, _>>().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Vec<Setting> {
        let texts = ["GREETING=hello".to_owned(), "NAME=x".to_owned()];
        let state = |region: &RegionDecl, value: &Value| match *value == region.default_value() {
            true => State::Default,
            false => State::Set,
        };
        REGIONS
            .iter()
            .map(|region| {
                let value = match region.encoding {
                    Encoding::Map => {
                        verb::apply(region, &region.default_value(), &Verb::Add(texts.to_vec()))
                            .unwrap()
                            .write
                            .unwrap()
                    }
                    _ => region.default_value(),
                };
                Setting {
                    region,
                    state: state(region, &value),
                    value,
                }
            })
            .collect()
    }

    #[test]
    fn every_setting_has_a_line_and_the_next_lines_of_a_value_stand_below_it() {
        let text = table(&settings(), false);
        assert!(!text.contains('\x1b'));
        let column = text.find("GREETING").unwrap()
            - text[..text.find("GREETING").unwrap()]
                .rfind('\n')
                .map_or(0, |end| end + 1);
        let next = text.lines().find(|line| line.contains("NAME=x")).unwrap();
        assert_eq!(next, format!("{}NAME=x", " ".repeat(column)));
        for region in REGIONS {
            let name = region
                .command
                .map_or(region.name.to_owned(), |command| format!("fim-{command}"));
            assert!(
                text.lines()
                    .any(|line| line.starts_with(&format!("{name} "))),
                "{name}"
            );
        }
    }

    #[test]
    fn defaults_are_faint_on_a_terminal_and_what_is_set_is_not() {
        for line in table(&settings(), true).lines() {
            assert_eq!(
                line.starts_with(FAINT[0]),
                line.contains(" default "),
                "{line}"
            );
        }
    }

    #[test]
    fn json_has_every_setting_with_the_types_of_json() {
        let object = object(&settings());
        assert_eq!(object.as_object().unwrap().len(), REGIONS.len());
        for region in REGIONS {
            let setting = &object[region.name];
            match region.encoding {
                Encoding::Map => {
                    assert_eq!(setting["state"], "set");
                    assert_eq!(setting["value"], json!({"GREETING": "hello", "NAME": "x"}));
                }
                _ => assert_eq!(setting["state"], "default"),
            }
        }
    }
}
