//! As much of ELF as says which libraries a program names (System V ABI, chapters "ELF header", "program header" and "dynamic
//! section"), of 64 and 32 bits, little-endian.
//!
//! The file is a container's: every number in it is doubted.

use std::io;

/// Where bytes are read from: `read(offset, bytes)` fills as much of `bytes` as the file has there and answers how much.
pub type Read<'a> = &'a dyn Fn(u64, &mut [u8]) -> io::Result<usize>;

const PT_LOAD: u64 = 1;
const PT_DYNAMIC: u64 = 2;
const DT_NULL: u64 = 0;
const DT_NEEDED: u64 = 1;
const DT_STRTAB: u64 = 5;
/// A program with more of anything is none that is looked at.
const MOST: usize = 4096;
/// The longest name of a file (`NAME_MAX`).
const LONGEST: usize = 255;

/// Where the fields are, for one size of words.
struct Shape {
    word: usize,
    headers_at: usize,
    header_counts_at: usize,
    offset_at: usize,
    address_at: usize,
    size_at: usize,
}

const WIDE: Shape = Shape {
    word: 8,
    headers_at: 32,
    header_counts_at: 54,
    offset_at: 8,
    address_at: 16,
    size_at: 32,
};
const NARROW: Shape = Shape {
    word: 4,
    headers_at: 28,
    header_counts_at: 42,
    offset_at: 4,
    address_at: 8,
    size_at: 16,
};

/// A part of the file and where it is in memory.
struct Segment {
    kind: u64,
    offset: u64,
    address: u64,
    size: u64,
}

/// The names of the libraries that a program needs; `None` for what is no such program.
pub fn needed(read: Read<'_>) -> Option<Vec<Vec<u8>>> {
    let mut header = [0; 64];
    whole(read, 0, &mut header)?;
    let shape = match &header[..6] {
        b"\x7fELF\x02\x01" => &WIDE,
        b"\x7fELF\x01\x01" => &NARROW,
        _ => return None,
    };
    let segments = segments(read, shape, &header)?;
    let dynamic = segments.iter().find(|segment| segment.kind == PT_DYNAMIC)?;
    let entries = entries(read, shape, dynamic)?;
    let names_at = entries.iter().find(|(tag, _)| *tag == DT_STRTAB)?.1;
    let names = segments.iter().find(|segment| {
        let within = names_at.checked_sub(segment.address);
        segment.kind == PT_LOAD && within.is_some_and(|within| within < segment.size)
    })?;
    let names = names.offset.checked_add(names_at - names.address)?;
    let needed = entries.iter().filter(|(tag, _)| *tag == DT_NEEDED);
    Some(
        needed
            .filter_map(|(_, at)| name(read, names.checked_add(*at)?))
            .collect(),
    )
}

fn segments(read: Read<'_>, shape: &Shape, header: &[u8; 64]) -> Option<Vec<Segment>> {
    let at = number(header, shape.headers_at, shape.word)?;
    let size = number(header, shape.header_counts_at, 2)? as usize;
    let count = number(header, shape.header_counts_at + 2, 2)? as usize;
    if count > MOST || !(shape.size_at + shape.word..=MOST).contains(&size) {
        return None;
    }
    let mut table = vec![0; size * count];
    whole(read, at, &mut table)?;
    let segments = table.chunks_exact(size).map(|entry| {
        Some(Segment {
            kind: number(entry, 0, 4)?,
            offset: number(entry, shape.offset_at, shape.word)?,
            address: number(entry, shape.address_at, shape.word)?,
            size: number(entry, shape.size_at, shape.word)?,
        })
    });
    segments.collect()
}

/// Tags and values of the dynamic section.
fn entries(read: Read<'_>, shape: &Shape, dynamic: &Segment) -> Option<Vec<(u64, u64)>> {
    let size = usize::try_from(dynamic.size)
        .ok()?
        .min(MOST * 2 * shape.word);
    let mut table = vec![0; size];
    whole(read, dynamic.offset, &mut table)?;
    let entries = table.chunks_exact(2 * shape.word).map(|entry| {
        let tag = number(entry, 0, shape.word)?;
        Some((tag, number(entry, shape.word, shape.word)?))
    });
    let entries: Option<Vec<_>> = entries.collect();
    entries.map(|entries| {
        entries
            .into_iter()
            .take_while(|(tag, _)| *tag != DT_NULL)
            .collect()
    })
}

fn name(read: Read<'_>, at: u64) -> Option<Vec<u8>> {
    let mut text = vec![0; LONGEST + 1];
    // What follows the last name may be the end of the file.
    let length = read(at, &mut text).ok()?;
    let end = text[..length].iter().position(|byte| *byte == 0)?;
    text.truncate(end);
    Some(text)
}

fn whole(read: Read<'_>, at: u64, bytes: &mut [u8]) -> Option<()> {
    (read(at, bytes).ok()? == bytes.len()).then_some(())
}

fn number(bytes: &[u8], at: usize, length: usize) -> Option<u64> {
    let bytes = bytes.get(at..at + length)?;
    Some(
        bytes
            .iter()
            .rev()
            .fold(0, |number, byte| number << 8 | u64::from(*byte)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
        needed(&|at, into| {
            let at = usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
            let length = into.len().min(bytes.len() - at);
            into[..length].copy_from_slice(&bytes[at..at + length]);
            Ok(length)
        })
    }

    /// A program of 64 bits that names two libraries.
    fn program() -> Vec<u8> {
        let mut bytes = vec![0; 64];
        bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
        bytes[32] = 64;
        bytes[54] = 56;
        bytes[56] = 2;
        let word = |number: u64| number.to_le_bytes();
        // All of the file at 0x1000, and the dynamic section behind the headers.
        for (kind, offset, address, size) in [(1, 0, 0x1000, 0x1000), (2, 176, 0x10b0, 64)] {
            for field in [kind, offset, address, 0, size, size, 0] {
                bytes.extend(word(field));
            }
        }
        let names = 176 + 64;
        for (tag, value) in [
            (DT_NEEDED, 1),
            (DT_NEEDED, 9),
            (DT_STRTAB, 0x1000 + names),
            (0, 0),
        ] {
            bytes.extend([word(tag), word(value)].concat());
        }
        bytes.extend(b"\0libX.so\0libc.so.6\0");
        bytes
    }

    #[test]
    fn the_libraries_of_a_program_are_named_and_nothing_else_is() {
        let names = [b"libX.so".to_vec(), b"libc.so.6".to_vec()];
        assert_eq!(of(&program()), Some(names.to_vec()));
        assert_eq!(of(b"#!/bin/sh\n"), None);
        let shell = std::fs::read("/bin/sh").unwrap();
        let libraries = of(&shell).unwrap();
        assert!(
            libraries.iter().any(|name| name.starts_with(b"libc.so")),
            "{libraries:?}"
        );
    }

    #[test]
    fn a_damaged_program_is_none_or_names_less() {
        let whole = program();
        for length in 0..whole.len() {
            let names = of(&whole[..length]).unwrap_or_default();
            assert!(names.len() <= 2);
        }
        for place in 0..whole.len() {
            for value in [0, 1, 0x7f, 0xff] {
                let mut damaged = whole.clone();
                damaged[place] = value;
                let _ = of(&damaged);
            }
        }
    }
}
