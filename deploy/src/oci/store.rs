//! The files of an image: in a directory, or in an archive of one.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::archive::{Archive, decompressed};
use crate::digest;
use crate::tree::{self, Spool, Tree};

/// Descriptions are short; what is longer is none.
const MOST: u64 = 16 << 20;

/// Where the files are.
pub(super) enum Store {
    Directory(PathBuf),
    /// Read into a spool, because an archive can only be read from its start.
    Archive(Tree, Spool),
}

impl Store {
    pub(super) fn open(
        path: &Path,
        cache: &Path,
        progress: &mut dyn FnMut(u64, u64),
    ) -> io::Result<Store> {
        if path.is_dir() {
            return Ok(Store::Directory(path.to_owned()));
        }
        let file = File::open(path)?;
        let total = file.metadata()?.len();
        let mut done = 0;
        let watched = Watched(file, |count| {
            done += count;
            progress(done, total);
        });
        let mut spool = Spool::new(cache)?;
        let unpacked = tree::unpack(&mut Archive::new(decompressed(watched)?), 0, &mut spool)?;
        Ok(Store::Archive(unpacked.tree, spool))
    }

    /// A file, if it is there.
    pub(super) fn file(&mut self, name: &str) -> io::Result<Option<Box<dyn ReadSeek>>> {
        let leads_out = |part: &str| part == ".." || part.is_empty();
        if name.split('/').any(leads_out) {
            return Err(invalid(&format!("`{name}` leads out of the image")));
        }
        match self {
            Store::Directory(dir) => match File::open(dir.join(name)) {
                Ok(file) => Ok(Some(Box::new(file))),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(error),
            },
            Store::Archive(tree, spool) => {
                let Some(node) = tree.find(name.as_bytes()) else {
                    return Ok(None);
                };
                let pieces = spool.reader(node)?;
                Ok(Some(Box::new(pieces)))
            }
        }
    }

    /// All of a short file, if it is there.
    pub(super) fn text(&mut self, name: &str) -> io::Result<Option<Vec<u8>>> {
        let Some(file) = self.file(name)? else {
            return Ok(None);
        };
        let mut text = Vec::new();
        file.take(MOST + 1).read_to_end(&mut text)?;
        match text.len() as u64 > MOST {
            true => Err(invalid(&format!("`{name}` is absurdly long"))),
            false => Ok(Some(text)),
        }
    }

    /// A blob, which was read to its end and has the digest by which it is named.
    pub(super) fn blob(&mut self, digest: &str) -> io::Result<Box<dyn ReadSeek>> {
        let hex = hex_of(digest)?;
        let name = format!("blobs/sha256/{hex}");
        let file = self.file(&name)?;
        let mut file = file.ok_or_else(|| invalid(&format!("`{name}` is missing")))?;
        if digest::hex(&digest::of_reader(&mut file)?) != hex {
            return Err(invalid(&format!("`{name}` has another digest")));
        }
        file.rewind()?;
        Ok(file)
    }

    /// All of a short blob.
    pub(super) fn description(&mut self, digest: &str) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        self.blob(digest)?.take(MOST + 1).read_to_end(&mut text)?;
        match text.len() as u64 > MOST {
            true => Err(invalid(&format!("`{digest}` is absurdly long"))),
            false => Ok(text),
        }
    }
}

/// What can be read again.
pub(super) trait ReadSeek: Read + Seek {}

impl<T: Read + Seek> ReadSeek for T {}

/// The digits of a digest of the only kind that is in use.
pub(super) fn hex_of(digest: &str) -> io::Result<&str> {
    let hex = digest.strip_prefix("sha256:").unwrap_or_default();
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    match hex.len() == 64 && hex.bytes().all(is_digit) {
        true => Ok(hex),
        false => Err(invalid(&format!(
            "`{}` is no SHA-256 digest",
            digest.escape_default()
        ))),
    }
}

/// A reader that sums what it reads.
pub(super) struct Summed<R> {
    inner: R,
    hash: Sha256,
}

impl<R: Read> Summed<R> {
    pub(super) fn new(inner: R) -> Summed<R> {
        Summed {
            inner,
            hash: Sha256::new(),
        }
    }

    /// The digits of the sum of everything that was read.
    pub(super) fn hex(self) -> String {
        digest::hex(&self.hash.finalize().into())
    }
}

impl<R: Read> Read for Summed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hash.update(&buffer[..count]);
        Ok(count)
    }
}

/// Tells how many bytes each read gave.
pub(super) struct Watched<R, F>(pub(super) R, pub(super) F);

impl<R: Read, F: FnMut(u64)> Read for Watched<R, F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.0.read(buffer)?;
        (self.1)(count as u64);
        Ok(count)
    }
}

pub(super) fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}
