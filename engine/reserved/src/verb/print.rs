//! Values as `list` and `show` print them.

use std::fmt::Write as _;

use crate::decl::{BitsDecl, Encoding, Field};
use crate::value::{FieldValue, Record, Value};

/// The value as text, each line ended by a line feed; nothing when there is nothing to print.
pub fn value(encoding: &Encoding, value: &Value) -> String {
    match (encoding, value) {
        (_, Value::Flag(on)) => if *on { "on\n" } else { "off\n" }.to_owned(),
        (Encoding::Choice(choices), Value::Choice(name)) => {
            let declared = choices.iter().find(|choice| choice.name == name);
            format!(
                "{}\n",
                declared.map_or(name.as_str(), |choice| choice.output)
            )
        }
        (Encoding::Bits(decl), Value::Bits(set)) => bits(decl, *set),
        (_, Value::Text(Some(text))) => format!("{text}\n"),
        (_, Value::Map(map)) => map
            .iter()
            .map(|(key, value)| format!("{key}={value}\n"))
            .collect(),
        (Encoding::List(fields), Value::List(records)) => list(fields, records),
        (Encoding::Record(fields), Value::Record(record)) => {
            format!(
                "{}\n",
                record
                    .as_ref()
                    .map_or_else(|| unset(fields), |record| object(fields, record))
            )
        }
        _ => String::new(),
    }
}

/// The names of the bits that are set, sorted.
fn bits(decl: &BitsDecl, set: u64) -> String {
    let named = decl.bits.iter().filter(|bit| set >> bit.number & 1 == 1);
    let mut names: Vec<&str> = named.map(|bit| bit.name).collect();
    names.sort_unstable();
    names.into_iter().map(|name| format!("{name}\n")).collect()
}

/// A JSON object by index, one entry a line.
fn list(fields: &[Field], records: &[Record]) -> String {
    if records.is_empty() {
        return "{}\n".to_owned();
    }
    let entries = records.iter().enumerate();
    let entries =
        entries.map(|(index, record)| format!("  \"{index}\": {}", object(fields, record)));
    format!("{{\n{}\n}}\n", entries.collect::<Vec<_>>().join(",\n"))
}

/// A JSON object with sorted keys.
fn object(fields: &[Field], record: &Record) -> String {
    let members = fields.iter().zip(&record.0);
    members_json(
        members
            .map(|(field, value)| (field.output, field_json(value)))
            .collect(),
    )
}

/// What a record that is not set is printed as.
fn unset(fields: &[Field]) -> String {
    let shown = fields.iter().map(|field| {
        let value = match (field.kind, field.unset) {
            (crate::FieldKind::Texts, _) => "[]".to_owned(),
            (_, Some(text)) => quoted(text),
            (_, None) => "null".to_owned(),
        };
        (field.output, value)
    });
    members_json(shown.collect())
}

fn members_json(mut members: Vec<(&str, String)>) -> String {
    members.sort_unstable();
    let members: Vec<String> = members
        .iter()
        .map(|(key, value)| format!("{}:{value}", quoted(key)))
        .collect();
    format!("{{{}}}", members.join(","))
}

fn field_json(value: &FieldValue) -> String {
    match value {
        FieldValue::Text(text) => quoted(text),
        FieldValue::Number(number) => number.to_string(),
        FieldValue::Texts(texts) => {
            format!(
                "[{}]",
                texts
                    .iter()
                    .map(|text| quoted(text))
                    .collect::<Vec<_>>()
                    .join(",")
            )
        }
    }
}

/// A JSON string.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for letter in text.chars() {
        match letter {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '\r' => quoted.push_str("\\r"),
            control if control < ' ' => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(control));
            }
            plain => quoted.push(plain),
        }
    }
    quoted.push('"');
    quoted
}
