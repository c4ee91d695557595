//! Images of other container programs: an OCI image layout, or what `docker save` writes.
//!
//! Every layer becomes a layer, with what it hides. How programs run becomes settings.

mod layers;
mod manifest;
mod store;
mod user;

use std::io;
use std::path::{Path, PathBuf};

use crate::archive::{Archive, decompressed};
use crate::tree::{Spool, Tree};
pub(crate) use manifest::Execution;
use manifest::{Layer, Manifest};
use store::{Store, Summed, hex_of, invalid};
pub(crate) use user::User;

/// An image whose description was read and summed.
pub(crate) struct Image {
    pub(crate) path: PathBuf,
    store: Store,
    manifest: Manifest,
}

/// The layers of an image.
pub(crate) struct Layers {
    pub(crate) trees: Vec<Tree>,
    pub(crate) spool: Spool,
    pub(crate) user: Option<User>,
}

impl Image {
    /// Opens the image `tag` of a directory or archive, or the only one for this machine.
    pub(crate) fn open(
        path: &Path,
        tag: Option<&str>,
        cache: &Path,
        progress: &mut dyn FnMut(u64, u64),
    ) -> io::Result<Image> {
        let mut store = Store::open(path, cache, progress)?;
        let manifest = manifest::read(&mut store, tag)?;
        Ok(Image {
            path: path.to_owned(),
            store,
            manifest,
        })
    }

    /// The digest of its configuration, which has the digests of all layers: what makes it this image.
    pub(crate) fn identity(&self) -> &str {
        &self.manifest.config_hex
    }

    /// How many layers it has; one without any has an empty one.
    pub(crate) fn layers(&self) -> usize {
        self.manifest.layers.len().max(1)
    }

    pub(crate) fn execution(&self) -> &Execution {
        &self.manifest.config.config
    }

    /// Reads all layers.
    pub(crate) fn read(
        &mut self,
        cache: &Path,
        warn: &mut dyn FnMut(String),
        progress: &mut dyn FnMut(u64, u64),
    ) -> io::Result<Layers> {
        let mut spool = Spool::new(cache)?;
        let (mut merged, mut trees, mut acls) = (Tree::new(), Vec::new(), 0);
        let count = self.manifest.layers.len() as u64;
        for (number, layer) in self.manifest.layers.iter().enumerate() {
            let file = match layer {
                Layer::Blob(digest) => self.store.blob(digest)?,
                Layer::File(name) => {
                    let file = self.store.file(name)?;
                    file.ok_or_else(|| invalid(&format!("`{name}` is missing")))?
                }
            };
            let of_layer =
                |error: io::Error| io::Error::new(error.kind(), format!("layer {number}: {error}"));
            let diff_id = hex_of(&self.manifest.config.rootfs.diff_ids[number])?;
            let mut summed = Summed::new(decompressed(file).map_err(of_layer)?);
            let mut archive = Archive::new(&mut summed);
            let read = layers::apply(&mut archive, &mut merged, &mut spool);
            let (tree, of_this) = read.map_err(of_layer)?;
            drop(archive);
            io::copy(&mut summed, &mut io::sink()).map_err(of_layer)?;
            if summed.hex() != diff_id {
                return Err(of_layer(invalid("it has another digest, unpacked")));
            }
            acls += of_this;
            trees.push(tree);
            progress(number as u64 + 1, count);
        }
        if trees.is_empty() {
            trees.push(Tree::new());
        }
        if acls > 0 {
            warn(format!(
                "the access control lists of {acls} files are left out"
            ));
        }
        let wanted = self.execution().user.clone().unwrap_or_default();
        let user = User::find(&wanted, &mut merged, &mut spool);
        if user.is_none() {
            warn(format!(
                "the image has no user `{wanted}`; programs run as whoever starts the image"
            ));
        }
        Ok(Layers { trees, spool, user })
    }
}

/// What the boot command of an image is, where it starts, and which variables it has.
impl Execution {
    /// Entry point and command.
    pub(crate) fn command(&self) -> Option<Vec<String>> {
        let parts = [&self.entrypoint, &self.cmd];
        let words: Vec<String> = parts.into_iter().flatten().flatten().cloned().collect();
        if words.is_empty() {
            return None;
        }
        Some(words)
    }

    /// The working directory, as a setting has it.
    pub(crate) fn directory(&self) -> String {
        let dir = self.working_dir.as_deref().filter(|dir| !dir.is_empty());
        match dir.unwrap_or("/") {
            path if path.starts_with('/') => literal(path),
            path => literal(&format!("/{path}")),
        }
    }

    /// Variables by name.
    pub(crate) fn variables(&self) -> Vec<(String, String)> {
        let pairs = self.env.iter().flatten();
        let pairs = pairs.filter_map(|pair| pair.split_once('='));
        pairs
            .filter(|(name, _)| !name.is_empty())
            .map(|(name, value)| (name.to_owned(), literal(value)))
            .collect()
    }
}

/// A value that is the same when variables of the host are put into it: a `$` becomes that of a variable that is not set.
fn literal(value: &str) -> String {
    value.replace('$', "${FLATIMAGE_NONE:-$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dollar_stays_a_dollar() {
        let none = |_: &str| None;
        for value in ["plain", "$HOME", "a$", "${A:-b}", "$(c)", "$$x$"] {
            let expanded = flatimage_reserved::expand(&literal(value), &none);
            assert_eq!(expanded.text, value);
        }
    }

    #[test]
    fn the_command_is_entry_point_and_arguments() {
        let list = |words: &[&str]| Some(words.iter().map(|word| (*word).to_owned()).collect());
        let mut execution = Execution {
            entrypoint: list(&["/entry", "-x"]),
            cmd: list(&["a b"]),
            working_dir: Some("/w".to_owned()),
            ..Execution::default()
        };
        assert_eq!(execution.command().unwrap(), ["/entry", "-x", "a b"]);
        assert_eq!(execution.directory(), "/w");
        (execution.entrypoint, execution.working_dir) = (None, None);
        assert_eq!(execution.command().unwrap(), ["a b"]);
        assert_eq!(execution.directory(), "/");
        execution.cmd = None;
        assert_eq!(execution.command(), None);
    }
}
