//! The process that mounts a root outside of namespaces, and unmounts it when nobody uses it any more.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use flatimage_layer::IdMap as ServedIds;
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::{Mode, umask};
use nix::sys::statvfs::{FsFlags, statvfs};
use nix::sys::wait::waitpid;
use nix::unistd::{Pid, chdir, dup2_stderr, getegid, geteuid, getppid};

use super::super::channel::{Channel, Message};
use super::super::detach::{fall_silent, let_go_of_all_but};
use super::super::failure::{Attempt, Failure, plain};
use super::super::stacking::{Words, execute_in};
use super::super::{Context, die_with_parent, mounter, server};
use super::{LAYERS, MOUNTS, ROOT, SKELETON};
use crate::plan::Plan;
use crate::sys::{Fork, fork, open_process, while_ignoring};
use crate::trace::trace;

/// The program that stacks.
const PROGRAM: &str = "fuse-overlayfs";

/// What ends other processes of a session. Those of a root end when nobody uses it.
const SENT_TO_ALL: [Signal; 3] = [Signal::SIGHUP, Signal::SIGINT, Signal::SIGTERM];

/// Milliseconds for the servers to end by themselves once no container uses what they serve. They do so at once, unless a program of
/// the host has a file of the root open, or works in one of its directories.
const PATIENCE: u16 = 10_000;

/// What is mounted by whom.
pub struct Outside<'a> {
    /// The plan that has the layers.
    pub layers: &'a Plan,
    /// The plan that has the skeleton.
    pub skeleton: &'a Plan,
    /// What the start has beside it.
    pub context: &'a Context<'a>,
    /// The program that mounts.
    pub mounter: &'a Path,
    /// The directory with the program that stacks.
    pub servers: &'a Path,
    /// The data directory.
    pub data: &'a Path,
}

/// Mounts the root, tells `supervisor`, and stays until `watched` is closed at its other end everywhere. For a process that
/// was just forked: it never returns. It keeps `locks` as long as the root is there.
pub fn run(
    outside: &Outside<'_>,
    supervisor: Channel,
    watched: &OwnedFd,
    locks: BorrowedFd<'_>,
) -> ! {
    let_go_of_all_but(&[supervisor.as_fd(), watched.as_fd(), locks]);
    umask(Mode::from_bits_truncate(0o022));
    let done = while_ignoring(&SENT_TO_ALL, || {
        let mut mounted = Mounted::new(outside, locks);
        let message = match mounted.build() {
            Ok(message) => message,
            Err(Failure { code, text }) => {
                mounted.end();
                Message::Failed { code, text }
            }
        };
        // When nobody is there to be told, nobody holds the other end of what is watched either.
        let _ = supervisor.send(&message);
        drop(supervisor);
        fall_silent();
        wait(watched.as_fd(), PollTimeout::NONE);
        mounted.end();
    });
    std::process::exit(done.is_err().into())
}

/// Waits until something is to be read or is closed. Answers whether it was before the time was over.
fn wait(descriptor: BorrowedFd<'_>, patience: PollTimeout) -> bool {
    loop {
        match poll(&mut [PollFd::new(descriptor, PollFlags::POLLIN)], patience) {
            Ok(ready) => return ready > 0,
            Err(nix::errno::Errno::EINTR) => {}
            Err(_) => return false,
        }
    }
}

/// What there is by now.
struct Mounted<'a> {
    outside: &'a Outside<'a>,
    locks: BorrowedFd<'a>,
    /// What is mounted, in the order in which it is taken away.
    places: Vec<PathBuf>,
    /// The servers, in the order in which they end.
    servers: Vec<(Pid, OwnedFd)>,
}

impl<'a> Mounted<'a> {
    fn new(outside: &'a Outside<'a>, locks: BorrowedFd<'a>) -> Mounted<'a> {
        Mounted {
            outside,
            locks,
            places: Vec::new(),
            servers: Vec::new(),
        }
    }

    fn build(&mut self) -> Result<Message, Failure> {
        let (skeleton, data) = (self.outside.skeleton, self.outside.data);
        super::prepare(skeleton, data)
            .attempting(|| format!("make the places to mount on in {}", data.display()))?;
        if self.outside.layers.way().is_some() {
            self.serve_layers()?;
            trace(|| "layers mounted outside".into());
        }
        let words = Words::new().attempting(|| "make a file in memory".into())?;
        let root = self.stack(&words)?;
        self.examine(&root).map_err(|failure| {
            let reason = words.last().unwrap_or(failure.text);
            Failure::ours(format!("{PROGRAM} did not start: {reason}"))
        })?;
        // It has opened them, and nobody else needs to see them.
        if let Some(layers) = self.places.pop_if(|place| place.ends_with(LAYERS)) {
            mounter::unmount(self.outside.mounter, &layers);
        }
        trace(|| "root mounted outside".into());
        let namespace = |name: &str| {
            let file = File::open(format!("/proc/self/ns/{name}"));
            file.map(OwnedFd::from)
                .attempting(|| format!("open the {name} namespace"))
        };
        let copies = self.servers.iter().map(|(_, process)| process.try_clone());
        Ok(Message::Root {
            user: namespace("user")?,
            mounts: namespace("mnt")?,
            servers: copies
                .collect::<io::Result<_>>()
                .attempting(|| "watch the servers".into())?,
        })
    }

    fn mount(&mut self, name: &str, options: &str) -> Result<OwnedFd, Failure> {
        let place = self.outside.data.join(MOUNTS).join(name);
        let descriptor = mounter::mount(self.outside.mounter, &place, options)?;
        self.places.insert(0, place);
        Ok(descriptor)
    }

    fn serve_layers(&mut self) -> Result<(), Failure> {
        // Whose files they are is not asked of anybody but fuse-overlayfs, which copies them as the caller's.
        let fuse = self.mount(LAYERS, "ro,nosuid,nodev,fsname=flatimage")?;
        let (ours, theirs) = Channel::pair().attempting(|| "make a pair of sockets".into())?;
        let (plan, context) = (self.outside.layers, self.outside.context);
        self.start(|| {
            let caller = ServedIds::One(geteuid().as_raw(), getegid().as_raw());
            server::run_for(plan, caller, context, theirs)
        })?;
        ours.send(&Message::Fuse(fuse))
            .attempting(|| "hand the layers to their server".into())
    }

    /// Starts fuse-overlayfs. Answers where the root is.
    fn stack(&mut self, words: &Words) -> Result<PathBuf, Failure> {
        let options = "nosuid,nodev,default_permissions,fsname=flatimage";
        let fuse = self.mount(ROOT, options)?;
        let (outside, locks) = (self.outside, self.locks);
        self.start(|| {
            let _ = dup2_stderr(&words.0);
            let_go_of_all_but(&[fuse.as_fd(), locks]);
            if let Err(error) = stack(outside, &fuse, locks) {
                eprintln!("{}", plain(&error));
            }
            std::process::exit(1)
        })?;
        Ok(super::root_of(outside.data))
    }

    /// Starts a process that ends with this one.
    fn start(&mut self, run: impl FnOnce()) -> Result<(), Failure> {
        let guard = Pid::this();
        match fork().attempting(|| "start a process".into())? {
            Fork::Child => {
                let tied = die_with_parent();
                // It may have ended before.
                if tied.is_err() || getppid() != guard {
                    std::process::exit(1)
                }
                run();
                std::process::exit(1)
            }
            Fork::Parent(server) => {
                let process = open_process(server).attempting(|| "watch a server".into())?;
                self.servers.insert(0, (server, process));
                Ok(())
            }
        }
    }

    /// The kernel answers once the program has, and with an error when the program has ended.
    fn examine(&self, root: &Path) -> Result<(), Failure> {
        let found = statvfs(root).attempting(|| "examine the root".into())?;
        match found.flags().contains(FsFlags::ST_RDONLY) {
            true => Err(Failure::ours("its filesystem can hold no changes")),
            false => Ok(()),
        }
    }

    /// Takes away what is mounted, and waits for the end of the servers.
    fn end(&mut self) {
        for place in std::mem::take(&mut self.places) {
            mounter::unmount(self.outside.mounter, &place);
            // With a directory go the mounts on it that other mount namespaces have (`detach_mounts` in fs/namespace.c). What
            // stays is found below.
            let _ = fs::remove_dir(place);
        }
        for (server, process) in std::mem::take(&mut self.servers) {
            if !wait(process.as_fd(), PollTimeout::from(PATIENCE)) {
                let _ = kill(server, Signal::SIGKILL);
            }
            let _ = waitpid(server, None);
        }
        super::mend(self.outside.data);
    }
}

/// Becomes fuse-overlayfs.
fn stack(outside: &Outside<'_>, fuse: &OwnedFd, locks: BorrowedFd<'_>) -> io::Result<()> {
    let servers = nix::fcntl::open(outside.servers, OFlag::O_PATH, Mode::empty())?;
    for kept in [fuse.as_fd(), locks] {
        fcntl(kept, FcntlArg::F_SETFD(FdFlag::empty()))?;
    }
    // A colon or comma in a path would end it: the options name what is in the working directory.
    chdir(&outside.data.join(MOUNTS))?;
    let lower = match outside.layers.way() {
        // The server shows them merged, by that name.
        Some(_) => format!("{LAYERS}/0:{SKELETON}"),
        None => SKELETON.to_owned(),
    };
    let further = vec![
        "-f".to_owned(),
        "-o".to_owned(),
        format!("lowerdir={lower},upperdir=../root,workdir=../work"),
        format!("/dev/fd/{}", fuse.as_raw_fd()),
    ];
    let place = format!("/proc/self/fd/{}", servers.as_raw_fd());
    execute_in(&place, (PROGRAM, further), Some(outside.data), None)
}
