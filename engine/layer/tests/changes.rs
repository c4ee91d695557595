//! What changes while it is packed is named, and never packed half.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::Duration;

use flatimage_layer::{PackError, PackOptions, pack};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

/// Packs a tree of `first`, `second` and `directory/third`, and does `change` to it when the first file is done. Answers
/// the path that is said to have changed.
fn changed(change: impl Fn(&Path)) -> String {
    let tree = tempfile::tempdir().unwrap();
    fs::create_dir(tree.path().join("directory")).unwrap();
    symlink("first", tree.path().join("link")).unwrap();
    for name in ["first", "second", "directory/third"] {
        // Of one size, so that they are also read to be compared.
        fs::write(tree.path().join(name), name.as_bytes()[..5].repeat(100)).unwrap();
    }
    let mut files = 0;
    let packed = pack(
        tree.path(),
        &mut Vec::new(),
        &PackOptions::default(),
        &mut |_| {
            files += 1;
            if files == 1 {
                // Times of change are as coarse as 10 ms before Linux 6.13.
                std::thread::sleep(Duration::from_millis(20));
                change(tree.path());
            }
        },
    );
    let error = packed.expect_err("the change is seen");
    let text = error.to_string();
    assert!(!text.contains('\n'), "{text}");
    match error {
        PackError::Changed { path } => {
            let path = path.strip_prefix(tree.path()).unwrap();
            path.display().to_string()
        }
        other => panic!("{other}"),
    }
}

#[test]
fn a_file_that_changes_is_named() {
    let append = |path: &Path| {
        let mut file = File::options().append(true).open(path).unwrap();
        file.write_all(b"more").unwrap();
    };
    assert_eq!(changed(|tree| append(&tree.join("second"))), "second");
    // Also when it has been read already, whichever comes first.
    let named = changed(|tree| {
        append(&tree.join("first"));
        append(&tree.join("second"));
    });
    assert!(["first", "second"].contains(&&named[..]), "{named}");
    let same_size = |tree: &Path| fs::write(tree.join("second"), "other".repeat(100)).unwrap();
    assert_eq!(changed(same_size), "second");
    let mode = |tree: &Path| {
        fs::set_permissions(tree.join("first"), PermissionsExt::from_mode(0o600)).unwrap()
    };
    assert_eq!(changed(mode), "first");
}

#[test]
fn a_file_that_goes_away_is_named() {
    let remove = |tree: &Path| fs::remove_file(tree.join("second")).unwrap();
    assert_eq!(changed(remove), "second");
    // Gone from two directories at once: either may be found first.
    let whole = changed(|tree| fs::remove_dir_all(tree.join("directory")).unwrap());
    assert!(whole.starts_with("directory"), "{whole}");
}

#[test]
fn a_directory_that_gets_another_entry_is_named() {
    let add = |tree: &Path| fs::write(tree.join("directory/new"), b"x").unwrap();
    assert_eq!(changed(add), "directory");
}

#[test]
fn what_takes_the_place_of_a_file_is_not_read() {
    let pipe = |tree: &Path| {
        fs::rename(tree.join("second"), tree.join("directory/second")).unwrap();
        mkfifo(&tree.join("second"), Mode::from_bits_truncate(0o600)).unwrap();
    };
    // Packing would wait for ever for somebody who writes to the pipe.
    assert_eq!(changed(pipe), "second");
}
