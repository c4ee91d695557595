//! What the engine knows of the host, read once.
//!
//! Everything that a plan depends on and that is not in the image comes through here, so
//! that a plan is a pure function and a test can write a host by hand.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, IsTerminal};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::unistd::{getegid, geteuid};
use serde::Serialize;

use crate::sandbox::plain;

mod glob;
mod loader_cache;
mod subordinate;

pub use glob::wildcard;
pub use loader_cache::{Class, Library};
pub use subordinate::SubordinateIds;

/// What a path of the host leads to, links followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Directory,
    /// Anything else that exists: a file, a socket, a device node.
    Other,
}

/// A standard stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// Standard input.
    Input,
    /// Standard output.
    Output,
    /// Standard error.
    Error,
}

/// The questions a plan asks about the host's files.
pub trait Files {
    /// The path without links, and what is there; `None` when nothing is.
    fn resolve(&self, path: &Path) -> Option<(PathBuf, Kind)>;
    /// The existing paths that match a pattern with `*` and `?` in its components, sorted.
    fn matches(&self, pattern: &str) -> Vec<PathBuf>;
    /// The shared libraries that the host's loader knows, in its order.
    fn libraries(&self) -> Vec<Library>;
    /// The text of a file; `None` when there is none.
    fn read(&self, path: &Path) -> Option<String>;
}

/// An account as the container shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Name to log in with.
    pub name: String,
    /// Home directory.
    pub home: PathBuf,
}

/// Every fact from outside that a plan may depend on.
pub struct Host {
    /// Environment of the caller; entries that are not UTF-8 are left out.
    pub environment: BTreeMap<String, String>,
    /// Effective user id of the caller.
    pub uid: u32,
    /// Effective group id of the caller.
    pub gid: u32,
    /// The caller's account.
    pub account: Account,
    /// The caller's working directory, if it still exists.
    pub working_directory: Option<PathBuf>,
    /// The number that stands for the host (machine-id(5)), if it has one.
    pub machine_id: Option<String>,
    /// Why no filesystem can be served over FUSE, in words; `None` where one can.
    pub no_fuse: Option<String>,
    /// The caller's standard streams that are a terminal.
    pub terminal: Vec<Stream>,
    /// The host's files.
    pub files: Box<dyn Files>,
}

/// Where programs are looked for when the caller has no `PATH`.
pub const USUAL_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

impl Host {
    /// What the caller's `PATH` has under a name, without links.
    pub fn program(&self, name: &str) -> Option<PathBuf> {
        let path = self
            .environment
            .get("PATH")
            .map_or(USUAL_PATH, String::as_str);
        let mut places = path.split(':').filter(|place| place.starts_with('/'));
        places.find_map(|place| {
            let (path, kind) = self.files.resolve(&Path::new(place).join(name))?;
            (kind == Kind::Other).then_some(path)
        })
    }

    /// Reads the host as it is now.
    pub fn capture() -> Host {
        let environment: BTreeMap<String, String> = std::env::vars_os()
            .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let uid = geteuid().as_raw();
        let accounts = fs::read_to_string("/etc/passwd").unwrap_or_default();
        Host {
            account: account(&environment, &accounts, uid),
            environment,
            uid,
            gid: getegid().as_raw(),
            working_directory: std::env::current_dir().ok(),
            machine_id: fs::read_to_string("/etc/machine-id").ok(),
            no_fuse: no_fuse(Path::new("/dev/fuse")),
            terminal: terminal(),
            files: Box::new(RealFiles),
        }
    }

    /// The value of an environment variable of the caller. `XDG_RUNTIME_DIR` has the
    /// default that the XDG base directory specification's implementations use.
    pub fn variable(&self, name: &str) -> Option<String> {
        self.environment
            .get(name)
            .cloned()
            .or_else(|| (name == "XDG_RUNTIME_DIR").then(|| format!("/run/user/{}", self.uid)))
    }
}

fn terminal() -> Vec<Stream> {
    [
        (Stream::Input, io::stdin().is_terminal()),
        (Stream::Output, io::stdout().is_terminal()),
        (Stream::Error, io::stderr().is_terminal()),
    ]
    .into_iter()
    .filter_map(|(stream, is_terminal)| is_terminal.then_some(stream))
    .collect()
}

/// The caller's account. A static program must not ask the C library, which would load the
/// host's name service modules; so `/etc/passwd` is parsed and the environment fills in
/// accounts that come from a directory service.
fn account(environment: &BTreeMap<String, String>, passwd: &str, uid: u32) -> Account {
    let listed = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, id, home) = (fields.next()?, fields.nth(1)?, fields.nth(2)?);
        (id.parse() == Ok(uid)).then(|| (name.to_owned(), home.to_owned()))
    });
    let (name, home) = listed.unzip();
    let variable = |key: &str| {
        environment
            .get(key)
            .filter(|value| !value.is_empty())
            .cloned()
    };
    let home = variable("HOME")
        .or(home)
        .filter(|home| home.starts_with('/'));
    Account {
        name: name
            .or_else(|| variable("USER"))
            .unwrap_or_else(|| format!("user{uid}")),
        home: PathBuf::from(home.unwrap_or_else(|| "/".to_owned())),
    }
}

/// Number of the FUSE device (Documentation/admin-guide/devices.txt).
const FUSE: (u32, u32) = (10, 229);

fn no_fuse(path: &Path) -> Option<String> {
    let opened = fs::File::options().read(true).write(true).open(path);
    let found = opened.and_then(|device| device.metadata());
    let path = path.display();
    match found {
        Err(error) => Some(format!("{path} cannot be opened: {}", plain(&error))),
        Ok(found) => {
            let (major, minor) = (libc::major(found.rdev()), libc::minor(found.rdev()));
            let is_fuse = found.file_type().is_char_device() && (major, minor) == FUSE;
            (!is_fuse).then(|| format!("{path} is another device"))
        }
    }
}

struct RealFiles;

impl Files for RealFiles {
    fn resolve(&self, path: &Path) -> Option<(PathBuf, Kind)> {
        let path = fs::canonicalize(path).ok()?;
        let kind = if fs::metadata(&path).ok()?.is_dir() {
            Kind::Directory
        } else {
            Kind::Other
        };
        Some((path, kind))
    }

    fn matches(&self, pattern: &str) -> Vec<PathBuf> {
        glob::matches(pattern)
    }

    fn libraries(&self) -> Vec<Library> {
        let cache = fs::read(loader_cache::PATH).unwrap_or_default();
        loader_cache::libraries(&cache).unwrap_or_default()
    }

    fn read(&self, path: &Path) -> Option<String> {
        fs::read_to_string(path).ok()
    }
}

/// Whether `path` is a directory that only the caller can enter or change.
pub fn is_private_directory(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| {
        found.is_dir() && found.uid() == geteuid().as_raw() && found.mode() & 0o077 == 0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str =
        "root:x:0:0:root:/root:/bin/sh\nana:x:1000:1000:Ana,,,:/home/ana:/bin/sh\n";

    fn environment(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(key, value)| (key.to_string(), value.to_string()))
            .collect()
    }

    #[test]
    fn an_account_comes_from_passwd() {
        let found = account(&environment(&[]), PASSWD, 1000);
        assert_eq!(
            found,
            Account {
                name: "ana".into(),
                home: "/home/ana".into()
            }
        );
    }

    #[test]
    fn the_environment_names_the_home_and_fills_in_what_passwd_lacks() {
        let given = environment(&[("HOME", "/net/bo"), ("USER", "bo")]);
        assert_eq!(account(&given, PASSWD, 7).name, "bo");
        assert_eq!(account(&given, PASSWD, 1000).name, "ana");
        assert_eq!(account(&given, PASSWD, 1000).home, Path::new("/net/bo"));
    }

    #[test]
    fn a_caller_without_account_or_environment_has_a_name_all_the_same() {
        let found = account(&environment(&[("HOME", "relative")]), "", 7);
        assert_eq!(
            found,
            Account {
                name: "user7".into(),
                home: "/".into()
            }
        );
    }
}
