//! The container's side of the portal: the program `fim_portal`.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, raise};
use nix::sys::signalfd::SignalFd;

use super::wire::{Answer, Asked, LONGEST, LONGEST_REQUEST, Request};
use crate::plan::{ADDRESS, ASKER, PLACE};
use crate::sandbox::channel::send_packet;
use crate::sandbox::failure::Attempt;
use crate::sandbox::{Failure, peer, signals};
use crate::sys::receive_with_descriptors;

/// The name that this program was called by, if it was called as what asks at the portal.
pub fn asker() -> Option<OsString> {
    let program = std::fs::read_link("/proc/self/exe").ok()?;
    let is_asker = program.parent() == Some(Path::new(PLACE));
    let called = std::env::args_os().next().unwrap_or_default();
    let name = Path::new(&called).file_name().unwrap_or_default();
    is_asker.then(|| name.to_owned())
}

/// Asks for a program of the host, and answers its exit code. Called as `fim_portal` the program is the first argument; by another
/// name it is that one.
///
/// # Errors
/// When it is not run.
pub fn ask(name: &OsStr, mut command: Vec<OsString>) -> Result<u8, Failure> {
    if name != ASKER {
        command.insert(0, name.to_owned());
    }
    if command.first().is_none_or(|program| program.is_empty()) {
        return Err(Failure::ours(format!(
            "name a program of the host; usage: {ASKER} <program> [args…]"
        )));
    }
    // A signal that comes before the program is there waits for it.
    let signals = signals::block(true).attempting(|| "block signals".into())?;
    let socket = connect(command)?;
    loop {
        let mut waited = [
            PollFd::new(socket.as_fd(), PollFlags::POLLIN),
            PollFd::new(signals.as_fd(), PollFlags::POLLIN),
        ];
        match poll(&mut waited, PollTimeout::NONE) {
            Err(Errno::EINTR) => continue,
            result => drop(result.attempting(|| "wait for the host".into())?),
        }
        let [answered, signalled] = waited.map(|fd| fd.any().unwrap_or(false));
        if answered && let Some(code) = hear(&socket)? {
            return Ok(code);
        }
        if signalled {
            hand_on(&signals, &socket)?;
        }
    }
}

fn connect(command: Vec<OsString>) -> Result<OwnedFd, Failure> {
    let request = Request {
        directory: std::env::current_dir().unwrap_or_default(),
        command,
    };
    let packets = Asked::request(&request).ok_or_else(|| {
        Failure::ours(format!(
            "the arguments are longer than {LONGEST_REQUEST} bytes; pass them in a file or through standard input"
        ))
    })?;
    let socket = peer::connect_to_file(&Path::new(PLACE).join(ADDRESS))
        .attempting(|| "reach the host".into())?;
    let (input, output, error) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
    let streams = [input.as_fd(), output.as_fd(), error.as_fd()];
    for (index, packet) in packets.iter().enumerate() {
        let is_last = index + 1 == packets.len();
        let with: &[BorrowedFd<'_>] = if is_last { &streams } else { &[] };
        send_packet(socket.as_fd(), packet, with).attempting(|| "ask the host".into())?;
    }
    Ok(socket)
}

/// Takes an answer; the exit code if it is the last.
fn hear(socket: &OwnedFd) -> Result<Option<u8>, Failure> {
    let mut packet = [0; LONGEST];
    let received = receive_with_descriptors(socket.as_fd(), &mut packet);
    let (length, _) = received.attempting(|| "hear from the host".into())?;
    match Answer::decode(&packet[..length]) {
        Ok(Answer::Ended(code)) => Ok(Some(code)),
        Ok(Answer::Failed(code, text)) => Err(Failure { code, text }),
        Ok(Answer::Stopped(_)) => {
            // Whoever watches us sees what became of the program. Once we go on it is told.
            let _ = raise(Signal::SIGSTOP);
            Ok(None)
        }
        Err(_) => Err(Failure::ours(
            "the host has closed the portal: too much was asked at once, or its side was killed",
        )),
    }
}

fn hand_on(signals: &SignalFd, socket: &OwnedFd) -> Result<(), Failure> {
    let received = signals
        .read_signal()
        .attempting(|| "wait for a signal".into())?;
    let signal = received.and_then(|received| Signal::try_from(received.ssi_signo as i32).ok());
    if let Some(signal) = signal.filter(|signal| *signal != Signal::SIGCHLD) {
        // Its end may be on its way.
        let _ = send_packet(socket.as_fd(), &Asked::signal(signal), &[]);
    }
    Ok(())
}
