//! Distributions: what an image's layers and settings are made from.
//!
//! Each is a file `deploy/distributions/<name>.yaml`; adding one takes no change of the program as long as it is made in one
//! of the ways that [`Root`] knows.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::Deserialize;

use crate::file::{self, FileError, failed};
use crate::tree::check_types;

/// A distribution as its file describes it.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Distribution {
    /// What the image holds, in half a sentence.
    pub summary: String,
    /// How its root filesystem is made.
    #[serde(with = "serde_yaml::with::singleton_map")]
    #[schemars(with = "Root")]
    pub root: Root,
    /// What is put into the root filesystem.
    #[serde(default)]
    pub add: Additions,
    /// The program that installs packages in it, for people to know.
    pub packages: Option<String>,
    /// Settings of the image that are not the defaults, by the names of `schema/reserved.yaml`.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, serde_json::Value>")]
    pub settings: BTreeMap<String, serde_yaml::Value>,
}

/// How a root filesystem is made.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Root {
    /// A directory without entries.
    Empty,
    /// A directory of this host, named on the command line.
    Directory,
    /// What is in a tar archive.
    Tarball(Tarball),
    /// What `mmdebstrap` of the host makes of packages.
    Mmdebstrap(Mmdebstrap),
    /// What is in an image of other container programs: an OCI image layout, or what `docker save` writes.
    Oci,
}

/// A root filesystem in a tar archive, which may be compressed with gzip, xz or zstd.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tarball {
    /// Where the archives are: the address that the paths of `files` begin with. `--mirror` names another one.
    pub mirror: Option<String>,
    /// The archive for each machine, by the names that Rust has for them: `x86_64`, `aarch64`. Without any the archive is
    /// named on the command line.
    #[serde(default)]
    pub files: BTreeMap<String, Remote>,
    /// How many parts of each name are left out. Members with no more than so many are left out whole.
    #[serde(default)]
    pub strip: usize,
}

/// A file on a mirror.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Remote {
    /// Where it is below the mirror's address.
    pub path: String,
    /// Its SHA-256 in hexadecimal.
    pub sha256: String,
}

/// A root filesystem of packages of Debian or a derivative.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mmdebstrap {
    /// The release. `--suite` names another one.
    pub suite: String,
    /// The set of packages to begin with, in the words of `mmdebstrap`.
    #[serde(default = "minbase")]
    pub variant: String,
    /// Parts of the archive.
    #[serde(default = "main")]
    pub components: Vec<String>,
    /// Packages beside those. `--include` names more.
    #[serde(default)]
    pub include: Vec<String>,
    /// The mirror instead of Debian's. `--mirror` names another one.
    pub mirror: Option<String>,
}

fn minbase() -> String {
    "minbase".to_owned()
}

fn main() -> Vec<String> {
    vec!["main".to_owned()]
}

/// What is put into a root filesystem, by absolute paths. It takes the place of what is there, except that directories
/// keep what is in them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Additions {
    /// Directories, such as places for mounts. One that is there stays as it is.
    #[serde(default)]
    pub directories: Vec<String>,
    /// Files and what is in them.
    #[serde(default)]
    pub files: BTreeMap<String, String>,
    /// Symbolic links and where they lead.
    #[serde(default)]
    pub links: BTreeMap<String, String>,
    /// File types that programs in the image know, by their names, such as `application/x-thing`.
    #[serde(default)]
    pub mime: BTreeMap<String, FileType>,
}

/// A file type.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileType {
    /// What such a file is, in a few words.
    pub comment: String,
    /// Patterns of the names that such files have, such as `*.thing`.
    #[serde(default)]
    pub patterns: Vec<String>,
}

impl Additions {
    /// Whether nothing is added.
    pub fn is_empty(&self) -> bool {
        *self == Additions::default()
    }
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
    /// Something is to be put into a directory of the host.
    #[error("`{}` adds files to a directory of the host, which would change it; leave out `add`", .0.display())]
    Adds(PathBuf),
    /// A file type is none.
    #[error("`{}` adds a file type that is none: {reason}", path.display())]
    FileType {
        /// The distribution's file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
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
    /// The JSON Schema of distributions' files, for editors.
    pub fn schema() -> String {
        let settings = SchemaSettings::draft07();
        let schema = settings
            .into_generator()
            .into_root_schema_for::<Distribution>();
        let text = serde_json::to_string_pretty(&schema).unwrap_or_default();
        text + "\n"
    }

    /// Reads the distribution `name` from the first of these directories that has it.
    ///
    /// # Errors
    /// When there is none of that name, or its file is malformed.
    pub fn load(places: &[PathBuf], name: &str) -> Result<Distribution, DistributionError> {
        let mut known = Vec::new();
        for dir in places {
            let here = names(dir)?;
            if here.iter().any(|known| known == name) {
                return Distribution::read(&dir.join(format!("{name}.yaml")));
            }
            known.extend(here);
        }
        known.sort();
        known.dedup();
        let name = name.to_owned();
        Err(DistributionError::Unknown { name, known })
    }

    fn read(path: &Path) -> Result<Distribution, DistributionError> {
        let path = path.to_owned();
        let distribution: Distribution = match serde_yaml::from_slice(&file::read(&path)?) {
            Ok(distribution) => distribution,
            Err(source) => return Err(DistributionError::Malformed { path, source }),
        };
        if let Err(reason) = check_types(&distribution.add.mime) {
            return Err(DistributionError::FileType { path, reason });
        }
        match distribution.root == Root::Directory && !distribution.add.is_empty() {
            true => Err(DistributionError::Adds(path)),
            false => Ok(distribution),
        }
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

    fn places() -> [PathBuf; 1] {
        [Path::new(env!("CARGO_MANIFEST_DIR")).join("distributions")]
    }

    #[test]
    fn every_distribution_is_well_formed() {
        let names = names(&places()[0]).unwrap();
        assert!(names.contains(&"blueprint".to_owned()));
        for name in names {
            Distribution::load(&places(), &name).unwrap();
        }
    }

    #[test]
    fn the_distribution_in_the_book_is_one() {
        let chapter = include_str!("../../book/src/building-images.md");
        let yaml = chapter.split("```yaml\n").nth(1).unwrap();
        let yaml = yaml.split("```").next().unwrap();
        let distribution: Distribution = serde_yaml::from_str(yaml).unwrap();
        crate::settings::Settings::of_distribution(&distribution.settings).unwrap();
    }

    #[test]
    fn an_unknown_name_is_answered_with_those_there_are() {
        for name in ["bluprint", "../distributions/blueprint"] {
            let error = Distribution::load(&places(), name).unwrap_err().to_string();
            assert!(error.contains("blueprint, debian, directory"), "{error}");
        }
    }
}
