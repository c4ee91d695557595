//! What a program missed, as far as it can be known.
//!
//! Nothing is looked at before a program has failed. Then there are three signs (`hint` in the declaration): a call that the filter
//! denied, of which the first process was [asked](super::asked); the counters of the container's own network, in which the kernel
//! notes what had no way; and the libraries of the program's file.

use std::cell::RefCell;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use flatimage_reserved::Sign;
use nix::fcntl::OFlag;
use nix::unistd::{Pid, pipe2};

use super::channel::Message;
use super::init::candidates;
use crate::elf;
use crate::host::wildcard;
use crate::plan::{Exec, Wanted};

/// What one program may miss.
pub struct Hints<'a> {
    wanted: &'a [Wanted],
    /// What had no way before it began.
    before: u64,
    called: Called<'a>,
}

/// Where it is known from that a call was denied.
enum Called<'a> {
    /// The first process was asked.
    Here(&'a Calls),
    /// The first process writes the number of the call in its list.
    Told(Option<File>),
}

/// The calls that were denied, as the first process hears of them.
#[derive(Default)]
pub struct Calls {
    /// Those of the instance's own program.
    own: RefCell<Vec<&'static str>>,
    /// The process that each guest has in the instance, and the way to tell it.
    guests: RefCell<Vec<(Pid, File)>>,
}

/// What the first process tells a guest by.
pub struct Teller {
    ours: File,
    theirs: File,
}

impl<'a> Hints<'a> {
    /// Those of the instance's own program.
    pub fn own(wanted: &'a [Wanted], calls: &'a Calls) -> Self {
        Hints {
            wanted,
            // Its network is new.
            before: 0,
            called: Called::Here(calls),
        }
    }

    /// Those of a guest's.
    pub fn of_guest(wanted: &'a [Wanted], teller: Option<Teller>) -> Self {
        let is_counted = wanted.iter().any(|wanted| wanted.sign == Sign::Unreachable);
        Hints {
            wanted,
            before: if is_counted { unreached() } else { 0 },
            called: Called::Told(teller.map(|teller| teller.theirs)),
        }
    }

    /// What is said after the program has ended with `code`; `None` when nothing is known that may be why.
    pub fn after(&self, code: u8, exec: &Exec) -> Option<Message> {
        if !is_failure(code) || self.wanted.is_empty() {
            return None;
        }
        let called = self.called();
        let is_seen = |wanted: &&Wanted| match wanted.sign {
            Sign::Calls(names) => names.iter().any(|name| called.contains(name)),
            Sign::Unreachable => unreached() > self.before,
            Sign::Windows { libraries, .. } => needs_one_of(exec, libraries),
        };
        let Wanted {
            command,
            name,
            text,
            ..
        } = self.wanted.iter().find(is_seen)?;
        Some(Message::Missed {
            text: format!(
                "{text}; if it failed because of that, `fim-{command} add {name}` opens it from the next start on"
            ),
        })
    }

    fn called(&self) -> Vec<&'static str> {
        match &self.called {
            Called::Here(calls) => calls.own.borrow().clone(),
            Called::Told(None) => Vec::new(),
            Called::Told(Some(told)) => {
                let mut numbers = Vec::new();
                // An error after the last one: it does not wait for more.
                let _ = (&mut &*told).read_to_end(&mut numbers);
                let all = crate::plan::told(self.wanted);
                let names = numbers.iter().map(|number| all.get(usize::from(*number)));
                names.flatten().copied().collect()
            }
        }
    }
}

impl Calls {
    /// Notes that `call` was denied to the thread `caller`.
    pub fn note(&self, wanted: &[Wanted], call: &'static str, caller: Pid) {
        let guests = self.guests.borrow();
        let first = Pid::this();
        let of = guests
            .iter()
            .find(|(guest, _)| descends(caller, *guest, first));
        match of {
            Some((_, guest)) => {
                let all = crate::plan::told(wanted);
                let number = all.iter().position(|known| *known == call);
                let number = number.and_then(|number| u8::try_from(number).ok());
                // It may have ended, or been told so often that it does not fit: it knows then.
                let _ = number.map(|number| (&mut &*guest).write(&[number]));
            }
            None => {
                let mut own = self.own.borrow_mut();
                if !own.contains(&call) {
                    own.push(call);
                }
            }
        }
    }

    /// What a guest is told by, made before its process is; `None` where there is nothing to tell.
    pub fn teller(wanted: &[Wanted]) -> Option<Teller> {
        if crate::plan::told(wanted).is_empty() {
            return None;
        }
        let (theirs, ours) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK).ok()?;
        Some(Teller {
            ours: ours.into(),
            theirs: theirs.into(),
        })
    }

    /// Remembers the process of a guest.
    pub fn add(&self, guest: Pid, teller: Option<Teller>) {
        let told = teller.map(|teller| (guest, teller.ours));
        self.guests.borrow_mut().extend(told);
    }

    /// Forgets a process that has ended.
    pub fn forget(&self, ended: Pid) {
        self.guests
            .borrow_mut()
            .retain(|(guest, _)| *guest != ended);
    }
}

/// Whether a thread belongs to the children of `guest`, a child of `first`.
fn descends(mut thread: Pid, guest: Pid, first: Pid) -> bool {
    while thread != guest {
        match parent(thread) {
            Some(parent) if parent != first => thread = parent,
            _ => return false,
        }
    }
    true
}

fn parent(thread: Pid) -> Option<Pid> {
    let status = fs::read_to_string(format!("/proc/{thread}/stat")).ok()?;
    // The name before it may hold anything (proc_pid_stat(5)).
    let (_, rest) = status.rsplit_once(')')?;
    let parent = rest.split_whitespace().nth(1)?.parse().ok()?;
    (parent > 0).then(|| Pid::from_raw(parent))
}

/// Whether a code says that a program failed by itself: what somebody ended with a signal did not.
fn is_failure(code: u8) -> bool {
    // SIGHUP, SIGINT, SIGQUIT, SIGKILL, SIGPIPE, SIGTERM.
    let ended = [1, 2, 3, 9, 13, 15].map(|signal| 128 + signal);
    code != 0 && !ended.contains(&code)
}

/// How often something was sent where no way leads, or to a port that nobody listens at, such as that of a name server.
fn unreached() -> u64 {
    // The program has the same network as this process, the first or a guest's.
    let read = |name: &str| fs::read_to_string(format!("/proc/self/net/{name}"));
    let old = read("snmp").map_or(0, |text| {
        of_tables(&text, "Ip:", "OutNoRoutes") + of_tables(&text, "Udp:", "NoPorts")
    });
    let new = read("snmp6").map_or(0, |text| {
        ["Ip6OutNoRoutes", "Udp6NoPorts"]
            .map(|name| of_list(&text, name))
            .iter()
            .sum()
    });
    old + new
}

/// A counter of a text with two lines for each protocol, one of names and one of numbers.
fn of_tables(text: &str, protocol: &str, name: &str) -> u64 {
    let mut lines = text.lines().filter(|line| line.starts_with(protocol));
    let (names, numbers) = (lines.next().unwrap_or(""), lines.next().unwrap_or(""));
    let mut both = names.split_whitespace().zip(numbers.split_whitespace());
    let number = both.find(|(known, _)| *known == name);
    number
        .and_then(|(_, number)| number.parse().ok())
        .unwrap_or(0)
}

/// A counter of a text with a name and a number on each line.
fn of_list(text: &str, name: &str) -> u64 {
    let mut lines = text
        .lines()
        .filter_map(|line| line.split_once(char::is_whitespace));
    let number = lines.find(|(known, _)| *known == name);
    number
        .and_then(|(_, number)| number.trim().parse().ok())
        .unwrap_or(0)
}

fn needs_one_of(exec: &Exec, patterns: &[&str]) -> bool {
    let file = candidates(exec).into_iter().find_map(|path| {
        let mut options = OpenOptions::new();
        // It may be anything meanwhile.
        let file = options
            .read(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(Path::new(&path))
            .ok()?;
        file.metadata().ok()?.is_file().then_some(file)
    });
    let needed = file.and_then(|file| elf::needed(&|at, bytes| file.read_at(bytes, at)));
    let mut needed = needed.into_iter().flatten();
    needed.any(|library| {
        let fits = |pattern: &&str| wildcard(pattern.as_bytes(), &library);
        patterns.iter().any(fits)
    })
}

/// Says a hint on standard error.
pub fn say(text: Option<String>) {
    if let Some(text) = text {
        eprintln!("hint: {text}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_found_by_their_names() {
        let text = "Ip: Forwarding OutNoRoutes\nIp: 1 7\nUdp: InDatagrams NoPorts\nUdp: 3 4\nUdpLite: NoPorts\nUdpLite: 9\n";
        assert_eq!(of_tables(text, "Ip:", "OutNoRoutes"), 7);
        assert_eq!(of_tables(text, "Udp:", "NoPorts"), 4);
        assert_eq!(of_tables(text, "Tcp:", "OutNoRoutes"), 0);
        assert_eq!(of_tables("Ip: OutNoRoutes", "Ip:", "OutNoRoutes"), 0);
        let text = "Ip6InReceives                   \t5\nIp6OutNoRoutes\t 6\n";
        assert_eq!(of_list(text, "Ip6OutNoRoutes"), 6);
        assert_eq!(of_list(text, "Ip6"), 0);
    }

    #[test]
    fn whoever_was_ended_did_not_fail() {
        for code in [0, 129, 130, 131, 137, 141, 143] {
            assert!(!is_failure(code), "{code}");
        }
        for code in [1, 2, 127, 132, 133, 134, 139, 255] {
            assert!(is_failure(code), "{code}");
        }
    }

    #[test]
    fn descendants_are_told_from_others() {
        let me = Pid::this();
        let above = parent(me).unwrap();
        assert!(descends(me, me, above));
        assert!(!descends(me, Pid::from_raw(i32::MAX), above));
        assert!(!descends(Pid::from_raw(i32::MAX), me, above));
    }
}
