//! Hosts on which `bwrap` makes a sandbox and `fusermount3` mounts, and nobody else may do either.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use nix::unistd::{User, getgid, getuid};

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
            .arg(format!("set -e; {}; echo ready; exec cat", prepare()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut holder = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(holder.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert_eq!(line, "ready\n");
        Mounting {
            place,
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

    /// The image with arguments, started by the user of the place.
    pub fn image(&self, arguments: &[&str]) -> Command {
        let id = match self.place.who {
            Who::Ordinary => ORDINARY,
            Who::Caller => getuid().as_raw(),
        };
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
        let place = self.place.path().to_string_lossy().into_owned();
        let mounts = fs::read_to_string(format!("/proc/{}/mountinfo", self.holder.id())).unwrap();
        let lines = mounts.lines().filter(|line| line.contains(&place));
        lines.map(str::to_owned).collect()
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
