//! Bit-packed tables, read in place.
//!
//! The metadata of an image is one Frozen2 structure: numbers as wide as the largest of them needs, lists as a distance
//! and a count. Unpacking it costs more than everything else that opening an image does, and a start touches a few
//! dozen of its thousands of inodes. So [`View`] walks the schema once to find where each table lies, and a [`Column`]
//! computes the position of an element when it is asked for.

mod schema;

pub(crate) use schema::Schema;
use schema::{Field, Layout};

/// Zero bytes kept behind the data, so that a load near its end needs no special case.
const PADDING: usize = 16;

/// The longest list whose elements take no space, far beyond any image that was seen.
const MAX_ZEROS: u32 = 1 << 26;

/// The bytes of a metadata section.
#[derive(Debug)]
pub(crate) struct Bits {
    bytes: Vec<u8>,
    length: u64,
}

impl Bits {
    /// Takes the decompressed section.
    pub(crate) fn new(mut bytes: Vec<u8>) -> Bits {
        let length = bytes.len() as u64;
        bytes.resize(bytes.len() + PADDING, 0);
        Bits { bytes, length }
    }

    /// The little-endian number in `width` bits (at most 64) from bit `at`. Bits beyond the end are zero.
    fn number(&self, at: u64, width: u32) -> u64 {
        if width == 0 {
            return 0;
        }
        let start = (at / 8) as usize;
        let Some(window) = self
            .bytes
            .get(start..)
            .and_then(|rest| rest.first_chunk::<PADDING>())
        else {
            return 0;
        };
        let value = u128::from_le_bytes(*window) >> (at % 8);
        value as u64 & (u64::MAX >> (64 - width.min(64)))
    }

    /// `count` bytes from byte `at`.
    pub(crate) fn slice(&self, at: u64, count: u64) -> Option<&[u8]> {
        let end = at.checked_add(count).filter(|end| *end <= self.length)?;
        self.bytes.get(at as usize..end as usize)
    }
}

/// A value in the section together with its layout. What the schema leaves out is zero, empty or absent.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    bits: &'a Bits,
    schema: &'a Schema,
    layout: Option<&'a Layout>,
    /// Position of the value, in bits from the start of the section.
    at: u64,
    /// What the distances of lists count from, in bytes.
    base: u64,
}

impl<'a> View<'a> {
    /// The whole section.
    pub(crate) fn root(bits: &'a Bits, schema: &'a Schema) -> View<'a> {
        View {
            bits,
            schema,
            layout: schema.root(),
            at: 0,
            base: 0,
        }
    }

    /// The field with this Thrift id.
    pub(crate) fn field(self, id: i16) -> View<'a> {
        match self.layout.and_then(|layout| layout.field(id)) {
            Some(Field { layout, bit }) => View {
                layout: self.schema.layout(layout),
                at: self.at + u64::from(bit),
                ..self
            },
            None => View {
                layout: None,
                ..self
            },
        }
    }

    /// The value as a number.
    pub(crate) fn number(self) -> u64 {
        self.layout
            .map_or(0, |layout| self.bits.number(self.at, layout.bits))
    }

    /// The value as the position and length of a string, in bytes: field 1 is the distance, field 2 the count.
    pub(crate) fn string_span(self) -> Option<(u64, u64)> {
        let start = self.base.checked_add(self.field(1).number())?;
        let length = self.field(2).number();
        self.bits.slice(start, length).map(|_| (start, length))
    }

    /// The value as an optional one: field 1 says whether it is there, field 2 is the value.
    pub(crate) fn optional(self) -> Option<View<'a>> {
        (self.field(1).number() != 0).then(|| self.field(2))
    }

    /// The bytes of a string.
    pub(crate) fn string(self) -> Option<&'a [u8]> {
        let (start, length) = self.string_span()?;
        self.bits.slice(start, length)
    }

    /// The list: field 1 is the distance, field 2 the count, field 3 the layout of the elements. `None` when it does
    /// not lie within the section.
    pub(crate) fn list(self) -> Option<List<'a>> {
        let element = self.layout.and_then(|layout| layout.field(3));
        let element = element.and_then(|field| self.schema.layout(field.layout));
        let base = self.base.checked_add(self.field(1).number())?;
        let length = u32::try_from(self.field(2).number()).ok()?;
        let stride = element.map_or(0, |layout| layout.bits);
        let end = base
            .checked_mul(8)?
            .checked_add(u64::from(length) * u64::from(stride))?;
        (end <= self.bits.length * 8).then_some(())?;
        // A list of nothing but zeros takes no space: what it claims must be limited by other means.
        (stride > 0 || length <= MAX_ZEROS).then_some(())?;
        let first = View {
            layout: element,
            at: base * 8,
            base,
            ..self
        };
        Some(List {
            first,
            stride,
            length,
        })
    }
}

/// A list of values.
#[derive(Clone, Copy)]
pub(crate) struct List<'a> {
    first: View<'a>,
    stride: u32,
    length: u32,
}

impl<'a> List<'a> {
    /// What distances in the elements count from, in bytes.
    pub(crate) fn base(&self) -> u64 {
        self.first.base
    }

    /// The elements one by one.
    pub(crate) fn iter(self) -> impl Iterator<Item = View<'a>> {
        let List {
            first,
            stride,
            length,
        } = self;
        (0..length).map(move |i| View {
            at: first.at + u64::from(i) * u64::from(stride),
            ..first
        })
    }

    /// The elements, as numbers.
    pub(crate) fn column(&self) -> Column {
        self.column_of(self.first)
    }

    /// One field of every element, as numbers.
    pub(crate) fn field(&self, id: i16) -> Column {
        self.column_of(self.first.field(id))
    }

    fn column_of(&self, value: View<'a>) -> Column {
        let width = value.layout.map_or(0, |layout| layout.bits.min(64));
        Column {
            at: value.at,
            stride: self.stride,
            width,
            length: self.length,
        }
    }
}

/// Numbers at equal distances: a list of numbers, or one field of a list of structs.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Column {
    at: u64,
    stride: u32,
    width: u32,
    length: u32,
}

impl Column {
    /// The number of elements.
    pub(crate) fn len(&self) -> u32 {
        self.length
    }

    /// Element `index`, or `None` beyond the end.
    #[inline]
    pub(crate) fn get(&self, bits: &Bits, index: u32) -> Option<u64> {
        (index < self.length).then(|| {
            bits.number(
                self.at + u64::from(index) * u64::from(self.stride),
                self.width,
            )
        })
    }

    /// Element `index` of a column of 32-bit numbers.
    #[inline]
    pub(crate) fn get32(&self, bits: &Bits, index: u32) -> Option<u32> {
        self.get(bits, index).map(|value| value as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_every_width_and_alignment_are_found() {
        for width in 1..=64 {
            for shift in 0..8 {
                let value = 0x9e37_79b9_7f4a_7c15_u64 & (u64::MAX >> (64 - width));
                let packed = (u128::from(value) << shift).to_le_bytes();
                let bits = Bits::new(packed[..9].to_vec());
                assert_eq!(
                    bits.number(shift, width),
                    value,
                    "{width} bits from bit {shift}"
                );
            }
        }
    }

    #[test]
    fn nothing_lies_beyond_the_end() {
        let bits = Bits::new(vec![0xff; 4]);
        assert_eq!(bits.number(24, 16), 0xff);
        assert_eq!(bits.number(1 << 40, 8), 0);
        assert_eq!(bits.slice(2, 2), Some(&[0xff, 0xff][..]));
        assert_eq!(bits.slice(3, 2), None);
        assert_eq!(bits.slice(u64::MAX, 2), None);
    }
}
