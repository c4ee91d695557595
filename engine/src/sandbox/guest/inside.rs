//! The process that a guest has in the instance: a child of the first process.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout, setsid};

use super::Visit;
use crate::host::Stream;
use crate::plan::{Exec, Wanted};
use crate::sandbox::channel::{Channel, Message};
use crate::sandbox::failure::{Attempt, Failure};
use crate::sandbox::hints::{Calls, Hints, Teller};
use crate::sandbox::terminal::Inside;
use crate::sandbox::{die_with_parent, init};
use crate::sys::{Fork, Questions, close_copy, fork};

/// What the instance has for its own program and for guests.
pub struct Home<'a> {
    /// Its own program; guests have the same environment.
    pub exec: &'a Exec,
    /// The filesystem of its terminals.
    pub terminals: Option<OwnedFd>,
    /// The first process's way to the supervisor.
    pub supervisor: BorrowedFd<'a>,
    /// Where the filter asks about calls that it cannot judge; the first process answers.
    pub questions: Option<Questions>,
    /// Whether the processes are the host's.
    pub shares_processes: bool,
    /// What programs may miss.
    pub wanted: Vec<Wanted>,
    /// What they were denied.
    pub calls: Calls,
}

impl Home<'_> {
    /// A terminal in the place of `streams`, if there are any.
    ///
    /// # Errors
    /// When there can be none, or the supervisor at `channel` is gone.
    pub fn terminal(
        &self,
        streams: &[Stream],
        channel: &Channel,
    ) -> Result<Option<Inside>, Failure> {
        match (streams, &self.terminals) {
            ([], _) => Ok(None),
            (_, None) => Err(Failure::ours("the plan has no place for a terminal")),
            (streams, Some(at)) => Inside::new(at.as_fd(), streams, channel).map(Some),
        }
    }

    /// Gives a guest a process. Without one it sees its channel closed.
    pub fn let_in(&self, channel: Channel) {
        let teller = Calls::teller(&self.wanted);
        match fork() {
            Ok(Fork::Child) => {
                let message = match self.receive(&channel, teller) {
                    Ok(code) => Message::Ended { code },
                    Err(Failure { code, text }) => Message::Failed { code, text },
                };
                // Nobody is left to tell when the guest is gone.
                let _ = channel.send(&message);
                std::process::exit(0)
            }
            Ok(Fork::Parent(process)) => self.calls.add(process, teller),
            Err(_) => {}
        }
    }

    fn receive(&self, channel: &Channel, teller: Option<Teller>) -> Result<u8, Failure> {
        die_with_parent()?;
        // That the first process has ended must not be hidden by us.
        close_copy(self.supervisor);
        if let Some(questions) = &self.questions {
            close_copy(questions.as_fd());
        }
        let Ok(Some(Message::Visit { streams, visit })) = channel.receive() else {
            return Err(Failure::ours("the guest has left"));
        };
        let visit = Visit::read(visit).attempting(|| "hear from the guest".into())?;
        let [input, output, error] = streams;
        dup2_stdin(&input)
            .and_then(|()| dup2_stdout(&output))
            .and_then(|()| dup2_stderr(&error))
            .attempting(|| "take the guest's streams".into())?;
        drop((input, output, error));
        let exec = self.exec_of(visit)?;
        let terminal = self.terminal(&exec.terminal, channel)?;
        if terminal.is_none() {
            // What the terminal of the instance sends is for the instance's program.
            setsid().attempting(|| "begin a session".into())?;
        }
        let hints = Hints::of_guest(&self.wanted, teller);
        init::run(&exec, channel, terminal, (None, hints))
    }

    fn exec_of(&self, visit: Visit) -> Result<Exec, Failure> {
        let mut command = visit.command.into_iter();
        let program = command.next();
        let mut environment = self.exec.environment.clone();
        // The kind of terminal is that of the one in front of the user.
        if let (false, Some(term)) = (visit.terminal.is_empty(), visit.term) {
            environment.insert("TERM".into(), term);
        }
        let home = environment.get("HOME").map(PathBuf::from);
        let directories = visit.directory.into_iter().chain(home);
        Ok(Exec {
            program: program.ok_or_else(|| Failure::ours("the guest names no program"))?,
            arguments: command.collect(),
            directories: directories.chain([PathBuf::from("/")]).collect(),
            terminal: visit.terminal,
            capabilities: self.exec.capabilities.clone(),
            environment,
        })
    }
}
