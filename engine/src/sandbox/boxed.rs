//! The sandbox that `bwrap` makes from its arguments, where it may and what it starts may not.
//!
//! Its root is one that is mounted [outside](super::outside), or a [plain copy](crate::unpack::copy) of the layers. Any number of
//! instances can use either at once. The first process is
//! this program, which `bwrap` starts with everything mounted and no capability ([`answer`]): it makes the sockets that are wanted,
//! gives up the rest, and is from then on what the first process of every container is.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::signal::Signal;
use nix::sys::stat::{Mode, umask};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use super::channel::Channel;
use super::failure::{Attempt, Failure};
use super::instance::Entering;
use super::native::Native;
use super::{Context, place};
use crate::host::Stream;
use crate::plan::{Action, Argument, Around, Exec, Plan, RootAction, Wanted, arguments};
use crate::sys::{reset_signal, take_inherited, while_ignoring};
use crate::trace::is_traced;

/// Tells this program to be the first process: `<descriptor of the channel>:<descriptor of the orders>`, or `0:0` to do nothing.
const VARIABLE: &str = "FIM_FIRST";

/// Bytes of a file of accounts beyond which it is left as it is.
const LONGEST_ACCOUNTS: u64 = 1 << 20;

/// What the first process has to know.
#[derive(Serialize, Deserialize)]
struct Orders {
    /// The program and its arguments.
    command: Vec<Vec<u8>>,
    environment: BTreeMap<String, String>,
    directories: Vec<PathBuf>,
    /// The streams that are a terminal, by number.
    terminal: Vec<u8>,
    /// Names of the rules of the filter that hold.
    rules: Vec<String>,
    /// What may be missed, by command and name.
    wanted: Vec<(String, String)>,
    /// Where the socket of the portal is.
    portal: Option<PathBuf>,
    /// Where those of message buses are.
    buses: Vec<PathBuf>,
    /// The caller's mask.
    mask: u32,
}

/// What the caller's terminal sends to all that are in front of it. It is for the program: `bwrap`, which would end with everything
/// in its sandbox, ignores it.
const OF_TERMINALS: [Signal; 3] = [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT];

const STREAMS: [Stream; 3] = [Stream::Input, Stream::Output, Stream::Error];

/// Whether `program` can make a sandbox from arguments around `root`: it makes one that is as ours are, without anything in it.
pub fn can(program: &Path, root: &Path) -> bool {
    let probe = || -> io::Result<bool> {
        let ourselves = ourselves()?;
        let mut command = Command::new(program);
        command
            .args([
                "--unshare-user",
                "--unshare-pid",
                "--unshare-ipc",
                "--unshare-uts",
                "--unshare-net",
            ])
            .args([
                "--uid",
                "1",
                "--gid",
                "1",
                "--as-pid-1",
                "--die-with-parent",
            ])
            .arg("--ro-bind")
            .arg(root)
            .args(["/", "--dev", "/dev", "--proc", "/proc"])
            .arg(format!("/proc/self/fd/{}", ourselves.as_raw_fd()))
            .env_clear()
            .env(VARIABLE, "0:0")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Ok(command.status()?.success())
    };
    probe().unwrap_or(false)
}

/// This program, for somebody who is started.
fn ourselves() -> io::Result<OwnedFd> {
    let opened = nix::fcntl::open("/proc/self/exe", OFlag::O_RDONLY, Mode::empty());
    Ok(opened?)
}

/// Starts an instance around `copy`, which is the root, by `program`.
///
/// # Errors
/// When the plan asks for what cannot be had so, or there can be no process.
pub fn enter(
    plan: &Plan,
    (program, copy): (&Path, &Path),
    context: &Context<'_>,
) -> Result<Entering, Failure> {
    furnish(plan, copy)
        .attempting(|| format!("make the places to mount on in {}", copy.display()))?;
    let root = place::stage(copy).attempting(|| format!("open {}", copy.display()))?;
    let contents = |path: &Path| {
        let text = place::read(root.as_fd(), path, LONGEST_ACCOUNTS);
        text.ok().flatten()
    };
    let around = Around {
        copy,
        files: context.host.files.as_ref(),
        contents: &contents,
    };
    let said = arguments(plan, &around).map_err(|reason| {
        let program = program.display();
        Failure::ours(format!("{program} makes the container here, and {reason}"))
    })?;
    let (ours, theirs) = Channel::pair().attempting(|| "make a pair of sockets".into())?;
    let theirs = OwnedFd::from(theirs);
    let orders = Orders::of(plan)
        .write()
        .attempting(|| "make a file in memory".into())?;
    // What the child has, until it is there.
    let mut passed = vec![ourselves().attempting(|| "open this program".into())?];
    let mut command = Command::new(program);
    for argument in said {
        match argument {
            Argument::Text(text) => command.arg(text),
            Argument::Data(text) => {
                let data =
                    in_memory(text.as_bytes()).attempting(|| "make a file in memory".into())?;
                command.arg(data.as_raw_fd().to_string());
                passed.push(data);
                &mut command
            }
        };
    }
    command
        .arg(format!("/proc/self/fd/{}", passed[0].as_raw_fd()))
        .env_clear()
        .env(
            VARIABLE,
            format!("{}:{}", theirs.as_raw_fd(), orders.as_raw_fd()),
        )
        .envs(is_traced().then_some(("FIM_DEBUG", "1")));
    passed.extend([theirs, orders]);
    for inherited in &passed {
        fcntl(inherited, FcntlArg::F_SETFD(FdFlag::empty()))
            .attempting(|| "pass a descriptor".into())?;
    }
    let run = || format!("run {}", program.display());
    let spawned = while_ignoring(&OF_TERMINALS, || command.spawn());
    let child = spawned.attempting(run)?.attempting(run)?;
    Ok(Entering {
        pid: Pid::from_raw(child.id() as i32),
        channel: ours,
    })
}

/// Makes what the skeleton has and the copy lacks.
///
/// # Errors
/// As mkdir(2), open(2) and symlink(2).
pub fn furnish(plan: &Plan, copy: &Path) -> io::Result<()> {
    let root = place::stage(copy)?;
    for step in &plan.root {
        let RootAction::Skeleton {
            directories,
            files,
            links,
        } = &step.action
        else {
            continue;
        };
        for directory in directories {
            place::ensure(root.as_fd(), directory, place::Missing::Directory)?;
        }
        for (path, contents) in files {
            if place::find(root.as_fd(), path).is_err() {
                let file = place::ensure(root.as_fd(), path, place::Missing::File)?;
                std::fs::write(format!("/proc/self/fd/{}", file.as_raw_fd()), contents)?;
            }
        }
        for (link, target) in links {
            place::link(root.as_fd(), link, target)?;
        }
    }
    Ok(())
}

fn in_memory(bytes: &[u8]) -> io::Result<OwnedFd> {
    let mut file = File::from(memfd_create(c"data", MFdFlags::MFD_CLOEXEC)?);
    file.write_all(bytes)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(file.into())
}

impl Orders {
    fn of(plan: &Plan) -> Orders {
        let exec = &plan.exec;
        let command = std::iter::once(&exec.program).chain(&exec.arguments);
        let targets = |wanted: fn(&Action) -> Option<&PathBuf>| {
            let actions = plan.steps.iter().map(|step| &step.action);
            actions.filter_map(wanted).cloned().collect::<Vec<_>>()
        };
        let portal = targets(|action| match action {
            Action::Portal { target } => Some(target),
            _ => None,
        });
        let mask = umask(Mode::empty());
        umask(mask);
        Orders {
            command: command.map(|text| text.as_bytes().to_vec()).collect(),
            environment: exec.environment.clone(),
            directories: exec.directories.clone(),
            terminal: (0..)
                .zip(STREAMS)
                .filter(|(_, stream)| exec.terminal.contains(stream))
                .map(|(number, _)| number)
                .collect(),
            rules: plan
                .filter
                .rules
                .iter()
                .map(|rule| (*rule).to_owned())
                .collect(),
            wanted: plan
                .wanted
                .iter()
                .map(|wanted| (wanted.command.to_owned(), wanted.name.to_owned()))
                .collect(),
            portal: portal.into_iter().next(),
            buses: targets(|action| match action {
                Action::Bus { target, .. } => Some(target),
                _ => None,
            }),
            mask: mask.bits(),
        }
    }

    fn write(&self) -> io::Result<OwnedFd> {
        in_memory(&serde_json::to_vec(self)?)
    }

    fn read(file: OwnedFd) -> io::Result<Orders> {
        let mut text = Vec::new();
        File::from(file).read_to_end(&mut text)?;
        Ok(serde_json::from_slice(&text)?)
    }

    fn exec(&self) -> Exec {
        let mut command = self
            .command
            .iter()
            .map(|text| OsString::from_vec(text.clone()));
        Exec {
            program: command.next().unwrap_or_default(),
            arguments: command.collect(),
            environment: self.environment.clone(),
            directories: self.directories.clone(),
            terminal: self
                .terminal
                .iter()
                .filter_map(|number| STREAMS.get(usize::from(*number)).copied())
                .collect(),
            capabilities: Vec::new(),
        }
    }
}

/// Is the first process, if this process was started to be that; answers the exit code.
pub fn answer() -> Option<u8> {
    let told = std::env::var(VARIABLE).ok()?;
    if told == "0:0" {
        return Some(0);
    }
    let (channel, orders) = told.split_once(':')?;
    let channel = Channel::from(take_inherited(channel.parse().ok()?)?);
    let orders = take_inherited(orders.parse().ok()?)?;
    for signal in OF_TERMINALS {
        reset_signal(signal).ok()?;
    }
    let native = File::open("/dev/null").map(|nothing| Native::given(channel, nothing));
    let mut native = native.ok()?;
    let result = Orders::read(orders)
        .attempting(|| "hear what to start".into())
        .and_then(|orders| run(&mut native, &orders));
    let code = result
        .as_ref()
        .map_or_else(|failure| failure.code, |code| *code);
    native.report(result);
    Some(code)
}

fn run(native: &mut Native, orders: &Orders) -> Result<u8, Failure> {
    native.furnish(orders.portal.as_deref(), &orders.buses)?;
    let wanted = orders.wanted.iter();
    let wanted = wanted.filter_map(|(command, name)| Wanted::named(command, name));
    native.restrict_given(&orders.rules, wanted.collect())?;
    native.execute_given(&orders.exec(), Mode::from_bits_truncate(orders.mask))
}
