//! Files that are sources, found on this host or downloaded.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::{Path, PathBuf};

use super::SourceError;
use crate::digest::{self, Sum};
use crate::fetch;
use crate::file::{self, FileError, failed};

/// A file whose sum is known.
pub(crate) struct Opened {
    pub(super) path: PathBuf,
    /// What it is called, when that is not its name on this host.
    name: Option<String>,
    pub(super) file: File,
    pub(super) sum: Sum,
    pub(super) size: u64,
}

impl Opened {
    /// Opens a file and reads all of it.
    pub(super) fn new(
        path: &Path,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Opened, FileError> {
        let mut file = File::open(path).map_err(failed("open", path))?;
        let size = file.metadata().map_err(failed("read", path))?.len();
        let mut watched = Watched {
            inner: &mut file,
            done: 0,
            total: size,
            progress,
        };
        let sum = digest::of_reader(&mut watched).map_err(failed("read", path))?;
        file.rewind().map_err(failed("read", path))?;
        Ok(Opened {
            path: path.to_owned(),
            name: None,
            file,
            sum,
            size,
        })
    }

    /// Refuses another file than the one with this sum.
    pub(super) fn expect(&self, expected: Option<Sum>) -> Result<(), SourceError> {
        match expected {
            Some(expected) if expected != self.sum => Err(SourceError::Sum {
                path: self.path.clone(),
                expected: digest::hex(&expected),
                found: digest::hex(&self.sum),
            }),
            _ => Ok(()),
        }
    }

    pub(super) fn told(&self) -> String {
        let sum = digest::hex(&self.sum);
        let path = self.path.display().to_string();
        let name = self.name.as_ref().unwrap_or(&path);
        format!("{name} (sha256 {}…)", &sum[..12])
    }
}

/// Downloads an archive, unless it was. What was kept and is no longer what it was is downloaded again.
pub(super) fn download(
    url: &str,
    sum: &Sum,
    cache: &Path,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Opened, SourceError> {
    let kept = cache.join("downloads");
    let mut opened = None;
    for _ in 0..2 {
        let path = fetch::fetch(&kept, (url, sum), progress)?;
        let mut found = Opened::new(&path, progress)?;
        if found.sum == *sum {
            found.name = Some(fetch::name(url));
            return Ok(found);
        }
        file::remove(&path)?;
        opened = Some(found);
    }
    let found = opened.map_or([0; 32], |opened| opened.sum);
    Err(SourceError::Sum {
        path: kept,
        expected: digest::hex(sum),
        found: digest::hex(&found),
    })
}

/// Tells how far a file is read.
pub(super) struct Watched<'a, R> {
    pub(super) inner: R,
    pub(super) done: u64,
    pub(super) total: u64,
    pub(super) progress: &'a mut dyn FnMut(u64, u64),
}

impl<R: Read> Read for Watched<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.done += count as u64;
        (self.progress)(self.done, self.total);
        Ok(count)
    }
}
