//! The copy of the runtime in the caller's private directory, which the runtime makes (`engine/src/private.rs`).

use core::ffi::CStr;

use rustix::fs::{AtFlags, CWD, FileType, Stat, statat};
use rustix::process::geteuid;

use crate::marker::Marker;
use crate::process::Caller;
use crate::text::Text;

/// A path.
pub type Place = Text<4096>;

/// Where the caller's private directory may be, the best place first.
pub fn bases(caller: &Caller) -> impl Iterator<Item = Place> {
    let bases: [(&[u8], &[u8]); 3] = [
        (b"XDG_RUNTIME_DIR=", b""),
        (b"XDG_CACHE_HOME=", b""),
        (b"HOME=", b"/.cache"),
    ];
    bases.into_iter().filter_map(|(variable, below)| {
        let base = caller.variable(variable)?;
        let mut place = Place::new();
        place.push(base);
        place.push(below);
        base.starts_with(b"/").then_some(place)
    })
}

/// The copy below `base`, if it is whole and only the caller could have made it.
pub fn runtime(base: &Place, marker: &Marker) -> Option<Place> {
    let mut place = Place::new();
    place.push(base.bytes());
    place.push(b"/flatimage");
    let is_private = is_private_directory(place.c_str()?);
    place.push(b"/");
    place.push(&marker.build_id);
    let is_private = is_private && is_private_directory(place.c_str()?);
    place.push(b"/runtime");
    let found = look(place.c_str()?)?;
    let whole = is_ours(&found)
        && FileType::from_raw_mode(found.st_mode) == FileType::RegularFile
        && u64::try_from(found.st_size) == Ok(marker.runtime_size)
        && found.st_mode & 0o022 == 0;
    (is_private && whole).then_some(place)
}

fn is_private_directory(path: &CStr) -> bool {
    look(path).is_some_and(|found| {
        is_ours(&found)
            && FileType::from_raw_mode(found.st_mode) == FileType::Directory
            && found.st_mode & 0o077 == 0
    })
}

fn is_ours(found: &Stat) -> bool {
    found.st_uid == geteuid().as_raw()
}

fn look(path: &CStr) -> Option<Stat> {
    statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW).ok()
}
