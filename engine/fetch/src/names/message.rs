//! Questions and answers of the domain name system (RFC 1035, 4; RFC 3596).

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const HEADER: usize = 12;
/// Flags of the header: an answer, one that was cut off, a wish that the server asks others.
const ANSWER: u16 = 0x8000;
const CUT_OFF: u16 = 0x0200;
const RECURSION: u16 = 0x0100;
/// Codes: sound, and a name that does not exist.
const SOUND: u16 = 0;
const NO_NAME: u16 = 3;
const INTERNET: u16 = 1;

/// What is asked for.
#[derive(Clone, Copy)]
pub enum Kind {
    V4,
    V6,
}

impl Kind {
    fn code(self) -> u16 {
        match self {
            Kind::V4 => 1,
            Kind::V6 => 28,
        }
    }
}

/// What a server says.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    Addresses(Vec<IpAddr>),
    /// The rest did not fit.
    CutOff,
}

/// A question; `None` when nothing can have that name.
pub fn question(id: [u8; 2], name: &str, kind: Kind) -> Option<Vec<u8>> {
    let mut bytes = id.to_vec();
    for field in [RECURSION, 1, 0, 0, 0] {
        bytes.extend(field.to_be_bytes());
    }
    for label in name.split('.') {
        let length = u8::try_from(label.len())
            .ok()
            .filter(|length| (1..64).contains(length))?;
        bytes.push(length);
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    let fits = bytes.len() - HEADER <= 255;
    bytes.extend(kind.code().to_be_bytes());
    bytes.extend(INTERNET.to_be_bytes());
    fits.then_some(bytes)
}

/// What `bytes` answers to `question`.
///
/// # Errors
/// When it is no answer to it, the server has failed, or it is malformed.
pub fn answer(bytes: &[u8], question: &[u8]) -> io::Result<Answer> {
    let flags = number(bytes, 2)?;
    let asked = question.get(HEADER..).unwrap_or_default();
    let repeated = bytes
        .get(HEADER..HEADER + asked.len())
        .ok_or_else(malformed)?;
    let is_ours = bytes.starts_with(&question[..2]) && repeated.eq_ignore_ascii_case(asked);
    if flags & ANSWER == 0 || number(bytes, 4)? != 1 || !is_ours {
        return Err(malformed());
    }
    if flags & CUT_OFF != 0 {
        return Ok(Answer::CutOff);
    }
    match flags & 0xf {
        SOUND => {}
        NO_NAME => return Ok(Answer::Addresses(Vec::new())),
        _ => return Err(io::Error::other("the name server has failed")),
    }
    let mut at = HEADER + asked.len();
    let mut found = Vec::new();
    for _ in 0..number(bytes, 6)? {
        at = behind_name(bytes, at)?;
        let (kind, class, length) = (
            number(bytes, at)?,
            number(bytes, at + 2)?,
            number(bytes, at + 8)?,
        );
        let data = bytes
            .get(at + 10..at + 10 + usize::from(length))
            .ok_or_else(malformed)?;
        at += 10 + data.len();
        if class == INTERNET {
            // Other names that lead to these are answered along with them.
            found.extend(address(kind, data));
        }
    }
    Ok(Answer::Addresses(found))
}

fn address(kind: u16, data: &[u8]) -> Option<IpAddr> {
    if kind == Kind::V4.code() {
        return Some(Ipv4Addr::from(<[u8; 4]>::try_from(data).ok()?).into());
    }
    let is_v6 = kind == Kind::V6.code();
    is_v6.then(|| Some(Ipv6Addr::from(<[u8; 16]>::try_from(data).ok()?).into()))?
}

/// The first byte behind a name, which ends with an empty label or a reference to another one.
fn behind_name(bytes: &[u8], mut at: usize) -> io::Result<usize> {
    loop {
        match *bytes.get(at).ok_or_else(malformed)? {
            0 => return Ok(at + 1),
            length @ 1..64 => at += 1 + usize::from(length),
            0xc0.. => return Ok(at + 2),
            _ => return Err(malformed()),
        }
    }
}

fn number(bytes: &[u8], at: usize) -> io::Result<u16> {
    let found = bytes.get(at..).and_then(|rest| rest.first_chunk::<2>());
    found
        .map(|bytes| u16::from_be_bytes(*bytes))
        .ok_or_else(malformed)
}

fn malformed() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "the name server's answer is malformed",
    )
}
