//! The kernel sees through a mount what the layers hold.

mod common;

use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use common::mounts::{in_namespaces, memory, overlay, served};
use common::{fixture, forge, listing, open, opened, packed};
use flatimage_layer::{IdRange, Owners, PackOptions, ROOT, Tree};
use nix::errno::Errno;
use nix::mount::{MntFlags, umount2};
use sha2::{Digest, Sha256};

#[test]
fn a_mounted_layer_is_what_was_packed() {
    in_namespaces("a_mounted_layer_is_what_was_packed", || {
        let on = tempfile::tempdir().unwrap();
        let sample = || open(&fixture("default.dwarfs")).unwrap();
        let expected = listing(&sample());
        let serving = served(vec![Some(sample()), None, Some(sample())], on.path());
        let mut count = 0;
        let root = on.path().join("0");
        let mut open = vec![root.clone()];
        while let Some(path) = open.pop() {
            count += 1;
            let name = path.strip_prefix(&root).unwrap();
            let line = &expected[&[b"/", name.as_os_str().as_bytes()].concat()];
            assert_eq!(describe(&path), without_owner(line), "{}", path.display());
            if fs::symlink_metadata(&path).unwrap().is_dir() {
                let entries = fs::read_dir(&path).unwrap();
                open.extend(entries.map(|entry| entry.unwrap().path()));
            }
        }
        let whiteouts = expected.values().filter(|line| line.contains("\t0:0\t"));
        let listed = expected.len() - whiteouts.count();
        assert_eq!(count, listed, "whiteouts are found and not listed");
        let names = fs::read_dir(on.path()).unwrap();
        assert_eq!(
            names
                .map(|entry| entry.unwrap().file_name())
                .collect::<Vec<_>>(),
            ["0"]
        );
        assert!(!on.path().join("0/etc/nothing").exists());
        umount2(on.path(), MntFlags::empty()).unwrap();
        serving.join().unwrap();
        let serving = served(vec![None, None], on.path());
        let is_empty = fs::read_dir(on.path().join("0")).unwrap().next().is_none();
        assert!(is_empty, "layers that are missing are nothing");
        umount2(on.path(), MntFlags::empty()).unwrap();
        serving.join().unwrap();
    });
}

#[test]
fn what_is_deleted_is_known_without_a_mount() {
    let sample = || open(&fixture("default.dwarfs")).unwrap();
    let listed = listing(&sample());
    let tree = Tree::new(vec![Some(sample())]);
    let mut deleted = 0;
    for (path, line) in &listed {
        let is_whiteout = line.starts_with("char") && line.contains("\t0:0\t");
        assert_eq!(tree.is_deleted(path), is_whiteout, "{line}");
        deleted += u32::from(is_whiteout);
        let below = [path, &b"/below"[..]].concat();
        assert!(!tree.is_deleted(&below), "{line}");
    }
    assert!(deleted > 0);
    // What a layer deletes and a later one has again is there.
    let twice = tempfile::tempdir().unwrap();
    let (path, _) = listed
        .iter()
        .find(|(path, _)| tree.is_deleted(path))
        .unwrap();
    let name = Path::new(std::ffi::OsStr::from_bytes(&path[1..]));
    let again = twice.path().join(name);
    fs::create_dir_all(again.parent().unwrap()).unwrap();
    fs::write(again, "").unwrap();
    let above = opened(&packed(twice.path(), &PackOptions::default()).0);
    let tree = Tree::new(vec![Some(sample()), Some(above)]);
    assert!(!tree.is_deleted(path));
    assert!(!Tree::new(Vec::new()).is_deleted(b"/etc"));
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

/// An access control list that gives user `id` what the group has.
fn access_list(id: u32) -> Vec<u8> {
    let no = u32::MAX;
    let named = (id != no).then_some((2u16, 4u16, id));
    let entries = [
        Some((1, 6, no)),
        named,
        Some((4, 4, no)),
        Some((16, 4, no)),
        Some((32, 0, no)),
    ];
    let mut bytes = 2u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries.into_iter().flatten() {
        bytes.extend([tag, permissions].map(u16::to_le_bytes).concat());
        bytes.extend(id.to_le_bytes());
    }
    bytes
}

fn attribute(path: &Path, name: &str) -> Result<Vec<u8>, Errno> {
    let mut value = vec![0; 65_536];
    let length = rustix::fs::lgetxattr(path, name, &mut value[..]);
    let length = length.map_err(|error| Errno::from_raw(error.raw_os_error()))?;
    Ok(value[..length].to_vec())
}

#[test]
fn attributes_are_what_was_packed() {
    in_namespaces("attributes_are_what_was_packed", || {
        let memory = memory();
        let file = memory.path().join("file");
        fs::write(&file, b"x").unwrap();
        fs::write(memory.path().join("plain"), b"x").unwrap();
        let list = "system.posix_acl_access";
        for (name, value) in [
            ("user.note", &b"text"[..]),
            ("user.empty", b""),
            (list, &access_list(0)),
        ] {
            rustix::fs::lsetxattr(&file, name, value, rustix::fs::XattrFlags::empty()).unwrap();
        }
        let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let flags = rustix::fs::XattrFlags::empty();
        rustix::fs::lsetxattr(&file, "security.capability", &capability, flags).unwrap();
        let stranger = Owners::Mapped {
            uids: vec![IdRange {
                found: 0,
                recorded: 12,
                count: 1,
            }],
            gids: Vec::new(),
        };
        let images = [Owners::AsFound, stranger].map(|owners| {
            let options = PackOptions {
                owners,
                ..PackOptions::default()
            };
            Some(opened(&packed(memory.path(), &options).0))
        });
        let [found, strangers] = images;
        let (on, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let serving = served(vec![found], on.path());
        let servings = served(vec![strangers], other.path());
        for (layer, expected) in [(&on, access_list(0)), (&other, access_list(u32::MAX))] {
            let layer = layer.path().join("0");
            let file = layer.join("file");
            assert_eq!(attribute(&file, "user.note").unwrap(), b"text");
            assert_eq!(attribute(&file, "user.empty").unwrap(), b"");
            assert_eq!(attribute(&file, list).unwrap(), expected, "{layer:?}");
            assert_eq!(attribute(&file, "user.other"), Err(Errno::ENODATA));
            let plain = layer.join("plain");
            assert_eq!(attribute(&plain, "user.note"), Err(Errno::ENODATA));
            let mut names = vec![0; 1000];
            let length = rustix::fs::llistxattr(&file, &mut names[..]).unwrap();
            let names: Vec<_> = names[..length].split(|byte| *byte == 0).collect();
            for name in ["user.note", "user.empty", "security.capability"] {
                assert!(names.contains(&name.as_bytes()), "{name}");
            }
            let short = rustix::fs::lgetxattr(&file, "user.note", &mut [0; 2][..]);
            assert_eq!(short, Err(rustix::io::Errno::RANGE));
        }
        umount2(other.path(), MntFlags::empty()).unwrap();
        servings.join().unwrap();
        let merged = tempfile::tempdir().unwrap();
        for name in ["upper", "work"] {
            fs::create_dir(memory.path().join(name)).unwrap();
        }
        let lower = format!("lowerdir={}/0", on.path().display());
        let options = format!("{lower},upperdir=upper,workdir=work");
        overlay(memory.path(), &options, merged.path());
        let file = merged.path().join("file");
        let all = ["user.note", list, "security.capability"];
        let before = all.map(|name| attribute(&file, name).unwrap());
        assert_eq!(
            before,
            [b"text".to_vec(), access_list(0), capability.to_vec()]
        );
        // The file is copied up, with everything.
        fs::File::open(&file)
            .unwrap()
            .set_modified(std::time::UNIX_EPOCH)
            .unwrap();
        assert!(memory.path().join("upper/file").exists());
        assert_eq!(all.map(|name| attribute(&file, name).unwrap()), before);
        umount2(merged.path(), MntFlags::empty()).unwrap();
        umount2(on.path(), MntFlags::empty()).unwrap();
        serving.join().unwrap();
    });
}

/// `trusted.overlay.opaque` of an overlay that root mounted also counts for one that an ordinary user mounts.
#[test]
fn a_mark_of_root_is_seen_as_a_mark_of_everybody() {
    in_namespaces("a_mark_of_root_is_seen_as_a_mark_of_everybody", || {
        let mut section = forge::attributes();
        let heap = section.len() as u32;
        section.extend(b"trusted.overlay.opaquey");
        // The attribute of the root directory: where name and value are, counted from the end of the tables.
        let numbers = [heap - 100, 22, heap - 100 + 22, 1].map(u32::to_le_bytes);
        section[52..68].copy_from_slice(&numbers.concat());
        let layer = opened(&forge::with_attributes(&section));
        assert_eq!(layer.xattrs(ROOT).next().unwrap().1, b"y");
        let on = tempfile::tempdir().unwrap();
        let serving = served(vec![Some(layer)], on.path());
        let root = on.path().join("0");
        assert_eq!(attribute(&root, "user.overlay.opaque").unwrap(), b"y");
        let file = root.join("a");
        assert_eq!(attribute(&file, "user.overlay.opaque"), Err(Errno::ENODATA));
        umount2(on.path(), MntFlags::empty()).unwrap();
        serving.join().unwrap();
    });
}

/// Bytes of a file that the kernel has in memory.
fn in_memory(path: &Path) -> u64 {
    let asked = Command::new("fincore")
        .args(["--bytes", "--noheadings", "--output=RES"])
        .arg(path)
        .output()
        .unwrap();
    String::from_utf8_lossy(&asked.stdout)
        .trim()
        .parse()
        .unwrap()
}

#[test]
fn whoever_reads_the_start_of_a_program_gets_all_of_it() {
    in_namespaces(
        "whoever_reads_the_start_of_a_program_gets_all_of_it",
        || {
            const SIZE: usize = 1_500_123;
            let tree = tempfile::tempdir().unwrap();
            let contents = |start: &[u8], size: usize| {
                let mut bytes: Vec<u8> = (0..size).map(|at| ((at * at) >> 9) as u8).collect();
                bytes[..start.len()].copy_from_slice(start);
                bytes
            };
            let files = [
                ("program", contents(b"\x7fELF", SIZE)),
                ("large", contents(b"\x7fELF", 5 << 20)),
                ("text", contents(b"text", SIZE)),
            ];
            for (name, bytes) in &files {
                fs::write(tree.path().join(name), bytes).unwrap();
            }
            let layer = opened(&packed(tree.path(), &PackOptions::default()).0);
            let on = tempfile::tempdir().unwrap();
            let serving = served(vec![Some(layer)], on.path());
            let path = |name: &str| on.path().join("0").join(name);
            for (name, _) in &files {
                let mut start = [0; 4];
                let file = File::open(path(name)).unwrap();
                file.read_exact_at(&mut start, 0).unwrap();
            }
            let whole = SIZE.next_multiple_of(4096) as u64;
            while in_memory(&path("program")) < whole {
                std::thread::sleep(Duration::from_millis(1));
            }
            for name in ["large", "text"] {
                assert!(in_memory(&path(name)) < 1 << 20, "{name}");
            }
            for (name, bytes) in &files {
                assert!(fs::read(path(name)).unwrap() == *bytes, "{name}");
            }
            umount2(on.path(), MntFlags::empty()).unwrap();
            serving.join().unwrap();
        },
    );
}

#[test]
fn holes_are_seen_through_the_mount() {
    in_namespaces("holes_are_seen_through_the_mount", || {
        const TIB: u64 = 1 << 40;
        let tree = tempfile::tempdir().unwrap();
        let file = File::create(tree.path().join("file")).unwrap();
        file.set_len(TIB).unwrap();
        file.write_all_at(b"middle", TIB / 2).unwrap();
        let layer = opened(&packed(tree.path(), &PackOptions::default()).0);
        let memory = memory();
        fs::create_dir(memory.path().join("upper")).unwrap();
        fs::create_dir(memory.path().join("work")).unwrap();
        let on = tempfile::tempdir().unwrap();
        let serving = served(vec![Some(layer)], on.path());
        let file = File::open(on.path().join("0/file")).unwrap();
        let is = file.metadata().unwrap();
        assert_eq!((is.len(), is.blocks()), (TIB, 8));
        let seek = |to| rustix::fs::seek(&file, to);
        assert_eq!(seek(rustix::fs::SeekFrom::Data(0)), Ok(TIB / 2));
        assert_eq!(
            seek(rustix::fs::SeekFrom::Hole(TIB / 2)),
            Ok(TIB / 2 + 4096)
        );
        let nothing = seek(rustix::fs::SeekFrom::Data(TIB / 2 + 4096));
        assert_eq!(nothing, Err(rustix::io::Errno::NXIO));
        // A file is copied up when it is opened to be written: that must not write a tebibyte of zeros.
        let merged = tempfile::tempdir().unwrap();
        let options = format!(
            "lowerdir={}/0,upperdir=upper,workdir=work",
            on.path().display()
        );
        overlay(memory.path(), &options, merged.path());
        let copy = File::options()
            .read(true)
            .write(true)
            .open(merged.path().join("file"))
            .unwrap();
        copy.write_all_at(b"start", 0).unwrap();
        let mut bytes = [0; 6];
        copy.read_exact_at(&mut bytes, TIB / 2).unwrap();
        assert_eq!(&bytes, b"middle");
        drop((copy, file));
        umount2(merged.path(), MntFlags::empty()).unwrap();
        umount2(on.path(), MntFlags::empty()).unwrap();
        serving.join().unwrap();
    });
}

#[test]
fn a_directory_of_a_hundred_thousand_entries_is_listed_whole() {
    let name = "a_directory_of_a_hundred_thousand_entries_is_listed_whole";
    in_namespaces(name, || {
        let memory = memory();
        for number in 0..100_000 {
            File::create(memory.path().join(number.to_string())).unwrap();
        }
        let options = PackOptions {
            level: 0,
            ..PackOptions::default()
        };
        let layer = opened(&packed(memory.path(), &options).0);
        let on = tempfile::tempdir().unwrap();
        let serving = served(vec![Some(layer)], on.path());
        let names = fs::read_dir(on.path().join("0")).unwrap();
        let names: std::collections::HashSet<_> =
            names.map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names.len(), 100_000);
        umount2(on.path(), MntFlags::empty()).unwrap();
        serving.join().unwrap();
    });
}
