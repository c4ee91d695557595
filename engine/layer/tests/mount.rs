//! The kernel sees through a mount what the layers hold.
//!
//! Each test starts itself again with `unshare` in a user and mount namespace of its own, where it may mount and from
//! which nothing remains.

mod common;

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt};
use std::path::Path;
use std::process::Command;

use common::{fixture, listing, open};
use flatimage_layer::{IdMap, Layer, ServeOptions, Serving, serve};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use sha2::{Digest, Sha256};

/// Set in the process that runs in the namespaces.
const INSIDE: &str = "FLATIMAGE_TEST_INSIDE";

/// Runs `test` of this name in namespaces of its own.
fn in_namespaces(name: &str, test: impl FnOnce()) {
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
fn served(layers: Vec<Option<Layer>>, on: &Path) -> Serving {
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
    serve(fuse.into(), layers, options).unwrap()
}

#[test]
fn a_mounted_layer_is_what_was_packed() {
    in_namespaces("a_mounted_layer_is_what_was_packed", || {
        let on = tempfile::tempdir().unwrap();
        let sample = || open(&fixture("default.dwarfs")).unwrap();
        let expected = listing(&sample());
        let serving = served(vec![Some(sample()), None, Some(sample())], on.path());
        for root in ["0", "2"] {
            let mut count = 0;
            let root = on.path().join(root);
            let mut open = vec![root.clone()];
            while let Some(path) = open.pop() {
                count += 1;
                let name = path.strip_prefix(&root).unwrap();
                let line = &expected[&[b"/", name.as_os_str().as_bytes()].concat()];
                assert_eq!(describe(&path), without_owner(line), "{}", path.display());
                if fs::symlink_metadata(&path).unwrap().is_dir() {
                    open.extend(
                        fs::read_dir(&path)
                            .unwrap()
                            .map(|entry| entry.unwrap().path()),
                    );
                }
            }
            assert_eq!(count, expected.len());
        }
        assert_eq!(
            fs::read_dir(on.path().join("1")).unwrap().count(),
            0,
            "a layer that is missing is empty"
        );
        assert!(!on.path().join("3").exists());
        assert!(!on.path().join("0/etc/nothing").exists());
        umount2(on.path(), MntFlags::empty()).unwrap();
        serving.join().unwrap();
    });
}

/// The line of the listing, whose owner is one that the namespace lacks in places.
fn without_owner(line: &str) -> String {
    let mut fields: Vec<&str> = line.split('\t').collect();
    (fields[2], fields[3]) = ("0", "0");
    fields.join("\t")
}

/// The same as a line of the listing, as the system sees it.
fn describe(path: &Path) -> String {
    let is = fs::symlink_metadata(path).unwrap();
    let kind = is.file_type();
    let start = |name: &str, size: &str| {
        format!(
            "{name}\t{:o}\t{}\t{}\t{size}\t{}",
            is.mode() & 0o7777,
            is.uid(),
            is.gid(),
            is.mtime()
        )
    };
    let number = format!("\t{}:{}\t", is.rdev() >> 8, is.rdev() & 0xff);
    if kind.is_dir() {
        start("dir", "") + "\t\t"
    } else if kind.is_fifo() {
        start("fifo", "") + "\t\t"
    } else if kind.is_char_device() {
        start("char", "") + &number
    } else if kind.is_block_device() {
        start("block", "") + &number
    } else if kind.is_symlink() {
        let target = fs::read_link(path).unwrap();
        start("symlink", &is.len().to_string()) + &format!("\t\t{}", target.display())
    } else {
        let hash = common::hex(&Sha256::digest(fs::read(path).unwrap()));
        start("file", &is.len().to_string()) + &format!("\t{}\t{hash}", is.nlink())
    }
}

#[test]
fn threads_read_at_once_what_one_reads_alone() {
    in_namespaces("threads_read_at_once_what_one_reads_alone", || {
        let on = tempfile::tempdir().unwrap();
        let serving = served(
            vec![Some(open(&fixture("blocks-64k.dwarfs")).unwrap())],
            on.path(),
        );
        let path = on.path().join("0/bin/big");
        let mut whole = vec![0; 3_000_000];
        let read = |at: usize, bytes: &mut [u8]| {
            File::open(&path)
                .unwrap()
                .read_exact_at(bytes, at as u64)
                .unwrap()
        };
        std::thread::scope(|scope| {
            for (number, part) in whole.chunks_mut(400_000).enumerate() {
                scope.spawn(move || read(number * 400_000, part));
            }
        });
        let mut alone = vec![0; 3_000_000];
        read(0, &mut alone);
        assert!(whole == alone);
        umount2(on.path(), MntFlags::empty()).unwrap();
        serving.join().unwrap();
    });
}

#[test]
fn overlayfs_stacks_layers_and_hides_what_a_whiteout_covers() {
    in_namespaces(
        "overlayfs_stacks_layers_and_hides_what_a_whiteout_covers",
        || {
            let on = tempfile::tempdir().unwrap();
            let sample = || open(&fixture("no-sparse.dwarfs")).unwrap();
            let serving = served(vec![Some(sample()), None, Some(sample())], on.path());
            let merged = tempfile::tempdir().unwrap();
            let lower = format!("lowerdir={0}/2:{0}/1:{0}/0,userxattr", on.path().display());
            mount(
                Some("overlay"),
                merged.path(),
                Some("overlay"),
                MsFlags::empty(),
                Some(&lower[..]),
            )
            .unwrap();
            let names: Vec<_> = fs::read_dir(merged.path().join("etc"))
                .unwrap()
                .map(|e| e.unwrap().file_name())
                .collect();
            assert!(names.iter().any(|name| name == "hard"));
            assert!(!names.iter().any(|name| name == "whiteout"));
            assert_eq!(fs::read(merged.path().join("etc/file")).unwrap().len(), 3);
            umount2(merged.path(), MntFlags::empty()).unwrap();
            umount2(on.path(), MntFlags::empty()).unwrap();
            serving.join().unwrap();
        },
    );
}
