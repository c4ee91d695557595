//! Which ids of the host the files of a data directory have.
//!
//! One line in `<data>/ids`: `single 1000` when every file is of that uid, `range 524288 65536` when the ids of the
//! container are those from there on, `subordinate 0:100000:1000,1000:1000:1 …` when they are parts of several ranges (user ids, then group
//! ids; first inside, first outside, how many). It is written at the first start and stays: with another map the same files would be
//! somebody else's inside, or nobody's.

use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use nix::unistd::{getegid, geteuid};

use crate::plan::{Extent, IdMap, ROOT_RANGE};

/// The name of the file in the data directory.
pub const NAME: &str = "ids";

/// The map of whoever runs this, unless a setting says otherwise: real root's containers have a range, others the caller's one id.
fn of_caller() -> IdMap {
    match geteuid().as_raw() {
        0 => ROOT_RANGE,
        uid => IdMap::Single {
            uid,
            gid: getegid().as_raw(),
        },
    }
}

/// The map as whose root the caller can work on what is in a directory: the one that it was made with, where that has subordinate
/// ids, else the caller's.
///
/// # Errors
/// As open(2) and read(2).
pub fn of(directory: &Path) -> io::Result<IdMap> {
    let recorded = recorded(directory)?.and_then(|line| map(&line));
    Ok(match recorded {
        Some(subordinate @ IdMap::Subordinate { .. }) => subordinate,
        _ => of_caller(),
    })
}

/// The line for a map.
pub fn line(map: &IdMap) -> String {
    match map {
        IdMap::Single { uid, .. } => format!("single {uid}"),
        IdMap::Range { first, count } => format!("range {first} {count}"),
        IdMap::Subordinate { uids, gids } => {
            format!("subordinate {} {}", extents(uids), extents(gids))
        }
    }
}

fn extents(extents: &[Extent]) -> String {
    let extent = |it: &Extent| format!("{}:{}:{}", it.inside, it.outside, it.count);
    extents.iter().map(extent).collect::<Vec<_>>().join(",")
}

/// The map of a line with subordinate ids; `None` for any other.
fn map(line: &str) -> Option<IdMap> {
    let mut parts = line.split(' ');
    let kind = parts.next()?;
    let mut part = || parts.next();
    match kind {
        "subordinate" => Some(IdMap::Subordinate {
            uids: parsed(part()?)?,
            gids: parsed(part()?)?,
        }),
        _ => None,
    }
}

fn parsed(text: &str) -> Option<Vec<Extent>> {
    let extent = |text: &str| {
        let mut numbers = text.split(':').map(|number| number.parse().ok());
        Some(Extent {
            inside: numbers.next()??,
            outside: numbers.next()??,
            count: numbers.next()??,
        })
    };
    text.split(',').map(extent).collect()
}

/// A line of the file in words.
pub fn words(line: &str) -> String {
    let mut parts = line.split(' ');
    match (parts.next(), parts.next()) {
        (Some("single"), Some(uid)) => format!("the one id {uid}"),
        (Some("range"), Some(first)) => format!("the ids from {first} on"),
        (Some("subordinate"), Some(_)) => "the caller's id and the subordinate ones".to_owned(),
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
        file => file?.take(512).read_to_string(&mut text)?,
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

    #[test]
    fn a_map_is_read_as_it_was_written() {
        let extent = |inside| Extent {
            inside,
            outside: u32::MAX - 1,
            count: u32::MAX,
        };
        let extents = vec![extent(0), extent(u32::MAX), extent(u32::MAX - 2)];
        let subordinate = IdMap::Subordinate {
            uids: extents.clone(),
            gids: extents,
        };
        let place = tempfile::tempdir().unwrap();
        keep(place.path(), &subordinate).unwrap();
        assert_eq!(of(place.path()).unwrap(), subordinate);
        assert_eq!(map(&line(&ROOT_RANGE)), None);
        for line in [
            "",
            "single",
            "range 1",
            "subordinate 0:1:2",
            "subordinate 0:1 0:1:2",
            "other 1 2",
        ] {
            assert_eq!(map(line), None, "{line}");
        }
    }
}
