//! Distributions: what an image's first layer is made from.
//!
//! Each is a file `deploy/distributions/<name>.yaml`; adding one takes no change of the program as long as it is made in one
//! of the ways that [`Root`] knows.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::file::{self, FileError, failed};

/// A distribution as its file describes it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Distribution {
    /// What the image holds, in half a sentence.
    pub summary: String,
    /// How its root filesystem is made.
    pub root: Root,
}

/// How a root filesystem is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Root {
    /// A directory without entries.
    Empty,
    /// A directory of this host, named on the command line.
    Directory,
}

/// Why there is no such distribution.
#[derive(Debug, thiserror::Error)]
pub enum DistributionError {
    /// The files of distributions cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// No file of that name.
    #[error("unknown distribution `{name}`; there are {}", known.join(", "))]
    Unknown {
        /// The name asked for.
        name: String,
        /// The names there are, sorted.
        known: Vec<String>,
    },
    /// The file does not say what a distribution is.
    #[error("`{}` is not a distribution", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong, with line and column.
        source: serde_yaml::Error,
    },
}

impl Distribution {
    /// Reads the distribution `name` of a workspace.
    ///
    /// # Errors
    /// When there is none of that name, or its file is malformed.
    pub fn load(workspace: &Path, name: &str) -> Result<Distribution, DistributionError> {
        let dir = workspace.join("deploy/distributions");
        let known = names(&dir)?;
        if !known.iter().any(|known| known == name) {
            let name = name.to_owned();
            return Err(DistributionError::Unknown { name, known });
        }
        let path = dir.join(format!("{name}.yaml"));
        serde_yaml::from_slice(&file::read(&path)?)
            .map_err(|source| DistributionError::Malformed { path, source })
    }
}

fn names(dir: &Path) -> Result<Vec<String>, FileError> {
    let entries = fs::read_dir(dir).map_err(failed("read", dir))?;
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter_map(|name| Some(name.strip_suffix(".yaml")?.to_owned()))
        .collect();
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workspace() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
    }

    #[test]
    fn every_distribution_is_well_formed() {
        let names = names(&workspace().join("deploy/distributions")).unwrap();
        assert!(names.contains(&"blueprint".to_owned()));
        for name in names {
            Distribution::load(&workspace(), &name).unwrap();
        }
    }

    #[test]
    fn an_unknown_name_is_answered_with_those_there_are() {
        for name in ["bluprint", "../distributions/blueprint"] {
            let error = Distribution::load(&workspace(), name)
                .unwrap_err()
                .to_string();
            assert!(error.ends_with("there are blueprint, directory"), "{error}");
        }
    }
}
