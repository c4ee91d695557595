//! Calls that the filter asks about.
//!
//! Some are denied, and all that is wanted is to know it. One cannot be judged by the filter: `socketcall`, by which 32-bit programs
//! make sockets, has its arguments in memory.
//!
//! The call waits. The container's first process reads the arguments, makes the socket itself, under the same filter, and
//! gives it to whoever asked. So it does not matter what becomes of the memory after it was read.

use std::fs::{File, OpenOptions};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;

use flatimage_reserved::declared::FILTER;
use nix::errno::Errno;
use nix::unistd::Pid;

use super::hints::Calls;
use crate::plan::Wanted;
use crate::sys::{Fork, Question, Questions, fork, make_socket, make_socket_pair};

const MAKES_SOCKETS: &str = "socketcall";
/// What `socketcall` is to do, by linux/net.h.
const SOCKET: u64 = 1;
const SOCKET_PAIR: u64 = 8;

/// Answers the call that waits, if there still is one. One that is denied is noted before whoever makes it goes on.
pub fn answer(questions: &Questions, (wanted, calls): (&[Wanted], &Calls)) {
    let Ok(question) = questions.next() else {
        return;
    };
    match FILTER.name(question.number, question.machine == FILTER.compat) {
        Some(MAKES_SOCKETS) => make_sockets(questions, &question),
        name => {
            if let Some(name) = name {
                calls.note(wanted, name, question.caller);
            }
            // It may have been killed meanwhile.
            let _ = questions.answer(&question, Err(Errno::EPERM));
        }
    }
}

/// A process of its own does it, because reading another's memory takes as long as whoever serves that memory wants.
fn make_sockets(questions: &Questions, question: &Question) {
    let memory = memory_of(question.caller);
    match fork() {
        Ok(Fork::Parent(_)) => {}
        Ok(Fork::Child) => {
            let result = memory.and_then(|memory| call(questions, question, &memory));
            // It may have been killed meanwhile.
            let _ = questions.answer(question, result);
            std::process::exit(0)
        }
        Err(_) => drop(questions.answer(question, Err(Errno::EAGAIN))),
    }
}

/// The memory of a process of the container. Yama, where the host has it, allows it for descendants only, and finds every process of
/// the container below the first one; so it is opened here and not by the process that reads it.
fn memory_of(caller: Pid) -> Result<File, Errno> {
    let memory = OpenOptions::new()
        .read(true)
        .write(true)
        .open(format!("/proc/{caller}/mem"));
    memory.map_err(errno)
}

fn call(questions: &Questions, question: &Question, memory: &File) -> Result<i32, Errno> {
    // The process of that number was the caller when its memory was opened only if the call waits still.
    if !questions.still(question) {
        return Err(Errno::ESRCH);
    }
    let [family, kind, protocol, place] = arguments(memory, question.arguments[1])?;
    let close_on_exec = kind & libc::SOCK_CLOEXEC != 0;
    match question.arguments[0] {
        SOCKET => {
            let socket = make_socket(family, kind, protocol).map_err(errno)?;
            questions
                .give(question, socket.as_fd(), close_on_exec)
                .map_err(errno)
        }
        SOCKET_PAIR => {
            let pair = make_socket_pair(family, kind, protocol).map_err(errno)?;
            let mut numbers = Vec::new();
            for socket in &pair {
                let number = questions.give(question, socket.as_fd(), close_on_exec);
                numbers.extend(number.map_err(errno)?.to_ne_bytes());
            }
            write(memory, &numbers, u64::from(place as u32))?;
            Ok(0)
        }
        _ => Err(Errno::ENOSYS),
    }
}

/// The arguments of a `socketcall`: up to four of 32 bits. One that makes a single socket has three, and what follows them
/// may not be there.
fn arguments(memory: &File, place: u64) -> Result<[i32; 4], Errno> {
    let mut bytes = [0; 16];
    // An address of 32 bits, whatever is above it.
    let place = u64::from(place as u32);
    let mut known = 0;
    while known < bytes.len() {
        match memory.read_at(&mut bytes[known..], place + known as u64) {
            Ok(0) => break,
            Ok(more) => known += more,
            Err(_) if known >= 12 => break,
            Err(_) => return Err(Errno::EFAULT),
        }
    }
    let word = |index: usize| {
        let bytes = [0, 1, 2, 3].map(|byte| bytes[4 * index + byte]);
        i32::from_ne_bytes(bytes)
    };
    match known {
        12.. => Ok([0, 1, 2, 3].map(word)),
        _ => Err(Errno::EFAULT),
    }
}

fn write(memory: &File, bytes: &[u8], place: u64) -> Result<(), Errno> {
    memory.write_all_at(bytes, place).map_err(|_| Errno::EFAULT)
}

fn errno(error: std::io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_read_and_the_fourth_may_be_missing() {
        let memory = tempfile::tempfile().unwrap();
        let words = |words: &[i32]| -> Vec<u8> {
            let bytes = words.iter().flat_map(|word| word.to_ne_bytes());
            bytes.collect()
        };
        memory.write_all_at(&words(&[2, 1, 0, 7]), 8).unwrap();
        assert_eq!(arguments(&memory, 8), Ok([2, 1, 0, 7]));
        assert_eq!(arguments(&memory, 8 | 1 << 32), Ok([2, 1, 0, 7]));
        assert_eq!(arguments(&memory, 12), Ok([1, 0, 7, 0]));
        assert_eq!(arguments(&memory, 16), Err(Errno::EFAULT));
    }
}
