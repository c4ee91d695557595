//! The marker: the place in the runtime that deploy fills in.
//!
//! The runtime must know where its tools and its reserved space lie, but is compiled before anybody can say. It therefore
//! carries 80 bytes that begin with a magic word; deploy finds them in the finished program and writes the rest. That takes
//! no symbol table (the runtime is stripped) and no `objcopy`.
//!
//! | offset | size | what |
//! |---|---|---|
//! | 0 | 24 | [`MAGIC`] |
//! | 24 | 8 | offset of the reserved space in the image |
//! | 32 | 8 | offset of the tools in the image |
//! | 40 | 8 | size of the runtime, the program at the start of the image |
//! | 48 | 32 | build id: SHA-256 of the unpatched runtime and the tools, in this order |
//!
//! Numbers are little-endian. A runtime that was never patched has zeros behind the magic word.

/// What the marker begins with. It stands exactly once in a runtime.
pub const MAGIC: [u8; 24] = *b"FLATIMAGE-MARKER-v1\0\0\0\0\0";

/// Bytes of a marker.
pub const SIZE: usize = 80;

/// Offset of [`IDENT`] in the image.
pub const IDENT_OFFSET: usize = 8;

/// The bytes of `e_ident`, unused by ELF, by which tools such as `binfmt_misc` tell a FlatImage from other programs:
/// `FI`, version 1.
pub const IDENT: [u8; 3] = [b'F', b'I', 1];

/// What deploy tells the runtime about the file it is part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marker {
    /// Offset of the reserved space in the image, in bytes, a multiple of 4096.
    pub reserved_offset: u64,
    /// Offset of the compressed tools in the image, in bytes.
    pub tools_offset: u64,
    /// Size of the runtime in bytes; the tools follow it.
    pub elf_size: u64,
    /// SHA-256 of the unpatched runtime and the tools: names what a private copy of the runtime was made from.
    pub build_id: [u8; 32],
}

/// Why a runtime cannot be patched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MarkerError {
    /// No magic word, or one too near the end.
    #[error("the runtime has no marker: was another program than `flatimage` compiled?")]
    Missing,
    /// The magic word stands more than once, so nobody can say which one counts.
    #[error("the runtime has {0} markers: its magic word may stand in one static only")]
    Repeated(usize),
    /// The marker has been filled in before.
    #[error(
        "the runtime is patched already: a program as compiled is needed, not one taken from an image"
    )]
    Patched,
}

impl Marker {
    /// The marker as it stands in the image.
    pub fn encode(&self) -> [u8; SIZE] {
        let mut bytes = [0; SIZE];
        bytes[..24].copy_from_slice(&MAGIC);
        bytes[24..32].copy_from_slice(&self.reserved_offset.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.tools_offset.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.elf_size.to_le_bytes());
        bytes[48..].copy_from_slice(&self.build_id);
        bytes
    }

    /// Writes the marker and [`IDENT`] into a runtime as it was compiled.
    ///
    /// # Errors
    /// When the runtime holds no marker, several, or one that is filled in.
    pub fn patch(&self, runtime: &mut [u8]) -> Result<(), MarkerError> {
        let at = locate(runtime)?;
        runtime[at..at + SIZE].copy_from_slice(&self.encode());
        runtime[IDENT_OFFSET..IDENT_OFFSET + IDENT.len()].copy_from_slice(&IDENT);
        Ok(())
    }
}

/// Where the only marker of a runtime begins, in bytes from its start.
///
/// # Errors
/// When the runtime holds no marker, several, or one that is filled in.
pub fn locate(runtime: &[u8]) -> Result<usize, MarkerError> {
    let places: Vec<usize> = runtime
        .windows(MAGIC.len())
        .enumerate()
        .filter_map(|(at, window)| (window == MAGIC).then_some(at))
        .collect();
    match places[..] {
        [] => Err(MarkerError::Missing),
        [at] => match runtime.get(at + MAGIC.len()..at + SIZE) {
            None => Err(MarkerError::Missing),
            Some(rest) if rest.iter().any(|byte| *byte != 0) => Err(MarkerError::Patched),
            Some(_) => Ok(at),
        },
        _ => Err(MarkerError::Repeated(places.len())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARKER: Marker = Marker {
        reserved_offset: 0x0102_0304_0506_0708,
        tools_offset: 0x1112_1314_1516_1718,
        elf_size: 0x2122_2324_2526_2728,
        build_id: [0xab; 32],
    };

    fn runtime(markers: usize) -> Vec<u8> {
        let mut bytes = crate::elf::tests::synthetic(&[(1, b"code")]);
        for _ in 0..markers {
            bytes.extend_from_slice(b"data");
            bytes.extend_from_slice(&MAGIC);
            bytes.extend_from_slice(&[0; SIZE - MAGIC.len()]);
        }
        bytes
    }

    #[test]
    fn patching_changes_the_marker_and_the_ident_and_nothing_else() {
        let before = runtime(1);
        let at = locate(&before).unwrap();
        let mut after = before.clone();
        MARKER.patch(&mut after).unwrap();
        assert_eq!(after[8..11], *b"FI\x01");
        assert_eq!(after[at + 24..at + 32], [8, 7, 6, 5, 4, 3, 2, 1]);
        assert_eq!(after[at + 32..at + 34], [0x18, 0x17]);
        assert_eq!(after[at + 40..at + 42], [0x28, 0x27]);
        assert_eq!(after[at + 48..at + 80], [0xab; 32]);
        let untouched =
            |index: &usize| !(8..11).contains(index) && !(at..at + SIZE).contains(index);
        for index in (0..before.len()).filter(untouched) {
            assert_eq!(before[index], after[index], "byte {index}");
        }
    }

    #[test]
    fn a_runtime_has_exactly_one_empty_marker() {
        assert_eq!(locate(&runtime(0)), Err(MarkerError::Missing));
        assert_eq!(locate(&runtime(2)), Err(MarkerError::Repeated(2)));
        let mut cut = runtime(1);
        cut.pop();
        assert_eq!(locate(&cut), Err(MarkerError::Missing));
        let mut patched = runtime(1);
        MARKER.patch(&mut patched).unwrap();
        assert_eq!(locate(&patched), Err(MarkerError::Patched));
    }
}
