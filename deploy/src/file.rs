//! Files that exist whole or not at all.
//!
//! A build may be interrupted anywhere, and whoever looks into `dist/` must never find half an image. Everything deploy
//! leaves behind is therefore written beside its final name, synced and renamed. The name beside it is always the same, so
//! that what an interrupted build left is overwritten by the next one and never piles up.

use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// An operation on a file or directory that the system refused.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} `{}`", path.display())]
pub struct FileError {
    /// What was tried, as a verb: `read`, `write`, `create`.
    pub action: &'static str,
    /// The file or directory.
    pub path: PathBuf,
    /// What the system answered.
    pub source: io::Error,
}

/// Adds to an I/O error what was tried and on which file.
pub(crate) fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FileError {
    let path = path.to_owned();
    move |source| FileError {
        action,
        path,
        source,
    }
}

/// Reads a whole file.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    fs::read(path).map_err(failed("read", path))
}

/// Creates a directory and those above it.
pub(crate) fn create_dir(path: &Path) -> Result<(), FileError> {
    fs::create_dir_all(path).map_err(failed("create", path))
}

/// Removes a file; one that is not there is as good as removed.
pub(crate) fn remove(path: &Path) -> Result<(), FileError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", path)(error)),
        _ => Ok(()),
    }
}

/// What is in a directory, sorted.
pub(crate) fn sorted(dir: &Path) -> Result<Vec<PathBuf>, FileError> {
    let entries = fs::read_dir(dir).map_err(failed("read", dir))?;
    let paths = entries.map(|entry| Ok(entry?.path()));
    let paths: io::Result<Vec<PathBuf>> = paths.collect();
    let mut paths = paths.map_err(failed("read", dir))?;
    paths.sort();
    Ok(paths)
}

/// Removes a directory and what is in it; one that is not there is as good as removed.
pub(crate) fn remove_dir(path: &Path) -> Result<(), FileError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", path)(error)),
        _ => Ok(()),
    }
}

/// The name under which `path` is written until it is whole: hidden, and the same every time.
pub(crate) fn beside(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".partial");
    path.with_file_name(name)
}

/// Writes `path` by `fill`, durably: after a crash there is the old file or the new one.
///
/// What the file held before and what an interrupted write left beside it is replaced. `mode` is the final permission bits,
/// whatever the umask. When `fill` fails, nothing is left.
pub(crate) fn write_whole<T, E>(
    path: &Path,
    mode: u32,
    fill: impl FnOnce(&mut File) -> Result<T, E>,
) -> Result<T, E>
where
    E: From<FileError>,
{
    let partial = beside(path);
    remove(&partial)?;
    let written = fill_new(&partial, mode, fill).and_then(|value| {
        fs::rename(&partial, path).map_err(failed("rename to", path))?;
        sync_parent(path)?;
        Ok(value)
    });
    if written.is_err() {
        // The first error is the one to tell; a partial file that stays is overwritten by the next build.
        let _ = remove(&partial);
    }
    written
}

/// Writes `bytes` to `path` as [`write_whole`] does, and leaves a file that holds them already untouched, so that its
/// modification time keeps saying when it changed.
pub(crate) fn write_changed(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    if fs::read(path).is_ok_and(|held| held == bytes) {
        return Ok(());
    }
    write_whole(path, 0o644, |file| {
        file.write_all(bytes).map_err(failed("write", path))
    })
}

/// Writes a new file by `fill` and syncs it.
pub(crate) fn fill_new<T, E>(
    path: &Path,
    mode: u32,
    fill: impl FnOnce(&mut File) -> Result<T, E>,
) -> Result<T, E>
where
    E: From<FileError>,
{
    let mut file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(path)
        .map_err(failed("create", path))?;
    let value = fill(&mut file)?;
    file.set_permissions(Permissions::from_mode(mode))
        .map_err(failed("change the mode of", path))?;
    file.sync_all().map_err(failed("sync", path))?;
    Ok(value)
}

/// Makes a rename durable: the name is data of the directory.
pub(crate) fn sync_parent(path: &Path) -> Result<(), FileError> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(parent)
        .and_then(|directory| directory.sync_all())
        .map_err(failed("sync", parent))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(dir: &Path) -> Vec<OsString> {
        let mut names: Vec<_> = fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn what_an_interrupted_write_left_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("image");
        fs::write(beside(&path), "half of a much longer file").unwrap();
        write_whole(&path, 0o755, |file| {
            file.write_all(b"whole").map_err(failed("write", &path))
        })
        .unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"whole");
        assert_eq!(entries(dir.path()), ["image"]);
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o755);
    }

    #[test]
    fn a_failed_write_leaves_the_old_file_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("image");
        fs::write(&path, "old").unwrap();
        let error = write_whole(&path, 0o644, |file| -> Result<(), FileError> {
            file.write_all(b"ne").unwrap();
            Err(failed("write", &path)(io::Error::other("disk full")))
        })
        .unwrap_err();
        assert_eq!(error.source.to_string(), "disk full");
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(entries(dir.path()), ["image"]);
    }

    #[test]
    fn an_unchanged_file_is_not_touched() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tools.json");
        write_changed(&path, b"{}").unwrap();
        let long_ago = std::time::SystemTime::UNIX_EPOCH;
        File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_modified(long_ago)
            .unwrap();
        write_changed(&path, b"{}").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), long_ago);
        write_changed(&path, b"{ }").unwrap();
        assert_ne!(fs::metadata(&path).unwrap().modified().unwrap(), long_ago);
    }
}
