//! Mounts in namespaces of a test's own.
//!
//! Each test starts itself again with `unshare` in a user and mount namespace, where it may mount and from which nothing
//! remains.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::Command;

use flatimage_layer::{IdMap, Layer, ServeOptions, Serving, Tree, serve};
use nix::mount::{MsFlags, mount};

/// Set in the process that runs in the namespaces.
const INSIDE: &str = "FLATIMAGE_TEST_INSIDE";

/// Runs `test` of this name in namespaces of its own.
pub fn in_namespaces(name: &str, test: impl FnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        return test();
    }
    let mut inside = Command::new("unshare");
    inside.args([
        "--user",
        "--map-root-user",
        "--mount",
        "--propagation",
        "private",
    ]);
    inside
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"]);
    let output = inside
        .env(INSIDE, "1")
        .output()
        .expect("`unshare` of util-linux is needed");
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}"
    );
}

/// Mounts layers on a directory.
pub fn served(layers: Vec<Option<Layer>>, on: &Path) -> Serving {
    let fuse = File::options()
        .read(true)
        .write(true)
        .open("/dev/fuse")
        .expect("`/dev/fuse` is needed");
    let options = format!(
        "fd={},rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions",
        fuse.as_raw_fd()
    );
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_RDONLY;
    mount(
        Some("flatimage"),
        on,
        Some("fuse"),
        flags,
        Some(&options[..]),
    )
    .expect("a FUSE filesystem can be mounted");
    let options = ServeOptions {
        ids: IdMap::Below(1),
        ..ServeOptions::default()
    };
    serve(fuse.into(), Tree::new(layers), options).unwrap()
}

/// Mounts an overlay. Paths are relative to `base`, so that no character in it matters.
pub fn overlay(base: &Path, options: &str, on: &Path) {
    let before = std::env::current_dir().unwrap();
    std::env::set_current_dir(base).unwrap();
    let options = format!("{options},userxattr");
    let mounted = mount(
        Some("overlay"),
        on,
        Some("overlay"),
        MsFlags::empty(),
        Some(&options[..]),
    );
    std::env::set_current_dir(before).unwrap();
    mounted.unwrap_or_else(|error| panic!("an overlay of {options}: {error}"));
}

/// A filesystem in memory, where an overlay can have its upper directory.
pub fn memory() -> tempfile::TempDir {
    let on = tempfile::tempdir().unwrap();
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some("tmpfs"), on.path(), Some("tmpfs"), flags, None::<&str>).unwrap();
    on
}
