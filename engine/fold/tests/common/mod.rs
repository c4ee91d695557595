//! What the tests of this crate share: a directory that is shown folded.
//!
//! Each test starts itself again in namespaces of its own, where it may mount and from which nothing remains; as
//! whoever runs the tests, and where that is root, as an ordinary user too.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use flatimage_fold::{FoldOptions, Serving, serve};
use nix::mount::{MntFlags, MsFlags, mount, umount2};

/// Set in the process that runs in the namespaces.
const INSIDE: &str = "FLATIMAGE_TEST_INSIDE";

/// Runs `test` of this name in a user and a mount namespace of its own, as everybody.
pub fn in_namespaces(name: &str, test: impl FnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        return test();
    }
    let namespaces = [
        "unshare",
        "--user",
        "--map-root-user",
        "--mount",
        "--propagation",
        "private",
    ];
    again(name, &namespaces);
    if nix::unistd::geteuid().is_root() {
        let ordinary = [
            "setpriv",
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
        ];
        again(name, &[&ordinary[..], &namespaces].concat());
    }
}

/// Runs `test` of this name in a mount namespace of its own where all ids exist; only root can.
pub fn with_all_ids(name: &str, test: impl FnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        return test();
    }
    if nix::unistd::geteuid().is_root() {
        again(name, &["unshare", "--mount", "--propagation", "private"]);
    }
}

fn again(name: &str, through: &[&str]) {
    let mut command = Command::new(through[0]);
    command
        .args(&through[1..])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--include-ignored"]);
    let output = command
        .env(INSIDE, "1")
        .env("TMPDIR", "/tmp")
        .output()
        .expect("`unshare` and `setpriv` of util-linux are needed");
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{through:?}: {text}"
    );
    for line in text.lines().filter(|line| line.starts_with("figure:")) {
        println!("{line}");
    }
}

/// A directory and its folded view.
pub struct Folded {
    directory: tempfile::TempDir,
    view: tempfile::TempDir,
    serving: Option<Serving>,
}

impl Folded {
    /// An empty directory, shown.
    pub fn new() -> Folded {
        Folded::prepared(|_| ())
    }

    /// A directory that `prepare` has filled before it is shown.
    pub fn prepared(prepare: impl FnOnce(&Path)) -> Folded {
        let mut folded = Folded {
            directory: tempfile::tempdir().unwrap(),
            view: tempfile::tempdir().unwrap(),
            serving: None,
        };
        prepare(folded.below());
        folded.show();
        folded
    }

    /// The directory below.
    pub fn below(&self) -> &Path {
        self.directory.path()
    }

    /// A path in the view.
    pub fn at(&self, path: &str) -> PathBuf {
        self.view.path().join(path)
    }

    /// The names below of a directory.
    pub fn names(&self, path: &str) -> BTreeSet<String> {
        names(&self.below().join(path))
    }

    fn show(&mut self) {
        let fuse = File::options().read(true).write(true).open("/dev/fuse");
        let fuse = fuse.expect("`/dev/fuse` is needed");
        let options = format!(
            "fd={},rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions",
            fuse.as_raw_fd()
        );
        let flags = MsFlags::MS_NODEV;
        mount(
            Some("fold"),
            self.view.path(),
            Some("fuse"),
            flags,
            Some(&options[..]),
        )
        .expect("a FUSE filesystem can be mounted");
        let root = File::open(self.below()).unwrap();
        self.serving = Some(serve(fuse.into(), root.into(), FoldOptions::default()).unwrap());
    }

    /// Takes the view away; the server ends without an error.
    pub fn end(mut self) {
        umount2(self.view.path(), MntFlags::empty()).expect("nothing is open");
        self.serving.take().unwrap().join().unwrap();
    }
}

impl Drop for Folded {
    fn drop(&mut self) {
        // After a failed test, and what the test has mounted below: temporary directories can be removed then.
        for path in [self.view.path(), self.below(), &self.below().join("stage")] {
            let _ = umount2(path, MntFlags::MNT_DETACH);
        }
    }
}

/// Mounts an overlay on a directory, in memory, over a lower directory that `fill` has filled.
pub fn overlay(on: &Path, fill: impl FnOnce(&Path)) {
    // It goes when the namespace does; the empty directory that it was on, with the temporary directory.
    let stage = on.join("stage");
    fs::create_dir(&stage).unwrap();
    let none = None::<&str>;
    mount(Some("tmpfs"), &stage, Some("tmpfs"), MsFlags::empty(), none).unwrap();
    for name in ["lower", "upper", "work"] {
        fs::create_dir(stage.join(name)).unwrap();
    }
    fill(&stage.join("lower"));
    let options = format!(
        "lowerdir={0}/lower,upperdir={0}/upper,workdir={0}/work,userxattr",
        stage.display()
    );
    let overlay = Some("overlay");
    mount(overlay, on, overlay, MsFlags::empty(), Some(&options[..])).unwrap();
}

/// The names in a directory, as text.
pub fn names(directory: &Path) -> BTreeSet<String> {
    fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

/// A set of names.
pub fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| name.to_string()).collect()
}

/// A name of any bytes.
pub fn bytes(name: &[u8]) -> OsString {
    OsString::from_vec(name.to_vec())
}

/// The error number of what should have failed.
pub fn errno<T>(result: std::io::Result<T>) -> i32 {
    match result {
        Ok(_) => 0,
        Err(error) => error.raw_os_error().unwrap(),
    }
}
