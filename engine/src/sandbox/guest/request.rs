//! What a guest asks for.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use nix::sys::memfd::{MFdFlags, memfd_create};

use crate::host::Stream;

/// A program for an instance that runs, and what of the caller's it gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visit {
    /// The program and its arguments.
    pub command: Vec<OsString>,
    /// The caller's working directory.
    pub directory: Option<PathBuf>,
    /// The caller's standard streams that are a terminal.
    pub terminal: Vec<Stream>,
    /// What kind of terminal that is.
    pub term: Option<String>,
}

/// How the streams are written.
const STREAMS: [(Stream, u8); 3] = [
    (Stream::Input, b'0'),
    (Stream::Output, b'1'),
    (Stream::Error, b'2'),
];

impl Visit {
    /// A file in memory with it: it may be longer than a packet.
    ///
    /// # Errors
    /// As memfd_create(2) and write(2).
    pub fn write(&self) -> io::Result<OwnedFd> {
        let mut file = File::from(memfd_create(c"visit", MFdFlags::MFD_CLOEXEC)?);
        file.write_all(&self.encode())?;
        Ok(file.into())
    }

    /// The one in a file.
    ///
    /// # Errors
    /// As read(2); `InvalidData` when there is none in it.
    pub fn read(file: OwnedFd) -> io::Result<Visit> {
        let mut file = File::from(file);
        file.seek(SeekFrom::Start(0))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Visit::decode(&bytes).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// Texts with a zero byte after each, which none of them can hold; an empty one stands for none.
    fn encode(&self) -> Vec<u8> {
        let is_terminal = |(stream, _): &&(Stream, u8)| self.terminal.contains(stream);
        let streams: Vec<u8> = STREAMS
            .iter()
            .filter(is_terminal)
            .map(|(_, code)| *code)
            .collect();
        let directory = self
            .directory
            .as_deref()
            .map_or(&b""[..], |path| path.as_os_str().as_bytes());
        let term = self.term.as_deref().unwrap_or_default().as_bytes();
        let command = self.command.iter().map(|text| text.as_bytes());
        let texts = [&streams, directory, term].into_iter().chain(command);
        texts.flat_map(|text| [text, b"\0"].concat()).collect()
    }

    fn decode(bytes: &[u8]) -> Option<Visit> {
        let mut texts = bytes.strip_suffix(b"\0")?.split(|byte| *byte == 0);
        let streams = texts.next()?;
        let own = |text: &[u8]| OsString::from_vec(text.to_owned());
        let directory = texts.next().map(OsStr::from_bytes)?;
        let term = std::str::from_utf8(texts.next()?).ok()?;
        Some(Visit {
            terminal: STREAMS
                .iter()
                .filter(|(_, code)| streams.contains(code))
                .map(|(stream, _)| *stream)
                .collect(),
            directory: (!directory.is_empty()).then(|| directory.into()),
            term: (!term.is_empty()).then(|| term.to_owned()),
            command: texts.map(own).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_visit_arrives_as_it_was_sent() {
        let visits = [
            Visit {
                command: vec!["cat".into(), "".into(), OsStr::from_bytes(b"\xff\n").into()],
                directory: Some("/a b".into()),
                terminal: vec![Stream::Input, Stream::Error],
                term: Some("dumb".into()),
            },
            Visit {
                command: vec!["x".repeat(1 << 20).into()],
                directory: None,
                terminal: Vec::new(),
                term: None,
            },
        ];
        for visit in visits {
            assert_eq!(Visit::read(visit.write().unwrap()).unwrap(), visit);
        }
        assert!(Visit::decode(b"").is_none());
        assert!(Visit::decode(b"0\0/").is_none());
    }
}
