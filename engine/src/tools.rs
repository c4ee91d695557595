//! The tools that an image brings: a static `bash` and a busybox with its applets, programs that serve a root, and one that
//! fetches files.
//!
//! They follow the program in the image, each compressed by itself (zstd). Behind them is the image's description
//! ([`description`]), whose table says where each is; it is only read where a tool is needed that is not unpacked yet.

mod description;

use std::fs::{self, File, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::marker;
use description::Description;

/// Where the tools are while the container runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tools {
    /// The image has none.
    None,
    /// In this directory of the host, which only the caller can change.
    Directory(PathBuf),
    /// Unpacked into the container's memory at this start.
    Memory,
}

/// One tool of the image.
#[derive(Debug, Deserialize)]
pub struct Tool {
    name: String,
    directory: Directory,
    offset: u64,
    compressed_size: u64,
    size: u64,
    /// Of the program, in lower-case hexadecimal.
    sha256: String,
    links: Vec<String>,
}

/// Where a tool belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Directory {
    Bin,
    Sbin,
    Servers,
    Host,
}

impl Directory {
    fn name(self) -> &'static str {
        match self {
            Directory::Bin => "bin",
            Directory::Sbin => "sbin",
            Directory::Servers => "servers",
            Directory::Host => "host",
        }
    }
}

/// Where tools are that the container has nothing of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Apart {
    /// The programs that serve a root, with the loader and the libraries that they need.
    Servers,
    /// Programs that are run on the host.
    Host,
}

impl Apart {
    fn kind(self) -> Directory {
        match self {
            Apart::Servers => Directory::Servers,
            Apart::Host => Directory::Host,
        }
    }

    /// The name of their directory.
    pub fn directory(self) -> &'static str {
        self.kind().name()
    }

    /// The tools.
    ///
    /// # Errors
    /// As [`all`].
    pub fn tools(self, image: &File) -> io::Result<Vec<Tool>> {
        let mut tools = all(image)?;
        tools.retain(|tool| tool.directory == self.kind());
        Ok(tools)
    }
}

/// The loader by which the programs that serve a root are started, whatever libraries the host has.
pub const LOADER: &str = "ld.so";

/// The program that fetches files, see `engine/fetch`.
pub const FETCHER: &str = "fim-fetch";

/// The tools of the container that the image was built with.
///
/// # Errors
/// As [`all`].
pub fn table(image: &File) -> io::Result<Vec<Tool>> {
    let mut tools = all(image)?;
    tools.retain(|tool| matches!(tool.directory, Directory::Bin | Directory::Sbin));
    Ok(tools)
}

/// Everything that the image was built with; nothing where this program is in no image.
///
/// # Errors
/// When the description cannot be read; `InvalidData` when it is not the one that the image was made with, or no description.
pub fn all(image: &File) -> io::Result<Vec<Tool>> {
    Ok(described(image)?.tools)
}

/// Version, licence, source and sum of each tool, as the JSON text that the image was made with.
///
/// # Errors
/// As [`all`].
pub fn metadata(image: &File) -> io::Result<String> {
    Ok(described(image)?.metadata)
}

fn described(image: &File) -> io::Result<Description> {
    match marker::placement() {
        Some(placement) => Description::read(image, &placement),
        None => Ok(Description::default()),
    }
}

impl Tool {
    /// Its file name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where its zstd frame begins, in bytes from the first tool.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Unpacks it from the image, whose first tool is at `offset`, to nowhere, and answers how many bytes it has.
    ///
    /// # Errors
    /// In words: a frame that does not decompress, or a program that is not the one the table knows.
    pub fn verify(&self, image: &File, offset: u64) -> Result<u64, String> {
        let compressed = Span {
            file: image,
            at: offset + self.offset,
            left: self.compressed_size,
        };
        let mut digest = Digest(Sha256::new());
        // The table knows the size; a damaged frame may claim any.
        let copied = zstd::Decoder::new(compressed)
            .and_then(|decoder| io::copy(&mut decoder.take(self.size + 1), &mut digest))
            .map_err(|_| "it does not decompress".to_owned())?;
        let found = marker::hex(&digest.0.finalize());
        match copied == self.size && found == self.sha256 {
            true => Ok(copied),
            false => Err("its sha256 is another".to_owned()),
        }
    }

    /// Unpacks it from the image, whose first tool is at `offset`.
    ///
    /// # Errors
    /// As reading, decompressing and writing do; `InvalidData` when its size is not the table's.
    pub fn copy(&self, image: &File, offset: u64, to: &mut File) -> io::Result<()> {
        let compressed = Span {
            file: image,
            at: offset + self.offset,
            left: self.compressed_size,
        };
        // The table knows the size; a damaged frame may claim any.
        let mut decoder = zstd::Decoder::new(compressed)?.take(self.size + 1);
        let written = io::copy(&mut decoder, to)?;
        match written == self.size {
            true => Ok(()),
            false => {
                let (name, size) = (&self.name, self.size);
                let what = format!("the tool `{name}` has {written} bytes, not {size}");
                Err(io::Error::new(io::ErrorKind::InvalidData, what))
            }
        }
    }
}

/// Sums what is written to it.
struct Digest(Sha256);

impl io::Write for Digest {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Unpacks `tools` from the image, whose first tool is at `offset`, below `to`.
///
/// # Errors
/// As reading, decompressing and writing do; `InvalidData` when a size is not the table's.
pub fn unpack(tools: &[Tool], image: &File, offset: u64, to: &Path) -> io::Result<()> {
    for tool in tools {
        let directory = to.join(tool.directory.name());
        fs::create_dir_all(&directory)?;
        // Whatever the caller's mask: the ids of the container may be others than the caller's.
        fs::set_permissions(&directory, Permissions::from_mode(0o755))?;
        let mut file = File::create_new(directory.join(&tool.name))?;
        tool.copy(image, offset, &mut file)?;
        file.set_permissions(Permissions::from_mode(0o555))?;
        for link in &tool.links {
            symlink(&tool.name, directory.join(link))?;
        }
    }
    Ok(())
}

/// A part of a file, read without moving the file's own position, which forked processes share.
struct Span<'a> {
    file: &'a File,
    at: u64,
    left: u64,
}

impl Read for Span<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = buffer
            .len()
            .min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let read = self.file.read_at(&mut buffer[..wanted], self.at)?;
        self.at += read as u64;
        self.left -= read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn tool(name: &str, offset: u64, compressed: &[u8], size: u64, links: &[&str]) -> Tool {
        Tool {
            name: name.into(),
            directory: Directory::Sbin,
            offset,
            compressed_size: compressed.len() as u64,
            size,
            sha256: String::new(),
            links: links.iter().map(|link| link.to_string()).collect(),
        }
    }

    #[test]
    fn a_program_that_is_in_no_image_has_no_tools() {
        let nothing = tempfile::tempfile().unwrap();
        assert!(all(&nothing).unwrap().is_empty());
        assert_eq!(metadata(&nothing).unwrap(), "{}");
    }

    #[test]
    fn tools_are_unpacked_executable_with_their_links() {
        let directory = tempfile::tempdir().unwrap();
        let (one, two) = (
            zstd::encode_all(&b"first"[..], 3).unwrap(),
            zstd::encode_all(&b"second"[..], 3).unwrap(),
        );
        let mut image = tempfile::tempfile().unwrap();
        image.write_all(b"program").unwrap();
        image.write_all(&one).unwrap();
        image.write_all(&two).unwrap();
        let tools = [
            tool("a", 0, &one, 5, &[]),
            tool("b", one.len() as u64, &two, 6, &["ls", "cat"]),
        ];
        unpack(&tools, &image, 7, directory.path()).unwrap();
        assert_eq!(fs::read(directory.path().join("sbin/a")).unwrap(), b"first");
        assert_eq!(
            fs::read(directory.path().join("sbin/cat")).unwrap(),
            b"second"
        );
        let mode = fs::metadata(directory.path().join("sbin/b"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o111, 0o111);
    }

    #[test]
    fn a_tool_is_verified_by_its_sum() {
        let frame = zstd::encode_all(&b"abc"[..], 3).unwrap();
        let mut image = tempfile::tempfile().unwrap();
        image.write_all(&frame).unwrap();
        let mut sound = tool("a", 0, &frame, 3, &[]);
        sound.sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad".into();
        assert_eq!(sound.verify(&image, 0), Ok(3));
        sound.sha256.replace_range(..1, "0");
        assert!(sound.verify(&image, 0).is_err());
        image.write_all_at(b"x", frame.len() as u64 / 2).unwrap();
        assert!(sound.verify(&image, 0).is_err());
    }

    #[test]
    fn a_tool_of_another_size_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let one = zstd::encode_all(&b"first"[..], 3).unwrap();
        let mut image = tempfile::tempfile().unwrap();
        image.write_all(&one).unwrap();
        let error = unpack(&[tool("a", 0, &one, 4, &[])], &image, 0, directory.path()).unwrap_err();
        assert_eq!(error.to_string(), "the tool `a` has 5 bytes, not 4");
    }
}
