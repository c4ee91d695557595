//! A desktop session: a message bus, and somebody on it who shows notifications.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use super::ORDINARY;

/// Lets everybody in, and not only who started it.
const CONFIGURATION: &str = r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>session</type><listen>unix:path=SOCKET</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/><allow own="*"/><allow send_destination="*"/>
<allow receive_sender="*"/></policy></busconfig>"#;

/// A notification that was shown.
#[derive(Debug)]
pub struct Shown {
    pub application: String,
    pub icon: String,
    pub summary: String,
    pub body: String,
    /// Names of the hints and the bytes of their values.
    pub hints: BTreeMap<String, Vec<u8>>,
}

/// A bus of its own, ended with the test.
pub struct Session {
    daemon: Child,
    directory: tempfile::TempDir,
    shown: Receiver<Shown>,
}

impl Session {
    /// Starts both. Whoever shows notifications understands markup or does not.
    pub fn start(markup: bool) -> Session {
        let directory = tempfile::Builder::new()
            .prefix("session-")
            .tempdir()
            .unwrap();
        let everybody = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(directory.path(), everybody).unwrap();
        let socket = directory.path().join("bus");
        let text = CONFIGURATION.replace("SOCKET", socket.to_str().unwrap());
        let configuration = directory.path().join("session.conf");
        fs::write(&configuration, text).unwrap();
        let mut daemon = daemon(directory.path())
            .arg("--config-file")
            .arg(configuration)
            .args(["--nofork", "--print-address"])
            .stdout(Stdio::piped())
            // It complains about limits of its own.
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let said = daemon.stdout.take().unwrap();
        BufReader::new(said).read_line(&mut line).unwrap();
        assert!(
            line.starts_with("unix:"),
            "dbus-daemon, of the package dbus, is needed"
        );
        let (sender, shown) = channel();
        serve(&socket, sender, markup);
        Session {
            daemon,
            directory,
            shown,
        }
    }

    /// Its address, as programs find it in their environment.
    pub fn address(&self) -> String {
        format!("unix:path={}/bus", self.directory.path().display())
    }

    /// The next notification.
    pub fn next(&self) -> Shown {
        self.shown.recv_timeout(Duration::from_secs(60)).unwrap()
    }

    /// Demands that there is no other. All who could send one must have ended.
    pub fn assert_silent(&self) {
        let other = self.shown.try_recv();
        assert!(other.is_err(), "{other:?}");
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

/// The daemon. It lets nobody in who has no account: for it the ordinary user has one.
fn daemon(directory: &Path) -> Command {
    if !nix::unistd::geteuid().is_root() {
        return Command::new("dbus-daemon");
    }
    let accounts = directory.join("passwd");
    let known = fs::read_to_string("/etc/passwd").unwrap();
    let own = format!("ordinary:x:{ORDINARY}:{ORDINARY}::/:/bin/sh\n");
    fs::write(&accounts, known + &own).unwrap();
    let mut command = Command::new("unshare");
    let script = "mount --bind \"$0\" /etc/passwd && exec dbus-daemon \"$@\"";
    command.args(["-m", "sh", "-c", script]).arg(accounts);
    command
}

/// Takes the name of who shows notifications, and shows them until the bus is gone.
fn serve(socket: &Path, shown: Sender<Shown>, markup: bool) {
    let mut bus = UnixStream::connect(socket).unwrap();
    let uid = nix::unistd::geteuid().to_string();
    let digits: String = uid.bytes().map(|byte| format!("{byte:02x}")).collect();
    write!(bus, "\0AUTH EXTERNAL {digits}\r\n").unwrap();
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        let mut byte = [0];
        bus.read_exact(&mut byte).unwrap();
        line.extend(byte);
    }
    assert!(
        line.starts_with(b"OK"),
        "{}",
        String::from_utf8_lossy(&line)
    );
    bus.write_all(b"BEGIN\r\n").unwrap();
    bus.write_all(&ask_bus(1, "Hello", &[])).unwrap();
    let mut name = Bytes::default();
    name.text("org.freedesktop.Notifications");
    name.number(0);
    bus.write_all(&ask_bus(2, "RequestName", &name.0)).unwrap();
    // The two answers, and the signals that come with them.
    let mut answers = 0;
    while answers < 2 {
        answers += usize::from(Incoming::read(&mut bus).unwrap().kind == 2);
    }
    std::thread::spawn(move || {
        while let Some(message) = Incoming::read(&mut bus) {
            if message.kind != 1 {
                continue;
            }
            let mut answer = Bytes::default();
            let signature = match message.member.as_str() {
                "GetCapabilities" => {
                    let capability = if markup { "body-markup" } else { "body" };
                    answer.number(4 + capability.len() as u32 + 1);
                    answer.text(capability);
                    "as"
                }
                "Notify" => {
                    answer.number(1);
                    let _ = shown.send(parse(&message.body));
                    "u"
                }
                // Clients ask what else it can do.
                _ => {
                    let _ = bus.write_all(&message.refused());
                    continue;
                }
            };
            let _ = bus.write_all(&message.answered(signature, &answer.0));
        }
    });
}

/// Values in the order of bytes of this machine, which is little endian.
#[derive(Default)]
struct Bytes(Vec<u8>);

impl Bytes {
    fn align(&mut self, to: usize) {
        while !self.0.len().is_multiple_of(to) {
            self.0.push(0);
        }
    }

    fn number(&mut self, number: u32) {
        self.align(4);
        self.0.extend(number.to_le_bytes());
    }

    fn text(&mut self, text: &str) {
        self.number(text.len() as u32);
        self.0.extend(text.as_bytes());
        self.0.push(0);
    }

    /// A header field.
    fn field(&mut self, code: u8, kind: u8, value: &str) {
        self.align(8);
        self.0.extend([code, 1, kind, 0]);
        match kind {
            b'g' => {
                self.0.push(value.len() as u8);
                self.0.extend(value.as_bytes());
                self.0.push(0);
            }
            b'u' => self.number(value.parse().unwrap()),
            _ => self.text(value),
        }
    }
}

fn message(kind: u8, serial: u32, fields: Bytes, body: &[u8]) -> Vec<u8> {
    let mut message = Bytes(vec![b'l', kind, 0, 1]);
    message.number(body.len() as u32);
    message.number(serial);
    message.number(fields.0.len() as u32);
    message.0.extend(fields.0);
    message.align(8);
    message.0.extend(body);
    message.0
}

fn ask_bus(serial: u32, member: &str, body: &[u8]) -> Vec<u8> {
    let mut fields = Bytes::default();
    fields.field(1, b'o', "/org/freedesktop/DBus");
    fields.field(2, b's', "org.freedesktop.DBus");
    fields.field(3, b's', member);
    fields.field(6, b's', "org.freedesktop.DBus");
    if !body.is_empty() {
        fields.field(8, b'g', "su");
    }
    message(1, serial, fields, body)
}

struct Incoming {
    kind: u8,
    serial: u32,
    member: String,
    sender: String,
    body: Vec<u8>,
}

impl Incoming {
    fn read(from: &mut UnixStream) -> Option<Incoming> {
        let mut head = [0; 16];
        from.read_exact(&mut head).ok()?;
        assert_eq!(head[0], b'l');
        let number = |at: usize| u32::from_le_bytes(head[at..at + 4].try_into().unwrap());
        let (length, fields) = (number(4) as usize, number(12) as usize);
        let mut rest = vec![0; fields.next_multiple_of(8) + length];
        from.read_exact(&mut rest).ok()?;
        let body = rest.split_off(fields.next_multiple_of(8));
        let mut header = Cursor(&rest[..fields], 0);
        let mut message = Incoming {
            kind: head[1],
            serial: number(8),
            member: String::new(),
            sender: String::new(),
            body,
        };
        while header.1 < fields {
            header.align(8);
            let code = header.byte();
            match (code, header.signature().as_str()) {
                (3, "s") => message.member = header.text(),
                (7, "s") => message.sender = header.text(),
                (_, "s" | "o") => drop(header.text()),
                (_, "g") => drop(header.signature()),
                (_, "u") => drop(header.number()),
                other => panic!("{other:?}"),
            }
        }
        Some(message)
    }

    fn refused(&self) -> Vec<u8> {
        let mut fields = Bytes::default();
        fields.field(4, b's', "org.freedesktop.DBus.Error.UnknownMethod");
        fields.field(5, b'u', &self.serial.to_string());
        fields.field(6, b's', &self.sender);
        message(3, self.serial + 100, fields, &[])
    }

    fn answered(&self, signature: &str, body: &[u8]) -> Vec<u8> {
        let mut fields = Bytes::default();
        fields.field(5, b'u', &self.serial.to_string());
        fields.field(6, b's', &self.sender);
        fields.field(8, b'g', signature);
        message(2, self.serial + 100, fields, body)
    }
}

/// Bytes, and how far they are read.
struct Cursor<'a>(&'a [u8], usize);

impl Cursor<'_> {
    fn align(&mut self, to: usize) {
        self.1 = self.1.next_multiple_of(to);
    }

    fn byte(&mut self) -> u8 {
        self.1 += 1;
        self.0[self.1 - 1]
    }

    fn number(&mut self) -> u32 {
        self.align(4);
        self.1 += 4;
        u32::from_le_bytes(self.0[self.1 - 4..self.1].try_into().unwrap())
    }

    fn text(&mut self) -> String {
        let length = self.number() as usize;
        let text = self.0[self.1..self.1 + length].to_vec();
        assert_eq!(self.0[self.1 + length], 0);
        self.1 += length + 1;
        String::from_utf8(text).unwrap()
    }

    fn signature(&mut self) -> String {
        let length = usize::from(self.byte());
        let text = self.0[self.1..self.1 + length].to_vec();
        self.1 += length + 1;
        String::from_utf8(text).unwrap()
    }
}

/// The arguments of `Notify`: `susssasa{sv}i`.
fn parse(body: &[u8]) -> Shown {
    let mut body = Cursor(body, 0);
    let application = body.text();
    assert_eq!(body.number(), 0, "it replaces none");
    let (icon, summary, text) = (body.text(), body.text(), body.text());
    assert_eq!(body.number(), 0, "it has no buttons");
    let length = body.number() as usize;
    body.align(8);
    let end = body.1 + length;
    let mut hints = BTreeMap::new();
    while body.1 < end {
        body.align(8);
        let name = body.text();
        let value = match body.signature().as_str() {
            "y" => vec![body.byte()],
            "s" => body.text().into_bytes(),
            "(iiibiiay)" => {
                body.align(8);
                let numbers: Vec<u32> = (0..6).map(|_| body.number()).collect();
                let (side, length) = (numbers[0], body.number());
                assert_eq!(numbers, [side, side, side * 4, 1, 8, 4]);
                assert_eq!(length, side * side * 4);
                let pixels = body.0[body.1..body.1 + length as usize].to_vec();
                body.1 += length as usize;
                pixels
            }
            other => panic!("{other}"),
        };
        hints.insert(name, value);
    }
    assert_eq!(body.number(), u32::MAX, "the desktop knows for how long");
    assert_eq!(body.1, body.0.len());
    Shown {
        application,
        icon,
        summary,
        body: text,
        hints,
    }
}
