//! Hosts on which `bwrap` makes a sandbox and `fusermount3` mounts, and nobody else may do either.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};

use nix::unistd::{Pid, User, getgid, getuid};

use super::compiled::compiled;
use super::refusing::ALL_BUT_BWRAP_ITSELF;
use super::{ORDINARY, Place, Ran, Who};

/// The host's program by which ordinary users mount.
pub const MOUNTER: &str = "/usr/bin/fusermount3";

/// Takes it away, for [`Mounting::run_by_root`].
pub const NO_MOUNTER: &str = "mount --bind /dev/null /usr/bin/fusermount3";

/// Such a host: a mount namespace that lasts, where nothing is taken away by the end of a program.
///
/// Who is not root can make neither a filter nor a tracer under which `fusermount3` is root. So they do it as root of a user namespace,
/// which is the first of their subordinate ids, and gives them a copy of the program that is that root's.
pub struct Mounting<'a> {
    place: &'a Place,
    program: PathBuf,
    holder: Child,
    _stdin: ChildStdin,
}

/// A process with a copy of the mounts.
pub struct Copy<'a> {
    place: &'a Place,
    holder: Child,
    _stdin: ChildStdin,
}

impl Copy<'_> {
    /// What is mounted there and is of the place.
    pub fn mounts(&self) -> Vec<String> {
        mounts(self.holder.id(), self.place)
    }
}

impl Drop for Copy<'_> {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// Starts what says `ready` and then stays.
fn held(mut command: Command) -> (Child, ChildStdin) {
    let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut holder = spawned.unwrap();
    let mut line = String::new();
    BufReader::new(holder.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert_eq!(line, "ready\n");
    let stdin = holder.stdin.take().unwrap();
    (holder, stdin)
}

fn mounts(holder: u32, place: &Place) -> Vec<String> {
    let place = place.path().to_string_lossy().into_owned();
    let mounts = fs::read_to_string(format!("/proc/{holder}/mountinfo")).unwrap();
    let lines = mounts.lines().filter(|line| line.contains(&place));
    lines.map(str::to_owned).collect()
}

impl<'a> Mounting<'a> {
    /// Makes it for the user of the place.
    pub fn new(place: &'a Place) -> Mounting<'a> {
        let mut command = Command::new("unshare");
        command
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .args(namespace())
            .args(["-m", "sh", "-c"])
            .arg(format!("set -e; {}; echo ready; exec cat", prepare()));
        let (holder, stdin) = held(command);
        Mounting {
            place,
            _stdin: stdin,
            program: compiled(place, "refuse/refuse.c", &[]),
            holder,
        }
    }

    /// A command of the host's root in it.
    fn by_root(&self) -> Command {
        let mut command = Command::new("nsenter");
        command
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", self.place.home())
            .stdin(Stdio::null())
            .args(["-m", "-t", &self.holder.id().to_string()]);
        if !getuid().is_root() {
            command.arg("-U");
        }
        command.args(["sh", "-c", "cd \"$0\" && exec \"$@\""]);
        command.arg(self.place.path());
        command
    }

    /// Has root run a shell script.
    pub fn run_by_root(&self, script: &str) {
        let mut command = self.by_root();
        command.args(["sh", "-c", script]);
        let ran = Ran::of(command);
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{script}: {ran:?}");
    }

    /// The user of the place.
    fn id(&self) -> u32 {
        match self.place.who {
            Who::Ordinary => ORDINARY,
            Who::Caller => getuid().as_raw(),
        }
    }

    /// A command of the user of the place.
    pub fn of_user(&self, command: &[&str]) -> Command {
        let id = self.id();
        let mut by_root = self.by_root();
        by_root.args(["setpriv", "--clear-groups"]);
        by_root.args([format!("--reuid={id}"), format!("--regid={id}")]);
        by_root.args(command);
        by_root
    }

    /// The image with arguments, started by the user of the place and refused nothing.
    pub fn unrefused(&self, arguments: &[&str]) -> Command {
        let mut command = self.of_user(&[]);
        command.arg(&self.place.image).args(arguments);
        command
    }

    /// The image with arguments, started by the user of the place.
    pub fn image(&self, arguments: &[&str]) -> Command {
        let id = self.id();
        let mut command = self.by_root();
        command
            .env("FIM_SANDBOX", "best-effort")
            .arg(&self.program)
            .arg(format!("as:{id}:{ALL_BUT_BWRAP_ITSELF}"))
            .arg(&self.place.image)
            .args(arguments);
        command
    }

    /// What is mounted there and is of the place.
    pub fn mounts(&self) -> Vec<String> {
        mounts(self.holder.id(), self.place)
    }

    /// The image that was started last, if it was by now.
    pub fn program(&self) -> Option<Pid> {
        let is_tracer = |pid: &str| {
            let exe = fs::read_link(format!("/proc/{pid}/exe"));
            exe.is_ok_and(|exe| exe == self.program)
        };
        let is_started = |pid: &i32| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
            let parent = after_name.split_whitespace().nth(1).unwrap_or_default();
            is_tracer(parent) && !is_tracer(&pid.to_string())
        };
        let mut processes = self.place.processes().into_iter();
        processes.find(is_started).map(Pid::from_raw)
    }

    /// Somebody who has a copy of all mounts, from which nothing is taken away with them.
    pub fn copy_of_mounts(&self) -> Copy<'a> {
        let mut command = self.by_root();
        command
            .args(["unshare", "-m", "--propagation", "private"])
            .args(["sh", "-c", "cd /; echo ready; exec env -i cat"]);
        let (holder, stdin) = held(command);
        Copy {
            place: self.place,
            holder,
            _stdin: stdin,
        }
    }

    /// Demands that no process and no mount is left.
    pub fn assert_gone(&self) {
        self.place.assert_gone();
        assert_eq!(self.mounts(), Vec::<String>::new());
    }
}

impl Drop for Mounting<'_> {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.program);
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// Options of unshare(1) for the user namespace of somebody who is not root.
fn namespace() -> Vec<String> {
    if getuid().is_root() {
        return Vec::new();
    }
    let (user, group) = (subordinate("/etc/subuid"), subordinate("/etc/subgid"));
    vec![
        "-U".to_owned(),
        format!("--map-user={}", getuid()),
        format!("--map-group={}", getgid()),
        format!("--map-users={user},0,1"),
        format!("--map-groups={group},0,1"),
        "--setuid=0".to_owned(),
        "--setgid=0".to_owned(),
    ]
}

/// The first id that a file of subordinate ids gives to the caller.
fn subordinate(file: &str) -> u32 {
    let name = User::from_uid(getuid()).unwrap().unwrap().name;
    let text = fs::read_to_string(file).unwrap();
    let mut lines = text.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let mine = lines.find(|parts| parts[0] == name || parts[0] == getuid().to_string());
    let mine = mine.unwrap_or_else(|| panic!("{file} has nothing for {name}"));
    mine[1].parse().unwrap()
}

/// A shell script that gives root of the namespace the programs, or the ordinary user the account that `fusermount3` asks for.
fn prepare() -> String {
    let instead = |path: &str, make: &str| {
        format!(
            "mount -t tmpfs none /mnt; {make} > /mnt/new; chmod $(stat -c %a {path}) /mnt/new; mount --bind /mnt/new {path}; \
             umount -l /mnt"
        )
    };
    match getuid().is_root() {
        true => instead(
            "/etc/passwd",
            &format!("sed '$ a ordinary:x:{ORDINARY}:{ORDINARY}::/:/bin/sh' /etc/passwd"),
        ),
        false => {
            let each =
                [MOUNTER, "/usr/bin/bwrap"].map(|path| instead(path, &format!("cat {path}")));
            each.join("; ")
        }
    }
}
