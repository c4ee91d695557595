//! Namespaces of a program of the host that may make them where this one may not.
//!
//! Where the host keeps user namespaces from this program, `bwrap` may be allowed them. It then makes a user and a mount namespace
//! and starts this program in them, as root with all capabilities ([`answer`]). That one sends descriptors of both, and of a
//! user namespace nested in the first, to whoever asked ([`borrow`]), and ends, and `bwrap` with it. What is done
//! from there on is the same as natively: entering a namespace by its descriptor is not refused to who owns it, making one is.
//! So nothing of a container depends on a process of `bwrap`, and all that the sandbox promises holds.
//!
//! The nested namespace is made there too, since only what `bwrap` starts may make one. A further start that joins the root
//! has `bwrap` enter the user namespace of the root (`--userns`), and gets a nested one of its own.

use std::fs;
use std::io::Read;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::sched::{CloneFlags, setns};
use nix::sys::stat::Mode;

use super::channel::{Channel, Message};
use super::failure::{Attempt, Failure};
use super::{identity, root};
use crate::host::USUAL_PATH;
use crate::plan::{IdMap, Identity};
use crate::sys::take_inherited;
use crate::trace::is_traced;

/// Tells this program what to lend: `<descriptor of the channel>:<uid>:<gid>`, the ids being those in the nested namespace.
const VARIABLE: &str = "FIM_LEND";

/// The name of the program.
const PROGRAM: &str = "bwrap";

/// What was borrowed.
#[derive(Debug)]
pub struct Lent {
    /// A user namespace in which the caller is root.
    pub user: OwnedFd,
    /// A mount namespace that belongs to it, with the host's mounts.
    pub mounts: OwnedFd,
    /// A user namespace nested in the first, for the program.
    pub nested: OwnedFd,
}

impl Lent {
    /// Enters the user namespace.
    ///
    /// # Errors
    /// As setns(2).
    pub fn become_root(&self) -> nix::Result<()> {
        setns(&self.user, CloneFlags::CLONE_NEWUSER)
    }

    /// Enters the user and the mount namespace.
    ///
    /// # Errors
    /// As setns(2).
    pub fn enter(&self) -> nix::Result<()> {
        self.become_root()?;
        setns(&self.mounts, CloneFlags::CLONE_NEWNS)
    }
}

/// The first `bwrap` in the caller's `PATH` that root alone can change, without links.
pub fn lender() -> Option<PathBuf> {
    of_root(PROGRAM, |_| true)
}

/// The first program of this name in the caller's `PATH` that root alone can change, without links, and that has a mode that
/// is `right`.
pub fn of_root(name: &str, right: impl Fn(u32) -> bool) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_else(|_| USUAL_PATH.to_owned());
    let places = path.split(':').filter(|place| place.starts_with('/'));
    places
        .filter_map(|place| fs::canonicalize(Path::new(place).join(name)).ok())
        .find(|program| {
            fs::metadata(program).is_ok_and(|found| {
                let is_of_root = found.uid() == 0 && found.mode() & 0o022 == 0;
                found.is_file() && is_of_root && right(found.mode())
            })
        })
}

/// Has `program` lend namespaces for `identity`; those of a root that is there already when its user namespace is `within`.
///
/// # Errors
/// In words: why it does not.
pub fn borrow(
    program: &Path,
    identity: &Identity,
    within: Option<&OwnedFd>,
) -> Result<Lent, String> {
    let IdMap::Single { .. } = identity.map else {
        return Err("what is lent has one id, and this start needs several".into());
    };
    ask(program, identity, within).map_err(|failure| failure.text)
}

fn ask(program: &Path, identity: &Identity, within: Option<&OwnedFd>) -> Result<Lent, Failure> {
    let (ours, theirs) = Channel::pair().attempting(|| "make a pair of sockets".into())?;
    let theirs = OwnedFd::from(theirs);
    let ourselves = nix::fcntl::open(
        "/proc/self/exe",
        OFlag::O_RDONLY | OFlag::O_CLOEXEC,
        Mode::empty(),
    )
    .attempting(|| "open this program".into())?;
    for inherited in [&theirs, &ourselves].into_iter().chain(within) {
        fcntl(inherited, FcntlArg::F_SETFD(FdFlag::empty()))
            .attempting(|| "pass a descriptor".into())?;
    }
    let mut command = Command::new(program);
    match within {
        None => command.args(["--unshare-user", "--uid", "0", "--gid", "0"]),
        Some(user) => command.args(["--userns", &user.as_raw_fd().to_string()]),
    };
    command
        // The host's `/proc` stays in sight: the kernel allows a new one only to who sees one that nothing is hidden of.
        .args([
            "--cap-add",
            "ALL",
            "--die-with-parent",
            "--dev-bind",
            "/",
            "/",
        ])
        .arg(format!("/proc/self/fd/{}", ourselves.as_raw_fd()))
        .env_clear()
        .env(
            VARIABLE,
            format!("{}:{}:{}", theirs.as_raw_fd(), identity.uid, identity.gid),
        )
        .envs(is_traced().then_some(("FIM_DEBUG", "1")))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let spawned = command.spawn();
    // What is passed on to others from here on must not have them.
    drop((theirs, ourselves));
    if let Some(within) = within {
        fcntl(within, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))
            .attempting(|| "keep a descriptor".into())?;
    }
    let mut child = spawned.attempting(|| format!("run {}", program.display()))?;
    let answer = ours.receive();
    let mut words = String::new();
    if let Some(mut said) = child.stderr.take() {
        // What it says is of use only when it refuses.
        let _ = said.read_to_string(&mut words);
    }
    let _ = child.wait();
    match answer {
        Ok(Some(Message::Lent {
            user,
            mounts,
            nested,
        })) => Ok(Lent {
            user,
            mounts,
            nested,
        }),
        Ok(Some(Message::Failed { code, text })) => Err(Failure { code, text }),
        _ => Err(Failure::ours(match words.lines().last() {
            Some(line) => line.trim().to_owned(),
            None => format!("{} was killed", program.display()),
        })),
    }
}

/// Lends the namespaces that this process is in, if it was started to do that; answers the exit code.
pub fn answer() -> Option<u8> {
    let (channel, uid, gid) = asked(&std::env::var(VARIABLE).ok()?)?;
    let channel = Channel::from(take_inherited(channel)?);
    let message = lend(&Identity {
        uid,
        gid,
        map: IdMap::Single { uid: 0, gid: 0 },
    });
    let message = message.unwrap_or_else(|Failure { code, text }| Message::Failed { code, text });
    Some(u8::from(channel.send(&message).is_err()))
}

fn asked(text: &str) -> Option<(RawFd, u32, u32)> {
    let mut parts = text.split(':');
    let numbers = (
        parts.next()?.parse().ok()?,
        parts.next()?.parse().ok()?,
        parts.next()?.parse().ok()?,
    );
    parts.next().is_none().then_some(numbers)
}

fn lend(identity: &Identity) -> Result<Message, Failure> {
    // Some hosts give programs that bwrap starts no capabilities: this shows it, and changes nothing that lasts.
    root::separate_mounts().attempting(|| "change mounts in what bwrap made".into())?;
    let open = |name: &str| {
        let file = fs::File::open(format!("/proc/self/ns/{name}"));
        file.map(OwnedFd::from)
            .attempting(|| format!("open the {name} namespace"))
    };
    let (user, mounts) = (open("user")?, open("mnt")?);
    identity::enter_inner(identity).attempting(|| "nest a user namespace".into())?;
    let nested = open("user")?;
    Ok(Message::Lent {
        user,
        mounts,
        nested,
    })
}
