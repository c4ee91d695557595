//! The value of a region, whatever its encoding: what verbs change, effects read and the store keeps.

use std::collections::BTreeMap;

use crate::decl::Field;

/// The value of one region. The variant is the one of the region's encoding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// On or off.
    Flag(bool),
    /// The chosen name.
    Choice(String),
    /// The bits that are set, known or not.
    Bits(u64),
    /// A text, or unset.
    Text(Option<String>),
    /// Texts by name.
    Map(BTreeMap<String, String>),
    /// Records in order.
    List(Vec<Record>),
    /// A record, or unset.
    Record(Option<Record>),
    /// Bytes as they are.
    Blob(Vec<u8>),
}

/// The values of a record's fields, in declared order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Record(pub Vec<FieldValue>);

/// The value of one field of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldValue {
    /// A text or the chosen name.
    Text(String),
    /// A number.
    Number(u64),
    /// Any number of texts.
    Texts(Vec<String>),
}

impl Record {
    /// The value of the field called `name`, when `fields` declares it and the record has it.
    #[must_use]
    pub fn get(&self, fields: &[Field], name: &str) -> Option<&FieldValue> {
        let place = fields.iter().position(|field| field.name == name)?;
        self.0.get(place)
    }
}

impl FieldValue {
    /// The value as one text, for placeholders: texts are joined by spaces.
    #[must_use]
    pub fn to_text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Number(number) => number.to_string(),
            Self::Texts(texts) => texts.join(" "),
        }
    }
}
