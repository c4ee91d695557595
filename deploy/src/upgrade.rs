//! Gives an image this tree's program and tools, and leaves everything that is the user's as it is.
//!
//! The new image is written beside the old one, synced, and looked at: its settings and layers are compared with those of
//! the old one, and it verifies itself. Only then does the old one get its second name, `<image>.old`, and the new one its
//! place, each in one step. Whatever cuts this off, the image's path leads to a whole image. Whoever changes a setting
//! meanwhile waits for the lock, and then finds the new one.

use std::fs::{self, Metadata};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use flatimage_reserved::{RegionDecl, StoreError, Value, declared, layout};

use crate::assemble::{self, AssembleError, Layer, Parts, Programs, layers_length};
use crate::digest;
use crate::file::{self, FileError, failed};
use crate::image::{Image, ImageError};
use crate::marker::Origin;
use crate::reserved::{self, ReservedError};

/// Why an image was not upgraded. It is then as it was.
#[derive(Debug, thiserror::Error)]
pub enum UpgradeError {
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The image cannot be used.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// A setting cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There can be no reserved space for the settings.
    #[error(transparent)]
    Reserved(#[from] ReservedError),
    /// The image has a setting that would be lost.
    #[error(
        "the image has a setting `{0}` that this deploy does not know; use the deploy that made it, or a newer one"
    )]
    Unknown(String),
    /// What an earlier upgrade, or somebody, left is in the way.
    #[error("`{}` is there already; move it away, or remove it if `{}` works", old.display(), image.display())]
    Old {
        /// Its second name.
        old: PathBuf,
        /// The image.
        image: PathBuf,
    },
    /// The parts do not make an image.
    #[error("cannot make the new image")]
    Assemble(#[from] AssembleError),
    /// The new image is not what it should be.
    #[error("the new image is not as good as the old one, which stays: {0}")]
    Unsound(String),
}

/// The program and the tools of this tree.
pub(crate) struct Renewed<'a> {
    pub(crate) programs: &'a Programs,
    pub(crate) tools: &'a [u8],
    pub(crate) description: &'a [u8],
    pub(crate) origin: Origin,
}

/// The names that an upgrade of one image uses.
pub(crate) struct Names {
    pub(crate) image: PathBuf,
    old: PathBuf,
    checksum: PathBuf,
}

impl Names {
    /// Of the file that `path` leads to.
    pub(crate) fn of(path: &Path) -> Result<Names, FileError> {
        let image = fs::canonicalize(path).map_err(failed("open", path))?;
        let with = |ending: &str| {
            let mut name = image.file_name().unwrap_or_default().to_owned();
            name.push(ending);
            image.with_file_name(name)
        };
        Ok(Names {
            old: with(".old"),
            checksum: with(".sha256sum"),
            image,
        })
    }
}

/// Puts the new image in the place of the old one; answers in words what was kept. With `keep` the old one stays under its
/// second name.
pub(crate) fn upgrade(
    names: &Names,
    renewed: &Renewed,
    keep: bool,
) -> Result<String, UpgradeError> {
    let old = Image::open(&names.image)?;
    // Nobody changes it until it is replaced, and whoever waits looks for it anew.
    let _lock = old.store.lock()?;
    clear_way(names)?;
    let old = Image::open(&names.image)?;
    let values = values(&old)?;
    let reserved = reserved_space(&old, &values)?;
    let partial = file::beside(&names.image);
    let written = write(&partial, &old, renewed, &reserved)
        .and_then(|()| compare(&old, &values, &partial))
        .and_then(|()| verify(&partial));
    if let Err(error) = written {
        let _ = fs::remove_file(&partial);
        return Err(error);
    }
    exchange(names, &partial)?;
    compare(&old, &values, &names.image)?;
    if !keep {
        file::remove(&names.old)?;
    }
    let (settings, layers) = (values.len(), old.layers.len());
    Ok(format!("{settings} settings and {layers} layers kept"))
}

/// An upgrade that was cut off may have given the image its second name already. Anything else there is not ours to remove.
pub(crate) fn clear_way(names: &Names) -> Result<(), UpgradeError> {
    let Ok(found) = fs::symlink_metadata(&names.old) else {
        return Ok(());
    };
    let image = metadata(&names.image)?;
    match (found.dev(), found.ino()) == (image.dev(), image.ino()) {
        true => Ok(file::remove(&names.old)?),
        false => Err(UpgradeError::Old {
            old: names.old.clone(),
            image: names.image.clone(),
        }),
    }
}

fn metadata(path: &Path) -> Result<Metadata, FileError> {
    fs::metadata(path).map_err(failed("read", path))
}

/// Every setting that the image has. One that is damaged ends the upgrade.
fn values(image: &Image) -> Result<Vec<(&'static RegionDecl, Value)>, StoreError> {
    let value = |region| Ok((region, image.store.value(region)?));
    declared::REGIONS.iter().map(value).collect()
}

/// The reserved space as it is, where this tree lays one out in the same way; else one that has the same values.
fn reserved_space(
    image: &Image,
    values: &[(&'static RegionDecl, Value)],
) -> Result<Vec<u8>, UpgradeError> {
    let superblock = image.store.superblock();
    let format = superblock.format == declared::FORMAT;
    if format && superblock.layout == declared::LAYOUT {
        let mut bytes = Vec::new();
        let mut part = image.part(image.marker.reserved_offset, superblock.size);
        io::Read::read_to_end(&mut part, &mut bytes).map_err(failed("read", &image.path))?;
        return Ok(bytes);
    }
    let known = |name: &str| declared::REGIONS.iter().any(|region| region.name == name);
    let placed = layout::parse(&superblock.layout, superblock.size);
    let placed = placed.map_err(ReservedError::from)?;
    if let Some(unknown) = placed.iter().find(|region| !known(&region.name)) {
        return Err(UpgradeError::Unknown(unknown.name.clone()));
    }
    let dir = tempfile::tempdir().map_err(failed("create", Path::new("a directory")))?;
    let size = superblock.size.max(reserved::DEFAULT_SIZE);
    Ok(reserved::holding(dir.path(), size, values)?)
}

fn write(
    partial: &Path,
    old: &Image,
    renewed: &Renewed,
    reserved: &[u8],
) -> Result<(), UpgradeError> {
    file::remove(partial)?;
    let was = metadata(&old.path)?;
    let parts = Parts {
        programs: renewed.programs,
        tools: renewed.tools,
        description: renewed.description,
        origin: &renewed.origin,
        reserved,
    };
    let layers = old.layers.iter().map(|span| Layer {
        size: span.size,
        image: old.part(span.offset, span.size),
    });
    let mode = was.permissions().mode() & 0o7777;
    file::fill_new(partial, mode, |file| {
        let mut out = BufWriter::with_capacity(1 << 20, &mut *file);
        assemble::assemble(&parts, layers.collect(), &mut out)?;
        out.flush().map_err(failed("write", partial))?;
        drop(out);
        let made = file.metadata().map_err(failed("read", partial))?;
        if (made.uid(), made.gid()) != (was.uid(), was.gid()) {
            chown(partial, Some(was.uid()), Some(was.gid()))
                .map_err(failed("change the owner of", partial))?;
        }
        Ok(())
    })
}

/// Whether an image has the settings and the layers of the old one.
fn compare(
    old: &Image,
    values: &[(&'static RegionDecl, Value)],
    path: &Path,
) -> Result<(), UpgradeError> {
    let new = Image::open(path)?;
    let differs = |what: String| Err(UpgradeError::Unsound(format!("{what} differs")));
    for (region, value) in values {
        if new.store.value(region)? != *value {
            return differs(format!("the setting `{}`", region.name));
        }
    }
    if new.marker.origin.distribution != old.marker.origin.distribution {
        return differs("the distribution".to_owned());
    }
    if new.layers.len() != old.layers.len() {
        return differs("the number of layers".to_owned());
    }
    for (index, (one, other)) in old.layers.iter().zip(&new.layers).enumerate() {
        if old.sum(one.offset, one.size)? != new.sum(other.offset, other.size)? {
            return differs(format!("layer {index}"));
        }
    }
    let end = new
        .layers
        .last()
        .map_or(new.store.end(), |last| last.offset + last.size);
    let length = layers_length(&new.layers.iter().map(|span| span.size).collect::<Vec<_>>());
    match end == new.size && new.store.end() + length == end {
        true => Ok(()),
        false => differs("the end of the layers".to_owned()),
    }
}

/// Has the new image verify itself, from memory: nothing of it is kept on this host.
fn verify(image: &Path) -> Result<(), UpgradeError> {
    let unsound = |what: String| UpgradeError::Unsound(what);
    let output = loop {
        let mut command = Command::new(image);
        command.arg("fim-verify").env_clear().stdin(Stdio::null());
        match command.output() {
            // Another thread of whoever uses this library may have forked while the file was open for writing.
            Err(error) if error.kind() == ErrorKind::ExecutableFileBusy => {
                std::thread::sleep(Duration::from_millis(10));
            }
            output => {
                break output.map_err(|error| unsound(format!("it does not run: {error}")))?;
            }
        }
    };
    if output.status.success() {
        return Ok(());
    }
    let told = String::from_utf8_lossy(&output.stdout);
    let damaged = told.lines().find(|line| line.starts_with("damaged"));
    let complaint = String::from_utf8_lossy(&output.stderr);
    let last = damaged.or(complaint.lines().last()).unwrap_or("no reason");
    Err(unsound(format!("`fim-verify` says: {last}")))
}

/// Gives the old image its second name and the new one its place.
fn exchange(names: &Names, partial: &Path) -> Result<(), UpgradeError> {
    let Names {
        image,
        old,
        checksum,
    } = names;
    let had_checksum = checksum.exists();
    if fs::hard_link(image, old).is_err() {
        // Not every filesystem has a second name for a file.
        let mode = metadata(image)?.permissions().mode() & 0o7777;
        file::write_whole(old, mode, |file| {
            let mut from = fs::File::open(image).map_err(failed("open", image))?;
            let copied = io::copy(&mut from, file).map_err(failed("write", old));
            copied.map(drop)
        })?;
    }
    file::sync_parent(image)?;
    if had_checksum {
        file::remove(checksum)?;
    }
    fs::rename(partial, image).map_err(failed("rename to", image))?;
    file::sync_parent(image)?;
    if had_checksum {
        let mut opened = fs::File::open(image).map_err(failed("open", image))?;
        let sum = digest::of_reader(&mut opened).map_err(failed("read", image))?;
        let name = image.file_name().unwrap_or_default().display();
        let line = format!("{}  {name}\n", digest::hex(&sum));
        file::write_changed(checksum, line.as_bytes())?;
    }
    Ok(())
}
