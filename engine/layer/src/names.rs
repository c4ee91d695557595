//! Tables of strings: the names of entries, the targets of links.
//!
//! An image keeps them as a list of strings, or as one buffer and an index into it. The index may be stored as
//! differences, and the strings may be compressed with FSST; what cannot be read in place is unpacked when the image is
//! opened.

use std::borrow::Cow;

use dwarfs::fsst;

use crate::error::ReadError;
use crate::frozen::{Bits, Column, View};
use crate::table::Table;

const DAMAGED: ReadError = ReadError::Damaged("a table of names is malformed");

/// A table of strings.
#[derive(Debug)]
pub(crate) enum Names {
    /// A list of strings; both columns are in bytes.
    List {
        base: u64,
        distances: Column,
        counts: Column,
    },
    /// One buffer; string `i` lies between offsets `i` and `i + 1`, in bytes.
    Buffer {
        start: u64,
        length: u64,
        offsets: Table,
    },
    /// Strings that are compressed one by one.
    Compressed {
        start: u64,
        length: u64,
        offsets: Table,
        decoder: Box<fsst::Decoder>,
    },
}

impl Names {
    /// Reads the table from its two places in the metadata: the plain list, and the compact form that replaces it.
    pub(crate) fn read(bits: &Bits, plain: View, compact: View) -> Result<Names, ReadError> {
        let Some(compact) = compact.optional() else {
            let list = plain.list().ok_or(DAMAGED)?;
            return Ok(Names::List {
                base: list.base(),
                distances: list.field(1),
                counts: list.field(2),
            });
        };
        let (start, length) = compact.field(1).string_span().ok_or(DAMAGED)?;
        let index = compact.field(3).list().ok_or(DAMAGED)?.column();
        let packed = compact.field(4).number() != 0;
        // A packed index holds the differences, so one number less than there are offsets.
        let offsets = if packed {
            Table::sums(bits, index, true).ok_or(DAMAGED)?
        } else {
            Table::Packed(index)
        };
        match compact.field(2).optional() {
            None => Ok(Names::Buffer {
                start,
                length,
                offsets,
            }),
            Some(symbols) => {
                let symbols = symbols.string().ok_or(DAMAGED)?;
                let decoder = Box::new(fsst::Decoder::parse(symbols).map_err(|_| DAMAGED)?);
                Ok(Names::Compressed {
                    start,
                    length,
                    offsets,
                    decoder,
                })
            }
        }
    }

    /// String `index`, or `None` when the table does not hold it.
    pub(crate) fn get<'a>(&self, bits: &'a Bits, index: u32) -> Option<Cow<'a, [u8]>> {
        match self {
            Names::List {
                base,
                distances,
                counts,
            } => {
                let at = base.checked_add(distances.get(bits, index)?)?;
                bits.slice(at, counts.get(bits, index)?).map(Cow::Borrowed)
            }
            Names::Buffer {
                start,
                length,
                offsets,
            } => slice(bits, *start, *length, offsets, index).map(Cow::Borrowed),
            Names::Compressed {
                start,
                length,
                offsets,
                decoder,
            } => {
                let coded = slice(bits, *start, *length, offsets, index)?;
                decoder
                    .decode(coded)
                    .ok()
                    .map(|name| Cow::Owned(name.into()))
            }
        }
    }
}

fn slice<'a>(
    bits: &'a Bits,
    start: u64,
    length: u64,
    offsets: &Table,
    index: u32,
) -> Option<&'a [u8]> {
    let from = u64::from(offsets.get(bits, index)?);
    let to = u64::from(offsets.get(bits, index.checked_add(1)?)?);
    if to > length {
        return None;
    }
    bits.slice(start + from, to.checked_sub(from)?)
}
