//! From values to the types that the declaration generates, for those who want a setting by its name.

use std::collections::BTreeMap;

use crate::value::{FieldValue, Record, Value};

/// A type that holds the value of a region.
pub trait FromValue: Sized {
    /// The value as this type; `None` when it is one of another encoding.
    fn from_value(value: &Value) -> Option<Self>;
}

/// A type that holds a record.
pub trait FromRecord: Sized {
    /// The record as this type; `None` when it is one of other fields.
    fn from_record(record: &Record) -> Option<Self>;
}

/// A type that holds one field of a record.
pub trait FromField: Sized {
    /// The field as this type; `None` when it is one of another kind.
    fn from_field(field: &FieldValue) -> Option<Self>;
}

macro_rules! from_variant {
    ($($type:ty: $trait:ident, $method:ident, $source:ident :: $variant:ident;)*) => {$(
        impl $trait for $type {
            fn $method(value: &$source) -> Option<Self> {
                match value {
                    $source::$variant(inner) => Some(inner.clone()),
                    _ => None,
                }
            }
        }
    )*};
}

from_variant! {
    bool: FromValue, from_value, Value::Flag;
    Option<String>: FromValue, from_value, Value::Text;
    BTreeMap<String, String>: FromValue, from_value, Value::Map;
    Vec<u8>: FromValue, from_value, Value::Blob;
    String: FromField, from_field, FieldValue::Text;
    u64: FromField, from_field, FieldValue::Number;
    Vec<String>: FromField, from_field, FieldValue::Texts;
}

impl<T: FromRecord> FromValue for Option<T> {
    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Record(None) => Some(None),
            Value::Record(Some(record)) => T::from_record(record).map(Some),
            _ => None,
        }
    }
}

/// Records in order.
impl<T: FromRecord> FromValue for Vec<T> {
    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::List(records) => records.iter().map(T::from_record).collect(),
            _ => None,
        }
    }
}
