//! The order in which the content of files is stored.
//!
//! Blocks are small, for the sake of a quick start, and each is compressed alone: a block of files that resemble each
//! other becomes much smaller than one of whatever a directory holds. So small files come sorted by what their names say
//! they are, and only then by path; large ones fill blocks of their own and stay in the order of their paths.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::Path;

use super::scan::{Regular, Tree};

/// Files of fewer bytes than this are sorted by kind.
const SMALL: u64 = 64 << 10;

/// A name that so many files have says what they are (`copyright`, `Makefile`).
const COMMON: u32 = 8;

/// All files, in the order in which they are stored.
pub(super) fn files<'a>(tree: &'a Tree) -> Vec<Regular<'a>> {
    let mut names: HashMap<&OsStr, u32> = HashMap::new();
    for name in tree.files().filter_map(|file| file.path.file_name()) {
        *names.entry(name).or_default() += 1;
    }
    let kind = |path: &'_ Path| -> Option<Vec<u8>> {
        let name = path.file_name()?;
        let kind = match path.extension() {
            _ if names.get(name).is_some_and(|count| *count >= COMMON) => name,
            Some(extension) => extension,
            None => OsStr::new(""),
        };
        Some(kind.as_encoded_bytes().to_vec())
    };
    let mut files: Vec<_> = tree.files().collect();
    // A stable sort: within a kind the order of the paths remains.
    files.sort_by_cached_key(|file| (file.size < SMALL).then(|| kind(file.path)));
    files
}
