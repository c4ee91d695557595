//! The data directory of an image: what its programs changed, and further layers.
//!
//! ```text
//! <data>/root     changed files, the upper directory of the overlay
//! <data>/root.committed   changes that are in a layer by now and wait to be removed, see [`changes`]
//! <data>/work     what overlayfs needs beside it
//! <data>/copies  plain copies of layers, for hosts on which nothing can be stacked
//! <data>/mounts  where a root is mounted, on hosts where only `fusermount3` may mount
//! <data>/layers   layers that are stacked on the embedded ones
//! <data>/recipes  recipes that were fetched
//! <data>/downloads   files that are being fetched, or were in part
//! <data>/ids      which ids of the host its files have, see [`ids`]
//! <data>/overlay  who wrote the marks of what was deleted, see [`marks`]
//! <data>/instances   who uses it, see [`instances`]
//! ```
//!
//! Nobody but its owner may enter it: a program inside can make a file set-user-id, which
//! would be one for every user of the host who can reach it.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, chown};
use std::path::{Path, PathBuf};

use nix::unistd::{fchdir, geteuid};

use crate::commit::inside;
use crate::plan::{IdMap, ROOT_RANGE};
use instances::{Alone, Gate, Instances, Living};

pub mod changes;
mod error;
pub mod ids;
pub mod instances;
mod location;
pub mod marks;
mod remove;

pub use error::DataError;
pub use location::{Location, Origin, locate};
pub use remove::remove;

/// A data directory that may be used.
#[derive(Debug)]
pub struct Directory {
    /// Where it is.
    pub path: PathBuf,
    instances: Instances,
    /// Device and inode: which directory it was when it was opened.
    opened: (u64, u64),
}

/// Creates the data directory if it is missing. Its files have the ids of `wanted`, or those that the caller can work with when that is `None`. `None` where it cannot be created because the place is read-only or
/// belongs to others.
///
/// # Errors
/// When it is not private, or was made with other ids than the caller's containers have.
pub fn open(path: &Path, wanted: Option<&IdMap>) -> Result<Option<Directory>, DataError> {
    let unusable = |source| DataError::Unusable {
        path: path.to_owned(),
        source,
    };
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) if is_refusal(&error) => return Ok(None),
        result => result.map_err(unusable)?,
    }
    let found = fs::metadata(path).map_err(unusable)?;
    if !found.is_dir() {
        return Err(DataError::NoDirectory(path.to_owned()));
    }
    if !is_of_images(path).map_err(unusable)? {
        return Err(DataError::Occupied(path.to_owned()));
    }
    if found.mode() & 0o077 != 0 {
        return Err(DataError::Open(path.to_owned()));
    }
    own(path, found.uid())?;
    match wanted {
        Some(wanted) => keep_ids(path, wanted)?,
        None => keep_ids(path, &ids::of(path).map_err(unusable)?)?,
    }
    directory(path, &found).map(Some)
}

/// Whether an image has used a directory, or could begin to. Its owner may have put layers into it before that; anything else is
/// somebody's, and would become the container's, to be removed with it.
fn is_of_images(path: &Path) -> io::Result<bool> {
    let is_there = |name: &str| fs::symlink_metadata(path.join(name)).is_ok();
    // One of them is there from before everything else until after it.
    let is_used = || is_there(ids::NAME) || is_there(changes::INSTANCES);
    if is_used() {
        return Ok(true);
    }
    let mut names = match fs::read_dir(path) {
        // What cannot be looked into is told when it is used.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(true),
        entries => entries?,
    };
    let is_empty = names.try_fold(true, |so_far, entry: io::Result<fs::DirEntry>| {
        Ok::<_, io::Error>(so_far && entry?.file_name() == changes::LAYERS)
    })?;
    // What was found may be of a start that began meanwhile.
    Ok(is_empty || is_used())
}

/// The data directory as it is, whatever ids it was made with; `None` when there is none, or no image has used it.
///
/// # Errors
/// When it is no data directory or not the caller's.
pub fn existing(path: &Path) -> Result<Option<Directory>, DataError> {
    let found = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        found => found.map_err(|source| DataError::Unusable {
            path: path.to_owned(),
            source,
        })?,
    };
    let caller = geteuid().as_raw();
    if !found.is_dir() {
        return Err(DataError::NoDirectory(path.to_owned()));
    }
    if caller != 0 && caller != found.uid() {
        return Err(DataError::Foreign {
            path: path.to_owned(),
            owner: found.uid(),
        });
    }
    // What no image has used, such as a home directory that FIM_DIR_DATA names by mistake, is left as it is.
    match path.join(changes::INSTANCES).exists() {
        true => directory(path, &found).map(Some),
        false => Ok(None),
    }
}

fn directory(path: &Path, found: &fs::Metadata) -> Result<Directory, DataError> {
    Ok(Directory {
        path: path.to_owned(),
        instances: Instances::open(path).map_err(|source| DataError::Unusable {
            path: path.to_owned(),
            source,
        })?,
        opened: (found.dev(), found.ino()),
    })
}

fn keep_ids(path: &Path, wanted: &IdMap) -> Result<(), DataError> {
    let recorded = ids::keep(path, wanted).map_err(|source| DataError::Unusable {
        path: path.to_owned(),
        source,
    })?;
    let wanted = ids::line(wanted);
    match recorded == wanted {
        true => Ok(()),
        false => Err(DataError::Ids {
            path: path.to_owned(),
            recorded: ids::words(&recorded),
            wanted: ids::words(&wanted),
        }),
    }
}

impl Directory {
    /// As whose root the caller can work on its files.
    ///
    /// # Errors
    /// As open(2) and read(2).
    pub fn map(&self) -> Result<IdMap, DataError> {
        ids::of(&self.path).map_err(|error| self.unusable(error))
    }

    /// Does work on what containers made, as somebody who may: the caller, or root of a user namespace where files belong to ids
    /// that the caller is not. `work` is given the directory's path.
    fn as_owner(&self, work: impl FnOnce(&Path) -> Result<(), DataError>) -> Result<(), DataError> {
        let map = self.map()?;
        if !matches!(map, IdMap::Subordinate { .. }) {
            return work(&self.path);
        }
        let opened = self.opened()?;
        let done = inside(&map, || {
            // The way there may be open to a group of the caller's only.
            fchdir(&opened).map_err(|error| error.desc().to_lowercase())?;
            let done = work(Path::new("."));
            done.map(|()| String::new())
                .map_err(|error| error.to_string())
        });
        let path = self.path.clone();
        done.map(drop)
            .map_err(|reason| DataError::Inside { path, reason })
    }

    /// Waits until nobody else starts or stops using the directory, and passes the gate.
    ///
    /// # Errors
    /// When somebody has the directory for itself.
    pub fn enter(&self) -> Result<Gate<'_>, DataError> {
        let gate = self
            .instances
            .enter()
            .map_err(|error| self.unusable(error))?;
        // Who waited while it was purged holds locks of a file that is nowhere any more.
        let found = fs::metadata(&self.path).map(|found| (found.dev(), found.ino()));
        if !found.is_ok_and(|found| found == self.opened) {
            return Err(DataError::Removed(self.path.clone()));
        }
        match self.alone(&gate)? {
            None => Ok(gate),
            Some(Alone(pid)) => Err(DataError::InUse {
                path: self.path.clone(),
                pids: pid.into_iter().collect(),
            }),
        }
    }

    /// Who has the directory for itself. One that was killed is waited for: its child ends right after it.
    fn alone(&self, gate: &Gate<'_>) -> Result<Option<Alone>, DataError> {
        let found = gate.alone().map_err(|error| self.unusable(error))?;
        match found {
            Some(Alone(Some(pid))) if !is_running(pid) => {
                gate.wait_for_alone()
                    .map_err(|error| self.unusable(error))?;
                Ok(None)
            }
            found => Ok(found),
        }
    }

    /// Keeps every start out until this is dropped. An instance that is about to end is waited for.
    ///
    /// # Errors
    /// When instances live; they are named.
    pub fn exclusive(self) -> Result<Exclusive, DataError> {
        let mut gate = self.enter()?;
        let take = |gate: &mut Gate<'_>| gate.become_alone(std::process::id());
        let mut taken = take(&mut gate).map_err(|error| self.unusable(error))?;
        if !taken {
            let running = self.running(&gate)?;
            if !running.is_empty() {
                return Err(DataError::InUse {
                    path: self.path.clone(),
                    pids: running,
                });
            }
            // Their supervisors are gone, and with them the containers, as soon as the kernel has let go.
            gate.wait_for_others()
                .and_then(|()| take(&mut gate))
                .map(|done| taken = done)
                .map_err(|error| self.unusable(error))?;
        }
        drop(gate);
        match taken {
            true => Ok(Exclusive { directory: self }),
            false => Err(DataError::InUse {
                path: self.path,
                pids: Vec::new(),
            }),
        }
    }

    /// Process ids of who uses the directory: the supervisors of the instances, or whoever has it alone.
    ///
    /// # Errors
    /// As fcntl(2).
    pub fn users(&self) -> Result<Vec<u32>, DataError> {
        match self.enter() {
            Ok(gate) => self.running(&gate),
            Err(DataError::InUse { pids, .. }) => Ok(pids),
            Err(error) => Err(error),
        }
    }

    fn running(&self, gate: &Gate<'_>) -> Result<Vec<u32>, DataError> {
        let living = self.living(gate)?;
        Ok(living.iter().map(|Living { pid, .. }| *pid).collect())
    }

    fn living(&self, gate: &Gate<'_>) -> Result<Vec<Living>, DataError> {
        let mut living = gate.living().map_err(|error| self.unusable(error))?;
        living.retain(|one| is_running(one.pid));
        Ok(living)
    }

    /// The instances that run, oldest first, and the token by which they can be reached.
    ///
    /// # Errors
    /// As fcntl(2).
    pub fn instances(&self) -> Result<(Vec<Living>, String), DataError> {
        let mut gate = match self.enter() {
            // Whoever has it alone is no instance, and then there is none.
            Err(DataError::InUse { .. }) => return Ok((Vec::new(), String::new())),
            gate => gate?,
        };
        let living = self.living(&gate)?;
        let token = gate.token().map_err(|error| self.unusable(error))?;
        Ok((living, token.to_owned()))
    }

    /// What the locks of this start are on: whoever has a copy of it keeps others from being alone, as the instance does.
    pub fn locks(&self) -> BorrowedFd<'_> {
        self.instances.as_fd()
    }

    fn unusable(&self, source: io::Error) -> DataError {
        DataError::Unusable {
            path: self.path.clone(),
            source,
        }
    }
}

/// A data directory that this process has for itself for as long as this is open somewhere.
#[derive(Debug)]
pub struct Exclusive {
    /// The directory.
    pub directory: Directory,
}

/// Whether there is such a process and it has not ended. One that nobody has waited for yet still has a pid, and one that
/// was killed a moment ago still has a state (proc_pid_stat(5), the fields after the name).
fn is_running(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    is_alive(&stat)
}

/// Field numbers as in the manual, less those before the state.
const FLAGS: usize = 9 - 3;
const PENDING: usize = 31 - 3;
/// `PF_EXITING` and `PF_SIGNALED` of the kernel: it ends, by itself or by a signal.
const ENDS: u64 = 0x0004 | 0x0400;
const KILL: u64 = 1 << (libc::SIGKILL - 1);

fn is_alive(stat: &str) -> bool {
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let number = |index: usize| fields.get(index).and_then(|field| field.parse().ok());
    match (fields.first(), number(FLAGS), number(PENDING)) {
        (Some(&("Z" | "X")) | None, ..) => false,
        (_, flags, pending) => {
            flags.unwrap_or(0u64) & ENDS == 0 && pending.unwrap_or(0u64) & KILL == 0
        }
    }
}

fn is_refusal(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ReadOnlyFilesystem
            | io::ErrorKind::PermissionDenied
            // What a FUSE filesystem that only reads answers.
            | io::ErrorKind::Unsupported
    )
}

/// The caller's own directory is right as it is. Real root's containers have ids of their
/// own, and what they change must belong to those.
fn own(path: &Path, owner: u32) -> Result<(), DataError> {
    let foreign = || DataError::Foreign {
        path: path.to_owned(),
        owner,
    };
    let caller = geteuid().as_raw();
    let first = first_of_root();
    match (caller, owner) {
        (0, owner) if owner == first => Ok(()),
        (0, 0) => chown(path, Some(first), Some(first)).map_err(|source| {
            // An id that the caller's user namespace does not map (chown(2)).
            match source.kind() == io::ErrorKind::InvalidInput {
                true => DataError::NoIds { first },
                false => DataError::Unusable {
                    path: path.to_owned(),
                    source,
                },
            }
        }),
        (0, _) => Err(foreign()),
        (caller, owner) if caller == owner => Ok(()),
        _ => Err(foreign()),
    }
}

/// The host's id that root of real root's containers has.
fn first_of_root() -> u32 {
    match ROOT_RANGE {
        IdMap::Range { first, .. } => first,
        _ => 0,
    }
}

#[cfg(test)]
mod tests;
