//! Values as bytes and back. All integers are little endian; all texts are UTF-8 without NUL.
//!
//! Decoding accepts only what encoding writes, so a value that decodes can be trusted to fit its declaration.

use std::collections::BTreeMap;

use crate::decl::{Encoding, Field, FieldKind};
use crate::value::{FieldValue, Record, Value};

/// Why a value cannot be stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// A text with a NUL, which no path, argument or variable can hold.
    #[error("a value holds a NUL byte; leave it out")]
    Nul,
    /// A text beyond its declared length.
    #[error("the text is {over} bytes too long; at most {max} fit")]
    TooLong {
        /// Bytes too many.
        over: usize,
        /// Bytes that fit.
        max: u32,
    },
    /// A value beyond its region.
    #[error("the value is {over} bytes too long; {room} fit in all")]
    TooLarge {
        /// Bytes too many.
        over: u64,
        /// Bytes that fit.
        room: u64,
    },
    /// A value of another encoding, or outside the declared names.
    #[error("the value does not fit the encoding of its region")]
    Mismatch,
}

/// Why bytes are no value: what was expected there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the stored bytes are no {0}")]
pub struct DecodeError(pub &'static str);

/// The bytes of a value.
///
/// # Errors
/// A value that the encoding cannot hold.
pub fn encode(encoding: &Encoding, value: &Value) -> Result<Vec<u8>, EncodeError> {
    let mut bytes = Vec::new();
    match (encoding, value) {
        (Encoding::Flag, Value::Flag(on)) => bytes.push(u8::from(*on)),
        (Encoding::Choice(choices), Value::Choice(name)) => {
            if !choices.iter().any(|choice| choice.name == name) {
                return Err(EncodeError::Mismatch);
            }
            bytes.extend_from_slice(name.as_bytes());
        }
        (Encoding::Bits(_), Value::Bits(set)) => bytes.extend_from_slice(&set.to_le_bytes()),
        (Encoding::Text { .. }, Value::Text(None)) => {}
        (Encoding::Text { max, .. }, Value::Text(Some(text))) => {
            let over = text.len().saturating_sub(*max as usize);
            if over > 0 {
                return Err(EncodeError::TooLong { over, max: *max });
            }
            bytes.push(1);
            bytes.extend_from_slice(clean(text)?);
        }
        (Encoding::Map, Value::Map(map)) => {
            for (key, value) in map {
                frame(&mut bytes, clean(key)?)?;
                frame(&mut bytes, clean(value)?)?;
            }
        }
        (Encoding::List(fields), Value::List(records)) => {
            for record in records {
                frame(&mut bytes, &encode_record(fields, record)?)?;
            }
        }
        (Encoding::Record(_), Value::Record(None)) => {}
        (Encoding::Record(fields), Value::Record(Some(record))) => {
            bytes = encode_record(fields, record)?
        }
        (Encoding::Blob, Value::Blob(blob)) => bytes.extend_from_slice(blob),
        _ => return Err(EncodeError::Mismatch),
    }
    Ok(bytes)
}

fn encode_record(fields: &[Field], record: &Record) -> Result<Vec<u8>, EncodeError> {
    if fields.len() != record.0.len() {
        return Err(EncodeError::Mismatch);
    }
    let mut bytes = Vec::new();
    for (field, value) in fields.iter().zip(&record.0) {
        match (field.kind, value) {
            (FieldKind::Text | FieldKind::Path(_), FieldValue::Text(text)) => {
                frame(&mut bytes, clean(text)?)?
            }
            (FieldKind::Choice(names), FieldValue::Text(name))
                if names.contains(&name.as_str()) =>
            {
                frame(&mut bytes, name.as_bytes())?;
            }
            (FieldKind::Number, FieldValue::Number(number)) => {
                frame(&mut bytes, &number.to_le_bytes())?
            }
            (FieldKind::Texts, FieldValue::Texts(texts)) => {
                let mut inner = Vec::new();
                for text in texts {
                    frame(&mut inner, clean(text)?)?;
                }
                frame(&mut bytes, &inner)?;
            }
            _ => return Err(EncodeError::Mismatch),
        }
    }
    Ok(bytes)
}

fn clean(text: &str) -> Result<&[u8], EncodeError> {
    if text.contains('\0') {
        Err(EncodeError::Nul)
    } else {
        Ok(text.as_bytes())
    }
}

/// Appends the bytes behind their length.
fn frame(into: &mut Vec<u8>, bytes: &[u8]) -> Result<(), EncodeError> {
    let room = u64::from(u32::MAX);
    let too_large = |_| EncodeError::TooLarge {
        over: bytes.len() as u64 - room,
        room,
    };
    let length = u32::try_from(bytes.len()).map_err(too_large)?;
    into.extend_from_slice(&length.to_le_bytes());
    into.extend_from_slice(bytes);
    Ok(())
}

/// The value that the bytes hold.
///
/// # Errors
/// Bytes that [`encode`] does not write for this encoding.
pub fn decode(encoding: &Encoding, bytes: &[u8]) -> Result<Value, DecodeError> {
    Ok(match encoding {
        Encoding::Flag => match bytes {
            [0] => Value::Flag(false),
            [1] => Value::Flag(true),
            _ => return Err(DecodeError("flag")),
        },
        Encoding::Choice(choices) => {
            let name = text(bytes)?;
            if !choices.iter().any(|choice| choice.name == name) {
                return Err(DecodeError("known choice"));
            }
            Value::Choice(name)
        }
        Encoding::Bits(_) => Value::Bits(number(bytes)?),
        Encoding::Text { max, .. } => match bytes.split_first() {
            None => Value::Text(None),
            Some((1, rest)) if rest.len() <= *max as usize => Value::Text(Some(text(rest)?)),
            Some(_) => return Err(DecodeError("text")),
        },
        Encoding::Map => Value::Map(decode_map(bytes)?),
        Encoding::List(fields) => {
            let records = frames(bytes)?
                .into_iter()
                .map(|frame| decode_record(fields, frame));
            Value::List(records.collect::<Result<_, _>>()?)
        }
        Encoding::Record(_) if bytes.is_empty() => Value::Record(None),
        Encoding::Record(fields) => Value::Record(Some(decode_record(fields, bytes)?)),
        Encoding::Blob => Value::Blob(bytes.to_vec()),
    })
}

fn decode_map(bytes: &[u8]) -> Result<BTreeMap<String, String>, DecodeError> {
    let frames = frames(bytes)?;
    let (pairs, []) = frames.as_chunks::<2>() else {
        return Err(DecodeError("map"));
    };
    let mut map = BTreeMap::new();
    for [key, value] in pairs {
        let key = text(key)?;
        if map.last_key_value().is_some_and(|(last, _)| *last >= key) {
            return Err(DecodeError("sorted map"));
        }
        map.insert(key, text(value)?);
    }
    Ok(map)
}

fn decode_record(fields: &[Field], bytes: &[u8]) -> Result<Record, DecodeError> {
    let frames = frames(bytes)?;
    if frames.len() != fields.len() {
        return Err(DecodeError("record of the declared fields"));
    }
    let values = fields.iter().zip(frames).map(|(field, frame)| {
        Ok(match field.kind {
            FieldKind::Text | FieldKind::Path(_) => FieldValue::Text(text(frame)?),
            FieldKind::Number => FieldValue::Number(number(frame)?),
            FieldKind::Texts => {
                let texts = frames_of_text(frame)?;
                FieldValue::Texts(texts)
            }
            FieldKind::Choice(names) => {
                let name = text(frame)?;
                if !names.contains(&name.as_str()) {
                    return Err(DecodeError("known choice"));
                }
                FieldValue::Text(name)
            }
        })
    });
    values.collect::<Result<_, _>>().map(Record)
}

fn frames_of_text(bytes: &[u8]) -> Result<Vec<String>, DecodeError> {
    frames(bytes)?.into_iter().map(text).collect()
}

fn frames(bytes: &[u8]) -> Result<Vec<&[u8]>, DecodeError> {
    let mut rest = bytes;
    let mut frames = Vec::new();
    while !rest.is_empty() {
        let (length, after) = rest.split_first_chunk::<4>().ok_or(DecodeError("length"))?;
        let length = u32::from_le_bytes(*length) as usize;
        let (frame, after) = after
            .split_at_checked(length)
            .ok_or(DecodeError("length"))?;
        frames.push(frame);
        rest = after;
    }
    Ok(frames)
}

fn number(bytes: &[u8]) -> Result<u64, DecodeError> {
    bytes
        .try_into()
        .map(u64::from_le_bytes)
        .map_err(|_| DecodeError("number"))
}

fn text(bytes: &[u8]) -> Result<String, DecodeError> {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => Ok(text.to_owned()),
        _ => Err(DecodeError("text")),
    }
}
