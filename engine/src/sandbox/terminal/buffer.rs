//! Bytes on their way from one descriptor to another, neither of which is waited for.

use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::unistd::{read, write};

/// Bytes that are held at most.
const SIZE: usize = 64 * 1024;

/// Bytes that were read and not yet written.
pub struct Buffer {
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
}

/// What became of a read or a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// There may be more to do, or it would have to be waited for.
    Open,
    /// The other side is gone.
    Closed,
}

impl Buffer {
    /// An empty one.
    pub fn new() -> Buffer {
        Buffer {
            bytes: vec![0; SIZE].into(),
            start: 0,
            end: 0,
        }
    }

    /// Whether everything was written.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Whether there is room to read into.
    pub fn has_room(&self) -> bool {
        self.end < SIZE
    }

    /// Adds a byte, if there is room.
    pub fn push(&mut self, byte: u8) {
        if self.has_room() {
            self.bytes[self.end] = byte;
            self.end += 1;
        }
    }

    /// Reads once.
    pub fn fill(&mut self, from: impl AsFd) -> Flow {
        match read(from, &mut self.bytes[self.end..]) {
            Ok(0) => Flow::Closed,
            Ok(length) => {
                self.end += length;
                Flow::Open
            }
            Err(error) => after(error),
        }
    }

    /// Reads until there is nothing to read or no room; a terminal gives 4 KiB at a time.
    pub fn fill_up(&mut self, from: impl AsFd) -> Flow {
        while self.has_room() {
            let before = self.end;
            if self.fill(from.as_fd()) == Flow::Closed {
                return Flow::Closed;
            }
            if self.end == before {
                break;
            }
        }
        Flow::Open
    }

    /// Writes once.
    pub fn drain(&mut self, to: impl AsFd) -> Flow {
        match write(to, &self.bytes[self.start..self.end]) {
            Ok(length) => self.start += length,
            Err(error) => return after(error),
        }
        if self.is_empty() {
            (self.start, self.end) = (0, 0);
        } else if !self.has_room() {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        Flow::Open
    }
}

/// `EIO` is what a terminal answers whose other side is gone.
fn after(error: Errno) -> Flow {
    match error {
        Errno::EAGAIN | Errno::EINTR => Flow::Open,
        _ => Flow::Closed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::fcntl::OFlag;
    use nix::unistd::pipe2;

    #[test]
    fn every_byte_passes_once_and_in_order_through_pipes_that_take_little() {
        let (from, source) = pipe2(OFlag::O_NONBLOCK).unwrap();
        let (sink, to) = pipe2(OFlag::O_NONBLOCK).unwrap();
        let sent: Vec<u8> = (0..1_000_000_u32).map(|i| (i % 251) as u8).collect();
        let (mut given, mut received) = (0, Vec::new());
        let (mut buffer, mut chunk) = (Buffer::new(), vec![0; 7_001]);
        while received.len() < sent.len() {
            given += write(&source, &sent[given..]).unwrap_or(0);
            assert_eq!(buffer.fill_up(&from), Flow::Open);
            assert_eq!(buffer.drain(&to), Flow::Open);
            let length = read(&sink, &mut chunk).unwrap_or(0);
            received.extend_from_slice(&chunk[..length]);
        }
        assert!(received == sent);
        drop(source);
        assert_eq!(buffer.fill_up(&from), Flow::Closed);
    }
}
