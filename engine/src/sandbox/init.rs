//! The first process of the container once everything is built: it starts the program, hands
//! on signals, and reaps whatever is left to it.

use std::convert::Infallible;
use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::prctl;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{Pid, chdir, execve, pipe2, setpgid};

use super::channel::{Channel, Message};
use super::failure::{Attempt, Failure, NOT_EXECUTABLE, NOT_FOUND, plain};
use super::guest::Home;
use super::hints::Hints;
use super::terminal::Inside;
use super::{descendants, identity, signals};
use crate::plan::{Exec, Identity};
use crate::sys::{
    Capabilities, Fork, close_on_exec_from, drop_bounding_set, fork, set_capabilities,
};

mod first;

use first::First;

/// Capability names of a plan and their numbers in `linux/capability.h`.
const CAPABILITIES: [(&str, u32); 10] = [
    ("CHOWN", 0),
    ("DAC_OVERRIDE", 1),
    ("FOWNER", 3),
    ("FSETID", 4),
    ("KILL", 5),
    ("SETGID", 6),
    ("SETUID", 7),
    ("SETPCAP", 8),
    ("SYS_CHROOT", 18),
    ("SETFCAP", 31),
];

/// `CAP_SYS_PTRACE`
const PTRACE: Capabilities = Capabilities(1 << 19);

fn capabilities(exec: &Exec) -> Capabilities {
    let number = |name: &&str| CAPABILITIES.iter().find(|(known, _)| known == name);
    let numbers = exec.capabilities.iter().filter_map(number);
    Capabilities(numbers.fold(0, |set, (_, number)| set | 1 << number))
}

/// Becomes `identity` and leaves all that this process starts with the plan's capabilities at most, for good.
///
/// Where programs can become other users this process keeps one capability more, to read the memory of those that have
/// ([`asked`](super::asked)): the kernel closes it to everybody else. It is not in the bounding set, so no program gets it, and no
/// program can do anything to this process.
///
/// # Errors
/// As prctl(2), setresuid(2) and capset(2).
pub fn drop_privileges(identity: &Identity, exec: &Exec) -> io::Result<()> {
    let keep = capabilities(exec);
    // While there still is the capability to do it: a change of ids may take it.
    drop_bounding_set(keep)?;
    identity::assume(identity)?;
    set_capabilities(match keep {
        Capabilities(0) => keep,
        Capabilities(some) => Capabilities(some | PTRACE.0),
    })?;
    prctl::set_no_new_privs()?;
    // This process is a copy of the supervisor: its memory holds the caller's environment.
    prctl::set_dumpable(false)?;
    Ok(())
}

/// Starts the program and waits for its end; answers its exit code, or 128 and the signal. Guests are let in when there is
/// a `home` for them: this is the first process then, and what a guest has instead of it otherwise.
///
/// # Errors
/// When the program is not found (127) or cannot be executed (126).
pub fn run(
    exec: &Exec,
    supervisor: &Channel,
    terminal: Option<Inside>,
    (home, hints): (Option<&Home<'_>>, Hints<'_>),
) -> Result<u8, Failure> {
    let shares_processes = home.is_some_and(|home| home.shares_processes);
    if shares_processes {
        descendants::adopt().attempting(|| "watch the program".into())?;
    }
    let signals = signals::block(terminal.is_some()).attempting(|| "block signals".into())?;
    if terminal.is_some() {
        signals::keep_choosing().attempting(|| "block signals".into())?;
    }
    for directory in &exec.directories {
        if chdir(directory).is_ok() {
            break;
        }
    }
    // From now on whatever is told is heard, be it after the program is there. Nobody is left to tell when the supervisor is gone.
    let _ = supervisor.send(&Message::Running);
    let (reader, writer) = pipe2(OFlag::O_CLOEXEC).attempting(|| "make a pipe".into())?;
    match fork().attempting(|| "start a process".into())? {
        Fork::Child => {
            adopt(terminal.as_ref(), home, Pid::this());
            start(exec, writer)
        }
        Fork::Parent(program) => {
            drop(writer);
            adopt(terminal.as_ref(), home, program);
            if shares_processes && terminal.is_none() {
                // Whoever kills the process group of the supervisor does not kill both that watch.
                let _ = setpgid(Pid::from_raw(0), Pid::from_raw(0));
            }
            let mut failure = Vec::new();
            // Empty when the pipe was closed by a successful execve.
            let _ = File::from(reader).read_to_end(&mut failure);
            match failure.as_slice() {
                [code, text @ ..] => {
                    let text = String::from_utf8_lossy(text).into_owned();
                    Err(Failure { code: *code, text })
                }
                [] => First {
                    program,
                    supervisor,
                    terminal,
                    home,
                }
                .supervise(&signals, (&hints, exec)),
            }
        }
    }
}

/// Gives the program a process group of its own, unless it stays in that of the caller, whose terminal's signals it gets by
/// itself then.
fn adopt(terminal: Option<&Inside>, home: Option<&Home<'_>>, program: Pid) {
    match (terminal, home) {
        (Some(terminal), _) => terminal.adopt(program),
        // As with a terminal both sides do it; the second of them may come after execve.
        (None, None) => drop(setpgid(program, program)),
        (None, Some(_)) => {}
    }
}

/// In the child: becomes the program.
fn start(exec: &Exec, failed: OwnedFd) -> ! {
    let Err(failure) = become_program(exec);
    let report = [&[failure.code][..], failure.text.as_bytes()].concat();
    // Nothing is left to do when even this fails: the exit code says it too.
    let _ = File::from(failed).write_all(&report);
    std::process::exit(i32::from(failure.code))
}

fn become_program(exec: &Exec) -> Result<Infallible, Failure> {
    let prepare = || -> io::Result<()> {
        // The Rust runtime ignores SIGPIPE; a program expects the default.
        signals::restore_defaults()?;
        close_on_exec_from(3)
    };
    prepare().attempting(|| "prepare the program".into())?;
    let text =
        |text: OsString| CString::new(text.into_vec()).attempting(|| "pass a NUL byte".into());
    let arguments = std::iter::once(&exec.program)
        .chain(&exec.arguments)
        .map(|argument| text(argument.clone()))
        .collect::<Result<Vec<_>, _>>()?;
    let environment = exec
        .environment
        .iter()
        .map(|(name, value)| text(format!("{name}={value}").into()))
        .collect::<Result<Vec<_>, _>>()?;
    let mut outcome = Errno::ENOENT;
    for candidate in candidates(exec) {
        let Err(error) = execve(&text(candidate)?, &arguments, &environment);
        // As execvp(3): go on searching, but remember that something was there.
        match error {
            Errno::ENOENT | Errno::ENOTDIR => {}
            Errno::EACCES => outcome = error,
            // What FUSE answers from then on.
            Errno::ENOTCONN | Errno::ECONNABORTED => return Err(Failure::unserved()),
            other => return Err(cannot_execute(exec, other)),
        }
    }
    Err(cannot_execute(exec, outcome))
}

/// Where the program may be: at its own path, or in the directories of `PATH`.
pub fn candidates(exec: &Exec) -> Vec<OsString> {
    if has_slash(&exec.program) {
        return vec![exec.program.clone()];
    }
    let path = exec.environment.get("PATH").map_or("", String::as_str);
    path.split(':')
        .map(|directory| if directory.is_empty() { "." } else { directory })
        .map(|directory| Path::new(directory).join(&exec.program).into_os_string())
        .collect()
}

fn has_slash(program: &OsStr) -> bool {
    program.as_bytes().contains(&b'/')
}

fn cannot_execute(exec: &Exec, error: Errno) -> Failure {
    let program = exec.program.display();
    match error {
        Errno::ENOENT if has_slash(&exec.program) => Failure {
            code: NOT_FOUND,
            text: format!("`{program}` is not there in the container, or its interpreter is not"),
        },
        Errno::ENOENT => Failure {
            code: NOT_FOUND,
            text: format!("`{program}` is not in the container's PATH"),
        },
        error => Failure {
            code: NOT_EXECUTABLE,
            text: format!("`{program}` cannot be executed: {}", plain(&error.into())),
        },
    }
}

/// Ends whatever the program left behind, so that nothing runs any more when its end is told. What the program of a guest
/// left behind is the first process's.
fn end_others(home: Option<&Home<'_>>) {
    match home {
        None => {}
        // "Every process" is every process of the user there.
        Some(home) if home.shares_processes => descendants::end(&[]),
        Some(_) => {
            // Every process of the namespace but this one; there may be none.
            let _ = kill(Pid::from_raw(-1), Signal::SIGKILL);
            while waitpid(None, None).is_ok() {}
        }
    }
}

/// The exit code that stands for a status; `None` for one that is no end.
pub(crate) fn exit_code(status: WaitStatus) -> Option<u8> {
    match status {
        WaitStatus::Exited(_, code) => Some(code as u8),
        WaitStatus::Signaled(_, signal, _) => Some(128 + signal as u8),
        _ => None,
    }
}
