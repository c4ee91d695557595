//! Which ids of the host the files of a data directory have.
//!
//! One line in `<data>/ids`: `single 1000` when every file is of that uid, `range 524288 65536` when the ids of the
//! container are those from there on. It is written at the first start and stays: with another map the same files would be
//! somebody else's inside, or nobody's.

use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use nix::unistd::{getegid, geteuid};

use crate::plan::{IdMap, ROOT_RANGE};

/// The name of the file in the data directory.
pub const NAME: &str = "ids";

/// The map of whoever runs this: real root's containers have a range, others the caller's one id.
pub fn of_caller() -> IdMap {
    match geteuid().as_raw() {
        0 => ROOT_RANGE,
        uid => IdMap::Single {
            uid,
            gid: getegid().as_raw(),
        },
    }
}

/// The line for a map.
pub fn line(map: &IdMap) -> String {
    match map {
        IdMap::Single { uid, .. } => format!("single {uid}"),
        IdMap::Range { first, count } => format!("range {first} {count}"),
    }
}

/// A line of the file in words.
pub fn words(line: &str) -> String {
    let mut parts = line.split(' ');
    match (parts.next(), parts.next()) {
        (Some("single"), Some(uid)) => format!("the one id {uid}"),
        (Some("range"), Some(first)) => format!("the ids from {first} on"),
        _ => format!("ids this version does not know (`{line}`)"),
    }
}

/// What the directory says. A start that was killed leaves an empty file, which says nothing.
///
/// # Errors
/// As open(2) and read(2).
pub fn recorded(directory: &Path) -> io::Result<Option<String>> {
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(libc::O_NOFOLLOW);
    let mut text = String::new();
    match options.open(directory.join(NAME)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?.take(256).read_to_string(&mut text)?,
    };
    let line = text.lines().next().unwrap_or("");
    Ok((!line.is_empty()).then(|| line.to_owned()))
}

/// Records the map, unless there is a record. Answers what is recorded.
///
/// # Errors
/// As open(2) and write(2).
pub fn keep(directory: &Path, map: &IdMap) -> io::Result<String> {
    if let Some(line) = recorded(directory)? {
        return Ok(line);
    }
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    options.mode(0o600).custom_flags(libc::O_NOFOLLOW);
    let line = line(map);
    // One call, and whoever starts at the same time writes the same bytes.
    options
        .open(directory.join(NAME))?
        .write_all_at(format!("{line}\n").as_bytes(), 0)?;
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_map_stays() {
        let place = tempfile::tempdir().unwrap();
        let single = IdMap::Single { uid: 7, gid: 8 };
        assert_eq!(recorded(place.path()).unwrap(), None);
        std::fs::write(place.path().join(NAME), "").unwrap();
        assert_eq!(keep(place.path(), &single).unwrap(), "single 7");
        assert_eq!(keep(place.path(), &ROOT_RANGE).unwrap(), "single 7");
        assert_eq!(words(&line(&ROOT_RANGE)), "the ids from 524288 on");
    }
}
