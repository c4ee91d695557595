//! The instances of a data directory: which live, and who may start or stop being one.
//!
//! One file, `<data>/instances`, says it with [locks of the open file](byte_lock), which the kernel lets go of when
//! the last process with the descriptor is gone, however it ended:
//!
//! ```text
//! byte 0       the gate: held while an instance starts or ends being alone, never for long
//! byte 1       held by whoever has the directory for itself, with every byte after it
//! byte 2 + id  held by the instance `id`: by its supervisor and by the first process of its container
//! ```
//!
//! What the file holds only gives names to the locks, and is changed by whoever holds the gate:
//!
//! ```text
//! 3 8f0c…          the next id; where the supervisors listen, see `sandbox::shared`
//! 0 4711           id and pid of an instance
//! alone 4712       pid of who has the directory for itself
//! end
//! ```
//!
//! A name whose lock is free is of an instance that is gone. Ids are given in order, and begin at 0 again
//! when no instance lives.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use crate::byte_lock::{self, Kind};

/// The name of the file in the data directory.
const NAME: &str = "instances";
const GATE: u64 = 0;
const ALONE: u64 = 1;
const FIRST: u64 = 2;
/// The last line: what follows is left from a longer text.
const END: &str = "end";

/// An instance that lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Living {
    /// Its number, unique among those that live.
    pub id: u64,
    /// Process id of its supervisor.
    pub pid: u32,
}

/// The opened file. Its locks are shared by every process that keeps a copy of the descriptor.
#[derive(Debug)]
pub struct Instances(File);

/// The open gate: nobody else starts or becomes alone before it is dropped.
#[derive(Debug)]
pub struct Gate<'a> {
    instances: &'a Instances,
    /// What the file says.
    state: State,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct State {
    next: u64,
    token: String,
    named: Vec<Living>,
    alone: Option<u32>,
}

/// Who has a data directory for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alone(pub Option<u32>);

impl Instances {
    /// Opens the file of a data directory, or makes it.
    ///
    /// # Errors
    /// As open(2).
    pub fn open(directory: &Path) -> io::Result<Instances> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        // Never through a link: what is inside of the directory may have been written by a program.
        options.mode(0o600).custom_flags(libc::O_NOFOLLOW);
        Ok(Instances(options.open(directory.join(NAME))?))
    }

    /// Waits until nobody else is at the gate, and passes it.
    ///
    /// # Errors
    /// As fcntl(2); `ENOLCK` where the filesystem has no locks.
    pub fn enter(&self) -> io::Result<Gate<'_>> {
        byte_lock::lock(&self.0, Kind::Exclusive, one(GATE))?;
        let mut gate = Gate {
            instances: self,
            state: State::default(),
        };
        let mut bytes = vec![0; self.0.metadata()?.len() as usize];
        self.0.read_exact_at(&mut bytes, 0)?;
        gate.state = State::parse(&String::from_utf8_lossy(&bytes));
        Ok(gate)
    }
}

impl AsFd for Instances {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Gate<'_> {
    /// The instances that live, oldest first.
    ///
    /// # Errors
    /// As fcntl(2).
    pub fn living(&self) -> io::Result<Vec<Living>> {
        let mut living = Vec::new();
        for named in &self.state.named {
            if byte_lock::is_held(&self.instances.0, one(FIRST + named.id))? {
                living.push(*named);
            }
        }
        Ok(living)
    }

    /// Who has the directory for itself, if anybody has.
    ///
    /// # Errors
    /// As fcntl(2).
    pub fn alone(&self) -> io::Result<Option<Alone>> {
        let held = byte_lock::is_held(&self.instances.0, one(ALONE))?;
        Ok(held.then_some(Alone(self.state.alone)))
    }

    /// Waits until every other instance is gone, its container's processes included.
    ///
    /// # Errors
    /// As fcntl(2).
    pub fn wait_for_others(&self) -> io::Result<()> {
        let file = &self.instances.0;
        byte_lock::lock(file, Kind::Exclusive, byte_lock::from(FIRST))?;
        byte_lock::lock(file, Kind::None, byte_lock::from(FIRST))
    }

    /// Waits until nobody has the directory for itself.
    ///
    /// # Errors
    /// As fcntl(2).
    pub fn wait_for_alone(&self) -> io::Result<()> {
        let file = &self.instances.0;
        byte_lock::lock(file, Kind::Exclusive, one(ALONE))?;
        byte_lock::lock(file, Kind::None, one(ALONE))
    }

    /// Becomes an instance, for as long as any process has the descriptor; answers its id.
    ///
    /// # Errors
    /// As fcntl(2) and write(2).
    pub fn register(&mut self, pid: u32) -> io::Result<u64> {
        self.state.named = self.living()?;
        if self.state.named.is_empty() {
            self.state.next = 0;
            // The kernel closes the descriptors of a process that ended one after the other: its lock may be
            // free and the name that it listens at not yet. A new token makes new names.
            self.state.token.clear();
        }
        let id = self.state.next;
        // Nobody else has it: whoever takes one holds the gate.
        byte_lock::lock(&self.instances.0, Kind::Exclusive, one(FIRST + id))?;
        self.state.next += 1;
        self.state.alone = None;
        self.state.named.push(Living { id, pid });
        self.write()?;
        Ok(id)
    }

    /// Takes the directory for itself, for as long as any process has the descriptor. False when instances live.
    ///
    /// # Errors
    /// As fcntl(2) and write(2).
    pub fn become_alone(&mut self, pid: u32) -> io::Result<bool> {
        if !byte_lock::try_lock(&self.instances.0, Kind::Exclusive, byte_lock::from(ALONE))? {
            return Ok(false);
        }
        self.state = State {
            token: std::mem::take(&mut self.state.token),
            alone: Some(pid),
            ..State::default()
        };
        self.write()?;
        Ok(true)
    }

    /// What nobody outside of the data directory knows, made when there is none. It lasts as long as any instance lives.
    ///
    /// # Errors
    /// As reading `/dev/urandom` does.
    pub fn token(&mut self) -> io::Result<&str> {
        if self.state.token.is_empty() {
            let mut bytes = [0; 16];
            File::open("/dev/urandom")?.read_exact(&mut bytes)?;
            self.state.token = bytes.iter().fold(String::new(), |mut text, byte| {
                let _ = write!(text, "{byte:02x}");
                text
            });
        }
        Ok(&self.state.token)
    }

    fn write(&mut self) -> io::Result<()> {
        self.token()?;
        let text = self.state.to_string();
        // In one call, and less than a page in all but the oddest cases: a process that is killed has
        // written all of it or nothing. What is left of a longer text is behind the last line.
        self.instances.0.write_all_at(text.as_bytes(), 0)?;
        self.instances.0.set_len(text.len() as u64)
    }
}

fn one(byte: u64) -> Range<u64> {
    byte..byte + 1
}

impl Drop for Gate<'_> {
    fn drop(&mut self) {
        // The lock ends with the descriptor at the latest.
        let _ = byte_lock::lock(&self.instances.0, Kind::None, one(GATE));
    }
}

impl State {
    /// What is not understood is left out: the locks are what counts.
    fn parse(text: &str) -> State {
        let mut lines = text.lines();
        let mut state = State::default();
        if let Some((next, token)) = lines.next().and_then(|line| line.split_once(' ')) {
            state.next = next.parse().unwrap_or(0);
            state.token = token.to_owned();
        }
        for (name, pid) in lines
            .take_while(|line| *line != END)
            .filter_map(|line| line.split_once(' '))
        {
            match (name.parse(), pid.parse()) {
                (Ok(id), Ok(pid)) => state.named.push(Living { id, pid }),
                (Err(_), Ok(pid)) => state.alone = Some(pid),
                _ => {}
            }
        }
        state
    }
}

impl std::fmt::Display for State {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(to, "{} {}", self.next, self.token)?;
        for Living { id, pid } in &self.named {
            writeln!(to, "{id} {pid}")?;
        }
        if let Some(pid) = self.alone {
            writeln!(to, "alone {pid}")?;
        }
        writeln!(to, "{END}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pids(living: &[Living]) -> Vec<(u64, u32)> {
        living.iter().map(|one| (one.id, one.pid)).collect()
    }

    #[test]
    fn ids_are_given_in_order_and_begin_anew_when_nobody_lives() {
        let place = tempfile::tempdir().unwrap();
        let open = || Instances::open(place.path()).unwrap();
        let (one, two, three) = (open(), open(), open());
        assert_eq!(one.enter().unwrap().register(11).unwrap(), 0);
        assert_eq!(two.enter().unwrap().register(12).unwrap(), 1);
        let mut gate = three.enter().unwrap();
        assert_eq!(pids(&gate.living().unwrap()), [(0, 11), (1, 12)]);
        drop(one);
        assert_eq!(pids(&gate.living().unwrap()), [(1, 12)]);
        assert_eq!(
            gate.register(13).unwrap(),
            2,
            "an id is not used again while others live"
        );
        drop(gate);
        drop((two, three));
        assert_eq!(open().enter().unwrap().register(14).unwrap(), 0);
    }

    #[test]
    fn who_is_alone_keeps_others_out_and_has_a_name() {
        let place = tempfile::tempdir().unwrap();
        let open = || Instances::open(place.path()).unwrap();
        let (instance, other) = (open(), open());
        instance.enter().unwrap().register(11).unwrap();
        assert!(!other.enter().unwrap().become_alone(12).unwrap());
        drop(instance);
        assert!(other.enter().unwrap().become_alone(12).unwrap());
        let third = open();
        let gate = third.enter().unwrap();
        assert_eq!(gate.alone().unwrap(), Some(Alone(Some(12))));
        drop(other);
        assert_eq!(gate.alone().unwrap(), None);
    }

    #[test]
    fn the_token_lasts_while_anybody_lives_and_nonsense_in_the_file_counts_for_nothing() {
        let place = tempfile::tempdir().unwrap();
        let one = Instances::open(place.path()).unwrap();
        one.enter().unwrap().register(1).unwrap();
        let token = one.enter().unwrap().token().unwrap().to_owned();
        assert_eq!(token.len(), 32);
        let two = Instances::open(place.path()).unwrap();
        two.enter().unwrap().register(2).unwrap();
        assert_eq!(two.enter().unwrap().token().unwrap(), token);
        drop((one, two));
        let two = Instances::open(place.path()).unwrap();
        two.enter().unwrap().register(3).unwrap();
        assert_ne!(two.enter().unwrap().token().unwrap(), token);
        std::fs::write(place.path().join(NAME), "x y z\nq\n7 8\n9 nine\n").unwrap();
        let gate = two.enter().unwrap();
        assert_eq!(gate.living().unwrap(), []);
    }

    #[test]
    fn a_text_that_got_shorter_hides_the_rest_of_the_longer_one() {
        let state = State {
            next: 3,
            token: "t".into(),
            named: vec![Living { id: 2, pid: 7 }],
            alone: None,
        };
        assert_eq!(State::parse(&format!("{state}5 9\nend\n")), state);
    }
}
