//! The places that mounts need, as the lowest layer of a root: which of them it gets, and how they are spelled.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use super::failure::Failure;
use super::root;
use super::spelling::Spelling;

/// The places. A path is in one of the three.
pub struct Places {
    directories: BTreeSet<PathBuf>,
    files: BTreeMap<PathBuf, String>,
    links: BTreeMap<PathBuf, PathBuf>,
}

impl Places {
    /// Those of a plan: directories, files with their contents, links with what they point to.
    pub fn new(
        directories: &[PathBuf],
        files: &BTreeMap<PathBuf, String>,
        links: &[(PathBuf, PathBuf)],
    ) -> Places {
        Places {
            directories: directories.iter().cloned().collect(),
            files: files.clone(),
            links: links.iter().cloned().collect(),
        }
    }

    /// Without those that a layer has deleted, and what is below them. They are looked for when nobody has `told` which they are.
    pub fn without_deleted(mut self, told: Option<Vec<PathBuf>>) -> Places {
        let deleted = told.unwrap_or_else(|| {
            let paths = self.directories.iter().chain(self.files.keys());
            let paths = paths.chain(self.links.keys());
            paths
                .filter(|path| root::is_deleted(path))
                .cloned()
                .collect()
        });
        let stays = |path: &Path| !deleted.iter().any(|deleted| path.starts_with(deleted));
        self.directories.retain(|path| stays(path));
        self.files.retain(|path, _| stays(path));
        self.links.retain(|path, _| stays(path));
        self
    }

    /// As the directories spell them that will be stacked above, which are opened.
    pub fn spelled(self, stacked: Vec<OwnedFd>) -> Places {
        let mut spelling = Spelling::new(stacked);
        // Backwards: of two places that are one now, lower case is later, and the spelling of every container's own.
        let directories = self.directories.iter().rev();
        let directories: BTreeSet<PathBuf> = directories.map(|path| spelling.of(path)).collect();
        let mut files = BTreeMap::new();
        for (path, contents) in self.files {
            let path = spelling.of(&path);
            if !directories.contains(&path) {
                files.entry(path).or_insert(contents);
            }
        }
        let links = self.links.into_iter();
        let links = links
            .map(|(link, target)| (spelling.of(&link), target))
            .filter(|(link, _)| !directories.contains(link) && !files.contains_key(link))
            .collect();
        Places {
            directories,
            files,
            links,
        }
    }

    /// Creates them.
    ///
    /// # Errors
    /// When the stage takes no more.
    pub fn create(&self) -> Result<(), Failure> {
        root::create_skeleton(&self.directories, &self.files, &self.links)
    }
}
