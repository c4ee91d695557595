//! The lines with which a client of a message bus begins (D-Bus specification, "Authentication Protocol").
//!
//! A client that says `AUTH EXTERNAL` names its user id, in digits that are written in hexadecimal, and the bus compares it with what
//! the kernel says of the connection. Inside of the container the id may be any; the connection is the caller's.

/// Bytes of a line at most.
const LONGEST: usize = 16 << 10;

/// What a client says, with the id of the caller in the place of its own.
pub struct Handshake {
    /// The id, as the protocol writes it.
    id: Vec<u8>,
    /// The part of a line that has come.
    line: Vec<u8>,
    /// Whether the answer to the next challenge is the id.
    is_asked: bool,
    has_begun: bool,
}

/// A line without end.
#[derive(Debug, PartialEq, Eq)]
pub struct Endless;

impl Handshake {
    /// For a bus that knows the caller by `uid`.
    pub fn new(uid: u32) -> Handshake {
        let digits = uid.to_string();
        Handshake {
            id: digits
                .bytes()
                .flat_map(|byte| format!("{byte:02x}").into_bytes())
                .collect(),
            line: Vec::new(),
            is_asked: false,
            has_begun: false,
        }
    }

    /// What is to be said for the bytes that have come. After the last line nothing is changed.
    ///
    /// # Errors
    /// When a line has no end.
    pub fn pass(&mut self, bytes: &[u8]) -> Result<Vec<u8>, Endless> {
        let mut said = Vec::with_capacity(bytes.len());
        for (place, byte) in bytes.iter().enumerate() {
            if self.has_begun {
                said.extend(&bytes[place..]);
                break;
            }
            // The byte before the first line, with which the kernel tells who it is.
            if *byte == 0 && self.line.is_empty() {
                said.push(0);
                continue;
            }
            self.line.push(*byte);
            if self.line.ends_with(b"\r\n") {
                let line = std::mem::take(&mut self.line);
                said.extend(self.changed(&line));
            } else if self.line.len() > LONGEST {
                return Err(Endless);
            }
        }
        Ok(said)
    }

    fn changed(&mut self, line: &[u8]) -> Vec<u8> {
        let text = line.strip_suffix(b"\r\n").unwrap_or(line);
        let mut words = text
            .split(|byte| *byte == b' ')
            .filter(|word| !word.is_empty());
        match (words.next(), words.next(), words.next()) {
            (Some(b"BEGIN"), None, None) => self.has_begun = true,
            (Some(b"AUTH"), Some(b"EXTERNAL"), None) => self.is_asked = true,
            (Some(b"AUTH"), Some(b"EXTERNAL"), Some(_)) => {
                return [b"AUTH EXTERNAL ", &self.id[..], b"\r\n"].concat();
            }
            (Some(b"DATA"), Some(_), None) if self.is_asked => {
                return [b"DATA ", &self.id[..], b"\r\n"].concat();
            }
            _ => {}
        }
        line.to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(parts: &[&[u8]]) -> String {
        let mut handshake = Handshake::new(1000);
        let said = parts.iter().flat_map(|part| handshake.pass(part).unwrap());
        String::from_utf8(said.collect()).unwrap()
    }

    #[test]
    fn the_id_is_the_callers_however_it_is_told() {
        assert_eq!(
            said(&[b"\0AUTH EXTERNAL 30\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\nAUTH EXTERNAL 30\r\n"]),
            "\0AUTH EXTERNAL 31303030\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\nAUTH EXTERNAL 30\r\n"
        );
        assert_eq!(
            said(&[b"\0AUTH EXTERNAL\r\nDATA 35\r\nBEGIN\r\n"]),
            "\0AUTH EXTERNAL\r\nDATA 31303030\r\nBEGIN\r\n"
        );
        // Nothing is told: the bus takes what the kernel says.
        let anonymous = "\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n";
        assert_eq!(said(&[anonymous.as_bytes()]), anonymous);
    }

    #[test]
    fn lines_may_come_in_parts() {
        let whole = b"\0AUTH\r\nAUTH EXTERNAL 30\r\nBEGIN\r\nl\x01";
        let parts: Vec<&[u8]> = whole.chunks(1).collect();
        assert_eq!(said(&parts), said(&[whole]));
    }

    #[test]
    fn other_ways_are_passed_on() {
        let other = "\0AUTH ANONYMOUS 30\r\nDATA 30\r\nCANCEL\r\nBEGIN\r\n\0";
        assert_eq!(said(&[other.as_bytes()]), other);
    }

    #[test]
    fn a_line_without_end_is_none() {
        let mut handshake = Handshake::new(0);
        assert_eq!(handshake.pass(&[b'a'; LONGEST + 1]), Err(Endless));
    }
}
