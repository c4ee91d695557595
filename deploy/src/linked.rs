//! What a dynamic program or library asks to be loaded with it.
//!
//! Numbers are those of the System V ABI's generic part, as in [`crate::elf`], 64-bit and little-endian.

use crate::elf::{ElfError, array_at, segments, slice, u64_at};

const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const PT_INTERP: u32 = 3;
const DT_NULL: u64 = 0;
const DT_NEEDED: u64 = 1;
const DT_STRTAB: u64 = 5;
const DYNAMIC_ENTRY: usize = 16;

/// The names in a dynamic program.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Linked {
    /// Path of the loader; a library names none.
    pub interpreter: Option<String>,
    /// File names of the libraries.
    pub libraries: Vec<String>,
}

impl Linked {
    /// Reads the names from a program held in memory.
    ///
    /// # Errors
    /// As [`crate::elf::Elf::parse`].
    pub fn parse(bytes: &[u8]) -> Result<Linked, ElfError> {
        let mut linked = Linked::default();
        for segment in segments(bytes)? {
            let contents = || slice(bytes, u64_at(segment, 8)?, u64_at(segment, 32)?);
            match u32::from_le_bytes(array_at(segment, 0)?) {
                PT_INTERP => linked.interpreter = Some(text(contents()?)?),
                PT_DYNAMIC => linked.libraries = libraries(bytes, contents()?)?,
                _ => {}
            }
        }
        Ok(linked)
    }

    /// The file name of the loader.
    pub fn loader(&self) -> Option<&str> {
        self.interpreter.as_deref()?.rsplit('/').next()
    }
}

fn libraries(bytes: &[u8], dynamic: &[u8]) -> Result<Vec<String>, ElfError> {
    let mut names = Vec::new();
    let mut strings = None;
    for entry in dynamic.chunks_exact(DYNAMIC_ENTRY) {
        match (u64_at(entry, 0)?, u64_at(entry, 8)?) {
            (DT_NULL, _) => break,
            (DT_NEEDED, at) => names.push(at),
            (DT_STRTAB, address) => strings = Some(offset(bytes, address)?),
            _ => {}
        }
    }
    let strings = strings.unwrap_or_default();
    let name = |at: u64| {
        let at = strings.checked_add(at).ok_or(ElfError::CutOff)?;
        let rest = usize::try_from(at).ok().and_then(|at| bytes.get(at..));
        text(rest.ok_or(ElfError::CutOff)?)
    };
    names.into_iter().map(name).collect()
}

/// Where in the file the byte is that is loaded to `address`.
fn offset(bytes: &[u8], address: u64) -> Result<u64, ElfError> {
    for segment in segments(bytes)? {
        let (start, size) = (u64_at(segment, 16)?, u64_at(segment, 32)?);
        let is_load = u32::from_le_bytes(array_at(segment, 0)?) == PT_LOAD;
        match address.checked_sub(start) {
            Some(within) if is_load && within < size => {
                let at = u64_at(segment, 8)?.checked_add(within);
                return at.ok_or(ElfError::CutOff);
            }
            _ => {}
        }
    }
    Err(ElfError::CutOff)
}

fn text(bytes: &[u8]) -> Result<String, ElfError> {
    let end = bytes.iter().position(|byte| *byte == 0);
    let bytes = &bytes[..end.ok_or(ElfError::CutOff)?];
    String::from_utf8(bytes.to_vec()).map_err(|_| ElfError::Foreign)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dynamic_program_names_its_loader_and_its_libraries() {
        // Whatever builds this is dynamic itself, as everything is that Cargo runs on the host.
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let linked = Linked::parse(&own).unwrap();
        assert!(linked.loader().is_some_and(|name| name.starts_with("ld-")));
        assert!(linked.libraries.iter().any(|name| name == "libc.so.6"));
    }

    #[test]
    fn a_static_program_names_nothing_and_what_is_cut_off_is_refused() {
        let plain = crate::elf::tests::synthetic(&[(1, b"code")]);
        assert_eq!(Linked::parse(&plain).unwrap(), Linked::default());
        assert_eq!(Linked::parse(&plain[..70]), Err(ElfError::CutOff));
    }
}
