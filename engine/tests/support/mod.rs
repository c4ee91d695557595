//! Real images for tests: built by deploy, run as the people who would run them.
#![allow(dead_code, reason = "every test program uses a part of this")]

pub mod archives;
pub mod chance;
pub mod changes;
pub mod chapter;
pub mod compiled;
pub mod icons;
pub mod ids;
pub mod layers;
pub mod mirror;
pub mod mounting;
pub mod podman;
pub mod prepared;
pub mod refusing;
pub mod running;
pub mod screen;
pub mod session;
pub mod store;
pub mod told;

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// An ordinary user that has no account, which is the harder case.
pub const ORDINARY: u32 = 54_321;

/// Who runs an image in a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// Whoever runs the tests.
    Caller,
    /// An ordinary user; only where the tests run as root.
    Ordinary,
}

/// Everybody that the tests can be: root and an ordinary user, or just the caller.
pub fn everybody() -> Vec<Who> {
    match nix::unistd::geteuid().is_root() {
        true => vec![Who::Caller, Who::Ordinary],
        false => vec![Who::Caller],
    }
}

/// The blueprint image, built once for each test program.
pub fn blueprint() -> &'static Path {
    static IMAGE: OnceLock<PathBuf> = OnceLock::new();
    IMAGE.get_or_init(|| {
        let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("images");
        let options = deploy::Options {
            out,
            ..deploy::Options::new("blueprint")
        };
        deploy::build(&options, &mut ())
            .unwrap_or_else(|error| panic!("deploy: {error}"))
            .image
    })
}

/// A place for one image of one user, with nothing of the caller's around it.
pub struct Place {
    /// Where everything is.
    pub directory: tempfile::TempDir,
    /// Who runs it.
    pub who: Who,
    /// The image.
    pub image: PathBuf,
}

impl Place {
    /// With a copy of `image`.
    pub fn with(who: Who, image: &Path) -> Place {
        let directory = tempfile::Builder::new()
            .prefix("flatimage-test-")
            .tempdir()
            .unwrap();
        let place = Place {
            image: directory.path().join("app.flatimage"),
            directory,
            who,
        };
        copy(image, &place.image);
        fs::create_dir(place.home()).unwrap();
        fs::set_permissions(place.home(), fs::Permissions::from_mode(0o700)).unwrap();
        for path in [place.path(), &place.home(), &place.image] {
            place.give(path);
        }
        place
    }

    /// With a copy of the blueprint image.
    pub fn blueprint(who: Who) -> Place {
        Place::with(who, blueprint())
    }

    /// The directory with everything in it.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The user's home directory.
    pub fn home(&self) -> PathBuf {
        self.path().join("home")
    }

    /// The data directory of the image.
    pub fn data(&self) -> PathBuf {
        self.path().join(".app.flatimage.data")
    }

    /// Makes a file or directory the user's.
    pub fn give(&self, path: &Path) {
        if self.who == Who::Ordinary {
            chown(path, Some(ORDINARY), Some(ORDINARY)).unwrap();
        }
    }

    /// Writes a file of the user's.
    pub fn write(&self, name: &str, contents: &str) -> PathBuf {
        let path = self.path().join(name);
        fs::write(&path, contents).unwrap();
        self.give(&path);
        path
    }

    /// A command of the user, with a clean environment.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", self.home())
            .current_dir(self.path())
            .stdin(Stdio::null());
        if self.who == Who::Ordinary {
            command.uid(ORDINARY).gid(ORDINARY);
        }
        command
    }

    /// The image with arguments.
    pub fn image<A: AsRef<OsStr>>(&self, arguments: &[A]) -> Command {
        let mut command = self.command(&self.image);
        command.args(arguments);
        command
    }

    /// Runs the image.
    pub fn run<A: AsRef<OsStr>>(&self, arguments: &[A]) -> Ran {
        Ran::of(self.image(arguments))
    }

    /// Runs the image, which must succeed without a word on standard error; answers its output.
    pub fn succeed<A: AsRef<OsStr>>(&self, arguments: &[A]) -> String {
        let ran = self.run(arguments);
        assert_eq!(
            (ran.code, ran.err.as_str()),
            (0, ""),
            "{:?}: {ran:?}",
            self.who
        );
        ran.out
    }

    /// Runs the image, which must fail with `code` and one line; answers the line.
    pub fn fail<A: AsRef<OsStr>>(&self, code: i32, arguments: &[A]) -> String {
        let ran = self.run(arguments);
        assert_eq!(
            (ran.code, ran.out.as_str()),
            (code, ""),
            "{:?}: {ran:?}",
            self.who
        );
        assert_eq!(ran.err.lines().count(), 1, "{ran:?}");
        ran.err
    }

    /// Runs a shell script in the container, which must succeed.
    pub fn shell(&self, script: &str) -> String {
        self.succeed(&["fim-exec", "bash", "-c", script])
    }

    /// What is left of the image's runs: processes that know of the place, and mounts.
    pub fn leftovers(&self) -> Vec<String> {
        let place = self.path().to_string_lossy().into_owned();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let mounts = mounts
            .lines()
            .filter(|line| line.contains(&place) || line.contains(" - fuse flatimage"))
            .map(str::to_owned);
        let processes = self.processes();
        mounts
            .chain(processes.iter().map(|pid| format!("process {pid}")))
            .collect()
    }

    /// The processes that know of the place.
    pub fn processes(&self) -> Vec<i32> {
        let place = self.path().to_string_lossy().into_owned();
        let knows = |pid: &i32| {
            let path = PathBuf::from(format!("/proc/{pid}"));
            let told = ["cmdline", "environ"]
                .iter()
                .any(|file| mentions(&fs::read(path.join(file)).unwrap_or_default(), &place));
            told || fs::read_link(path.join("exe")).is_ok_and(|exe| exe.starts_with(&place))
        };
        let pids = fs::read_dir("/proc").unwrap().flatten();
        pids.filter_map(|process| process.file_name().to_str()?.parse().ok())
            .filter(knows)
            .collect()
    }

    /// The processes among them that serve a root: each leads a session of its own.
    pub fn servers(&self) -> Vec<i32> {
        let leads = |pid: &i32| {
            let status = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let after_name = status.rsplit_once(')').map_or("", |(_, rest)| rest);
            after_name.split_whitespace().nth(3) == Some(&pid.to_string())
        };
        self.processes().into_iter().filter(leads).collect()
    }

    /// The names in the place, without the cache that the documentation names.
    pub fn files(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    /// Demands that no process and no mount is left.
    pub fn assert_gone(&self) {
        // The last act of a container is the kernel's: it lets go of the overlay and syncs.
        let patience = Instant::now() + Duration::from_secs(60);
        // Who looks through `/proc` can miss a process that starts another one and ends: so nothing is seen twice.
        let mut left = [self.leftovers(), self.leftovers()].concat();
        while !left.is_empty() && Instant::now() < patience {
            std::thread::sleep(Duration::from_millis(5));
            left = [self.leftovers(), self.leftovers()].concat();
        }
        assert_eq!(left, Vec::<String>::new());
    }

    /// Demands that nothing is left but the image, its data directory and the cache.
    pub fn assert_clean(&self) {
        self.assert_gone();
        let expected = ["home", "app.flatimage", ".app.flatimage.data"];
        let others: Vec<String> = self
            .files()
            .into_iter()
            .filter(|name| !expected.contains(&name.as_str()))
            .collect();
        assert_eq!(others, Vec::<String>::new());
        let mut below_home = Vec::new();
        list(&self.home(), &mut below_home);
        let outside = below_home
            .iter()
            .filter(|path| !path.starts_with(self.home().join(".cache/flatimage")))
            .filter(|path| **path != self.home().join(".cache"));
        assert_eq!(outside.count(), 0, "{below_home:?}");
        assert!(
            !below_home
                .iter()
                .any(|path| path.to_string_lossy().contains("/.new-"))
        );
    }
}

/// Copies an image in a process of its own: a descriptor of ours that can write would be in every
/// process that another test forks meanwhile, and the copy could not be executed until that is gone.
pub fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp")
        .args(["--reflink=auto", "--"])
        .args([from, to])
        .status()
        .unwrap();
    assert!(status.success());
}

fn list(directory: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap().flatten() {
        if entry.file_type().unwrap().is_dir() {
            list(&entry.path(), into);
        }
        into.push(entry.path());
    }
}

fn mentions(bytes: &[u8], text: &str) -> bool {
    bytes
        .windows(text.len())
        .any(|window| window == text.as_bytes())
}

/// How a command ended.
#[derive(Debug)]
pub struct Ran {
    /// Exit code, or minus the signal.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Ran {
    /// Runs the command to its end.
    pub fn of(mut command: Command) -> Ran {
        Ran::from(
            command
                .output()
                .unwrap_or_else(|error| panic!("{command:?}: {error}")),
        )
    }
}

impl Ran {
    /// The exit code, or minus the signal.
    pub fn code(status: ExitStatus) -> i32 {
        use std::os::unix::process::ExitStatusExt;
        status
            .code()
            .unwrap_or_else(|| -status.signal().unwrap_or(0))
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Ran {
        Ran {
            code: Ran::code(output.status),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// The inode number of a file, which says whether it is still the same.
pub fn inode(path: &Path) -> u64 {
    fs::metadata(path).unwrap().ino()
}

/// Arguments from words.
pub fn words(line: &str) -> Vec<OsString> {
    line.split_whitespace().map(OsString::from).collect()
}
