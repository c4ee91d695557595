//! A file that is made beside its place and has its name only once it is whole.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::fcntl::{AT_FDCWD, AtFlags, RenameFlags, renameat2};
use nix::unistd::linkat;

/// The file, open to be read and written. Dropped before it has its name, it is gone.
#[derive(Debug)]
pub struct Unfinished {
    file: File,
    /// Its name meanwhile, where the filesystem knows no files without one.
    name: Option<PathBuf>,
}

impl Unfinished {
    /// In `directory`, under `name` if need be. Without a name the kernel frees it, whatever ends this process
    /// (`O_TMPFILE`, open(2)).
    ///
    /// # Errors
    /// As open(2).
    pub fn in_directory(directory: &Path, name: &str) -> io::Result<Unfinished> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).mode(0o666);
        let mut nameless = options.clone();
        if let Ok(file) = nameless.custom_flags(libc::O_TMPFILE).open(directory) {
            return Ok(Unfinished { file, name: None });
        }
        let path = directory.join(name);
        options.create(true).truncate(true);
        let file = options.custom_flags(libc::O_NOFOLLOW).open(&path)?;
        let name = Some(path);
        Ok(Unfinished { file, name })
    }

    /// Beside `target`.
    ///
    /// # Errors
    /// As open(2).
    pub fn beside(target: &Path) -> io::Result<Unfinished> {
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let name = format!(".{name}.{}", std::process::id());
        Unfinished::in_directory(directory_of(target), &name)
    }

    /// The file.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Syncs the file and gives it the name `target`, durably. `EEXIST` when something has it already.
    ///
    /// # Errors
    /// As linkat(2) and fsync(2).
    pub fn place(&mut self, target: &Path) -> io::Result<()> {
        self.file.sync_all()?;
        match &self.name {
            None => {
                let opened = format!("/proc/self/fd/{}", self.file.as_raw_fd());
                let flags = AtFlags::AT_SYMLINK_FOLLOW;
                linkat(AT_FDCWD, opened.as_str(), AT_FDCWD, target, flags)?;
            }
            Some(name) => {
                let flags = RenameFlags::RENAME_NOREPLACE;
                renameat2(AT_FDCWD, name, AT_FDCWD, target, flags)?;
                self.name = None;
            }
        }
        sync_directory(target)
    }

    /// As [`Unfinished::place`]; what had the name is replaced.
    ///
    /// # Errors
    /// As linkat(2), rename(2) and fsync(2).
    pub fn replace(mut self, target: &Path) -> io::Result<()> {
        match self.place(target) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            placed => return placed,
        }
        if self.name.is_none() {
            let name = target.file_name().unwrap_or_default().to_string_lossy();
            let name = target.with_file_name(format!(".{name}.{}", std::process::id()));
            self.place(&name)?;
            self.name = Some(name);
        }
        if let Some(name) = &self.name {
            fs::rename(name, target)?;
            self.name = None;
        }
        sync_directory(target)
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            let _ = fs::remove_file(name);
        }
    }
}

fn directory_of(path: &Path) -> &Path {
    path.parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(directory_of(path))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_name_is_given_once_and_replaced_only_when_that_is_meant() {
        let place = tempfile::tempdir().unwrap();
        let target = place.path().join("layer");
        let made = |text: &str| {
            let unfinished = Unfinished::beside(&target).unwrap();
            unfinished.file().write_all(text.as_bytes()).unwrap();
            unfinished
        };
        drop(made("none"));
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
        made("one").place(&target).unwrap();
        let error = made("two").place(&target).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&target).unwrap(), "one");
        made("three").replace(&target).unwrap();
        assert_eq!(fs::read_to_string(&target).unwrap(), "three");
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);
    }
}
