//! The process that runs one program of the host for the container.
//!
//! It has nothing open but the connection and the program's streams, and ends with either side: with the program, or with the
//! connection, which is closed when whoever asked is gone. Then the program is asked to end, and made to if it does not.

use std::ffi::{CString, OsStr, OsString};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, kill, killpg};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{
    Pid, chdir, dup2_stderr, dup2_stdin, dup2_stdout, execve, pipe2, setpgid, setsid,
};

use super::host::Rules;
use super::wire::{Answer, Asked, LONGEST, Request};
use crate::relocate;
use crate::sandbox::channel::send_packet;
use crate::sandbox::failure::{Attempt, NOT_EXECUTABLE, NOT_FOUND};
use crate::sandbox::init::exit_code;
use crate::sandbox::{Failure, die_with_parent, plain, signals};
use crate::sys::{Fork, close_all_but, close_on_exec_from, fork, receive_with_descriptors};

/// How long a program may take to end once nobody waits for it.
const PATIENCE: Duration = Duration::from_secs(5);

/// In a process that was just forked from the supervisor: runs what is asked for at `socket`.
pub fn run(socket: OwnedFd, request: &[u8], streams: [OwnedFd; 3], rules: &Rules) -> ! {
    let answer = match begin(&socket, streams).and_then(|signals| {
        let running = start(request, rules)?;
        Ok(serve(&socket, &signals, running))
    }) {
        Ok(Some(code)) => Some(Answer::Ended(code)),
        Ok(None) => None,
        Err(Failure { code, text }) => Some(Answer::Failed(code, text)),
    };
    if let Some(answer) = answer {
        // Nobody is left to tell when whoever asked is gone.
        let _ = send_packet(socket.as_fd(), &answer.encode(), &[]);
    }
    std::process::exit(0)
}

/// Leaves everything of the supervisor's: its terminal's session, its signals and its descriptors.
fn begin(socket: &OwnedFd, streams: [OwnedFd; 3]) -> Result<SignalFd, Failure> {
    let [input, output, error] = streams;
    setsid()
        .and_then(|_| dup2_stdin(&input))
        .and_then(|()| dup2_stdout(&output))
        .and_then(|()| dup2_stderr(&error))
        .attempting(|| "take the program's streams".into())?;
    drop((input, output, error));
    close_all_but(3, &[socket.as_fd()]).attempting(|| "close what is the container's".into())?;
    let mut set = SigSet::empty();
    set.add(Signal::SIGCHLD);
    set.thread_set_mask()
        .and_then(|()| SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC))
        .attempting(|| "block signals".into())
}

fn start(request: &[u8], rules: &Rules) -> Result<Pid, Failure> {
    let request = Request::decode(request)
        .ok_or_else(|| Failure::ours("the portal was asked for no program"))?;
    let directory = rules.directory(&request.directory);
    let at = match &directory {
        Some(directory) => directory.clone(),
        None => std::env::current_dir().unwrap_or_else(|_| "/".into()),
    };
    let path = find(&request.command[0], &at, rules)?;
    spawn(&path, &request.command, directory.as_deref())
}

/// The program without links, if it may be run. Of one that may not be run nothing is told, not even whether it is there: it
/// is called what it was asked for by.
fn find(program: &OsStr, at: &Path, rules: &Rules) -> Result<PathBuf, Failure> {
    let candidates = candidates(program, at);
    let mut found = candidates
        .iter()
        .filter_map(|path| fs::canonicalize(path).ok())
        .filter(|path| is_program(path));
    let name = program.display();
    match found.next() {
        Some(path) if rules.admitted.admits(&path) => Ok(path),
        None if candidates.iter().any(|path| rules.admitted.admits(path)) => Err(Failure {
            code: NOT_FOUND,
            text: format!("the host has no program `{name}`"),
        }),
        _ => Err(Failure::ours(format!(
            "the host does not run `{name}` for this container; list it with `fim-{}` to allow that, and start the container again",
            rules.command
        ))),
    }
}

/// Where a program may be: at its own path, or in the directories of the caller's `PATH`.
fn candidates(program: &OsStr, at: &Path) -> Vec<PathBuf> {
    if program.as_bytes().contains(&b'/') {
        return vec![at.join(program)];
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .filter(|directory| directory.is_absolute())
        .map(|directory| directory.join(program))
        .collect()
}

fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

/// Starts the program in a process group of its own.
fn spawn(path: &Path, command: &[OsString], directory: Option<&Path>) -> Result<Pid, Failure> {
    let text =
        |text: OsString| CString::new(text.into_vec()).attempting(|| "pass a NUL byte".into());
    let arguments = command
        .iter()
        .map(|argument| text(argument.clone()))
        .collect::<Result<Vec<_>, _>>()?;
    let variables = relocate::environment().into_iter();
    let environment = variables
        .map(|(mut name, value)| {
            name.push("=");
            name.push(value);
            text(name)
        })
        .collect::<Result<Vec<_>, _>>()?;
    let file = text(path.as_os_str().to_owned())?;
    let (reader, writer) = pipe2(OFlag::O_CLOEXEC).attempting(|| "make a pipe".into())?;
    match fork().attempting(|| "start a process".into())? {
        Fork::Child => {
            let _ = setpgid(Pid::this(), Pid::this());
            if let Some(directory) = directory {
                // It was there a moment ago; where the supervisor is, is as good as any.
                let _ = chdir(directory);
            }
            let ready = die_with_parent().is_ok()
                && signals::restore_defaults().is_ok()
                && close_on_exec_from(3).is_ok();
            let error = match ready {
                true => execve(&file, &arguments, &environment).unwrap_err(),
                false => Errno::EAGAIN,
            };
            let _ = File::from(writer).write_all(&(error as i32).to_le_bytes());
            std::process::exit(1)
        }
        Fork::Parent(program) => {
            drop(writer);
            // The second of the two may come after execve.
            let _ = setpgid(program, program);
            let mut error = [0; 4];
            match File::from(reader).read_exact(&mut error) {
                // The pipe was closed by a successful execve.
                Err(_) => Ok(program),
                Ok(()) => Err(cannot_execute(
                    path,
                    Errno::from_raw(i32::from_le_bytes(error)),
                )),
            }
        }
    }
}

fn cannot_execute(path: &Path, error: Errno) -> Failure {
    let (path, reason) = (path.display(), plain(&error.into()));
    Failure {
        code: NOT_EXECUTABLE,
        text: format!("the host cannot run `{path}`: {reason}"),
    }
}

/// Serves the program until it has ended; `None` when nobody wants to know.
fn serve(socket: &OwnedFd, signals: &SignalFd, program: Pid) -> Option<u8> {
    loop {
        let mut waited = [
            PollFd::new(signals.as_fd(), PollFlags::POLLIN),
            PollFd::new(socket.as_fd(), PollFlags::POLLIN),
        ];
        let _ = poll(&mut waited, PollTimeout::NONE);
        let [ends, speaks] = waited.map(|fd| fd.any().unwrap_or(false));
        if ends {
            let _ = signals.read_signal();
            match waitpid(program, Some(WaitPidFlag::WNOHANG | WaitPidFlag::WUNTRACED)) {
                Ok(WaitStatus::Stopped(_, signal)) => {
                    let _ = send_packet(socket.as_fd(), &Answer::Stopped(signal).encode(), &[]);
                }
                Ok(status) => {
                    if let Some(code) = exit_code(status) {
                        return Some(code);
                    }
                }
                Err(_) => return None,
            }
        }
        if speaks {
            match hear(socket) {
                Some(signal) => deliver(program, signal),
                None => {
                    end(signals, program);
                    return None;
                }
            }
        }
    }
}

/// A signal for the program; `None` when whoever asked is gone, or talks nonsense.
fn hear(socket: &OwnedFd) -> Option<Signal> {
    let mut packet = [0; LONGEST];
    let (length, _) = receive_with_descriptors(socket.as_fd(), &mut packet).ok()?;
    match Asked::decode(&packet[..length]) {
        Ok(Asked::Signal(signal)) => Some(signal),
        _ => None,
    }
}

/// What a terminal sends goes to all processes of the program.
fn deliver(program: Pid, signal: Signal) {
    let is_for_all = matches!(
        signal,
        Signal::SIGHUP
            | Signal::SIGINT
            | Signal::SIGQUIT
            | Signal::SIGTSTP
            | Signal::SIGCONT
            | Signal::SIGWINCH
            | Signal::SIGKILL
    );
    // It may have ended meanwhile.
    let _ = match is_for_all {
        true => killpg(program, signal),
        false => kill(program, signal),
    };
}

/// Ends the program.
fn end(signals: &SignalFd, program: Pid) {
    for signal in [Signal::SIGTERM, Signal::SIGCONT] {
        let _ = killpg(program, signal);
    }
    let until = Instant::now() + PATIENCE;
    while let Ok(WaitStatus::StillAlive) = waitpid(program, Some(WaitPidFlag::WNOHANG)) {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        let mut waited = [PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
        let left = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
        if poll(&mut waited, left).is_ok_and(|ready| ready > 0) {
            let _ = signals.read_signal();
        }
    }
    let _ = killpg(program, Signal::SIGKILL);
}
