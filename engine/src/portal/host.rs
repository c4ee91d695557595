//! The host's side of the portal, in the supervisor.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use flatimage_reserved::declared::REGIONS;
use nix::poll::{PollFd, PollFlags};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::agent;
use super::wire::{Answer, Asked, LONGEST, LONGEST_REQUEST, Nonsense};
use crate::plan::{Action, Admitted, Plan};
use crate::sandbox::OURS;
use crate::sandbox::channel::send_packet;
use crate::sys::{Fork, accept, fork, receive_with_descriptors};

/// Connections that have not said yet what they want. A further one takes the place of the oldest.
const MOST_WAITING: usize = 64;
/// Programs at once. Further requests wait.
const MOST_AGENTS: usize = 512;

/// What may be run, and where.
pub struct Rules {
    /// The programs.
    pub admitted: Admitted,
    /// The command of the setting that lists them.
    pub command: &'static str,
    /// Directories of the host that the container has: where, and what they are on the host. Deepest first.
    shown: Vec<(PathBuf, PathBuf)>,
}

/// The socket and who is connected to it.
pub struct Portal {
    listener: OwnedFd,
    rules: Rules,
    waiting: Vec<Waiting>,
    agents: Vec<Pid>,
    packet: Box<[u8]>,
}

/// Somebody who has not said yet, or not all of, what is to be run.
struct Waiting {
    socket: OwnedFd,
    request: Vec<u8>,
}

/// What comes after a packet.
enum Next {
    More,
    Close,
    Answer(Answer),
    Run([OwnedFd; 3]),
}

impl Rules {
    fn of(plan: &Plan) -> Option<Rules> {
        let shown = plan.steps.iter().filter_map(|step| match &step.action {
            Action::Bind { source, target, .. } => Some((target.clone(), source.clone())),
            _ => None,
        });
        let mut shown: Vec<_> = shown.collect();
        shown.sort();
        shown.reverse();
        let listing = REGIONS.iter().find(|region| region.admits());
        Some(Rules {
            admitted: plan.admitted.clone()?,
            command: listing
                .and_then(|region| region.command)
                .unwrap_or_default(),
            shown,
        })
    }

    /// The directory of the host that `inside` is, or that has the same path.
    pub fn directory(&self, inside: &Path) -> Option<PathBuf> {
        let shown = self.shown.iter().find_map(|(target, source)| {
            let rest = inside.strip_prefix(target).ok()?;
            Some(source.join(rest))
        });
        let candidates = [shown, Some(inside.to_owned())];
        let mut directories = candidates.into_iter().flatten();
        directories.find(|path| path.is_absolute() && path.is_dir())
    }
}

impl Portal {
    /// At the socket that the container has made; `None` when the plan has no portal.
    pub fn new(listener: OwnedFd, plan: &Plan) -> Option<Portal> {
        Some(Portal {
            listener,
            rules: Rules::of(plan)?,
            waiting: Vec::new(),
            agents: Vec::new(),
            packet: vec![0; LONGEST].into(),
        })
    }

    /// What to wait for, in the order in which [`Portal::act`] is told.
    pub fn waited(&self) -> Vec<PollFd<'_>> {
        if self.agents.len() >= MOST_AGENTS {
            return Vec::new();
        }
        let waiting = self.waiting.iter().map(|one| &one.socket);
        let sockets = [&self.listener].into_iter().chain(waiting);
        sockets
            .map(|socket| PollFd::new(socket.as_fd(), PollFlags::POLLIN))
            .collect()
    }

    /// Takes one packet or connection from each socket that is ready. Never waits.
    pub fn act(&mut self, ready: &[bool]) {
        let Some((connects, speaks)) = ready.split_first() else {
            return;
        };
        // From the end, because whoever is done with is taken out.
        for (index, _) in speaks.iter().enumerate().rev().filter(|(_, ready)| **ready) {
            if self.agents.len() < MOST_AGENTS {
                self.hear(index);
            }
        }
        if *connects {
            self.accept();
        }
    }

    /// Whoever asks for something does so at once, so that the oldest of those who wait is the one to make room.
    fn accept(&mut self) {
        let accepted = accept(self.listener.as_fd());
        let is_full = match &accepted {
            Ok(_) => self.waiting.len() >= MOST_WAITING,
            // There are no more descriptors.
            Err(error) => matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE)),
        };
        if is_full && !self.waiting.is_empty() {
            self.waiting.remove(0);
        }
        if let Ok(socket) = accepted {
            let request = Vec::new();
            self.waiting.push(Waiting { socket, request });
        }
    }

    fn hear(&mut self, index: usize) {
        let next = self.waiting[index].hear(&mut self.packet);
        if let Next::More = next {
            return;
        }
        let Waiting { socket, request } = self.waiting.remove(index);
        match next {
            Next::More | Next::Close => {}
            Next::Answer(answer) => answer_at_once(&socket, &answer),
            Next::Run(streams) => match fork() {
                Ok(Fork::Child) => agent::run(socket, &request, streams, &self.rules),
                Ok(Fork::Parent(agent)) => self.agents.push(agent),
                Err(error) => {
                    let text = format!("cannot start a process: {error}");
                    answer_at_once(&socket, &Answer::Failed(OURS, text));
                }
            },
        }
    }

    /// Takes the status of the agents that have ended.
    pub fn reap(&mut self) {
        let is_there = |agent: &Pid| {
            let status = waitpid(*agent, Some(WaitPidFlag::WNOHANG));
            matches!(status, Ok(WaitStatus::StillAlive))
        };
        self.agents.retain(is_there);
    }
}

/// The first packet into a socket always has room.
fn answer_at_once(socket: &OwnedFd, answer: &Answer) {
    // Who is gone meanwhile needs no answer.
    let _ = send_packet(socket.as_fd(), &answer.encode(), &[]);
}

impl Waiting {
    /// Takes the packet that is there.
    fn hear(&mut self, packet: &mut [u8]) -> Next {
        let (length, streams) = match receive_with_descriptors(self.socket.as_fd(), packet) {
            Ok((0, _)) => return Next::Close,
            Ok(received) => received,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Next::More,
            Err(_) => return Next::Close,
        };
        let (part, is_last) = match Asked::decode(&packet[..length]) {
            Ok(Asked::Part(part)) if streams.is_empty() => (part, false),
            Ok(Asked::Last(part)) => (part, true),
            Err(Nonsense::Version(version)) => return Next::Answer(of_another(version)),
            _ => return Next::Close,
        };
        self.request.extend(part);
        if self.request.len() > LONGEST_REQUEST {
            return Next::Close;
        }
        match (is_last, streams.try_into()) {
            (false, _) => Next::More,
            (true, Ok(streams)) => Next::Run(streams),
            (true, Err(_)) => Next::Close,
        }
    }
}

fn of_another(version: u8) -> Answer {
    Answer::Failed(
        OURS,
        format!(
            "the portal of this container does not know version {version} of its protocol; start the container again"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_is_shown_is_that_of_the_host() {
        let place = tempfile::tempdir().unwrap();
        let (outer, inner) = (place.path().join("outer"), place.path().join("inner"));
        std::fs::create_dir_all(outer.join("a")).unwrap();
        std::fs::create_dir_all(inner.join("b")).unwrap();
        let rules = Rules {
            admitted: Admitted::default(),
            command: "x",
            shown: vec![
                ("/at/in".into(), inner.clone()),
                ("/at".into(), outer.clone()),
            ],
        };
        let directory = |path: &str| rules.directory(Path::new(path));
        assert_eq!(directory("/at/a"), Some(outer.join("a")));
        assert_eq!(directory("/at/in/b"), Some(inner.join("b")));
        assert_eq!(directory("/at/in/a"), None);
        assert_eq!(directory("/"), Some("/".into()));
        assert_eq!(directory("usr"), None);
        assert_eq!(directory("/nowhere"), None);
    }
}
