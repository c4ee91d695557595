//! A file that is not yet whole, under a name of its own beside the one that it gets.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::Sum;

/// What is there of a file. Nobody else has it at the same time.
pub struct Part {
    pub file: File,
    path: PathBuf,
}

impl Part {
    /// The part of the file that is to become `whole`, as an earlier try left it; `None` while somebody else fetches it.
    pub fn of(whole: &Path) -> io::Result<Option<Part>> {
        let path = beside(whole);
        loop {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).truncate(false);
            let file = options.open(&path)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(error),
            }
            // Whoever had it may have finished it before the lock was free: then it has another name by now.
            let ours = file.metadata()?;
            let named = fs::metadata(&path).map(|found| (found.dev(), found.ino()));
            if named.is_ok_and(|named| named == (ours.dev(), ours.ino())) {
                return Ok(Some(Part { file, path }));
            }
        }
    }

    /// How many bytes are there. Whatever is written next follows them.
    pub fn length(&mut self) -> io::Result<u64> {
        self.file.seek(SeekFrom::End(0))
    }

    /// Keeps the first `length` bytes. Whatever is written next follows them.
    pub fn keep(&mut self, length: u64) -> io::Result<()> {
        self.file.set_len(length)?;
        self.file.seek(SeekFrom::Start(length)).map(drop)
    }

    pub fn sum(&mut self) -> io::Result<Sum> {
        self.file.rewind()?;
        sum_of(&mut self.file)
    }

    /// Gives it the name that it is meant to have.
    pub fn finish(self, whole: &Path) -> io::Result<()> {
        self.file.sync_all()?;
        fs::rename(&self.path, whole)
    }

    pub fn remove(self) -> io::Result<()> {
        fs::remove_file(&self.path)
    }
}

/// Removes the part of the file that was to become `whole`, if there is one. Only for who has it: nobody else may be fetching it.
pub fn forget(whole: &Path) {
    let _ = fs::remove_file(beside(whole));
}

/// The sum of everything that a reader yields.
pub fn sum_of(reader: &mut impl Read) -> io::Result<Sum> {
    let mut hash = Sha256::new();
    let mut piece = vec![0; 1 << 20];
    loop {
        match reader.read(&mut piece) {
            Ok(0) => return Ok(hash.finalize().into()),
            Ok(count) => hash.update(&piece[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// The same name every time, so that what one try left is found by the next.
fn beside(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".partial");
    path.with_file_name(name)
}
