//! As much of D-Bus as one message needs (D-Bus Specification 0.43): a client of the session bus that calls methods one after
//! the other.
//!
//! Nothing here has a time limit: whoever calls does it in the [background](crate::background), which has one.

use std::io::{self, Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};

use nix::unistd::geteuid;

mod address;
mod message;

pub use address::Address;
pub use message::{Call, Message, Values};

/// The longest message that is read: what answers here is a few words.
const LONGEST: usize = 1 << 20;

/// The longest line of the greeting (the specification has no limit; servers have this).
const LONGEST_LINE: usize = 16 << 10;

/// A connection that the bus has greeted.
pub struct Bus {
    stream: UnixStream,
    serial: u32,
}

impl Bus {
    /// Connects to the first of the addresses that answers.
    ///
    /// # Errors
    /// Of the last one, as connect(2) or in words.
    pub fn connect(addresses: &[Address]) -> io::Result<Bus> {
        let mut last = io::Error::other("the bus has no address that can be reached");
        for address in addresses {
            match open(address).and_then(Bus::greet) {
                Ok(bus) => return Ok(bus),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Says who the caller is, which the kernel confirms to the other side, and asks to be let in.
    fn greet(stream: UnixStream) -> io::Result<Bus> {
        let uid = geteuid().to_string();
        let digits: String = uid.bytes().map(|byte| format!("{byte:02x}")).collect();
        let mut bus = Bus { stream, serial: 0 };
        bus.stream
            .write_all(format!("\0AUTH EXTERNAL {digits}\r\n").as_bytes())?;
        let answer = bus.line()?;
        if !answer.starts_with(b"OK ") {
            return Err(io::Error::other("the bus does not let this user in"));
        }
        bus.stream.write_all(b"BEGIN\r\n")?;
        bus.call(&Call {
            destination: "org.freedesktop.DBus",
            path: "/org/freedesktop/DBus",
            interface: "org.freedesktop.DBus",
            member: "Hello",
            signature: "",
            body: Values::default(),
        })?;
        Ok(bus)
    }

    /// Calls a method and waits for its answer: the bytes of its body.
    ///
    /// # Errors
    /// As read(2) and write(2); an answer that is an error, by its text.
    pub fn call(&mut self, call: &Call<'_>) -> io::Result<Vec<u8>> {
        self.serial += 1;
        self.stream.write_all(&call.bytes(self.serial))?;
        loop {
            let message = Message::read(&mut self.stream, LONGEST)?;
            match message.answers(self.serial) {
                None => {}
                Some(true) => return Ok(message.body),
                Some(false) => {
                    let said = message.first_text();
                    return Err(io::Error::other(said.unwrap_or("it refuses".into())));
                }
            }
        }
    }

    fn line(&mut self) -> io::Result<Vec<u8>> {
        let mut line = Vec::new();
        let mut byte = [0];
        while !line.ends_with(b"\r\n") {
            if line.len() == LONGEST_LINE {
                return Err(io::ErrorKind::InvalidData.into());
            }
            // Byte by byte: what follows the line is the next message's.
            self.stream.read_exact(&mut byte)?;
            line.extend(byte);
        }
        Ok(line)
    }
}

fn open(address: &Address) -> io::Result<UnixStream> {
    match address {
        Address::Path(path) => UnixStream::connect(path),
        Address::Abstract(name) => UnixStream::connect_addr(&SocketAddr::from_abstract_name(name)?),
    }
}
