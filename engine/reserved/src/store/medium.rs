//! What the store asks of a file: a few calls, so that a test can cut between any two of them and a fuzzer needs no disk.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use super::{StoreError, busy};

/// Bytes that can be read.
pub trait Source {
    /// What errors call it.
    fn path(&self) -> &Path;

    /// Reads at most `bytes.len()` bytes from `offset` on and says how many; none at the end.
    ///
    /// # Errors
    /// What the system answers.
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize>;
}

/// Bytes that can be changed, by one writer at a time.
pub trait Medium: Source {
    /// Writes at least one of `bytes` at `offset` and says how many.
    ///
    /// # Errors
    /// What the system answers; [`StoreError::Busy`].
    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<usize, StoreError>;

    /// Returns when everything written before is on the disk.
    ///
    /// # Errors
    /// What the disk answers.
    fn sync(&self) -> Result<(), StoreError>;
}

/// An image file, opened for reading. A descriptor that can write keeps the image from being executed for as long as it
/// is open; reading, locking (`flock`) and `fdatasync` do without.
#[derive(Debug)]
pub struct ImageFile {
    path: PathBuf,
    /// Never written through.
    pub(super) file: File,
}

impl ImageFile {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            file: File::open(path)?,
        })
    }

    /// A descriptor of the same file that can write.
    pub(super) fn writer(&self) -> Result<File, StoreError> {
        let writer = busy::open_to_write(&self.path)?;
        let failed = |source| self.unwritten(source);
        let ours = self.file.metadata().map_err(failed)?;
        let theirs = writer.metadata().map_err(failed)?;
        if (ours.dev(), ours.ino()) != (theirs.dev(), theirs.ino()) {
            return Err(failed(io::Error::other("it was replaced meanwhile")));
        }
        Ok(writer)
    }

    fn unwritten(&self, source: io::Error) -> StoreError {
        StoreError::Write {
            path: self.path.clone(),
            source,
        }
    }
}

impl Source for ImageFile {
    fn path(&self) -> &Path {
        &self.path
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(bytes, offset)
    }
}

impl Medium for ImageFile {
    /// One `pwrite` with the descriptor open for no longer than that.
    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<usize, StoreError> {
        let writer = self.writer()?;
        writer
            .write_at(bytes, offset)
            .map_err(|source| self.unwritten(source))
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.file
            .sync_data()
            .map_err(|source| self.unwritten(source))
    }
}

/// Bytes in memory, for those who look at an image without a file.
impl Source for &[u8] {
    fn path(&self) -> &Path {
        Path::new("memory")
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let start = usize::try_from(offset)
            .unwrap_or(usize::MAX)
            .min(self.len());
        let read = bytes.len().min(self.len() - start);
        bytes[..read].copy_from_slice(&self[start..start + read]);
        Ok(read)
    }
}

/// Reads as much as there is, up to all of `bytes`.
pub fn read_up_to(source: &impl Source, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut length = 0;
    while length < bytes.len() {
        match source.read_at(&mut bytes[length..], offset + length as u64) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

/// Fills `bytes`, or fails with `UnexpectedEof`.
pub fn read_exact(source: &impl Source, bytes: &mut [u8], offset: u64) -> io::Result<()> {
    if read_up_to(source, bytes, offset)? == bytes.len() {
        Ok(())
    } else {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

/// Writes all of `bytes`, then syncs.
pub fn write_durably(medium: &impl Medium, bytes: &[u8], offset: u64) -> Result<(), StoreError> {
    let mut done = 0;
    while done < bytes.len() {
        match medium.write_at(&bytes[done..], offset + done as u64) {
            Ok(0) => {
                return Err(StoreError::Write {
                    path: medium.path().to_owned(),
                    source: io::ErrorKind::WriteZero.into(),
                });
            }
            Ok(written) => done += written,
            Err(StoreError::Write { source, .. })
                if source.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    medium.sync()
}
