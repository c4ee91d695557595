//! Where the parts of an image are.
//!
//! The linker leaves a marker in the program; whoever assembles an image finds it by its
//! magic bytes and writes the offsets into it. Layout, all integers little-endian:
//!
//! | bytes | what |
//! |---|---|
//! | 0–23 | `FLATIMAGE-MARKER-v1`, then zeros |
//! | 24–31 | offset of the reserved space in the file |
//! | 32–39 | offset of the tools |
//! | 40–47 | size of the ELF program, which the private copy consists of |
//! | 48–79 | build id: sha256 of the unpatched program and the tools |

use std::sync::atomic::{AtomicU64, Ordering};

/// Atomics, because a plain constant would be folded into the code by the compiler and the
/// bytes written after the build would never be read. `used` keeps the linker from dropping it.
#[repr(C)]
struct Marker {
    magic: [u8; 24],
    reserved: AtomicU64,
    tools: AtomicU64,
    elf: AtomicU64,
    build_id: [AtomicU64; 4],
}

#[used]
static MARKER: Marker = Marker {
    magic: *b"FLATIMAGE-MARKER-v1\0\0\0\0\0",
    reserved: AtomicU64::new(0),
    tools: AtomicU64::new(0),
    elf: AtomicU64::new(0),
    build_id: [const { AtomicU64::new(0) }; 4],
};

/// What the marker of an assembled image says; offsets and sizes in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// Start of the reserved space in the image file.
    pub reserved_offset: u64,
    /// Start of the compressed tools in the image file.
    pub tools_offset: u64,
    /// Size of the program at the start of the image file.
    pub elf_size: u64,
    /// Lower-case hex of the build id.
    pub build_id: String,
}

/// Reads the marker; `None` in a program that was never assembled into an image.
pub fn placement() -> Option<Placement> {
    let load = |value: &AtomicU64| u64::from_le(value.load(Ordering::Relaxed));
    let reserved_offset = load(&MARKER.reserved);
    (reserved_offset != 0).then(|| Placement {
        reserved_offset,
        tools_offset: load(&MARKER.tools),
        elf_size: load(&MARKER.elf),
        build_id: MARKER
            .build_id
            .iter()
            .flat_map(|word| word.load(Ordering::Relaxed).to_ne_bytes())
            .map(|byte| format!("{byte:02x}"))
            .collect(),
    })
}
