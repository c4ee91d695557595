//! Arguments as the fields of a record.

use crate::decl::{Field, FieldKind};
use crate::nearest;
use crate::value::{FieldValue, Record};
use crate::verb::VerbError;
use crate::verb::apply::count;
use crate::verb::paths;

/// The record that the arguments describe, one argument a field; the last field may take all that remain.
pub fn record(fields: &'static [Field], arguments: &[String]) -> Result<Record, VerbError> {
    let mut rest = arguments.iter();
    let mut values = Vec::with_capacity(fields.len());
    for field in fields {
        let value = match field.kind {
            FieldKind::Texts => FieldValue::Texts(rest.by_ref().cloned().collect()),
            _ => one(
                field,
                rest.next().ok_or_else(|| count(arguments.len(), fields))?,
            )?,
        };
        values.push(value);
    }
    match rest.next() {
        None => Ok(Record(values)),
        Some(_) => Err(count(arguments.len(), fields)),
    }
}

fn one(field: &Field, argument: &str) -> Result<FieldValue, VerbError> {
    if argument.is_empty() {
        return Err(VerbError::Empty { what: field.name });
    }
    match field.kind {
        FieldKind::Text | FieldKind::Texts => Ok(FieldValue::Text(argument.to_owned())),
        FieldKind::Path(side) => {
            paths::check_field(argument, side)?;
            Ok(FieldValue::Text(argument.to_owned()))
        }
        FieldKind::Choice(names) => {
            let known = names
                .iter()
                .find(|name| name.eq_ignore_ascii_case(argument));
            match known {
                Some(name) => Ok(FieldValue::Text((*name).to_owned())),
                None => Err(VerbError::Unknown {
                    name: argument.to_owned(),
                    hint: nearest::hint(argument, names.iter().copied()),
                }),
            }
        }
        FieldKind::Number => {
            argument
                .parse()
                .map(FieldValue::Number)
                .map_err(|_| VerbError::NotANumber {
                    argument: argument.to_owned(),
                    what: field.name,
                })
        }
    }
}
