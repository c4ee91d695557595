//! The places that mounts need, as the lowest layer of the root.
//!
//! A mount needs something to be mounted on. Creating it in the root would write empty files
//! and directories into the data directory at every start, and a commit would carry them
//! along. So they are in a directory of their own, below all layers: what a layer has at the
//! same path wins.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::RootAction;

/// Collects the places for the targets of a plan.
#[derive(Default)]
pub struct Skeleton {
    covered: Vec<PathBuf>,
    directories: BTreeSet<PathBuf>,
    files: BTreeMap<PathBuf, String>,
    links: BTreeSet<(PathBuf, PathBuf)>,
}

impl Skeleton {
    /// A directory to mount on; what is below is then on that mount and not in the root.
    pub fn cover(&mut self, target: &Path) {
        self.directory(target);
        self.covered.push(target.to_owned());
    }

    /// A directory.
    pub fn directory(&mut self, target: &Path) {
        if self.is_covered(target) {
            return;
        }
        for place in target.ancestors().filter(|place| *place != Path::new("/")) {
            self.directories.insert(place.to_owned());
        }
    }

    /// A file to mount on.
    pub fn file(&mut self, target: &Path) {
        self.file_with(target, String::new());
    }

    /// A file for a root that has none. What was given before stays.
    pub fn file_with(&mut self, target: &Path, contents: String) {
        if let (false, Some(parent)) = (self.is_covered(target), target.parent()) {
            self.directory(parent);
            self.files.entry(target.to_owned()).or_insert(contents);
        }
    }

    /// A symbolic link; false when the link is not in the root but on a mount.
    pub fn link(&mut self, link: &Path, target: &Path) -> bool {
        if self.is_covered(link) {
            return false;
        }
        if let Some(parent) = link.parent() {
            self.directory(parent);
        }
        self.links.insert((link.to_owned(), target.to_owned()))
    }

    fn is_covered(&self, path: &Path) -> bool {
        self.covered
            .iter()
            .any(|mount| path.starts_with(mount) && path != mount)
    }

    /// The action that creates everything; a path that must be a directory is no file.
    pub fn into_action(self) -> RootAction {
        let Skeleton {
            directories,
            files,
            links,
            ..
        } = self;
        RootAction::Skeleton {
            files: files
                .into_iter()
                .filter(|(file, _)| !directories.contains(file))
                .collect(),
            directories: directories.into_iter().collect(),
            links: links.into_iter().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(names: &[&str]) -> Vec<PathBuf> {
        names.iter().map(PathBuf::from).collect()
    }

    #[test]
    fn a_skeleton_has_parents_first_and_nothing_below_a_mount() {
        let mut skeleton = Skeleton::default();
        skeleton.cover(Path::new("/run"));
        skeleton.directory(Path::new("/run/user/1000"));
        skeleton.file(Path::new("/etc/resolv.conf"));
        skeleton.directory(Path::new("/home/ana"));
        let RootAction::Skeleton {
            directories,
            files,
            links,
        } = skeleton.into_action()
        else {
            panic!("not a skeleton")
        };
        assert_eq!(directories, paths(&["/etc", "/home", "/home/ana", "/run"]));
        assert!(files.into_keys().eq(paths(&["/etc/resolv.conf"])));
        assert!(links.is_empty());
    }

    #[test]
    fn a_path_that_is_needed_as_a_directory_is_no_file() {
        let mut skeleton = Skeleton::default();
        skeleton.file(Path::new("/opt/a"));
        skeleton.file(Path::new("/opt/a/b"));
        let RootAction::Skeleton {
            directories, files, ..
        } = skeleton.into_action()
        else {
            panic!("not a skeleton")
        };
        assert_eq!(directories, paths(&["/opt", "/opt/a"]));
        assert!(files.into_keys().eq(paths(&["/opt/a/b"])));
    }

    #[test]
    fn a_link_on_a_mount_is_not_the_skeletons() {
        let mut skeleton = Skeleton::default();
        skeleton.cover(Path::new("/dev"));
        assert!(!skeleton.link(Path::new("/dev/fd"), Path::new("/proc/self/fd")));
        assert!(skeleton.link(Path::new("/opt/x"), Path::new("/usr")));
    }
}
