//! The places to mount on, as they are spelled already.
//!
//! The skeleton is the lowest layer of a root. If it had `/games` and a layer `/Games`, then in a
//! [folded](super::folding) root there would be both, and who asks for `/games/x` would not find what the layer
//! has. So each part of a place is spelled as the directories spell it that are stacked above: by the rule of
//! the folded view, as it is written where that exists, else the first in byte order of those that are the same.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use flatimage_fold::fold;
use nix::dir::{Dir, Entry};

use crate::sys::{Resolve, open_in};

/// The spelling of the directories that are stacked.
pub struct Spelling {
    stacked: Vec<OwnedFd>,
    /// The names in each directory that was looked at, by what is compared of them.
    known: HashMap<PathBuf, BTreeMap<Vec<u8>, BTreeSet<OsString>>>,
}

impl Spelling {
    /// Of these directories. What cannot be read in them is as if it was not there.
    pub fn new(stacked: Vec<OwnedFd>) -> Spelling {
        Spelling {
            stacked,
            known: HashMap::new(),
        }
    }

    /// `path`, absolute, as it is spelled. What does not exist keeps its own spelling from then on.
    pub fn of(&mut self, path: &Path) -> PathBuf {
        let mut spelled = PathBuf::new();
        for component in path.components() {
            if let Component::Normal(name) = component {
                let name = self.name(&spelled, name);
                spelled.push(name);
            }
        }
        Path::new("/").join(spelled)
    }

    fn name(&mut self, directory: &Path, name: &OsStr) -> OsString {
        if !self.known.contains_key(directory) {
            let names = self.read(directory);
            self.known.insert(directory.to_owned(), names);
        }
        let known = self.known.entry(directory.to_owned()).or_default();
        let same = known.entry(fold(name.as_bytes())).or_default();
        match same.first() {
            Some(first) if !same.contains(name) => first.clone(),
            Some(_) => name.to_owned(),
            None => {
                same.insert(name.to_owned());
                name.to_owned()
            }
        }
    }

    fn read(&self, directory: &Path) -> BTreeMap<Vec<u8>, BTreeSet<OsString>> {
        let mut names: BTreeMap<Vec<u8>, BTreeSet<OsString>> = BTreeMap::new();
        for below in &self.stacked {
            for name in entries(below.as_fd(), directory) {
                let same = names.entry(fold(name.as_bytes())).or_default();
                same.insert(name);
            }
        }
        names
    }
}

/// The names in a directory below `root`. A link is none: what it leads to is spelled elsewhere.
fn entries(root: BorrowedFd<'_>, directory: &Path) -> Vec<OsString> {
    let path = match directory.as_os_str().is_empty() {
        true => Path::new("."),
        false => directory,
    };
    let flags = libc::O_RDONLY | libc::O_DIRECTORY;
    let opened = open_in(root, path, flags, Resolve::NoSymlinks);
    let Some(mut opened) = opened.ok().and_then(|fd| Dir::from_fd(fd).ok()) else {
        return Vec::new();
    };
    names(opened.iter())
}

/// The names up to the first error. There is no end behind one: as long as a directory cannot be read, because its
/// server was killed, every further read of it answers the same.
fn names(entries: impl Iterator<Item = nix::Result<Entry>>) -> Vec<OsString> {
    entries
        .map_while(Result::ok)
        .map(|entry| entry.file_name().to_bytes().to_owned())
        .filter(|name| name != b"." && name != b"..")
        .map(OsString::from_vec)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};

    #[test]
    fn a_directory_that_cannot_be_read_any_more_comes_to_an_end() {
        let place = tempfile::tempdir().unwrap();
        File::create(place.path().join("before")).unwrap();
        let mut directory = Dir::from_fd(File::open(place.path()).unwrap().into()).unwrap();
        let failing = std::iter::repeat(Err(nix::errno::Errno::ENOTCONN));
        assert_eq!(names(directory.iter().chain(failing)), ["before"]);
    }

    #[test]
    fn a_path_is_spelled_as_what_is_there() {
        let place = tempfile::tempdir().unwrap();
        let at = |path: &str| place.path().join(path);
        for path in [
            "upper/Games/Data",
            "lower/games",
            "lower/GAMES/Sub",
            "lower/etc",
        ] {
            fs::create_dir_all(at(path)).unwrap();
        }
        std::os::unix::fs::symlink("etc", at("lower/Link")).unwrap();
        let open = |path: &str| File::open(at(path)).unwrap().into();
        let mut spelling = Spelling::new(vec![open("upper"), open("lower")]);
        for (path, spelled) in [
            ("/etc/passwd", "/etc/passwd"),
            ("/ETC/Passwd", "/etc/passwd"),
            ("/Games/DATA/x", "/Games/Data/x"),
            ("/games/Data", "/games/Data"),
            ("/gameS/sub", "/GAMES/Sub"),
            ("/lINK/X", "/Link/X"),
            ("/New/One", "/New/One"),
            ("/new/oNE", "/New/One"),
        ] {
            assert_eq!(spelling.of(Path::new(path)), Path::new(spelled), "{path}");
        }
    }
}
