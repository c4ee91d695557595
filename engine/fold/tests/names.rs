//! Names are found in any case and kept as they were given.

mod common;

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, symlink};
use std::process::Command;

use common::{Folded, bytes, errno, in_namespaces, names, set};
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};

const EXIST: i32 = 17;
const NOENT: i32 = 2;

#[test]
fn a_name_is_found_in_any_case_and_kept_as_given() {
    in_namespaces("a_name_is_found_in_any_case_and_kept_as_given", || {
        let folded = Folded::new();
        fs::create_dir(folded.at("Windows")).unwrap();
        fs::write(folded.at("WINDOWS/System.INI"), "x").unwrap();
        assert_eq!(fs::read(folded.at("windows/system.ini")).unwrap(), b"x");
        fs::write(folded.at("wINDOWS/SYSTEM.ini"), "longer").unwrap();
        assert_eq!(folded.names(""), set(&["Windows"]));
        assert_eq!(folded.names("Windows"), set(&["System.INI"]));
        assert_eq!(names(&folded.at("WINDOWS")), set(&["System.INI"]));
        assert_eq!(
            fs::read(folded.at("Windows/System.INI")).unwrap(),
            b"longer"
        );
        let number = |path| fs::metadata(folded.at(path)).unwrap().ino();
        assert_eq!(number("Windows/System.INI"), number("windows/system.ini"));
        fs::write(folded.at("ΣΊΣΥΦΟΣ"), "Greek").unwrap();
        assert_eq!(fs::read(folded.at("σίσυφος")).unwrap(), b"Greek");
        assert!(!folded.at("windows/nothing").exists());
        folded.end();
    });
}

#[test]
fn a_name_that_is_no_text_has_its_ascii_letters_folded() {
    in_namespaces(
        "a_name_that_is_no_text_has_its_ascii_letters_folded",
        || {
            let folded = Folded::new();
            fs::write(folded.at("").join(bytes(b"Caf\xe9")), "x").unwrap();
            assert!(folded.at("").join(bytes(b"CAF\xe9")).exists());
            assert!(!folded.at("").join(bytes(b"CAF\xc9")).exists());
            folded.end();
        },
    );
}

#[test]
fn names_that_differ_only_by_case_are_all_there() {
    in_namespaces("names_that_differ_only_by_case_are_all_there", || {
        let folded = Folded::prepared(|below| {
            for name in ["name", "Name", "nAme"] {
                fs::write(below.join(name), name).unwrap();
            }
        });
        assert_eq!(names(&folded.at("")), set(&["name", "Name", "nAme"]));
        for name in ["name", "Name", "nAme"] {
            assert_eq!(fs::read(folded.at(name)).unwrap(), name.as_bytes());
        }
        assert_eq!(
            fs::read(folded.at("NAME")).unwrap(),
            b"Name",
            "the first by bytes"
        );
        fs::remove_file(folded.at("NAME")).unwrap();
        assert_eq!(folded.names(""), set(&["name", "nAme"]));
        assert_eq!(fs::read(folded.at("Name")).unwrap(), b"nAme");
        fs::rename(folded.at("name"), folded.at("NAME")).unwrap();
        assert_eq!(
            folded.names(""),
            set(&["NAME", "nAme"]),
            "nothing is replaced"
        );
        assert_eq!(fs::read(folded.at("NAME")).unwrap(), b"name");
        folded.end();
    });
}

#[test]
fn nothing_is_created_beside_a_name_that_is_the_same() {
    in_namespaces("nothing_is_created_beside_a_name_that_is_the_same", || {
        let folded = Folded::new();
        fs::write(folded.at("Taken"), "").unwrap();
        fs::write(folded.at("other"), "").unwrap();
        assert_eq!(errno(File::create_new(folded.at("TAKEN"))), EXIST);
        assert_eq!(errno(fs::create_dir(folded.at("taken"))), EXIST);
        assert_eq!(errno(symlink("x", folded.at("taken"))), EXIST);
        assert_eq!(
            errno(fs::hard_link(folded.at("other"), folded.at("taken"))),
            EXIST
        );
        let fifo = nix::unistd::mkfifo(&folded.at("taken"), nix::sys::stat::Mode::S_IRWXU);
        assert_eq!(fifo, Err(nix::errno::Errno::EEXIST));
        assert_eq!(folded.names(""), set(&["Taken", "other"]));
        folded.end();
    });
}

#[test]
fn what_is_removed_in_any_case_is_gone_in_every_case() {
    in_namespaces("what_is_removed_in_any_case_is_gone_in_every_case", || {
        let folded = Folded::new();
        for round in 0..20 {
            fs::write(folded.at("File"), "").unwrap();
            for name in ["File", "FILE", "file"] {
                assert!(folded.at(name).exists(), "{round}");
            }
            fs::remove_file(folded.at("file")).unwrap();
            for name in ["File", "FILE", "file"] {
                assert_eq!(errno(fs::metadata(folded.at(name))), NOENT, "{round}");
                assert_eq!(errno(File::open(folded.at(name))), NOENT, "{round}");
            }
            fs::create_dir_all(folded.at("Dir/Sub")).unwrap();
            assert!(folded.at("DIR/sub").exists() && folded.at("dir/SUB").exists());
            fs::remove_dir(folded.at("dir/SUB")).unwrap();
            assert!(!folded.at("Dir/Sub").exists() && !folded.at("DIR/sub").exists());
            fs::remove_dir(folded.at("DIR")).unwrap();
            assert!(!folded.at("Dir").exists() && !folded.at("dir").exists());
            assert!(folded.names("").is_empty());
        }
        folded.end();
    });
}

#[test]
fn a_rename_can_change_the_case_alone() {
    in_namespaces("a_rename_can_change_the_case_alone", || {
        let folded = Folded::new();
        fs::write(folded.at("file"), "x").unwrap();
        fs::create_dir_all(folded.at("dir/below")).unwrap();
        for (old, new) in [("file", "FILE"), ("FILE", "File"), ("file", "fILE")] {
            assert!(folded.at(old).exists() && folded.at(new).exists());
            fs::rename(folded.at(old), folded.at(new)).unwrap();
            assert!(
                folded.names("").contains(new),
                "{old} {new} {:?}",
                folded.names("")
            );
            assert!(folded.at(old).exists() && folded.at(new).exists());
        }
        for (old, new) in [("dir", "Dir"), ("Dir", "DIR"), ("dir", "diR")] {
            assert!(folded.at(old).exists() && folded.at(new).exists());
            fs::rename(folded.at(old), folded.at(new)).unwrap();
            assert!(
                folded.names("").contains(new),
                "{old} {new} {:?}",
                folded.names("")
            );
            assert!(folded.at("DIR/Below").exists());
        }
        // Another program, by a relative path, with RENAME_NOREPLACE.
        let moved = Command::new("mv")
            .args(["diR/below", "diR/BELOW"])
            .current_dir(folded.at(""))
            .status();
        assert!(moved.unwrap().success());
        assert_eq!(folded.names("diR"), set(&["BELOW"]));
        // A program in namespaces of its own, as those in a container are.
        let moved = Command::new("unshare")
            .args([
                "--user",
                "--pid",
                "--fork",
                "mv",
                "DIR/BELOW",
                "./DIR//Below",
            ])
            .current_dir(folded.at(""))
            .status();
        assert!(moved.unwrap().success());
        assert_eq!(folded.names("diR"), set(&["Below"]));
        assert_eq!(names(&folded.at("")), set(&["fILE", "diR"]));
        folded.end();
    });
}

#[test]
fn a_rename_replaces_a_name_that_is_the_same() {
    in_namespaces("a_rename_replaces_a_name_that_is_the_same", || {
        let folded = Folded::new();
        fs::write(folded.at("new"), "new").unwrap();
        fs::write(folded.at("Target"), "old").unwrap();
        let mut old = File::options()
            .append(true)
            .open(folded.at("Target"))
            .unwrap();
        assert!(folded.at("TARGET").exists());
        let flags = RenameFlags::RENAME_NOREPLACE;
        let (from, to) = (folded.at("NEW"), folded.at("target"));
        let refused = renameat2(AT_FDCWD, &from, AT_FDCWD, &to, flags);
        assert_eq!(refused, Err(nix::errno::Errno::EEXIST));
        fs::rename(&from, &to).unwrap();
        assert_eq!(
            folded.names(""),
            set(&["target"]),
            "the case is the new name's"
        );
        for name in ["target", "Target", "TARGET"] {
            assert_eq!(fs::read(folded.at(name)).unwrap(), b"new");
        }
        old.write_all(b"er").unwrap();
        assert_eq!(
            old.metadata().unwrap().len(),
            5,
            "what was replaced is still open"
        );
        assert_eq!(errno(fs::metadata(folded.at("new"))), NOENT);
        drop(old);

        fs::write(folded.at("Other"), "other").unwrap();
        let (one, other) = (folded.at("OTHER"), folded.at("TARGET"));
        renameat2(
            AT_FDCWD,
            &one,
            AT_FDCWD,
            &other,
            RenameFlags::RENAME_EXCHANGE,
        )
        .unwrap();
        assert_eq!(folded.names(""), set(&["target", "Other"]));
        assert_eq!(fs::read(folded.at("target")).unwrap(), b"other");
        assert_eq!(fs::read(folded.at("other")).unwrap(), b"new");
        folded.end();
    });
}

#[test]
fn a_rename_by_another_case_leaves_nothing_behind() {
    in_namespaces("a_rename_by_another_case_leaves_nothing_behind", || {
        let folded = Folded::new();
        for round in 0..20 {
            fs::write(folded.at("Source"), "x").unwrap();
            fs::create_dir_all(folded.at("Tree/a")).unwrap();
            fs::write(folded.at("Tree/a/file"), "y").unwrap();
            let open = File::open(folded.at("Tree/a/file")).unwrap();
            assert!(folded.at("source").exists() && folded.at("tree/A").exists());
            fs::rename(folded.at("SOURCE"), folded.at("moved")).unwrap();
            fs::rename(folded.at("TREE"), folded.at("Moved tree")).unwrap();
            for name in ["Source", "source", "SOURCE", "Tree", "tree", "Tree/a"] {
                assert_eq!(
                    errno(fs::metadata(folded.at(name))),
                    NOENT,
                    "{round} {name}"
                );
            }
            assert_eq!(fs::read(folded.at("MOVED")).unwrap(), b"x");
            assert_eq!(
                open.metadata().unwrap().len(),
                1,
                "open below a renamed directory"
            );
            assert_eq!(fs::read(folded.at("MOVED TREE/A/FILE")).unwrap(), b"y");
            fs::remove_file(folded.at("moved")).unwrap();
            fs::remove_dir_all(folded.at("moved tree")).unwrap();
        }
        folded.end();
    });
}

#[test]
fn links_lead_where_they_say_in_any_case() {
    in_namespaces("links_lead_where_they_say_in_any_case", || {
        let folded = Folded::new();
        fs::create_dir(folded.at("Target")).unwrap();
        fs::write(folded.at("Target/File"), "x").unwrap();
        symlink("tARGET/fILE", folded.at("Link")).unwrap();
        assert_eq!(fs::read(folded.at("LINK")).unwrap(), b"x");
        let target = fs::read_link(folded.at("link")).unwrap();
        assert_eq!(target.as_os_str().as_bytes(), b"tARGET/fILE");

        fs::hard_link(folded.at("target/file"), folded.at("Hard")).unwrap();
        let (one, other) = (folded.at("HARD"), folded.at("Target/File"));
        let number = |path| fs::metadata(path).unwrap().ino();
        assert_eq!(number(&one), number(&other));
        assert_eq!(fs::metadata(&one).unwrap().nlink(), 2);
        fs::write(&one, "longer").unwrap();
        assert_eq!(fs::read(&other).unwrap(), b"longer");
        let open = File::open(&one).unwrap();
        fs::remove_file(folded.at("target/FILE")).unwrap();
        assert_eq!(fs::metadata(&one).unwrap().nlink(), 1);
        fs::remove_file(folded.at("hard")).unwrap();
        assert_eq!(open.metadata().unwrap().len(), 6);
        assert_eq!(open.metadata().unwrap().nlink(), 0);
        drop(open);
        folded.end();
    });
}

#[test]
fn the_working_directory_may_have_any_case() {
    in_namespaces("the_working_directory_may_have_any_case", || {
        let folded = Folded::new();
        fs::create_dir_all(folded.at("A/B")).unwrap();
        fs::write(folded.at("A/B/c"), "x").unwrap();
        let shell = "cat C; stat ../../a/b/C >/dev/null; mv ../../A ../../other; cat c; pwd";
        let output = Command::new("sh")
            .args(["-ec", shell])
            .current_dir(folded.at("a/b"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        assert!(output.stdout.starts_with(b"xx"));
        folded.end();
    });
}
