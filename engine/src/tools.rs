//! The tools that an image brings: a static `bash`, a busybox with its applets, `bwrap` with its libraries, programs that serve a
//! root, and one that fetches files.
//!
//! They follow the program in the image, compressed together (zstd), those of the container first. Behind them is the image's
//! description ([`description`]), whose table says where each is in what they unpack to; it is only read where a tool is needed
//! that is not unpacked yet.

mod description;
mod summed;

use std::fs::{self, File, Permissions};
use std::io::{self, BufReader, Read};
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::marker;
use description::Description;
use summed::Summed;

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
    /// In the unpacked tools.
    offset: u64,
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
    Lib,
    Servers,
    Host,
}

impl Directory {
    fn name(self) -> &'static str {
        match self {
            Directory::Bin => "bin",
            Directory::Sbin => "sbin",
            Directory::Lib => "lib",
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
    tools.retain(|tool| !matches!(tool.directory, Directory::Servers | Directory::Host));
    Ok(tools)
}

/// Everything that the image was built with.
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
    Description::read(image, &marker::read(image)?.placement)
}

impl Tool {
    /// Its file name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// The tools of an image, as they come out of their frame, in their order.
struct Unpacking<'a> {
    frame: Frame<'a>,
    /// Bytes that were taken.
    at: u64,
}

impl<'a> Unpacking<'a> {
    /// Of the image whose tools are at `offset`.
    fn new(image: &'a File, offset: u64) -> io::Result<Unpacking<'a>> {
        // The frame says where it ends.
        let packed = Span {
            file: image,
            at: offset,
            left: u64::MAX,
        };
        let decoder = zstd::Decoder::new(packed)?.single_frame();
        Ok(Unpacking {
            frame: Frame(decoder),
            at: 0,
        })
    }

    /// As [`copy`](Self::copy), of a tool that is the one that the table knows.
    fn copy_sound(&mut self, tool: &Tool, to: &mut impl io::Write) -> io::Result<()> {
        let mut summed = Summed::new(to);
        self.copy(tool, &mut summed)?;
        match summed.is(tool) {
            true => Ok(()),
            false => Err(damaged(&format!(
                "the sha256 of `{}` is another",
                tool.name
            ))),
        }
    }

    /// Passes over what is before a tool and copies it.
    fn copy(&mut self, tool: &Tool, to: &mut impl io::Write) -> io::Result<()> {
        let before = tool.offset.checked_sub(self.at);
        let before = before.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        let passed = io::copy(&mut (&mut self.frame).take(before), &mut io::sink())?;
        let written = io::copy(&mut (&mut self.frame).take(tool.size), to)?;
        self.at += passed + written;
        match (passed, written) == (before, tool.size) {
            true => Ok(()),
            false => {
                let (name, size) = (&tool.name, tool.size);
                let what = format!("the tool `{name}` has {written} bytes, not {size}");
                Err(io::Error::new(io::ErrorKind::InvalidData, what))
            }
        }
    }
}

fn damaged(reason: &str) -> io::Error {
    let what = format!("its tools are damaged ({reason}); copy the image anew");
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// The compressed tools, which say how to mend it when they do not unpack.
struct Frame<'a>(zstd::Decoder<'static, BufReader<Span<'a>>>);

impl Read for Frame<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).map_err(|error| {
            // What the kernel answers about the file has a number.
            match error.raw_os_error() {
                Some(_) => error,
                None => damaged(&error.to_string()),
            }
        })
    }
}

/// Unpacks all `tools` of the image, whose first is at `offset`, to nowhere, and answers for each how many bytes it has; in
/// words, that it is not the one that the table knows, or does not unpack: then those behind it do not either, and are left out.
pub fn verify(tools: &[Tool], image: &File, offset: u64) -> Vec<Result<u64, String>> {
    let mut found = Vec::new();
    let mut unpacking = Unpacking::new(image, offset);
    for tool in tools {
        let mut summed = Summed::new(io::sink());
        let unpacked = unpacking
            .as_mut()
            .map(|tools| tools.copy(tool, &mut summed));
        if !matches!(unpacked, Ok(Ok(()))) {
            found.push(Err("it does not decompress".to_owned()));
            break;
        }
        found.push(match summed.is(tool) {
            true => Ok(tool.size),
            false => Err("its sha256 is another".to_owned()),
        });
    }
    found
}

impl Tool {
    /// Unpacks it from the image, whose first tool is at `offset`.
    ///
    /// # Errors
    /// As reading, decompressing and writing do; `InvalidData` when it is not the one that the table knows.
    pub fn copy(&self, image: &File, offset: u64, to: &mut File) -> io::Result<()> {
        Unpacking::new(image, offset)?.copy_sound(self, to)
    }
}

/// Unpacks `tools` from the image, whose first tool is at `offset`, below `to`.
///
/// # Errors
/// As reading, decompressing and writing do; `InvalidData` when a size or a sum is not the table's.
pub fn unpack(tools: &[Tool], image: &File, offset: u64, to: &Path) -> io::Result<()> {
    let mut unpacking = Unpacking::new(image, offset)?;
    for tool in tools {
        let directory = to.join(tool.directory.name());
        fs::create_dir_all(&directory)?;
        // Whatever the caller's mask: the ids of the container may be others than the caller's.
        fs::set_permissions(&directory, Permissions::from_mode(0o755))?;
        let mut file = File::create_new(directory.join(&tool.name))?;
        unpacking.copy_sound(tool, &mut file)?;
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
    use sha2::{Digest as _, Sha256};
    use std::io::Write;

    use super::*;

    fn tool(name: &str, offset: u64, size: u64, links: &[&str]) -> Tool {
        Tool {
            name: name.into(),
            directory: Directory::Sbin,
            offset,
            size,
            sha256: String::new(),
            links: links.iter().map(|link| link.to_string()).collect(),
        }
    }

    /// Seven bytes, the tools, and whatever follows them.
    fn image(tools: &[u8]) -> File {
        let mut image = tempfile::tempfile().unwrap();
        let packed = zstd::encode_all(tools, 3).unwrap();
        for part in [&b"program"[..], &packed, b"{\"tools\":[]}"] {
            image.write_all(part).unwrap();
        }
        image
    }

    #[test]
    fn what_is_no_image_has_no_tools() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(1 << 20).unwrap();
        assert_eq!(all(&file).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn tools_are_unpacked_executable_with_their_links() {
        let directory = tempfile::tempdir().unwrap();
        let image = image(b"first, left out, second");
        let mut tools = [tool("a", 0, 5, &[]), tool("b", 17, 6, &["ls", "cat"])];
        for (tool, bytes) in tools.iter_mut().zip([&b"first"[..], b"second"]) {
            tool.sha256 = marker::hex(&Sha256::digest(bytes));
        }
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
        let image = image(b"abcabc");
        let sum = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let mut tools = [tool("a", 0, 3, &[]), tool("b", 3, 3, &[])];
        tools[1].sha256 = sum.into();
        let found = verify(&tools, &image, 7);
        assert_eq!(found, [Err("its sha256 is another".to_owned()), Ok(3)]);
        image.write_all_at(b"xxxx", 9).unwrap();
        assert!(verify(&tools, &image, 7).iter().all(Result::is_err));
        assert!(verify(&tools, &image, 1 << 40).iter().all(Result::is_err));
    }

    #[test]
    fn a_tool_of_which_there_is_less_or_another_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let error = unpack(
            &[tool("a", 0, 6, &[])],
            &image(b"first"),
            7,
            directory.path(),
        );
        let error = error.unwrap_err();
        assert_eq!(error.to_string(), "the tool `a` has 5 bytes, not 6");
        let other = tempfile::tempdir().unwrap();
        let error = unpack(&[tool("a", 0, 5, &[])], &image(b"first"), 7, other.path());
        let error = error.unwrap_err().to_string();
        assert!(error.contains("the sha256 of `a` is another"), "{error}");
    }
}
