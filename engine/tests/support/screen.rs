//! A terminal that a test looks at and types into.
#![allow(dead_code, reason = "every test program uses a part of this")]

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::fchown;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::{grantpt, posix_openpt, ptsname_r, unlockpt};
use nix::sys::stat::Mode;
use nix::sys::termios::{LocalFlags, Termios, tcgetattr};
use rustix::termios::Winsize;

use super::{ORDINARY, Place, Ran, Who};

/// How long something may take to appear.
const PATIENCE: Duration = Duration::from_secs(20);

/// A program that has a terminal as its own, and leads its session.
pub struct Screen {
    main: File,
    /// The program's side, to look at its modes.
    side: OwnedFd,
    child: Started,
    shown: Vec<u8>,
    /// How much of it was looked at.
    seen: usize,
}

impl Screen {
    /// Starts `command` as `setsid --ctty` does; streams that are given are pipes or files.
    pub fn start(place: &Place, program: &str, arguments: &[&str]) -> Screen {
        let (main, side) = pair();
        rustix::termios::tcsetwinsize(&main, size(24, 80)).unwrap();
        if place.who == Who::Ordinary {
            fchown(&side, Some(ORDINARY), Some(ORDINARY)).unwrap();
        }
        // Whoever runs the tests may ignore signals (nohup(1)), and programs inherit that.
        let mut command: Command = place.command("env");
        command.args(["--default-signal", "setsid", "--ctty"]);
        command.arg(program).args(arguments);
        let stream = || Stdio::from(side.try_clone().unwrap());
        command.stdin(stream()).stdout(stream()).stderr(stream());
        let child = command.env("TERM", "dumb").spawn().unwrap();
        Screen {
            main: main.into(),
            side,
            child: Started(child),
            shown: Vec::new(),
            seen: 0,
        }
    }

    /// The image, alone on a terminal.
    pub fn image(place: &Place, arguments: &[&str]) -> Screen {
        Screen::start(place, &place.image.to_string_lossy(), arguments)
    }

    /// An interactive shell of the host, at its prompt.
    pub fn shell(place: &Place) -> Screen {
        let mut screen = Screen::start(place, "bash", &["--norc", "--noediting", "-i"]);
        screen.begin();
        screen
    }

    /// Waits for the first prompt of a shell, which is [`Screen::prompt`] then.
    pub fn begin(&mut self) {
        self.say("unset HISTFILE; PS1='%''% '");
        self.prompt();
    }

    /// Waits for the prompt of the shell; what is typed before may be for the program that runs.
    pub fn prompt(&mut self) -> String {
        self.expect("%% ")
    }

    /// Waits until a program reads keys and not lines.
    pub fn until_raw(&self) {
        let patience = Instant::now() + PATIENCE;
        while self.modes().local_flags.contains(LocalFlags::ICANON) {
            assert!(Instant::now() < patience);
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The process that was started.
    pub fn pid(&self) -> i32 {
        self.child.0.id() as i32
    }

    /// The modes of the terminal.
    pub fn modes(&self) -> Termios {
        tcgetattr(&self.side).unwrap()
    }

    /// The side that the program is at.
    pub fn side(&self) -> &OwnedFd {
        &self.side
    }

    /// Types bytes.
    pub fn keys(&mut self, bytes: &[u8]) {
        self.main.write_all(bytes).unwrap();
    }

    /// Types a line.
    pub fn say(&mut self, line: &str) {
        self.keys(format!("{line}\r").as_bytes());
    }

    /// Waits until `text` appears behind what was expected before; answers what came up to its end.
    pub fn expect(&mut self, text: &str) -> String {
        let patience = Instant::now() + PATIENCE;
        loop {
            let new = String::from_utf8_lossy(&self.shown[self.seen..]).into_owned();
            if let Some(at) = new.find(text) {
                let end = at + text.len();
                self.seen += end;
                return new[..end].to_owned();
            }
            assert!(Instant::now() < patience, "no {text:?} in {new:?}");
            self.look(100);
        }
    }

    /// Reads what there is, after waiting for it so many milliseconds at most. False when there was nothing.
    fn look(&mut self, milliseconds: u16) -> bool {
        let mut waited = [PollFd::new(self.main.as_fd(), PollFlags::POLLIN)];
        if poll(&mut waited, PollTimeout::from(milliseconds)).unwrap() == 0 {
            return false;
        }
        let mut bytes = [0; 1 << 16];
        let length = self.main.read(&mut bytes).unwrap_or(0);
        self.shown.extend_from_slice(&bytes[..length]);
        length > 0
    }

    /// Waits for the end of the program: its code, and everything that was shown and not expected.
    pub fn end(&mut self) -> (i32, String) {
        let patience = Instant::now() + PATIENCE;
        let code = loop {
            while self.look(10) {}
            if let Some(status) = self.child.0.try_wait().unwrap() {
                break Ran::code(status);
            }
            let text = String::from_utf8_lossy(&self.shown).into_owned();
            assert!(Instant::now() < patience, "no end after {text:?}");
        };
        while self.look(0) {}
        let rest = String::from_utf8_lossy(&self.shown[self.seen..]).into_owned();
        (code, rest)
    }

    /// Changes the size, as the window of a terminal does.
    pub fn resize(&self, rows: u16, columns: u16) {
        rustix::termios::tcsetwinsize(&self.main, size(rows, columns)).unwrap();
    }

    /// Closes the terminal, and waits for the end of the program that had it.
    pub fn close(self) {
        let Screen {
            main,
            side,
            mut child,
            ..
        } = self;
        drop((main, side));
        child.0.wait().unwrap();
    }
}

/// A program that is killed when it goes out of scope.
struct Started(Child);

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn size(rows: u16, columns: u16) -> Winsize {
    Winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    }
}

/// Both sides of a new terminal, in no program that is started.
fn pair() -> (OwnedFd, OwnedFd) {
    let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let main = posix_openpt(flags).unwrap();
    grantpt(&main).unwrap();
    unlockpt(&main).unwrap();
    let name = ptsname_r(&main).unwrap();
    let side = nix::fcntl::open(name.as_str(), flags, Mode::empty()).unwrap();
    (main.into(), side)
}
