//! `fim-layer commit`: what programs changed becomes a layer.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Seek};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use flatimage_reserved::effect::Stacker;

use super::layer::shown_progress;
use super::unfinished::Unfinished;
use super::{Session, warn};
use crate::commit::{Changes, pack_changes};
use crate::data::changes::{LAYERS, UNFINISHED};
use crate::data::{self, Exclusive};
use crate::image::data_layers;
use crate::relocate;
use crate::sandbox::{Failure, plain};

/// Where the layer goes.
enum Target<'a> {
    /// To the end of the image.
    Binary,
    /// To the layers of the data directory.
    Layer,
    /// To a file, which no start stacks by itself.
    File(&'a Path),
}

impl<'a> Target<'a> {
    fn of(to: &str, path: Option<&'a Path>) -> Result<Target<'a>, Failure> {
        match (to, path) {
            ("binary", None) => Ok(Target::Binary),
            ("layer", None) => Ok(Target::Layer),
            ("file", Some(path)) if path.symlink_metadata().is_ok() => Err(exists(path)),
            ("file", Some(path)) => Ok(Target::File(path)),
            ("file", None) => Err(Failure::ours(
                "`commit file` needs the path of the file to write",
            )),
            ("binary" | "layer", Some(path)) => Err(Failure::ours(format!(
                "`commit {to}` takes no path; did you mean `commit file {}`?",
                path.display()
            ))),
            _ => Err(Failure::ours(format!(
                "cannot commit to `{to}`; it is `binary`, `layer` or `file <path>`"
            ))),
        }
    }
}

/// A layer that is there may hold what was committed before, and nothing else has it.
fn exists(path: &Path) -> Failure {
    let path = path.display();
    Failure::ours(format!(
        "`{path}` is there already; choose another name, or remove it first"
    ))
}

impl Session {
    /// Makes the changes a layer and takes them from the data directory.
    ///
    /// They go only when the layer is whole, where it belongs, and synced; in which order is in
    /// [`crate::data::changes`].
    pub(super) fn commit_changes(&self, to: &str, path: Option<&Path>) -> Result<u8, Failure> {
        let target = Target::of(to, path)?;
        let level = self.level()?;
        let location = self.data_path();
        // It is not made for the sake of what cannot be in it.
        let opened = match data::existing(&location)? {
            Some(_) => data::open(&location, None)?,
            None => None,
        };
        let Some(opened) = opened else {
            return nothing(&target);
        };
        let mut data = opened.exclusive()?;
        if data.directory.has_marks_of_unionfs() {
            data = self.without_marks_of_unionfs(data)?;
        }
        data.directory.settle()?;
        let map = data.directory.map()?;
        data.directory.mark_for(Stacker::Kernel, &map)?;
        let committed = self.commit(&data, &target, level).map_err(|failure| {
            Failure::ours(format!(
                "{}; the changes stay in {}",
                failure.text,
                location.display()
            ))
        })?;
        let Some(moved) = committed else {
            return nothing(&target);
        };
        data.remove_layers(&moved).and_then(|()| data.set_aside()).map_err(|error| {
            Failure::ours(format!(
                "the layer is made, and the changes, which it has as well, could not be taken away: {error}"
            ))
        })?;
        // They are out of the way, and what is left of them is removed by the next start or commit.
        if let Err(error) = data.directory.settle() {
            warn(&error.to_string());
        }
        Ok(0)
    }

    /// Has the marks of unionfs-fuse made the kernel's by a start that another stacks for.
    fn without_marks_of_unionfs(&self, data: Exclusive) -> Result<Exclusive, Failure> {
        drop(data);
        let started = Command::new(&self.image.path)
            .args(["fim-root", "bash", "-c", ":"])
            .env_clear()
            .envs(relocate::environment())
            .env("FIM_OVERLAY", "bwrap")
            .stdin(Stdio::null())
            .output()
            .map_err(|error| cannot(&plain(&error)))?;
        if !started.status.success() {
            let words = String::from_utf8_lossy(&started.stderr);
            let last = words.lines().last().unwrap_or_default();
            return Err(cannot(last.trim_start_matches("error: ")));
        }
        let opened = data::open(&self.data_path(), None)?;
        let opened = opened.ok_or_else(|| cannot("the data directory is gone"))?;
        Ok(opened.exclusive()?)
    }

    /// Packs the changes to their place. Answers which layers of the data directory are in the image now, the lowest
    /// first; `None` when there was nothing to do.
    fn commit(
        &self,
        data: &Exclusive,
        target: &Target<'_>,
        level: u8,
    ) -> Result<Option<Vec<PathBuf>>, Failure> {
        let path = &data.directory.path;
        let unfinished = match target {
            Target::File(path) => Unfinished::beside(path),
            Target::Binary | Target::Layer => Unfinished::in_directory(path, UNFINISHED),
        };
        let mut unfinished = unfinished.map_err(|error| cannot(&plain(&error)))?;
        let packed = match data.changes()? {
            Some(changes) => {
                let map = data.directory.map()?;
                let file = unfinished.file();
                shown_progress(|progress| pack_changes(&changes, &map, file, level, progress))
                    .map_err(|reason| cannot(&reason))?
            }
            None => Changes::None,
        };
        match (target, packed) {
            (Target::Binary, _) => {
                let changes = (packed == Changes::Packed).then_some(unfinished.file());
                return self.append_committed(path, changes);
            }
            (_, Changes::None) => return Ok(None),
            (Target::Layer, _) => {
                let place = next_layer(path).map_err(|error| cannot(&plain(&error)))?;
                unfinished
                    .place(&place)
                    .map_err(|error| cannot(&plain(&error)))?;
            }
            (Target::File(path), _) => {
                unfinished.place(path).map_err(|error| match error.kind() {
                    io::ErrorKind::AlreadyExists => exists(path),
                    _ => cannot(&plain(&error)),
                })?;
            }
        }
        Ok(Some(Vec::new()))
    }

    /// Appends the changes, and before them the layers of the data directory: these are stacked on those of the image,
    /// and would hide what is newer than they are.
    fn append_committed(
        &self,
        data: &Path,
        changes: Option<&File>,
    ) -> Result<Option<Vec<PathBuf>>, Failure> {
        let words = |error: io::Error| cannot(&plain(&error));
        let mut moved = Vec::new();
        let mut layers = Vec::new();
        for (name, layer) in data_layers(data, &warn) {
            layers.push((File::open(&layer.path).map_err(words)?, layer.size));
            moved.push(name);
        }
        let mut appended: Vec<_> = layers.iter().map(|(file, size)| (file, *size)).collect();
        if let Some(mut changes) = changes {
            // The process that wrote it and this one share the position in the file.
            changes.rewind().map_err(words)?;
            appended.push((changes, changes.metadata().map_err(words)?.len()));
        }
        if appended.is_empty() {
            return Ok(None);
        }
        self.append_layers(&appended)
            .map_err(|failure| cannot(&failure.text))?;
        Ok(Some(moved))
    }
}

fn cannot(reason: &str) -> Failure {
    Failure::ours(format!("cannot commit: {reason}"))
}

/// Whoever asks for everything to be in the image has it; whoever asks for a file has none.
fn nothing(target: &Target<'_>) -> Result<u8, Failure> {
    match target {
        Target::File(path) => Err(Failure::ours(format!(
            "nothing has changed since the last commit, and `{}` is not written",
            path.display()
        ))),
        Target::Binary | Target::Layer => {
            eprintln!("nothing has changed since the last commit");
            Ok(0)
        }
    }
}

/// The path of the next layer of the data directory: its number is one more than the highest there is.
fn next_layer(data: &Path) -> io::Result<PathBuf> {
    let layers = data.join(LAYERS);
    match fs::create_dir(&layers) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    // The name of the directory must last as long as what is put into it.
    File::open(data)?.sync_all()?;
    let mut next: u64 = 0;
    for entry in fs::read_dir(&layers)? {
        if let Some(number) = number_of(&entry?.file_name()) {
            next = next.max(number.saturating_add(1));
        }
    }
    Ok(layers.join(format!("layer-{next:03}.layer")))
}

fn number_of(name: &OsStr) -> Option<u64> {
    let number = name.to_str()?.strip_prefix("layer-")?;
    number.strip_suffix(".layer")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_numbered_on_from_the_highest() {
        let place = tempfile::tempdir().unwrap();
        let next = || {
            let path = next_layer(place.path()).unwrap();
            path.file_name().unwrap().to_string_lossy().into_owned()
        };
        assert_eq!(next(), "layer-000.layer");
        for name in ["layer-007.layer", "layer-x.layer", "other", "layer-3.layer"] {
            fs::write(place.path().join(LAYERS).join(name), "").unwrap();
        }
        assert_eq!(next(), "layer-008.layer");
        fs::write(place.path().join(LAYERS).join("layer-999.layer"), "").unwrap();
        assert_eq!(next(), "layer-1000.layer");
    }
}
