//! The compress stage: packs layers, unless they were made from the same source in the same way.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use flatimage_layer::{Description, PackError, PackOptions, Progress};

use crate::digest::{Inputs, Stamp, Sum};
use crate::distribution::Additions;
use crate::file::{self, FileError, failed};
use crate::oci::User;
use crate::source::{Contents, Source};
use crate::tree::Tree;

/// Why layers could not be made.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The tree could not be packed.
    #[error(transparent)]
    Pack(#[from] PackError),
}

/// The layers of one image, made or to be made.
pub(crate) struct Layers {
    /// Where they are, the lowest first.
    pub(crate) paths: Vec<PathBuf>,
    inputs: Sum,
    stamp: Stamp,
    /// Where it is noted who programs run as.
    user: PathBuf,
    options: PackOptions,
}

impl Layers {
    /// The layers of the image `name`, kept in `dir`. `latest` is the latest time that files are said to be changed at.
    pub(crate) fn of(
        source: &Source,
        additions: &Additions,
        (dir, name): (&Path, &str),
        level: u8,
        latest: Option<u64>,
    ) -> Result<Layers, FileError> {
        let options = PackOptions {
            level,
            latest_mtime: latest,
            ..PackOptions::default()
        };
        let mut inputs = Inputs::of_stage("layers 2");
        inputs.add_this_program()?;
        inputs.add([options.level]);
        inputs.add(options.block_size_log2.to_le_bytes());
        inputs.add(format!("{latest:?}"));
        inputs.add(format!("{additions:?}"));
        source.add_to(&mut inputs)?;
        let path = |number: usize| match number {
            0 => dir.join(format!("{name}.layer")),
            _ => dir.join(format!("{name}.{number}.layer")),
        };
        Ok(Layers {
            paths: (0..source.layers()).map(path).collect(),
            inputs: inputs.finish(),
            stamp: Stamp::at(dir.join(format!("{name}.stamp"))),
            user: dir.join(format!("{name}.user.json")),
            options,
        })
    }

    /// Whether they are there, made in this way.
    pub(crate) fn are_made(&self) -> bool {
        self.stamp.says(&self.inputs)
            && self.user.is_file()
            && self.paths.iter().all(|path| path.is_file())
    }

    /// Bytes of each.
    pub(crate) fn sizes(&self) -> Result<Vec<u64>, FileError> {
        let size = |path: &PathBuf| match std::fs::metadata(path) {
            Ok(found) => Ok(found.len()),
            Err(error) => Err(failed("read", path)(error)),
        };
        self.paths.iter().map(size).collect()
    }

    /// Who programs run as, when what they were made from says it.
    pub(crate) fn user(&self) -> Option<User> {
        serde_json::from_slice(&file::read(&self.user).ok()?).ok()?
    }

    /// Makes them.
    pub(crate) fn make(
        &self,
        contents: Contents,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<(), LayerError> {
        self.stamp.clear()?;
        let user = match &contents {
            Contents::Trees { user, .. } => user.as_ref(),
            Contents::Directory(_) => None,
        };
        let user = serde_json::to_vec(&user).unwrap_or_default();
        file::write_changed(&self.user, &user)?;
        match contents {
            Contents::Directory(dir) => self.pack(&self.paths[0], |out| {
                let tell = &mut |now: Progress| progress(now.bytes_done, now.bytes_total);
                flatimage_layer::pack(&dir, out, &self.options, tell)?;
                Ok(())
            })?,
            Contents::Trees {
                trees, mut spool, ..
            } => {
                let contents = spool.contents().map_err(PackError::Write)?;
                for (tree, path) in trees.iter().zip(&self.paths) {
                    self.pack_tree(tree, contents, path, progress)?;
                }
            }
        }
        Ok(self.stamp.set(&self.inputs)?)
    }

    fn pack_tree(
        &self,
        tree: &Tree,
        contents: &File,
        path: &Path,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<(), LayerError> {
        let description = Description {
            nodes: tree.nodes(),
            contents,
        };
        self.pack(path, |out| {
            let tell = &mut |now: Progress| progress(now.bytes_done, now.bytes_total);
            flatimage_layer::pack_description(&description, out, &self.options, tell)?;
            Ok(())
        })
    }

    fn pack(
        &self,
        path: &Path,
        write: impl FnOnce(&mut BufWriter<&mut File>) -> Result<(), PackError>,
    ) -> Result<(), LayerError> {
        file::write_whole(path, 0o644, |file| -> Result<(), LayerError> {
            let mut out = BufWriter::new(file);
            write(&mut out)?;
            Ok(out.flush().map_err(failed("write", path))?)
        })
    }
}
