//! What is said through the portal.
//!
//! One message is one packet of a `SOCK_SEQPACKET` socket: a byte for the version, one for what it is, and the rest. A
//! request may take several packets; the last of them has the three standard streams with it.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use nix::sys::signal::Signal;

/// The version of all this.
const VERSION: u8 = 1;
/// Bytes of the longest packet.
pub const LONGEST: usize = 64 * 1024;
/// Bytes of the longest request.
pub const LONGEST_REQUEST: usize = 1024 * 1024;

/// What the container says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// A part of a request, which is not the last.
    Part(Vec<u8>),
    /// The last part.
    Last(Vec<u8>),
    /// A signal for the program.
    Signal(Signal),
}

/// What the host says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The program was stopped.
    Stopped(Signal),
    /// It has ended.
    Ended(u8),
    /// It was not started: exit code and one line.
    Failed(u8, String),
}

/// Why a packet is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nonsense {
    /// It is of another version.
    Version(u8),
    /// It is nothing that is known.
    Unknown,
}

/// A program and where it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The working directory, as the container calls it.
    pub directory: PathBuf,
    /// The program and its arguments.
    pub command: Vec<OsString>,
}

fn packet(kind: u8, rest: &[u8]) -> Vec<u8> {
    [&[VERSION, kind], rest].concat()
}

/// The kind of a packet and the rest of it.
fn open(bytes: &[u8]) -> Result<(u8, &[u8]), Nonsense> {
    match bytes {
        [VERSION, kind, rest @ ..] => Ok((*kind, rest)),
        [version, ..] if *version != VERSION => Err(Nonsense::Version(*version)),
        _ => Err(Nonsense::Unknown),
    }
}

fn signal(number: u8) -> Result<Signal, Nonsense> {
    Signal::try_from(i32::from(number)).map_err(|_| Nonsense::Unknown)
}

impl Asked {
    /// The packets of a request, in order; `None` when it is too long.
    pub fn request(request: &Request) -> Option<Vec<Vec<u8>>> {
        let bytes = request.encode();
        if bytes.len() > LONGEST_REQUEST {
            return None;
        }
        let parts: Vec<&[u8]> = bytes.chunks(LONGEST - 2).collect();
        let (last, before) = parts.split_last()?;
        let before = before.iter().map(|part| packet(b'A', part));
        Some(before.chain([packet(b'R', last)]).collect())
    }

    /// The packet of a signal.
    pub fn signal(signal: Signal) -> Vec<u8> {
        packet(b'S', &[signal as u8])
    }

    /// From a packet.
    pub fn decode(bytes: &[u8]) -> Result<Asked, Nonsense> {
        match open(bytes)? {
            (b'A', part) if !part.is_empty() => Ok(Asked::Part(part.to_owned())),
            (b'R', part) => Ok(Asked::Last(part.to_owned())),
            (b'S', [number]) => Ok(Asked::Signal(signal(*number)?)),
            _ => Err(Nonsense::Unknown),
        }
    }
}

impl Answer {
    /// As a packet.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Answer::Stopped(signal) => packet(b'Z', &[*signal as u8]),
            Answer::Ended(code) => packet(b'D', &[*code]),
            Answer::Failed(code, text) => {
                let text = &text.as_bytes()[..text.len().min(LONGEST - 3)];
                packet(b'E', &[&[*code], text].concat())
            }
        }
    }

    /// From a packet.
    pub fn decode(bytes: &[u8]) -> Result<Answer, Nonsense> {
        match open(bytes)? {
            (b'Z', [number]) => Ok(Answer::Stopped(signal(*number)?)),
            (b'D', [code]) => Ok(Answer::Ended(*code)),
            (b'E', [code, text @ ..]) => Ok(Answer::Failed(
                *code,
                String::from_utf8_lossy(text).into_owned(),
            )),
            _ => Err(Nonsense::Unknown),
        }
    }
}

impl Request {
    /// Texts with a zero byte after each, which none of them can hold.
    fn encode(&self) -> Vec<u8> {
        let command = self.command.iter().map(|text| text.as_bytes());
        let texts = [self.directory.as_os_str().as_bytes()]
            .into_iter()
            .chain(command);
        texts.flat_map(|text| [text, b"\0"].concat()).collect()
    }

    /// From all parts together; `None` when a program is missing.
    pub fn decode(bytes: &[u8]) -> Option<Request> {
        let mut texts = bytes.strip_suffix(b"\0")?.split(|byte| *byte == 0);
        let own = |text: &[u8]| OsString::from_vec(text.to_owned());
        let directory = own(texts.next()?).into();
        let command: Vec<OsString> = texts.map(own).collect();
        let names_one = command.first().is_some_and(|program| !program.is_empty());
        names_one.then_some(Request { directory, command })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrived(request: &Request) -> Option<Request> {
        let mut bytes = Vec::new();
        for packet in Asked::request(request)? {
            assert!(packet.len() <= LONGEST);
            match Asked::decode(&packet).unwrap() {
                Asked::Part(part) | Asked::Last(part) => bytes.extend(part),
                Asked::Signal(_) => unreachable!(),
            }
        }
        Request::decode(&bytes)
    }

    #[test]
    fn a_request_arrives_as_it_was_sent_whatever_its_length() {
        for length in [0, 1, LONGEST - 2, LONGEST, LONGEST_REQUEST - 100] {
            let request = Request {
                directory: "/a".into(),
                command: vec!["cat".into(), "x".repeat(length).into(), "".into()],
            };
            assert_eq!(arrived(&request), Some(request));
        }
        let request = Request {
            directory: "/".into(),
            command: vec!["x".repeat(LONGEST_REQUEST).into()],
        };
        assert_eq!(Asked::request(&request), None);
    }

    #[test]
    fn answers_arrive_as_they_were_sent() {
        for answer in [
            Answer::Stopped(Signal::SIGTSTP),
            Answer::Ended(255),
            Answer::Failed(127, "no `x`".into()),
        ] {
            assert_eq!(Answer::decode(&answer.encode()), Ok(answer));
        }
    }

    #[test]
    fn nonsense_is_nothing() {
        assert_eq!(Asked::decode(b""), Err(Nonsense::Unknown));
        assert_eq!(Asked::decode(b"\x01"), Err(Nonsense::Unknown));
        assert_eq!(Asked::decode(b"\x02R/\0a\0"), Err(Nonsense::Version(2)));
        assert_eq!(Asked::decode(b"\x01S\xff"), Err(Nonsense::Unknown));
        assert_eq!(Asked::decode(b"\x01S\x01\x01"), Err(Nonsense::Unknown));
        assert_eq!(Asked::decode(b"\x01A"), Err(Nonsense::Unknown));
        assert_eq!(Answer::decode(b"\x01D"), Err(Nonsense::Unknown));
        for bytes in [&b""[..], b"/", b"/\0", b"/\0\0", b"/\0a"] {
            assert_eq!(Request::decode(bytes), None, "{bytes:?}");
        }
    }
}
