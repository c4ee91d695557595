//! Reading directories.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, PoisonError};

use rustix::fs::{FileType, Mode, OFlags, RawDir, SeekFrom, fdatasync, fsync, openat, seek};
use rustix::io::Result;

/// Bytes of entries that are read at once.
const READ_AT_ONCE: usize = 32 << 10;

/// One name of a directory.
pub(crate) struct Listed {
    pub(crate) name: Box<[u8]>,
    pub(crate) number: u64,
    pub(crate) kind: FileType,
    /// The offset of the next entry, as the filesystem below counts.
    pub(crate) next: u64,
}

/// A directory that a program reads.
///
/// Offsets are those of the filesystem below, which knows how to go on at one while the directory changes.
pub(crate) struct Listing {
    fd: OwnedFd,
    state: Mutex<State>,
}

struct State {
    /// Read and not yet handed out.
    ahead: VecDeque<Listed>,
    /// The offset of the first of these.
    at: u64,
    buffer: Vec<u8>,
}

impl Listing {
    /// Opens what a descriptor stands for.
    pub(crate) fn open(directory: &OwnedFd) -> Result<Listing> {
        Ok(Listing {
            fd: readable(directory)?,
            state: Mutex::new(State {
                ahead: VecDeque::new(),
                at: 0,
                buffer: Vec::with_capacity(READ_AT_ONCE),
            }),
        })
    }

    /// Calls `add` with each entry from `offset` on until it says that there is no more room.
    pub(crate) fn read(&self, offset: u64, mut add: impl FnMut(&Listed) -> bool) -> Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let state = &mut *state;
        if offset != state.at || offset == 0 {
            seek(&self.fd, SeekFrom::Start(offset))?;
            state.ahead.clear();
            state.at = offset;
        }
        loop {
            while let Some(listed) = state.ahead.front() {
                if add(listed) {
                    return Ok(());
                }
                state.at = listed.next;
                state.ahead.pop_front();
            }
            each(&self.fd, &mut state.buffer, true, |listed| {
                state.ahead.push_back(listed);
            })?;
            if state.ahead.is_empty() {
                return Ok(());
            }
        }
    }

    /// Writes the directory out, without its times when they are not wanted.
    pub(crate) fn sync(&self, data_only: bool) -> Result<()> {
        if data_only {
            fdatasync(&self.fd)
        } else {
            fsync(&self.fd)
        }
    }
}

/// Calls `add` with every name of the directory that a descriptor stands for.
pub(crate) fn names(directory: &OwnedFd, add: &mut dyn FnMut(&[u8])) -> Result<()> {
    let mut buffer = Vec::with_capacity(READ_AT_ONCE);
    each(&readable(directory)?, &mut buffer, false, |listed| {
        if !matches!(&*listed.name, b"." | b"..") {
            add(&listed.name);
        }
    })
}

fn readable(directory: &OwnedFd) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat(directory, ".", flags, Mode::empty())
}

/// Calls `add` with the entries that one read brings, or with all.
fn each(fd: &OwnedFd, buffer: &mut Vec<u8>, once: bool, mut add: impl FnMut(Listed)) -> Result<()> {
    let mut entries = RawDir::new(fd, buffer.spare_capacity_mut());
    while let Some(entry) = entries.next() {
        let entry = entry?;
        add(Listed {
            name: entry.file_name().to_bytes().into(),
            number: entry.ino(),
            kind: entry.file_type(),
            next: entry.next_entry_cookie(),
        });
        if once && entries.is_buffer_empty() {
            break;
        }
    }
    Ok(())
}
