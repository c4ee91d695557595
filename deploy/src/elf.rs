//! As much of ELF as tells a static program from a dynamic one.
//!
//! An image runs on hosts whose libraries nobody knows, so neither its runtime nor its tools may ask for an interpreter or a
//! shared library. Structures and numbers are those of the System V ABI's generic part (chapters "ELF header" and "program
//! header"), 64-bit and little-endian: every architecture that FlatImage knows.

/// `e_machine` of x86-64.
pub const X86_64: u16 = 62;
/// `e_machine` of AArch64.
pub const AARCH64: u16 = 183;

const ET_EXEC: u16 = 2;
const ET_DYN: u16 = 3;
const PT_DYNAMIC: u32 = 2;
const PT_INTERP: u32 = 3;
const DT_NULL: u64 = 0;
const DT_NEEDED: u64 = 1;
const HEADER: usize = 64;
const PROGRAM_HEADER: usize = 56;
const DYNAMIC_ENTRY: usize = 16;

/// What a program asks of the host that starts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Elf {
    /// `e_machine`: the architecture it was compiled for.
    pub machine: u16,
    /// Whether it names an interpreter (`PT_INTERP`): the dynamic loader.
    pub interpreter: bool,
    /// Whether it names a shared library (`DT_NEEDED`).
    pub libraries: bool,
}

/// Why bytes are not a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ElfError {
    /// The first bytes are not those of ELF: a script, an archive, something else.
    #[error("not an ELF file")]
    NotElf,
    /// 32-bit, big-endian, or neither an executable nor a shared object.
    #[error("not a 64-bit little-endian ELF program")]
    Foreign,
    /// A header points beyond the end of the file.
    #[error("cut off or damaged: its headers point beyond its end")]
    CutOff,
}

impl Elf {
    /// Reads the headers of a program held in memory.
    ///
    /// # Errors
    /// When the bytes are no 64-bit little-endian ELF program, or end too early.
    pub fn parse(bytes: &[u8]) -> Result<Elf, ElfError> {
        if !bytes.starts_with(b"\x7fELF") {
            return Err(ElfError::NotElf);
        }
        let header = bytes.get(..HEADER).ok_or(ElfError::CutOff)?;
        let (class, order, kind) = (header[4], header[5], u16_at(header, 16)?);
        if class != 2 || order != 1 || ![ET_EXEC, ET_DYN].contains(&kind) {
            return Err(ElfError::Foreign);
        }
        let mut elf = Elf {
            machine: u16_at(header, 18)?,
            interpreter: false,
            libraries: false,
        };
        for segment in segments(bytes)? {
            match u32_at(segment, 0)? {
                PT_INTERP => elf.interpreter = true,
                PT_DYNAMIC => {
                    let entries = slice(bytes, u64_at(segment, 8)?, u64_at(segment, 32)?)?;
                    elf.libraries |= needs_a_library(entries)?;
                }
                _ => {}
            }
        }
        Ok(elf)
    }

    /// Whether the kernel alone can start it: it names neither an interpreter nor a library. A static program may be
    /// position-independent, so a dynamic section alone does not count.
    pub fn is_static(self) -> bool {
        !self.interpreter && !self.libraries
    }

    /// Whether it is made for the architecture that deploy itself runs on, the only one it builds images for.
    pub fn is_native(self) -> bool {
        let native = match std::env::consts::ARCH {
            "x86_64" => X86_64,
            "aarch64" => AARCH64,
            _ => return false,
        };
        self.machine == native
    }
}

/// The program headers of an ELF file.
pub(crate) fn segments(bytes: &[u8]) -> Result<impl Iterator<Item = &[u8]>, ElfError> {
    let header = bytes.get(..HEADER).ok_or(ElfError::CutOff)?;
    let (start, size, count) = (
        u64_at(header, 32)?,
        u16_at(header, 54)?,
        u16_at(header, 56)?,
    );
    if count > 0 && usize::from(size) != PROGRAM_HEADER {
        return Err(ElfError::Foreign);
    }
    let table = slice(bytes, start, u64::from(size) * u64::from(count))?;
    Ok(table.chunks_exact(PROGRAM_HEADER))
}

fn needs_a_library(dynamic: &[u8]) -> Result<bool, ElfError> {
    for entry in dynamic.chunks_exact(DYNAMIC_ENTRY) {
        match u64_at(entry, 0)? {
            DT_NEEDED => return Ok(true),
            DT_NULL => break,
            _ => {}
        }
    }
    Ok(false)
}

pub(crate) fn slice(bytes: &[u8], start: u64, length: u64) -> Result<&[u8], ElfError> {
    let start = usize::try_from(start).map_err(|_| ElfError::CutOff)?;
    let length = usize::try_from(length).map_err(|_| ElfError::CutOff)?;
    let end = start.checked_add(length).ok_or(ElfError::CutOff)?;
    bytes.get(start..end).ok_or(ElfError::CutOff)
}

pub(crate) fn array_at<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], ElfError> {
    let found = bytes.get(at..).and_then(|rest| rest.first_chunk::<N>());
    found.copied().ok_or(ElfError::CutOff)
}

fn u16_at(bytes: &[u8], at: usize) -> Result<u16, ElfError> {
    array_at(bytes, at).map(u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32, ElfError> {
    array_at(bytes, at).map(u32::from_le_bytes)
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> Result<u64, ElfError> {
    array_at(bytes, at).map(u64::from_le_bytes)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The type and contents of segments.
    pub(crate) type Segments<'a> = &'a [(u32, &'a [u8])];

    /// A program of the native architecture with the given segments and nothing else.
    pub(crate) fn synthetic(segments: Segments) -> Vec<u8> {
        let mut bytes = vec![0; HEADER + segments.len() * PROGRAM_HEADER];
        bytes[..8].copy_from_slice(b"\x7fELF\x02\x01\x01\x00");
        bytes[16..18].copy_from_slice(&ET_EXEC.to_le_bytes());
        let machine = if cfg!(target_arch = "aarch64") {
            AARCH64
        } else {
            X86_64
        };
        bytes[18..20].copy_from_slice(&machine.to_le_bytes());
        bytes[32..40].copy_from_slice(&(HEADER as u64).to_le_bytes());
        bytes[54..56].copy_from_slice(&(PROGRAM_HEADER as u16).to_le_bytes());
        bytes[56..58].copy_from_slice(&(segments.len() as u16).to_le_bytes());
        for (index, (kind, contents)) in segments.iter().enumerate() {
            let at = HEADER + index * PROGRAM_HEADER;
            let offset = bytes.len() as u64;
            bytes[at..at + 4].copy_from_slice(&kind.to_le_bytes());
            bytes[at + 8..at + 16].copy_from_slice(&offset.to_le_bytes());
            bytes[at + 32..at + 40].copy_from_slice(&(contents.len() as u64).to_le_bytes());
            bytes.extend_from_slice(contents);
        }
        bytes
    }

    fn dynamic(tags: &[u64]) -> Vec<u8> {
        let entries = tags.iter().flat_map(|tag| [*tag, 7]);
        entries.flat_map(u64::to_le_bytes).collect()
    }

    #[test]
    fn this_test_program_is_native_and_as_static_as_it_was_linked() {
        let elf = Elf::parse(&std::fs::read("/proc/self/exe").unwrap()).unwrap();
        assert!(elf.is_native());
        assert_eq!(elf.is_static(), cfg!(target_feature = "crt-static"));
    }

    #[test]
    fn an_interpreter_or_a_library_makes_a_program_dynamic() {
        let needs = dynamic(&[5, DT_NEEDED, DT_NULL]);
        let pie = dynamic(&[5, DT_NULL, DT_NEEDED]);
        for (segments, is_static) in [
            (&[][..], true),
            (&[(1, &b"code"[..])], true),
            (&[(PT_DYNAMIC, &pie[..])], true),
            (&[(PT_INTERP, &b"/lib/ld.so\0"[..])], false),
            (&[(PT_DYNAMIC, &needs[..])], false),
        ] {
            let elf = Elf::parse(&synthetic(segments)).unwrap();
            assert_eq!(elf.is_static(), is_static, "{segments:?}");
        }
    }

    #[test]
    fn what_is_no_program_is_refused() {
        assert_eq!(Elf::parse(b"#!/bin/sh\n"), Err(ElfError::NotElf));
        assert_eq!(Elf::parse(b"\x7fELF"), Err(ElfError::CutOff));
        let mut big_endian = synthetic(&[]);
        big_endian[5] = 2;
        assert_eq!(Elf::parse(&big_endian), Err(ElfError::Foreign));
    }

    #[test]
    fn every_cut_is_an_error_or_a_program_and_never_a_panic() {
        let whole = synthetic(&[(PT_DYNAMIC, &dynamic(&[5, DT_NULL]))]);
        for length in 0..whole.len() {
            assert!(Elf::parse(&whole[..length]).is_err(), "{length} bytes");
        }
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] = 0xff;
            let _ = Elf::parse(&damaged);
        }
    }
}
