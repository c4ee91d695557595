//! What is packed reads back the same.

mod common;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File, FileTimes, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use common::{content, listing, opened, packed, walk};
use dwarfs::AsChunks;
use flatimage_layer::{BlockCache, IdRange, Kind, Layer, Owners, PackError, PackOptions, pack};
use nix::sys::stat::{Mode, SFlag, mknod};
use nix::unistd::mkfifo;

/// Bytes that do not compress, the same for the same seed.
fn noise(seed: u64, size: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..size).map(|_| next()).collect()
}

/// A tree with everything an ordinary user can make.
fn sample(root: &Path) {
    let write = |name: &str, bytes: &[u8]| fs::write(root.join(name), bytes).unwrap();
    fs::create_dir_all(root.join("deep/er/still")).unwrap();
    fs::create_dir(root.join("empty")).unwrap();
    fs::set_permissions(root.join("empty"), Permissions::from_mode(0o1777)).unwrap();
    write("nothing", b"");
    write("also nothing", b"");
    write("small", b"small");
    write("twin 1", &noise(1, 5000));
    write("twin 2", &noise(1, 5000));
    write("deep/twin 3", &noise(1, 5000));
    write("same size", &noise(2, 5000));
    write("large", &noise(3, 1_000_000));
    write("zeros", &vec![0; 700_000]);
    fs::set_permissions(root.join("small"), Permissions::from_mode(0o6755)).unwrap();
    fs::hard_link(root.join("small"), root.join("deep/er/linked")).unwrap();
    symlink("../nowhere", root.join("dangling")).unwrap();
    symlink("small", root.join("link")).unwrap();
    fs::write(root.join(OsStr::from_bytes(b"latin1-\xe9")), b"x").unwrap();
    drop(UnixListener::bind(root.join("socket")).unwrap());
    // Linux lets everybody make a device only when it is a whiteout.
    let mode = Mode::from_bits_truncate(0o640);
    mknod(&root.join("whiteout"), SFlag::S_IFCHR, mode, 0).unwrap();
    mkfifo(&root.join("fifo"), mode).unwrap();
    for i in 0..500 {
        write(
            &format!("deep/er/still/{i}"),
            format!("number {i}\n").repeat(i % 50).as_bytes(),
        );
    }
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(86_400);
    let old = File::options()
        .write(true)
        .open(root.join("zeros"))
        .unwrap();
    old.set_times(FileTimes::new().set_modified(time)).unwrap();
}

/// Compares every attribute and all content with the tree.
#[track_caller]
fn compare(layer: &Layer, root: &Path) {
    let cache = BlockCache::new(1 << 20);
    let found = walk(layer);
    let mut expected = 0;
    let mut open = vec![root.to_path_buf()];
    while let Some(path) = open.pop() {
        expected += 1;
        let name = path.strip_prefix(root).unwrap();
        let inode = found[&[b"/", name.as_os_str().as_bytes()].concat()];
        let is = layer.attributes(inode).unwrap();
        let was = fs::symlink_metadata(&path).unwrap();
        assert_eq!(
            (is.mode, is.uid, is.gid),
            (was.mode() & 0o7777, was.uid(), was.gid()),
            "{name:?}"
        );
        assert_eq!(is.mtime, was.mtime() as u64, "{name:?}");
        match is.kind {
            Kind::Directory => open.extend(
                fs::read_dir(&path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            ),
            Kind::Symlink => {
                let target = fs::read_link(&path).unwrap();
                assert_eq!(
                    &layer.target(inode).unwrap()[..],
                    target.as_os_str().as_bytes()
                );
            }
            Kind::File => {
                assert_eq!(
                    (is.size, u64::from(is.links)),
                    (was.len(), was.nlink()),
                    "{name:?}"
                );
                assert!(
                    content(layer, &cache, inode) == fs::read(&path).unwrap(),
                    "{name:?}"
                );
            }
            Kind::CharDevice => assert_eq!(is.device, was.rdev()),
            Kind::Socket => assert!(was.file_type().is_socket()),
            Kind::Fifo => assert!(was.file_type().is_fifo()),
            Kind::BlockDevice => panic!("nobody made a block device"),
        }
    }
    assert_eq!(found.len(), expected);
}

#[test]
fn every_level_and_block_size_keeps_everything() {
    let tree = tempfile::tempdir().unwrap();
    sample(tree.path());
    for level in [0, 7, 9] {
        for block_size_log2 in [12, 16, 20] {
            let (image, _) = packed(
                tree.path(),
                &PackOptions {
                    level,
                    block_size_log2,
                    threads: 2,
                    ..PackOptions::default()
                },
            );
            compare(&opened(&image), tree.path());
        }
    }
}

#[test]
fn the_same_tree_gives_the_same_bytes_whatever_the_threads() {
    let tree = tempfile::tempdir().unwrap();
    sample(tree.path());
    let image = |threads| {
        packed(
            tree.path(),
            &PackOptions {
                level: 1,
                block_size_log2: 13,
                threads,
                ..PackOptions::default()
            },
        )
        .0
    };
    let first = image(1);
    assert!(first == image(1));
    assert!(first == image(5));
}

#[test]
fn equal_files_are_stored_once() {
    let tree = tempfile::tempdir().unwrap();
    let options = PackOptions::default();
    fs::write(tree.path().join("0"), noise(9, 300_000)).unwrap();
    let (one, _) = packed(tree.path(), &options);
    for i in 1..10 {
        fs::write(tree.path().join(i.to_string()), noise(9, 300_000)).unwrap();
    }
    let (ten, _) = packed(tree.path(), &options);
    assert!(
        ten.len() < one.len() + 2000,
        "{} and {} bytes",
        one.len(),
        ten.len()
    );
    compare(&opened(&ten), tree.path());
}

#[test]
fn owners_are_recorded_as_they_are_mapped_and_excluded_paths_are_left_out() {
    let tree = tempfile::tempdir().unwrap();
    sample(tree.path());
    let was = fs::symlink_metadata(tree.path().join("small")).unwrap();
    let range = |found| IdRange {
        found,
        recorded: 4321,
        count: 1,
    };
    let options = PackOptions {
        owners: Owners::Mapped {
            uids: vec![range(was.uid())],
            gids: Vec::new(),
        },
        exclude: ["deep/er", "link", "not there"].map(Into::into).to_vec(),
        ..PackOptions::default()
    };
    let layer = opened(&packed(tree.path(), &options).0);
    let found = walk(&layer);
    for (path, inode) in &found {
        let is = layer.attributes(*inode).unwrap();
        assert_eq!((is.uid, is.gid), (4321, 0), "{path:?}");
    }
    assert!(!found.contains_key(&b"/link"[..]));
    assert!(found.contains_key(&b"/deep/twin 3"[..]));
    assert!(!found.keys().any(|path| path.starts_with(b"/deep/er")));
}

#[test]
fn an_empty_tree_is_an_empty_layer() {
    let tree = tempfile::tempdir().unwrap();
    let (image, facts) = packed(tree.path(), &PackOptions::default());
    let layer = opened(&image);
    assert!(layer.is_empty());
    assert_eq!(facts.inodes, 1);
    compare(&layer, tree.path());
}

#[test]
fn a_directory_of_a_hundred_thousand_entries() {
    let tree = tempfile::tempdir().unwrap();
    fs::write(tree.path().join("file"), b"x").unwrap();
    for i in 0..100_000 {
        fs::hard_link(tree.path().join("file"), tree.path().join(i.to_string()))
            .or_else(|_| {
                // Some filesystems allow fewer names for a file.
                fs::write(tree.path().join(i.to_string()), b"x")
            })
            .unwrap();
    }
    let (image, _) = packed(
        tree.path(),
        &PackOptions {
            level: 0,
            ..PackOptions::default()
        },
    );
    let layer = opened(&image);
    assert_eq!(layer.entries(0, 0).count(), 100_001);
    assert_eq!(
        layer
            .entries(0, 100_000)
            .map(|(number, _)| number)
            .collect::<Vec<_>>(),
        [100_000]
    );
    assert!(layer.lookup(0, b"77777").is_some());
    assert_eq!(layer.lookup(0, b"777777"), None);
}

#[test]
fn an_image_is_read_at_its_place_in_a_file() {
    let tree = tempfile::tempdir().unwrap();
    sample(tree.path());
    let (image, _) = packed(tree.path(), &PackOptions::default());
    let mut file = tempfile::tempfile().unwrap();
    std::io::Write::write_all(&mut file, &[&[7; 1001][..], &image, &[7; 99]].concat()).unwrap();
    compare(
        &Layer::open(Arc::new(file), 1001, image.len() as u64).unwrap(),
        tree.path(),
    );
}

#[test]
fn an_image_repacked_from_what_it_holds_lists_the_same() {
    let tree = tempfile::tempdir().unwrap();
    sample(tree.path());
    let small = listing(&opened(
        &packed(
            tree.path(),
            &PackOptions {
                level: 0,
                block_size_log2: 12,
                threads: 1,
                ..PackOptions::default()
            },
        )
        .0,
    ));
    let large = listing(&opened(
        &packed(
            tree.path(),
            &PackOptions {
                level: 5,
                block_size_log2: 22,
                threads: 1,
                ..PackOptions::default()
            },
        )
        .0,
    ));
    assert_eq!(
        small.keys().collect::<Vec<_>>(),
        large.keys().collect::<Vec<_>>()
    );
    assert_eq!(small, large as BTreeMap<_, _>);
}

#[test]
fn what_cannot_be_read_is_named() {
    let missing = Path::new("/nonexistent/tree");
    let error = pack(
        missing,
        &mut Vec::new(),
        &PackOptions::default(),
        &mut |_| {},
    )
    .unwrap_err();
    assert!(matches!(&error, PackError::Read { path, .. } if path == missing));
    let text = error.to_string();
    assert!(
        text.starts_with("cannot read `/nonexistent/tree`: ") && !text.contains('\n'),
        "{text}"
    );
}

#[test]
fn progress_ends_with_everything() {
    let tree = tempfile::tempdir().unwrap();
    sample(tree.path());
    let mut last = None;
    let facts = pack(
        tree.path(),
        &mut Vec::new(),
        &PackOptions::default(),
        &mut |progress| last = Some(progress),
    );
    let last = last.unwrap();
    assert_eq!(last.bytes_done, last.bytes_total);
    // A filesystem that compresses counts fewer.
    assert!((1..=facts.unwrap().bytes_in).contains(&last.bytes_total));
}

/// The `dwarfs` crate has a reader of its own, with which ours shares nothing but the headers of sections.
#[test]
fn another_reader_agrees() {
    let tree = tempfile::tempdir().unwrap();
    sample(tree.path());
    fs::remove_file(tree.path().join(OsStr::from_bytes(b"latin1-\xe9"))).unwrap();
    let options = PackOptions {
        level: 3,
        block_size_log2: 14,
        threads: 2,
        ..PackOptions::default()
    };
    let (image, _) = packed(tree.path(), &options);
    let (index, mut archive) = dwarfs::Archive::new(image).unwrap();
    let mut count = 0;
    let mut open = vec![(tree.path().to_path_buf(), index.root())];
    while let Some((path, directory)) = open.pop() {
        let mut names: Vec<_> = fs::read_dir(&path)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        assert!(
            directory
                .entries()
                .map(|entry| OsStr::new(entry.name()).to_owned())
                .eq(names)
        );
        for entry in directory.entries() {
            let path = path.join(entry.name());
            let was = fs::symlink_metadata(&path).unwrap();
            let mode = entry.inode().metadata().file_type_mode();
            assert_eq!(mode.type_bits() | mode.mode_bits(), was.mode(), "{path:?}");
            assert_eq!(
                entry.inode().metadata().mtime(),
                was.mtime() as u64,
                "{path:?}"
            );
            if let Some(file) = entry.inode().as_file() {
                assert!(
                    file.read_to_vec(&mut archive).unwrap() == fs::read(&path).unwrap(),
                    "{path:?}"
                );
                count += 1;
            }
            open.extend(entry.inode().as_dir().map(|directory| (path, directory)));
        }
    }
    assert!(count > 500);
}
