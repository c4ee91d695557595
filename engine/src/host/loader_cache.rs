//! The list of shared libraries that `ldconfig` writes for the loader of the GNU C library.
//!
//! The format is that of glibc 2.2 and later, `struct cache_file_new` of its `sysdeps/generic/dl-cache.h`: magic, number of
//! entries, size of the strings, flags and reserved words, 48 bytes in all; entries of 24 bytes; strings that end with NUL and are
//! named by their offset from the magic. Before glibc 2.32 an older list could stand in front. Numbers have the machine's byte order.

use std::ffi::CStr;
use std::path::PathBuf;

/// Where it is.
pub const PATH: &str = "/etc/ld.so.cache";

const MAGIC: &[u8] = b"glibc-ld.so.cache1.1";
const HEADER: usize = 48;
const ENTRY: usize = 24;

/// `ELF_LIBC6` and the machine, as an entry's flags have them.
#[cfg(target_arch = "aarch64")]
const CLASSES: [(u32, Class); 2] = [(0x0a03, Class::Native), (0x0903, Class::Compat)];
#[cfg(not(target_arch = "aarch64"))]
const CLASSES: [(u32, Class); 2] = [(0x0303, Class::Native), (0x0003, Class::Compat)];

/// Whose programs can load a library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The machine's own.
    Native,
    /// 32-bit ones.
    Compat,
}

/// A shared library of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Library {
    /// By which programs ask for it.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// Who can load it.
    pub class: Class,
}

/// The libraries in `cache`, those for particular processors left out; `None` when it is no such file, or not whole.
pub fn libraries(cache: &[u8]) -> Option<Vec<Library>> {
    let start = cache.windows(MAGIC.len()).position(|part| part == MAGIC)?;
    let cache = &cache[start..];
    let count = number(cache, MAGIC.len())? as usize;
    let entries = cache.get(HEADER..)?.get(..count.checked_mul(ENTRY)?)?;
    let entries = entries.chunks_exact(ENTRY);
    Some(entries.filter_map(|entry| library(cache, entry)).collect())
}

fn library(cache: &[u8], entry: &[u8]) -> Option<Library> {
    let (flags, name, path) = (number(entry, 0)?, number(entry, 4)?, number(entry, 8)?);
    if entry[16..] != [0; 8] {
        return None;
    }
    let (_, class) = CLASSES.into_iter().find(|(of, _)| *of == flags)?;
    let text = |at: u32| {
        let bytes = CStr::from_bytes_until_nul(cache.get(at as usize..)?).ok()?;
        Some(bytes.to_str().ok()?.to_owned())
    };
    Some(Library {
        name: text(name)?,
        path: text(path)?.into(),
        class,
    })
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_ne_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A list of libraries: flags, processor, name and path of each.
    fn cache(entries: &[(u32, u64, &str, &str)]) -> Vec<u8> {
        let mut strings = Vec::new();
        let mut table = Vec::new();
        let start = HEADER + entries.len() * ENTRY;
        for (flags, processor, name, path) in entries {
            table.extend(flags.to_ne_bytes());
            for text in [name, path] {
                table.extend(((start + strings.len()) as u32).to_ne_bytes());
                strings.extend(text.as_bytes());
                strings.push(0);
            }
            table.extend([0; 4]);
            table.extend(processor.to_ne_bytes());
        }
        let mut cache = MAGIC.to_vec();
        cache.extend((entries.len() as u32).to_ne_bytes());
        cache.extend((strings.len() as u32).to_ne_bytes());
        cache.resize(HEADER, 0);
        cache.extend(table);
        cache.extend(strings);
        cache
    }

    #[test]
    fn libraries_have_name_path_and_class() {
        let [(native, _), (compat, _)] = CLASSES;
        let bytes = cache(&[
            (native, 0, "liba.so.1", "/lib64/liba.so.1"),
            (native, 1 << 62, "liba.so.1", "/lib64/hwcaps/liba.so.1"),
            (compat, 0, "liba.so.1", "/lib32/liba.so.1"),
            (0x1234, 0, "libb.so", "/lib/libb.so"),
        ]);
        let library = |path: &str, class| Library {
            name: "liba.so.1".into(),
            path: path.into(),
            class,
        };
        let expected = [
            library("/lib64/liba.so.1", Class::Native),
            library("/lib32/liba.so.1", Class::Compat),
        ];
        assert_eq!(libraries(&bytes).unwrap(), expected);
        let older = [b"ld.so-1.7.0\0\x01\0\0\0 another list".to_vec(), bytes].concat();
        assert_eq!(libraries(&older).unwrap(), expected);
    }

    #[test]
    fn what_is_not_whole_is_none_and_never_a_panic() {
        let whole = cache(&[(CLASSES[0].0, 0, "liba.so.1", "/lib64/liba.so.1")]);
        for length in 0..whole.len() {
            let found = libraries(&whole[..length]).unwrap_or_default();
            assert!(found.is_empty(), "{length}");
        }
        for place in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[place] = 0xff;
            let _ = libraries(&damaged);
        }
        assert_eq!(libraries(b"something else"), None);
    }

    #[test]
    fn the_list_of_this_host_names_files() {
        let Ok(bytes) = std::fs::read(PATH) else {
            return;
        };
        let found = libraries(&bytes).unwrap();
        let own = found.iter().find(|library| library.name == "libc.so.6");
        assert!(
            own.is_some_and(|library| library.path.exists()),
            "{found:?}"
        );
    }
}
