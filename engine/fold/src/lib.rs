//! A directory whose names are found in any case.
//!
//! The kernel's overlay finds names by their bytes. Programs that come from systems where `Readme.TXT` and
//! `readme.txt` are one file expect otherwise. This crate answers the FUSE requests of a filesystem that shows another
//! directory: every name is kept as it was given (case-*preserving*) and found in any case (case-*insensitive*).
//!
//! The rule, in one place:
//!
//! - Two names are the same when they are equal after Unicode's *simple* case folding ([`fold()`]), which maps character
//!   to character and depends on no language. A name that is no UTF-8 has only its ASCII letters folded.
//! - A name that exists as it is written is found first. Else, of those that are the same, the first in byte order.
//!   So a directory that already holds `a` and `A` shows both, and both can be reached.
//! - Nothing is created beside a name that is the same: that is `EEXIST`, or the existing file is opened.
//! - A rename that changes only the case changes the case.
//!
//! Everything that changes the directory must go through this filesystem for as long as it is mounted: what the
//! kernel and this crate remember is told of no other change.

mod folding;
mod handles;
mod index;
mod intent;
mod listing;
mod nodes;
mod server;
mod tree;

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::thread::JoinHandle;

use fuser::{Config, Session, SessionACL};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

pub use folding::{UNICODE_VERSION, fold};
use server::Server;
use tree::Tree;

/// Open descriptors of directories that are kept to find what is below them.
const MAX_DIRECTORIES: u64 = 2048;

/// How to serve.
#[derive(Clone, Debug)]
pub struct FoldOptions {
    /// Threads that answer requests; at least two, so that one can answer while another looks at who asks.
    pub threads: usize,
    /// How many names the folded indexes of directories may hold, all together; the least used are dropped first. One
    /// takes about 100 bytes. A single directory with more names still gets its index, alone.
    pub index_names: usize,
}

impl Default for FoldOptions {
    fn default() -> Self {
        FoldOptions {
            threads: 4,
            index_names: 400_000,
        }
    }
}

/// A running server.
#[derive(Debug)]
pub struct Serving {
    thread: JoinHandle<io::Result<()>>,
}

impl Serving {
    /// Waits until the filesystem is unmounted or its connection aborted.
    ///
    /// # Errors
    /// When the server ended for another reason.
    pub fn join(self) -> io::Result<()> {
        let result = self
            .thread
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("a thread panicked")));
        match result {
            // A thread that had a request in its hands meanwhile is told so in this way, and not by ENODEV
            // (`fuse_dev_do_read` in fs/fuse/dev.c).
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => Ok(()),
            result => result,
        }
    }
}

/// Serves the directory `root` on an opened `/dev/fuse` descriptor that is mounted by somebody else, with
/// `default_permissions` and `allow_other`; answers after the handshake, for which it waits.
///
/// The calling process should do nothing else. What it needs:
///
/// - The user namespace of the mount, so that ids mean the same, and in it `CAP_CHOWN`, `CAP_DAC_OVERRIDE`, `CAP_FOWNER` and
///   `CAP_FSETID`, to do what the kernel has allowed the programs; `CAP_MKNOD` and `CAP_SETFCAP` for what they create with
///   these.
/// - `CAP_SYS_PTRACE` in that namespace, the pid namespace of the mount and its `/proc`: a rename that changes only the case
///   is recognized by the system call that a program is in. Without these it changes nothing.
/// - Descriptors: the limit is raised as far as it may be. One is open for each file that programs have open.
///
/// The mask of modes does not matter: modes are set after creation. Mounts below `root` that this process sees are shown
/// as well.
///
/// # Errors
/// When `/proc` is not that of this process, when the handshake fails, or when a thread cannot be started.
pub fn serve(fuse: OwnedFd, root: OwnedFd, options: FoldOptions) -> io::Result<Serving> {
    let proc_entry = format!("/proc/self/fd/{}", root.as_raw_fd());
    File::open(proc_entry).map_err(|error| {
        io::Error::new(
            error.kind(),
            format!("`/proc` does not show this process, which case folding needs: {error}"),
        )
    })?;
    let directories = (raise_limit() / 4).clamp(16, MAX_DIRECTORIES);
    let tree = Tree::new(root, directories as usize, options.index_names)?;
    let threads = options.threads.max(2);
    let mut config = Config::default();
    config.acl = SessionACL::All;
    config.n_threads = Some(threads);
    let session = Session::from_fd(Server::new(tree, threads), fuse, SessionACL::All, config)?;
    let thread = std::thread::Builder::new()
        .name("fold".into())
        .spawn(move || session.run())?;
    Ok(Serving { thread })
}

/// Raises the limit of open descriptors to what the process may have; answers it.
fn raise_limit() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    let current = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        // The limit that is there does, with fewer open files.
        Err(_) => limit.current,
    };
    current.unwrap_or(u64::MAX)
}
