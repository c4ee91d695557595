//! Declared defaults as the bytes that an image holds.
//!
//! The program has the encoder that everything else uses; a test there decodes every default that this one wrote and
//! compares the bytes.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::nearest;
use crate::source::{Bits, Choice, Encoding, Field, FieldKind};

/// The bytes of `default` in that encoding, or what is wrong with it.
pub fn encode(encoding: &Encoding, default: Option<&Value>) -> Result<Vec<u8>, String> {
    match (encoding, default) {
        (Encoding::Flag, None) => Ok(vec![0]),
        (Encoding::Flag, Some(value)) => flag(value),
        (Encoding::Choice(_), None) => Err("a choice needs a default".to_owned()),
        (Encoding::Choice(choices), Some(value)) => choice(choices, value),
        (Encoding::Bits(_), None) => Ok(vec![0; 8]),
        (Encoding::Bits(bits), Some(value)) => set(bits, value),
        (_, None) => Ok(Vec::new()),
        (Encoding::Text(text), Some(value)) => {
            let bytes = clean(value)?.as_bytes();
            let over = bytes.len().saturating_sub(text.max as usize);
            if over > 0 {
                return Err(format!("the default is {over} bytes longer than `max`"));
            }
            let scheme = clean(value)?.split_once(':').map(|(scheme, _)| scheme);
            let fits = |known: &String| scheme == Some(known);
            if !text.schemes.is_empty() && !text.schemes.iter().any(fits) {
                return Err("the default begins with none of the `schemes`".to_owned());
            }
            if text.path.is_some() {
                path(clean(value)?)?;
            }
            Ok([&[1], bytes].concat())
        }
        (Encoding::Map, Some(value)) => map(value),
        (Encoding::Record(fields), Some(value)) => record(&fields.fields, value),
        (Encoding::List(fields), Some(value)) => {
            let records = value
                .as_array()
                .ok_or("the default of a list is a list of records")?;
            let records = records
                .iter()
                .map(|value| Ok(framed(&record(&fields.fields, value)?)));
            Ok(records.collect::<Result<Vec<_>, String>>()?.concat())
        }
        (Encoding::Blob, Some(_)) => Err("a blob has no default".to_owned()),
    }
}

fn path(text: &str) -> Result<&str, String> {
    match text.starts_with(['/', '$']) {
        true => Ok(text),
        false => Err(format!("`{text}` is no absolute path")),
    }
}

fn flag(value: &Value) -> Result<Vec<u8>, String> {
    match value {
        Value::Bool(on) => Ok(vec![u8::from(*on)]),
        Value::String(text) if text == "on" => Ok(vec![1]),
        Value::String(text) if text == "off" => Ok(vec![0]),
        other => Err(format!("a flag is `on` or `off`, not `{other}`")),
    }
}

fn choice(choices: &[Choice], value: &Value) -> Result<Vec<u8>, String> {
    let name = clean(value)?;
    let known: Vec<&str> = choices.iter().map(|choice| choice.name.as_str()).collect();
    if known.contains(&name) {
        return Ok(name.as_bytes().to_vec());
    }
    Err(format!(
        "`{name}` is none of the choices: {}",
        nearest::hint(name, &known)
    ))
}

fn set(bits: &Bits, value: &Value) -> Result<Vec<u8>, String> {
    let names = value
        .as_array()
        .ok_or("the default of bits is a list of their names")?;
    let mut set = 0_u64;
    for name in names {
        let name = clean(name)?;
        let bit = bits
            .bits
            .iter()
            .find(|bit| bit.name == name)
            .ok_or_else(|| {
                let known: Vec<&str> = bits.bits.iter().map(|bit| bit.name.as_str()).collect();
                format!(
                    "`{name}` is none of the bits: {}",
                    nearest::hint(name, &known)
                )
            })?;
        set |= 1_u64.checked_shl(bit.number.into()).unwrap_or(0);
    }
    Ok(set.to_le_bytes().to_vec())
}

fn map(value: &Value) -> Result<Vec<u8>, String> {
    let entries = value
        .as_object()
        .ok_or("the default of a map is a mapping")?;
    let sorted: BTreeMap<_, _> = entries.iter().collect();
    let pairs = sorted.into_iter().map(|(key, value)| {
        Ok([framed(key.as_bytes()), framed(clean(value)?.as_bytes())].concat())
    });
    Ok(pairs.collect::<Result<Vec<_>, String>>()?.concat())
}

fn record(fields: &[Field], value: &Value) -> Result<Vec<u8>, String> {
    let given = value
        .as_object()
        .ok_or("the default of a record is a mapping of its fields")?;
    let known: Vec<&str> = fields.iter().map(|field| field.name.as_str()).collect();
    if let Some(name) = given.keys().find(|name| !known.contains(&name.as_str())) {
        return Err(format!(
            "`{name}` is none of the fields: {}",
            nearest::hint(name, &known)
        ));
    }
    let parts = fields.iter().map(|field| {
        let value = given
            .get(&field.name)
            .ok_or_else(|| format!("the default has no `{}`", field.name))?;
        Ok(framed(&one(&field.kind, value)?))
    });
    Ok(parts.collect::<Result<Vec<_>, String>>()?.concat())
}

fn one(kind: &FieldKind, value: &Value) -> Result<Vec<u8>, String> {
    match kind {
        FieldKind::Text => Ok(clean(value)?.as_bytes().to_vec()),
        FieldKind::Path(_) => Ok(path(clean(value)?)?.as_bytes().to_vec()),
        FieldKind::Number => {
            let number = value
                .as_u64()
                .ok_or_else(|| format!("`{value}` is no number"))?;
            Ok(number.to_le_bytes().to_vec())
        }
        FieldKind::Texts => {
            let texts = value.as_array().ok_or("a field of texts is a list")?;
            let texts = texts.iter().map(|text| Ok(framed(clean(text)?.as_bytes())));
            Ok(texts.collect::<Result<Vec<_>, String>>()?.concat())
        }
        FieldKind::Choice(names) => {
            let name = clean(value)?;
            let known: Vec<&str> = names.iter().map(String::as_str).collect();
            if known.contains(&name) {
                return Ok(name.as_bytes().to_vec());
            }
            Err(format!(
                "`{name}` is none of the choices: {}",
                nearest::hint(name, &known)
            ))
        }
    }
}

fn clean(value: &Value) -> Result<&str, String> {
    let text = value
        .as_str()
        .ok_or_else(|| format!("`{value}` is no text"))?;
    if text.contains('\0') {
        return Err("a text holds no NUL".to_owned());
    }
    Ok(text)
}

/// The bytes behind their length, a u32 in little endian.
fn framed(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    [&length.to_le_bytes(), bytes].concat()
}
