//! The schema of a metadata section: which bits of it mean what.
//!
//! It is a Thrift struct in the compact protocol: `Schema { 1: bool, 2: map<i16, Layout>, 3: i16 root, 4: i32 version }`,
//! `Layout { 1: i32 size, 2: i16 bits, 3: map<i16, Field>, 4: string }`, `Field { 1: i16 layout, 2: i16 offset }`
//! (fbthrift's `frozen.thrift`). Images are untrusted, so nothing here allocates by a length that was only claimed and
//! nothing recurses deeper than [`MAX_DEPTH`].

use std::collections::HashMap;

/// The only version of the schema there is.
const FILE_VERSION: i64 = 1;

/// Structs nest three deep in a schema; unknown fields may add a little.
const MAX_DEPTH: u32 = 8;

// Type tags of the compact protocol.
const TRUE: u8 = 1;
const FALSE: u8 = 2;
const BYTE: u8 = 3;
const I16: u8 = 4;
const I64: u8 = 6;
const DOUBLE: u8 = 7;
const BINARY: u8 = 8;
const LIST: u8 = 9;
const SET: u8 = 10;
const MAP: u8 = 11;
const STRUCT: u8 = 12;

/// All layouts, and which one describes the whole section.
#[derive(Debug, Default)]
pub(crate) struct Schema {
    layouts: HashMap<i16, Layout>,
    root: i16,
}

/// How one type is laid out: its width in bits, and where its fields lie in it.
#[derive(Debug, Default)]
pub(crate) struct Layout {
    /// Width of a value, in bits.
    pub(crate) bits: u32,
    fields: Vec<(i16, Field)>,
}

/// Where a field lies in its struct.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Field {
    /// Key of the field's layout.
    pub(crate) layout: i16,
    /// Bits from the start of the struct.
    pub(crate) bit: u32,
}

impl Schema {
    /// Decodes a schema section. `None` when it is malformed or of an unknown version.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Schema> {
        let mut schema = Schema::default();
        let mut version = 0;
        let mut input = Input { rest: bytes };
        input.fields(|input, id, tag| {
            match id {
                2 => input.map(tag, |input, key| {
                    schema.layouts.insert(key, parse_layout(input)?);
                    Some(())
                })?,
                3 => schema.root = input.int16(tag)?,
                4 => version = input.int(tag)?,
                _ => input.skip(tag, 0)?,
            }
            Some(())
        })?;
        (version == FILE_VERSION && input.rest.is_empty()).then_some(schema)
    }

    /// The layout of the whole section.
    pub(crate) fn root(&self) -> Option<&Layout> {
        self.layout(self.root)
    }

    /// The layout with this key.
    pub(crate) fn layout(&self, key: i16) -> Option<&Layout> {
        self.layouts.get(&key)
    }
}

impl Layout {
    /// The field with this Thrift id.
    pub(crate) fn field(&self, id: i16) -> Option<Field> {
        self.fields
            .iter()
            .find(|(key, _)| *key == id)
            .map(|(_, field)| *field)
    }
}

fn parse_layout(input: &mut Input) -> Option<Layout> {
    let mut layout = Layout::default();
    input.fields(|input, id, tag| {
        match id {
            2 => layout.bits = u32::try_from(input.int16(tag)?).ok()?,
            3 => input.map(tag, |input, key| {
                layout.fields.push((key, parse_field(input)?));
                Some(())
            })?,
            _ => input.skip(tag, 0)?,
        }
        Some(())
    })?;
    Some(layout)
}

/// A positive offset counts bytes, a negative one bits.
fn parse_field(input: &mut Input) -> Option<Field> {
    let mut field = Field::default();
    input.fields(|input, id, tag| {
        match id {
            1 => field.layout = input.int16(tag)?,
            2 => {
                let offset = i32::from(input.int16(tag)?);
                field.bit = if offset < 0 {
                    offset.unsigned_abs()
                } else {
                    offset.unsigned_abs() * 8
                };
            }
            _ => input.skip(tag, 0)?,
        }
        Some(())
    })?;
    Some(field)
}

/// What is left to read.
struct Input<'a> {
    rest: &'a [u8],
}

impl Input<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (&first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first)
    }

    fn take(&mut self, count: u64) -> Option<()> {
        self.rest = self.rest.get(usize::try_from(count).ok()?..)?;
        Some(())
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn zigzag(&mut self) -> Option<i64> {
        let value = self.varint()?;
        Some((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    fn int(&mut self, tag: u8) -> Option<i64> {
        (I16..=I64).contains(&tag).then_some(())?;
        self.zigzag()
    }

    fn int16(&mut self, tag: u8) -> Option<i16> {
        self.int(tag)?.try_into().ok()
    }

    /// Reads a struct: calls `read` for each field with its id and tag, until the stop byte.
    fn fields(&mut self, mut read: impl FnMut(&mut Self, i16, u8) -> Option<()>) -> Option<()> {
        let mut id = 0i16;
        loop {
            let head = self.byte()?;
            if head == 0 {
                return Some(());
            }
            id = match head >> 4 {
                0 => self.zigzag()?.try_into().ok()?,
                delta => id.checked_add(delta.into())?,
            };
            read(self, id, head & 0xf)?;
        }
    }

    /// Reads a map from `i16` to structs.
    fn map(&mut self, tag: u8, mut read: impl FnMut(&mut Self, i16) -> Option<()>) -> Option<()> {
        (tag == MAP).then_some(())?;
        let count = self.varint()?;
        if count == 0 {
            return Some(());
        }
        (self.byte()? == I16 << 4 | STRUCT).then_some(())?;
        for _ in 0..count {
            let key = self.int16(I16)?;
            read(self, key)?;
        }
        Some(())
    }

    /// Passes over a value that means nothing to us. Booleans in a struct live in their tag.
    fn skip(&mut self, tag: u8, depth: u32) -> Option<()> {
        (depth < MAX_DEPTH).then_some(())?;
        match tag {
            TRUE | FALSE => Some(()),
            BYTE => self.take(1),
            I16..=I64 => self.varint().map(drop),
            DOUBLE => self.take(8),
            BINARY => {
                let length = self.varint()?;
                self.take(length)
            }
            STRUCT => self.fields(|input, _, tag| input.skip(tag, depth + 1)),
            LIST | SET => {
                let head = self.byte()?;
                let count = if head >> 4 == 15 {
                    self.varint()?
                } else {
                    u64::from(head >> 4)
                };
                (0..count).try_for_each(|_| self.skip_element(head & 0xf, depth))
            }
            MAP => {
                let count = self.varint()?;
                let types = if count == 0 { 0 } else { self.byte()? };
                (0..count).try_for_each(|_| {
                    self.skip_element(types >> 4, depth)?;
                    self.skip_element(types & 0xf, depth)
                })
            }
            _ => None,
        }
    }

    /// Inside a collection a boolean takes a byte, so every element takes at least one.
    fn skip_element(&mut self, tag: u8, depth: u32) -> Option<()> {
        match tag {
            TRUE | FALSE => self.take(1),
            tag => self.skip(tag, depth + 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nest_of_unknown_structs_is_refused_and_not_followed() {
        assert!(Schema::parse(&[0x1c; 100_000]).is_none());
    }

    #[test]
    fn a_claimed_length_reserves_nothing() {
        let map_of_billions = [0x2b, 0xff, 0xff, 0xff, 0xff, 0x0f, 0x4c];
        assert!(Schema::parse(&map_of_billions).is_none());
    }

    #[test]
    fn every_truncation_is_refused() {
        let metadata = dwarfs::metadata::Metadata::default();
        let mut metadata = metadata;
        metadata.block_size = 65536;
        metadata.modes = vec![0o40755];
        let (schema, _) = metadata.to_schema_and_bytes().unwrap();
        let bytes = schema.to_bytes().unwrap();
        assert!(Schema::parse(&bytes).is_some());
        for length in 0..bytes.len() {
            assert!(Schema::parse(&bytes[..length]).is_none(), "cut at {length}");
        }
    }
}
