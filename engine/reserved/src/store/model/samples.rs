//! Values of any encoding, so that tests range over the declared regions and know none by name.

use crate::decl::{Encoding, Field, FieldKind, RegionDecl};
use crate::value::{FieldValue, Record, Value};

/// Values that fit the region: the default, some of about a sector, and one of several sectors where that fits.
pub fn of(decl: &RegionDecl) -> Vec<Value> {
    let room = decl.slot_size() as usize;
    let lengths = [1, 40, 300, 2900]
        .into_iter()
        .filter(|length| length * 2 + 64 < room);
    let mut values = vec![decl.default_value()];
    values.extend(lengths.filter_map(|length| value(&decl.encoding, length)));
    values.extend((1..4).filter_map(|which| small(&decl.encoding, which)));
    values.dedup();
    values
}

/// Distinct values of encodings whose values have one length.
fn small(encoding: &Encoding, which: u64) -> Option<Value> {
    Some(match encoding {
        Encoding::Flag => Value::Flag(which % 2 == 1),
        Encoding::Bits(_) => Value::Bits(which << 1 | 1 << 63),
        Encoding::Choice(choices) => Value::Choice(choices.get(which as usize)?.name.to_owned()),
        Encoding::Record(fields) if fields.iter().all(|field| field.kind == FieldKind::Number) => {
            Value::Record(Some(record(fields, which as usize)))
        }
        _ => return None,
    })
}

fn value(encoding: &Encoding, length: usize) -> Option<Value> {
    let text = text(length);
    Some(match encoding {
        Encoding::Text { max, .. } => Value::Text(Some(text.chars().take(*max as usize).collect())),
        Encoding::Map => {
            Value::Map([("K".to_owned(), text), (length.to_string(), String::new())].into())
        }
        Encoding::List(fields) => Value::List(vec![record(fields, length), record(fields, 2)]),
        Encoding::Record(fields) => Value::Record(Some(record(fields, length))),
        Encoding::Blob => Value::Blob(text.into_bytes()),
        _ => return None,
    })
}

fn record(fields: &[Field], length: usize) -> Record {
    let each = length / fields.len().max(1) + 1;
    let values = fields.iter().map(|field| match field.kind {
        FieldKind::Text | FieldKind::Path(_) => FieldValue::Text(text(each)),
        FieldKind::Choice(names) => FieldValue::Text(names[length % names.len()].to_owned()),
        FieldKind::Number => FieldValue::Number(length as u64),
        FieldKind::Texts => FieldValue::Texts(vec![text(each), String::new()]),
    });
    Record(values.collect())
}

/// A text that tells its length at every place, so that parts of two texts never look like a third.
fn text(length: usize) -> String {
    let word = format!("{length}.");
    word.chars().cycle().take(length).collect()
}
