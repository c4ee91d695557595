//! Files that are written from the declaration and committed: one list, one way to write and to compare.

use std::path::{Path, PathBuf};
use std::{fs, io};

use flatimage_recipe::schema;
use flatimage_schema::json_schema::json_schema;

use crate::pages;

/// A committed file that is written by `cargo run -p flatimage-codegen -- write`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generated {
    /// Path from the root of the workspace.
    pub path: PathBuf,
    /// What has to stand in it.
    pub text: String,
}

/// A generated file whose text is another one on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stale {
    /// Path from the root of the workspace.
    pub path: PathBuf,
}

/// Every generated file.
#[must_use]
pub fn generated() -> Vec<Generated> {
    let files = [
        ("schema/reserved.schema.json", json_schema()),
        ("book/src/reference/commands.md", pages::commands()),
        ("book/src/reference/filter.md", pages::filter()),
        ("book/src/reference/permissions.md", pages::permissions()),
        ("book/src/reference/regions.md", pages::regions()),
        ("book/src/reference/remote.md", pages::remote()),
        ("book/src/reference/variables.md", pages::variables()),
        ("schema/index.schema.json", schema::index()),
        ("schema/recipe.schema.json", schema::recipe()),
    ];
    files
        .into_iter()
        .map(|(path, text)| Generated {
            path: path.into(),
            text,
        })
        .collect()
}

impl Generated {
    /// Compares with what is on disk below `root`.
    #[must_use]
    pub fn check(&self, root: &Path) -> Option<Stale> {
        let same = fs::read_to_string(root.join(&self.path)).is_ok_and(|text| text == self.text);
        (!same).then(|| Stale {
            path: self.path.clone(),
        })
    }

    /// Writes the file below `root`, when it differs.
    ///
    /// # Errors
    /// What the filesystem answers.
    pub fn write(&self, root: &Path) -> io::Result<()> {
        if self.check(root).is_some() {
            fs::write(root.join(&self.path), &self.text)?;
        }
        Ok(())
    }
}
