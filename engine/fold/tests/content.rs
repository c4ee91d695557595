//! Files behave in the view as they do below.

mod common;

use std::collections::BTreeSet;
use std::fs::{self, File, FileTimes, Permissions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use common::{Folded, errno, in_namespaces, names, overlay, with_all_ids};
use nix::fcntl::{FallocateFlags, copy_file_range, fallocate};
use nix::mount::{MsFlags, mount};
use nix::unistd::{Whence, lseek64};

#[test]
fn content_is_read_and_written() {
    in_namespaces("content_is_read_and_written", || {
        let folded = Folded::new();
        let open = |name: &str| {
            let mut options = File::options();
            options.read(true).write(true).create(true);
            options.open(folded.at(name)).unwrap()
        };
        let large: Vec<u8> = (0..3_000_001_u32).map(|at| (at % 251) as u8).collect();
        let file = open("Large");
        file.write_all_at(&large, 0).unwrap();
        file.sync_all().unwrap();
        file.sync_data().unwrap();
        assert!(fs::read(folded.at("LARGE")).unwrap() == large);
        assert!(fs::read(folded.below().join("Large")).unwrap() == large);
        file.set_len(10).unwrap();
        assert_eq!(fs::read(folded.at("large")).unwrap(), large[..10]);

        let mut append = File::options()
            .append(true)
            .open(folded.at("lARGE"))
            .unwrap();
        append.write_all(b"more").unwrap();
        open("large").write_all_at(b"!", 0).unwrap();
        append.write_all(b"!").unwrap();
        let expected = [b"!", &large[1..10], b"more!"].concat();
        assert_eq!(fs::read(folded.at("Large")).unwrap(), expected);

        let target = open("copy");
        assert_eq!(
            copy_file_range(&file, None, &target, None, 100).unwrap(),
            15
        );
        assert_eq!(fs::read(folded.at("COPY")).unwrap(), expected);

        let holes = open("holes");
        fallocate(&holes, FallocateFlags::empty(), 0, 1 << 20).unwrap();
        assert_eq!(holes.metadata().unwrap().len(), 1 << 20);
        let sparse = open("hole");
        sparse.set_len(1 << 20).unwrap();
        sparse.write_all_at(b"x", 512 << 10).unwrap();
        assert_eq!(lseek64(&sparse, 0, Whence::SeekData).unwrap(), 512 << 10);
        assert_eq!(lseek64(&sparse, 0, Whence::SeekHole).unwrap(), 0);

        drop((file, append, target, holes, sparse));
        folded.end();
    });
}

#[test]
fn a_file_lives_as_long_as_it_is_open() {
    in_namespaces("a_file_lives_as_long_as_it_is_open", || {
        let folded = Folded::new();
        fs::write(folded.at("File"), "content").unwrap();
        let mut open = File::options()
            .read(true)
            .write(true)
            .open(folded.at("FILE"))
            .unwrap();
        fs::remove_file(folded.at("fIlE")).unwrap();
        fs::write(folded.at("file"), "another").unwrap();
        assert_eq!(open.metadata().unwrap().nlink(), 0);
        open.write_all(b"C").unwrap();
        open.set_len(4).unwrap();
        open.set_permissions(Permissions::from_mode(0o600)).unwrap();
        open.seek(SeekFrom::Start(0)).unwrap();
        let mut text = String::new();
        open.read_to_string(&mut text).unwrap();
        assert_eq!(text, "Cont");
        assert_eq!(open.metadata().unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::read(folded.at("FILE")).unwrap(), b"another");
        drop(open);
        folded.end();
    });
}

#[test]
fn attributes_are_set_and_kept() {
    in_namespaces("attributes_are_set_and_kept", || {
        let folded = Folded::new();
        fs::write(folded.at("File"), "").unwrap();
        fs::set_permissions(folded.at("FILE"), Permissions::from_mode(0o641)).unwrap();
        let time = SystemTime::UNIX_EPOCH + Duration::new(1_000_000_000, 123_456_789);
        let times = FileTimes::new().set_accessed(time).set_modified(time);
        File::open(folded.at("fILE"))
            .unwrap()
            .set_times(times)
            .unwrap();
        for path in [folded.at("file"), folded.below().join("File")] {
            let is = fs::metadata(path).unwrap();
            assert_eq!(is.mode() & 0o7777, 0o641);
            assert_eq!(is.modified().unwrap(), time);
        }
        let script = "import os, sys; os.chdir(sys.argv[1]); \
            os.setxattr('file', 'user.test', b'value'); \
            assert os.getxattr('FILE', 'user.test') == b'value'; \
            assert os.listxattr('FiLE') == ['user.test'], os.listxattr('File'); \
            os.removexattr('fILE', 'user.test'); assert os.listxattr('File') == []; \
            import mmap; f = open('Map', 'w+b'); f.truncate(8192); m = mmap.mmap(f.fileno(), 8192); \
            m[5000:5003] = b'abc'; m.flush(); assert open('MAP', 'rb').read()[5000:5003] == b'abc'; \
            a = open('mAP', 'ab'); m[0:2] = b'xy'; a.write(b'end'); a.flush(); m.flush(); m.close(); f.close(); a.close(); \
            d = open('map', 'rb').read(); assert len(d) == 8195 and d[:2] == b'xy' and d[-3:] == b'end', len(d)";
        let output = Command::new("python3")
            .args(["-c", script])
            .arg(folded.at(""))
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let below = nix::sys::statvfs::statvfs(folded.below()).unwrap();
        let view = nix::sys::statvfs::statvfs(&folded.at("")).unwrap();
        assert_eq!(view.blocks(), below.blocks());
        folded.end();
    });
}

#[test]
fn a_directory_is_listed_whole_while_it_changes() {
    in_namespaces("a_directory_is_listed_whole_while_it_changes", || {
        let folded = Folded::new();
        for number in 0..3000 {
            File::create(folded.at(&format!("Stays {number}"))).unwrap();
        }
        let mut seen = Vec::new();
        for (number, entry) in fs::read_dir(folded.at("")).unwrap().enumerate() {
            seen.push(entry.unwrap().file_name().into_string().unwrap());
            if number % 10 == 0 {
                File::create(folded.at(&format!("new {number}"))).unwrap();
            }
            if number % 20 == 0 {
                fs::remove_file(folded.at(&format!("NEW {number}"))).unwrap();
            }
        }
        let stays = |name: &&String| name.starts_with("Stays");
        assert_eq!(seen.iter().filter(stays).count(), 3000);
        let different: BTreeSet<_> = seen.iter().filter(stays).collect();
        assert_eq!(different.len(), 3000, "no name comes twice");
        assert_eq!(names(&folded.at("")), folded.names(""));
        folded.end();
    });
}

#[test]
fn threads_work_at_once() {
    in_namespaces("threads_work_at_once", || {
        let folded = Folded::new();
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let folded = &folded;
                let at = move |path: &str| folded.at(&format!("Thread{thread}/{path}"));
                scope.spawn(move || {
                    fs::create_dir(at("")).unwrap();
                    for number in 0..100 {
                        let name = format!("File {number}");
                        fs::write(at(&name), &name).unwrap();
                        assert_eq!(fs::read(at(&name.to_uppercase())).unwrap(), name.as_bytes());
                        fs::rename(at(&name), at(&name.to_lowercase())).unwrap();
                        fs::rename(at(&name.to_uppercase()), at("moved")).unwrap();
                        assert!(!at(&name).exists());
                        fs::remove_file(at("MOVED")).unwrap();
                    }
                    assert_eq!(names(&at("")).len(), 0);
                });
            }
        });
        // All at one name.
        std::thread::scope(|scope| {
            for thread in 0..8_usize {
                let name = ["shared", "Shared", "SHARED", "sHARED"][thread % 4];
                let path = folded.at(name);
                scope.spawn(move || {
                    for _ in 0..200 {
                        let mut file = File::options();
                        let file = file.append(true).create(true).open(&path);
                        let number = errno(file);
                        // What was found may be gone when it is opened. The kernel looks again, once, and may
                        // meet the same (ESTALE).
                        assert!(matches!(number, 0 | 2 | 17 | 116), "{number}");
                        assert!(matches!(errno(fs::remove_file(&path)), 0 | 2));
                    }
                });
            }
        });
        assert!(
            folded
                .names("")
                .iter()
                .filter(|name| name.eq_ignore_ascii_case("shared"))
                .count()
                <= 1
        );
        folded.end();
    });
}

#[test]
fn a_path_is_found_while_the_case_of_its_directories_changes() {
    in_namespaces(
        "a_path_is_found_while_the_case_of_its_directories_changes",
        || {
            let folded = Folded::new();
            fs::create_dir_all(folded.at("dir/sub")).unwrap();
            fs::write(folded.at("dir/sub/file"), "x").unwrap();
            let done = AtomicBool::new(false);
            std::thread::scope(|scope| {
                for path in ["dir/sub/file", "DIR/SUB/FILE", "Dir/sUB/File"] {
                    let (path, done) = (folded.at(path), &done);
                    scope.spawn(move || {
                        while !done.load(Ordering::Relaxed) {
                            assert_eq!(fs::metadata(&path).unwrap().len(), 1);
                            assert_eq!(fs::read(&path).unwrap(), b"x");
                        }
                    });
                }
                for round in 0..300 {
                    for (old, new) in [
                        ("dir", "DIR"),
                        ("Dir/sub", "Dir/SUB"),
                        ("dIR", "dir"),
                        ("dir/SUB", "dir/sub"),
                        ("dir/sub/file", "dir/sub/FILE"),
                        ("dir/sub/FiLE", "dir/sub/file"),
                    ] {
                        fs::rename(folded.at(old), folded.at(new)).unwrap();
                        let new = new.rsplit('/').next().unwrap();
                        let is = match old.matches('/').count() {
                            0 => folded.names(""),
                            1 => names(&folded.below().join(folded.names("").first().unwrap())),
                            _ => folded.names("dir/sub"),
                        };
                        assert!(is.contains(new), "{round}: {old} {new} {is:?}");
                    }
                }
                done.store(true, Ordering::Relaxed);
            });
            folded.end();
        },
    );
}

#[test]
fn an_overlay_is_shown_and_copied_up() {
    in_namespaces("an_overlay_is_shown_and_copied_up", || {
        let folded = Folded::prepared(|below| {
            overlay(below, |lower| {
                fs::create_dir(lower.join("Etc")).unwrap();
                fs::write(lower.join("Etc/Config"), "lower").unwrap();
                fs::hard_link(lower.join("Etc/Config"), lower.join("Etc/Second")).unwrap();
            });
        });
        let path = folded.at("etc/CONFIG");
        let reader = File::open(&path).unwrap();
        let mut text = [0; 5];
        reader.read_exact_at(&mut text, 0).unwrap();
        let number = fs::metadata(&path).unwrap().ino();
        let second = fs::metadata(folded.at("ETC/second")).unwrap().ino();
        assert_eq!(number, second, "a hard link");
        File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .write_all(b"UPPER")
            .unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().ino(),
            number,
            "the number stays"
        );
        reader.read_exact_at(&mut text, 0).unwrap();
        assert_eq!(&text, b"UPPER", "whoever had it open sees what is written");
        // The kernel's overlay separates hard links when it copies one up.
        assert_eq!(fs::read(folded.at("etc/SECOND")).unwrap(), b"lower");
        assert_eq!(fs::read(&path).unwrap(), b"UPPER");
        drop(reader);
        fs::rename(folded.at("etc/config"), folded.at("etc/CONFIG")).unwrap();
        fs::remove_file(folded.at("ETC/Second")).unwrap();
        assert_eq!(names(&folded.at("Etc")), common::set(&["CONFIG"]));
        folded.end();
    });
}

#[test]
fn a_mount_on_a_directory_stays_in_any_case() {
    in_namespaces("a_mount_on_a_directory_stays_in_any_case", || {
        let folded = Folded::new();
        fs::create_dir_all(folded.at("Home/Inner")).unwrap();
        mount(
            Some("tmpfs"),
            &folded.at("Home"),
            Some("tmpfs"),
            MsFlags::empty(),
            None::<&str>,
        )
        .unwrap();
        fs::write(folded.at("Home/file"), "x").unwrap();
        for name in ["Home", "HOME", "home", "Home"] {
            assert_eq!(
                fs::read(folded.at(name).join("file")).unwrap(),
                b"x",
                "{name}"
            );
        }
        nix::mount::umount2(&folded.at("HOME"), nix::mount::MntFlags::empty()).unwrap();
        assert_eq!(names(&folded.at("home")), common::set(&["Inner"]));
        folded.end();
    });
}

#[test]
fn what_is_created_belongs_to_who_creates_it() {
    with_all_ids("what_is_created_belongs_to_who_creates_it", || {
        let folded = Folded::new();
        fs::set_permissions(folded.at(""), Permissions::from_mode(0o1777)).unwrap();
        let parent = folded.at("").parent().unwrap().to_owned();
        fs::set_permissions(parent, Permissions::from_mode(0o1777)).unwrap();
        fs::create_dir(folded.at("Group")).unwrap();
        std::os::unix::fs::chown(folded.at("group"), Some(0), Some(4321)).unwrap();
        fs::set_permissions(folded.at("GROUP"), Permissions::from_mode(0o2777)).unwrap();
        fs::write(folded.at("Private"), "").unwrap();
        fs::set_permissions(folded.at("private"), Permissions::from_mode(0o600)).unwrap();
        let shell = "umask 027; mkdir Dir; echo x > File; ln -s x Link; mkfifo Fifo; umask 0; \
            mkdir group/Dir; echo > GROUP/File; install -m 6755 /dev/null Setuid; install -m 6755 /dev/null Written; \
            echo x >> WRITTEN; ! cat private 2>/dev/null; \
            ! rm -f PRIVATE 2>/dev/null";
        let output = Command::new("setpriv")
            .args([
                "--reuid=1234",
                "--regid=1235",
                "--clear-groups",
                "sh",
                "-ec",
                shell,
            ])
            .current_dir(folded.at(""))
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let is = |path: &str| {
            let is = fs::symlink_metadata(folded.below().join(path)).unwrap();
            let view = fs::symlink_metadata(folded.at(&path.to_uppercase())).unwrap();
            assert_eq!(
                (is.mode(), is.uid(), is.gid()),
                (view.mode(), view.uid(), view.gid())
            );
            (is.uid(), is.gid(), is.mode() & 0o7777)
        };
        assert_eq!(is("Dir"), (1234, 1235, 0o750));
        assert_eq!(is("File"), (1234, 1235, 0o640));
        assert_eq!(is("Link"), (1234, 1235, 0o777));
        assert_eq!(is("Fifo"), (1234, 1235, 0o640));
        assert_eq!(is("Group/Dir"), (1234, 4321, 0o2777));
        assert_eq!(is("Group/File"), (1234, 4321, 0o666));
        assert_eq!(is("Setuid"), (1234, 1235, 0o6755));
        assert_eq!(
            is("Written"),
            (1234, 1235, 0o755),
            "a write takes the bits off"
        );
        folded.end();
    });
}
