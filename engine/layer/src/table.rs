//! Tables of numbers, in place or unpacked.
//!
//! `mkdwarfs --pack-metadata` stores differences where the numbers only grow. Such a table is summed up once, when the
//! image is opened; ours are never packed.

use crate::frozen::{Bits, Column};

/// A table of 32-bit numbers.
#[derive(Debug)]
pub(crate) enum Table {
    /// As it lies in the image.
    Packed(Column),
    /// Unpacked.
    Owned(Vec<u32>),
}

impl Table {
    /// A column that is stored as differences when `packed`.
    pub(crate) fn read(bits: &Bits, column: Column, packed: bool) -> Option<Table> {
        match packed {
            true => Table::sums(bits, column, false),
            false => Some(Table::Packed(column)),
        }
    }

    /// The running sums of a column; with `from_zero` they start with an additional 0. `None` when they overflow.
    pub(crate) fn sums(bits: &Bits, column: Column, from_zero: bool) -> Option<Table> {
        let mut sum = 0u32;
        let mut sums = Vec::new();
        if from_zero {
            sums.push(0);
        }
        for i in 0..column.len() {
            sum = sum.checked_add(column.get32(bits, i)?)?;
            sums.push(sum);
        }
        Some(Table::Owned(sums))
    }

    /// The table of shared files from its packed form: for each content, how many files beyond two share it. `None`
    /// when there would be more than `limit` files.
    pub(crate) fn shared_files(bits: &Bits, column: Column, limit: u32) -> Option<Table> {
        let mut contents = Vec::new();
        for content in 0..column.len() {
            let files = column.get(bits, content)?.checked_add(2)?;
            if files > u64::from(limit) - contents.len() as u64 {
                return None;
            }
            contents.extend(std::iter::repeat_n(content, files as usize));
        }
        Some(Table::Owned(contents))
    }

    /// The number of elements.
    pub(crate) fn len(&self) -> u32 {
        match self {
            Table::Packed(column) => column.len(),
            Table::Owned(numbers) => numbers.len() as u32,
        }
    }

    /// Element `index`, or `None` beyond the end.
    #[inline]
    pub(crate) fn get(&self, bits: &Bits, index: u32) -> Option<u32> {
        match self {
            Table::Packed(column) => column.get32(bits, index),
            Table::Owned(numbers) => numbers.get(index as usize).copied(),
        }
    }
}
