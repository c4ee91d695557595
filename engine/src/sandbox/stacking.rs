//! The program that stacks the layers and the changes where the kernel does not.
//!
//! The builder forks it where the layers are mounted, and then goes to a copy of those mounts, in which it mounts the
//! FUSE filesystem that the program serves. The program stays in the first mount namespace, which has what it stacks, so
//! it does not keep alive what it serves: as with the [folded view](super::folding), the end goes from link to link.
//!
//! It is started by a loader of its own with libraries of its own, whatever the host has, and with no variable of the
//! caller's: one of them could make the loader load something else.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use nix::fcntl::{FcntlArg, FdFlag, SealFlag, fcntl};
use nix::sched::{CloneFlags, unshare};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::{Pid, dup2_stderr, execve, ftruncate};

use super::channel::{Channel, Message};
use super::detach::let_go;
use super::failure::{Attempt, Failure, plain};
use super::handing;
use super::root;
use crate::sys::{Fork, fork, open_process};
use crate::tools::LOADER;
use flatimage_reserved::effect::Stacker;

/// Bytes of what the program says that are kept.
const LONGEST_WORDS: i64 = 4096;

/// What is stacked by whom.
pub struct Stacking<'a> {
    /// Who stacks.
    pub stacker: Stacker,
    /// Its program, one of those on the stage.
    pub program: &'static str,
    /// How many layers there are.
    pub layers: usize,
    /// Where on the stage the upper directory is.
    pub upper: &'static str,
    /// The data directory, for whoever looks at the process.
    pub data: Option<&'a Path>,
}

/// Stacks the root, in a mount namespace that the caller is in from then on. `fuse` is an opened `/dev/fuse`. Answers the
/// process that serves.
///
/// # Errors
/// When there can be no such process or mount, or the program ends at once.
pub fn stack(stacking: &Stacking<'_>, fuse: OwnedFd) -> Result<OwnedFd, Failure> {
    let words = Words::new().attempting(|| "make a file in memory".into())?;
    let (ours, theirs) = Channel::pair().attempting(|| "make a pair of sockets".into())?;
    let server = match fork().attempting(|| "start a process".into())? {
        Fork::Child => {
            drop(ours);
            run(stacking, theirs, &words)
        }
        Fork::Parent(server) => server,
    };
    drop(theirs);
    let stacked = show(&ours, fuse, server);
    stacked.map_err(|failure| ended(stacking, server, &words, failure))
}

/// Whoever stacks the changes next must be alone with them.
fn ended(stacking: &Stacking<'_>, server: Pid, words: &Words, failure: Failure) -> Failure {
    let _ = kill(server, Signal::SIGKILL);
    let _ = waitpid(server, None);
    let reason = words.last().unwrap_or(failure.text);
    Failure::ours(format!("{} did not start: {reason}", stacking.program))
}

/// Mounts what `server` serves, and waits until it does.
fn show(channel: &Channel, fuse: OwnedFd, server: Pid) -> Result<OwnedFd, Failure> {
    let process = open_process(server).attempting(|| "watch the server".into())?;
    unshare(CloneFlags::CLONE_NEWNS).attempting(|| "copy the mounts of the layers".into())?;
    root::mount_stacked(&fuse)?;
    channel
        .send(&Message::Fuse(fuse))
        .attempting(|| "hand the root to its server".into())?;
    // The kernel answers once the program has: until then it waits, and when the program has ended it says so.
    root::examine()?;
    Ok(process)
}

/// The program. Tells the caller nothing: that it serves is seen in the mount.
fn run(stacking: &Stacking<'_>, builder: Channel, words: &Words) -> ! {
    // The builder may be gone before the program has started, and then nobody reads what it says.
    let _ = dup2_stderr(&words.0);
    let_go(Some(&builder));
    if let Ok(Some(Message::Fuse(fuse))) = builder.receive() {
        drop(builder);
        if let Err(error) = execute(stacking, &fuse) {
            eprintln!("{}", plain(&error));
        }
    }
    std::process::exit(1)
}

fn execute(stacking: &Stacking<'_>, fuse: &OwnedFd) -> io::Result<()> {
    // Whether it stays open is seen in the mount.
    let _ = fcntl(fuse, FcntlArg::F_SETFD(FdFlag::empty()));
    let (further, variable) = match stacking.stacker {
        Stacker::UnionfsFuse => by_name(stacking, fuse)?,
        _ => (by_descriptor(stacking, fuse), None),
    };
    let data = stacking.data;
    execute_in(root::SERVERS, (stacking.program, further), data, variable)
}

/// Becomes `program` of the directory `servers`, with these arguments and this further variable; `data` is the data directory, for
/// whoever looks at the process.
///
/// # Errors
/// As execve(2).
pub fn execute_in(
    servers: &str,
    (program, further): (&str, Vec<String>),
    data: Option<&Path>,
    variable: Option<String>,
) -> io::Result<()> {
    // Each file that is open in the container is open in it.
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
    let loader = format!("{servers}/{LOADER}");
    let arguments = [
        loader.clone(),
        "--library-path".to_owned(),
        servers.to_owned(),
        format!("{servers}/{program}"),
    ];
    let arguments = strings(arguments.into_iter().chain(further))?;
    let data = data.map(|data| format!("FIM_DIR_DATA={}", data.display()));
    let environment = strings(data.into_iter().chain(variable))?;
    execve(&CString::new(loader)?, &arguments, &environment)?;
    Ok(())
}

/// The arguments of a program that is given a mounted descriptor, which libfuse 3.3 and later take for the mount point.
fn by_descriptor(stacking: &Stacking<'_>, fuse: &OwnedFd) -> Vec<String> {
    let at = format!("/dev/fd/{}", fuse.as_raw_fd());
    in_foreground(&options(stacking), [at])
}

/// The arguments of unionfs-fuse, and the variable of its `fusermount`. Attributes are asked for anew each time, since two names
/// of a file are two files to it; so are contents whose times differ.
fn by_name(stacking: &Stacking<'_>, fuse: &OwnedFd) -> io::Result<(Vec<String>, Option<String>)> {
    handing::give_up_mounting()?;
    let options = "cow,use_ino,attr_timeout=0,auto_cache,modules=subdir,subdir=/root";
    let at = root::offer_mounted()?.to_owned();
    let arguments = in_foreground(options, [root::branches(stacking.upper), at]);
    Ok((arguments, Some(handing::variable(fuse.as_raw_fd()))))
}

/// In the foreground: the process that is watched is this one.
fn in_foreground<const N: usize>(options: &str, further: [String; N]) -> Vec<String> {
    let first = ["-f", "-o", options].map(str::to_owned);
    first.into_iter().chain(further).collect()
}

/// The paths are the stage's, which are plain: a colon or comma would end an option.
fn options(stacking: &Stacking<'_>) -> String {
    let upper = stacking.upper;
    format!(
        "lowerdir={},upperdir={upper}/root,workdir={upper}/work",
        root::lower(stacking.layers).join(":")
    )
}

fn strings(texts: impl IntoIterator<Item = String>) -> io::Result<Vec<CString>> {
    let texts = texts.into_iter();
    texts.map(|text| Ok(CString::new(text)?)).collect()
}

/// What the program says before it serves, in memory. Nobody reads on once it does, so there is an end to what fits.
pub struct Words(pub OwnedFd);

impl Words {
    /// Room for them.
    ///
    /// # Errors
    /// As memfd_create(2).
    pub fn new() -> io::Result<Words> {
        let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
        let file = memfd_create(c"words", flags)?;
        ftruncate(&file, LONGEST_WORDS)?;
        let seals = SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SHRINK;
        fcntl(&file, FcntlArg::F_ADD_SEALS(seals))?;
        Ok(Words(file))
    }

    /// The last line that says something.
    pub fn last(&self) -> Option<String> {
        let mut file = File::from(self.0.try_clone().ok()?);
        let mut bytes = Vec::new();
        file.rewind().ok()?;
        file.read_to_end(&mut bytes).ok()?;
        let text = String::from_utf8_lossy(&bytes).replace('\0', "");
        let mut lines = text.lines().map(str::trim);
        lines.rfind(|line| !line.is_empty()).map(str::to_owned)
    }
}
