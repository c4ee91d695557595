//! Whoever stacks the layers: the files are the same, shared as ever, and nothing is left.

mod support;
#[path = "overlay/unionfs.rs"]
mod unionfs;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use support::chance::Chance;
use support::changes::{self, give_all};
use support::prepared::NO_FUSE;
use support::running::Running;
use support::{ORDINARY, Place, Ran, Who, chapter, everybody};

/// Waits for a line, then does what it says.
const WAITS: &str = "echo ready; while read -r line; do eval \"$line\"; done";

/// Sleeps, and says so once that needs no further file: none could be opened any more.
const SLEEPS: &str = "sleep 1000 & until test \"$comm\" = sleep; do read -r comm < /proc/$!/comm; done; echo ready; wait";

/// The kinds there are.
const KINDS: [&str; 3] = ["bwrap", "overlayfs", "unionfs"];

/// Those of them that a program of the image does, and the program.
const PROGRAMS: [(&str, &str); 2] = [("overlayfs", "fuse-overlayfs"), ("unionfs", "unionfs")];

/// What a program does with files.
const OPERATIONS: &str = include_str!("overlay/operations.py");

/// A place with a layer, whose image has this kind of overlay.
fn stacked(who: Who, kind: &str) -> Place {
    let place = Place::with_layer(who);
    place.succeed(&["fim-overlay", "set", kind]);
    place
}

/// The image, told the kind by the variable.
fn told(place: &Place, kind: &str, arguments: &[&str]) -> Command {
    let mut command = place.image(arguments);
    command.env("FIM_OVERLAY", kind);
    command
}

/// What a script prints under this kind, which must succeed without a word.
fn prints(place: &Place, kind: &str, script: &str) -> String {
    let ran = Ran::of(told(place, kind, &["fim-root", "bash", "-c", script]));
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{kind}: {ran:?}");
    ran.out
}

/// The program that stacks.
fn stacker(place: &Place) -> i32 {
    let is_one = |pid: &i32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line);
        PROGRAMS
            .iter()
            .any(|(_, program)| line.contains(&format!("/servers/{program}")))
    };
    let mut found = place.servers().into_iter().filter(is_one);
    found
        .next()
        .expect("a root that a program stacks has a server")
}

/// The type of the filesystem of the root.
const TYPE: &str =
    "while read -r _ at type _; do if test $at = /; then echo $type; fi; done < /proc/mounts";

#[test]
fn the_chapter_goes_as_it_says() {
    for who in everybody() {
        let place = Place::blueprint(who);
        chapter::run(&place, &chapter::read("overlays.md"));
        place.assert_clean();
    }
}

#[test]
fn it_is_chosen_in_the_image_and_for_one_start_by_a_variable() {
    for who in everybody() {
        let place = Place::with_layer(who);
        assert_eq!(place.succeed(&["fim-overlay", "show"]), "BWRAP\n");
        assert_eq!(place.shell(TYPE), "overlay\n");
        assert_eq!(prints(&place, "overlayfs", TYPE), "fuse\n");
        place.succeed(&["fim-overlay", "set", "overlayfs"]);
        assert_eq!(place.succeed(&["fim-overlay", "show"]), "OVERLAYFS\n");
        assert_eq!(place.shell(TYPE), "fuse\n");
        let plan = place.succeed(&["fim-plan"]);
        assert!(
            plan.contains(", with fuse-overlayfs  # overlay overlayfs\n"),
            "{plan}"
        );
        assert_eq!(prints(&place, "bwrap", TYPE), "overlay\n");
        assert_eq!(prints(&place, "unionfs", TYPE), "fuse\n");
        place.succeed(&["fim-overlay", "set", "unionfs"]);
        assert_eq!(place.succeed(&["fim-overlay", "show"]), "UNIONFS\n");
        let plan = place.succeed(&["fim-plan"]);
        assert!(
            plan.contains(", with unionfs  # overlay unionfs\n"),
            "{plan}"
        );
        let ran = Ran::of(told(&place, "overlay", &["fim-exec", "true"]));
        assert_eq!((ran.code, ran.err.lines().count()), (125, 1), "{ran:?}");
        assert!(ran.err.contains("did you mean `overlayfs`?"), "{ran:?}");
        place.succeed(&["fim-exec", "touch", "/new"]);
        place.succeed(&["fim-data", "purge"]);
        assert!(!place.data().exists());
        place.assert_clean();
    }
}

#[test]
fn instances_share_the_root_and_end_in_any_order() {
    for who in everybody() {
        let place = Place::with_layer(who);
        let cases = [("0", false), ("0", true), ("1", false), ("1", true)];
        let cases = PROGRAMS
            .iter()
            .flat_map(|(kind, _)| cases.map(|case| (kind, case)));
        for (kind, (folds, killed)) in cases {
            let start = || {
                let mut command = told(&place, kind, &["fim-exec", "bash", "-c", WAITS]);
                command.env("FIM_CASEFOLD", folds);
                Running::ready(command)
            };
            let (mut first, mut second) = (start(), start());
            first.say("echo one > /shared; echo written");
            assert_eq!(first.line(), "written\n");
            second.say("cat /shared; rm /shared; cat /first");
            assert_eq!(
                (second.line(), second.line()),
                ("one\n".into(), "1\n".into())
            );
            match killed {
                true => kill(Pid::from_raw(first.pid()), Signal::SIGKILL).unwrap(),
                false => assert_eq!(first.end().code, 0),
            }
            let mut third = start();
            for instance in [&mut second, &mut third] {
                instance.say("cat /second; ls / | grep -c shared || true");
                assert_eq!(
                    (instance.line(), instance.line()),
                    ("2\n".into(), "0\n".into())
                );
            }
            assert_eq!((second.end().code, third.end().code), (0, 0));
            place.assert_clean();
        }
    }
}

#[test]
fn another_wish_is_refused_with_the_pid_and_a_stored_change_is_a_warning() {
    for who in everybody() {
        let place = stacked(who, "overlayfs");
        let first = place.start(WAITS);
        let ran = Ran::of(told(&place, "bwrap", &["fim-exec", "true"]));
        assert_eq!((ran.code, ran.err.lines().count()), (125, 1), "{ran:?}");
        let named = format!(
            "process {} runs a container with other overlay",
            first.pid()
        );
        assert!(ran.err.contains(&named), "{ran:?}");
        assert_eq!(prints(&place, "overlayfs", "cat /first"), "1\n");

        place.succeed(&["fim-overlay", "set", "bwrap"]);
        let ran = place.run(&["fim-exec", "cat", "/first"]);
        assert_eq!((ran.out.as_str(), ran.err.lines().count()), ("1\n", 1));
        assert!(ran.err.starts_with("warning: ") && ran.err.contains("other overlay"));
        drop(first);
        place.assert_gone();
        assert_eq!(place.shell(TYPE), "overlay\n");
        place.assert_clean();
    }
}

#[test]
fn without_the_program_instances_end_with_one_line_and_the_next_start_works() {
    for who in everybody() {
        let place = Place::with_layer(who);
        for (kind, folds) in PROGRAMS
            .iter()
            .flat_map(|(kind, _)| [(kind, "0"), (kind, "1")])
        {
            let start = || {
                let waits = ["fim-exec", "bash", "-c", SLEEPS];
                let mut command = told(&place, kind, &waits);
                command.env("FIM_CASEFOLD", folds);
                Running::ready(command)
            };
            let (first, second) = (start(), start());
            kill(Pid::from_raw(stacker(&place)), Signal::SIGKILL).unwrap();
            for running in [first, second] {
                let ran = running.end();
                assert_eq!((ran.code, ran.err.lines().count()), (125, 1), "{ran:?}");
                assert!(
                    ran.err.contains("served the container's files was killed"),
                    "{ran:?}"
                );
            }
            assert_eq!(place.succeed(&["fim-exec", "cat", "/first"]), "1\n");
        }
        place.assert_clean();
    }
}

#[test]
fn without_fuse_the_kernel_does_it_with_one_warning() {
    for who in everybody() {
        let place = Place::blueprint(who);
        for (kind, name) in [("overlayfs", "fuse-overlayfs"), ("unionfs", "unionfs-fuse")] {
            place.succeed(&["fim-overlay", "set", kind]);
            let script = format!("echo x > /kept; {TYPE}");
            let ran = Ran::of(place.prepared(NO_FUSE, &["fim-exec", "bash", "-c", &script]));
            assert_eq!((ran.code, ran.out.as_str()), (0, "overlay\n"), "{ran:?}");
            assert_eq!(ran.err.lines().count(), 1, "{ran:?}");
            let warning = format!("warning: {name} cannot be used: /dev/fuse");
            assert!(ran.err.starts_with(&warning), "{ran:?}");
            assert_eq!(place.shell("cat /kept"), "x\n");
        }
        place.assert_clean();
    }
}

#[test]
fn what_the_kernel_refuses_to_stack_the_program_does_with_one_warning() {
    for who in everybody() {
        let place = Place::with_layer(who);
        // The kernel stacks no changes on a filesystem that cannot hold its marks.
        for name in ["l", "u", "w", "odd"] {
            fs::create_dir(place.path().join(name)).unwrap();
            place.give(&place.path().join(name));
        }
        let before = "mount -t overlay overlay -o lowerdir=l,upperdir=u,workdir=w odd";
        let script = format!("echo new > /first; cat /first /second; {TYPE}");
        let mut command = place.prepared(before, &["fim-exec", "bash", "-c", &script]);
        command.env("FIM_DIR_DATA", "odd/data");
        let ran = Ran::of(command);
        assert_eq!(
            (ran.code, ran.out.as_str()),
            (0, "new\n2\nfuse\n"),
            "{ran:?}"
        );
        assert_eq!(ran.err.lines().count(), 1, "{ran:?}");
        assert!(
            ran.err.starts_with("warning: ")
                && ran
                    .err
                    .ends_with("fuse-overlayfs stacks the layers instead\n"),
            "{ran:?}"
        );
        for name in ["l", "u", "w", "odd"] {
            fs::remove_dir_all(place.path().join(name)).unwrap();
        }
        place.succeed(&["fim-exec", "true"]);
        place.assert_clean();
    }
}

#[test]
fn marks_that_the_filesystem_cannot_hold_for_the_kernel_stay_with_the_program() {
    for who in everybody() {
        let place = Place::with_layer(who);
        fs::create_dir(place.path().join("odd")).unwrap();
        let owner = match place.who {
            Who::Ordinary => ORDINARY,
            Who::Caller => 0,
        };
        // It has no attributes.
        let before = format!("mount -t ramfs none odd && chown {owner} odd");
        let script = format!(
            "FIM_OVERLAY=overlayfs $0 fim-exec bash -c 'mkdir /new; rm /first' && \
             $0 fim-exec bash -c 'ls -d /new /first /second; {TYPE}'"
        );
        let image = place.image.to_string_lossy().into_owned();
        let mut command = place.after(&before, "sh", &["-c", &script, &image]);
        command.env("FIM_DIR_DATA", place.path().join("odd/data"));
        let ran = Ran::of(command);
        assert_eq!(
            (ran.code, ran.out.as_str()),
            (0, "/new\n/second\nfuse\n"),
            "{ran:?}"
        );
        let warnings: Vec<_> = ran
            .err
            .lines()
            .filter(|line| line.starts_with("warning: "))
            .collect();
        assert_eq!(warnings.len(), 1, "{ran:?}");
        assert!(
            warnings[0].starts_with("warning: cannot translate the marks"),
            "{ran:?}"
        );
        fs::remove_dir(place.path().join("odd")).unwrap();
        place.succeed(&["fim-exec", "true"]);
        place.assert_clean();
    }
}

#[test]
fn changes_in_memory_and_programs_unpacked_in_memory_work() {
    for who in everybody() {
        let place = Place::with_layer(who);
        for (kind, _) in PROGRAMS {
            let script = format!("echo x > /new; rm /second; cat /new /first; ls /second; {TYPE}");
            let mut command = told(&place, kind, &["fim-exec", "bash", "-c", &script]);
            command
                .env("FIM_DIR_DATA", "/sys/none")
                .env("HOME", "/sys/none");
            let ran = Ran::of(command);
            assert_eq!((ran.code, ran.out.as_str()), (0, "x\n1\nfuse\n"));
            assert!(ran.err.contains("changes are lost"), "{}", ran.err);
        }
        place.succeed(&["fim-exec", "true"]);
        place.assert_clean();
    }
}

#[test]
fn what_one_kind_deleted_stays_deleted_under_every_other_and_in_a_layer() {
    for who in everybody() {
        let pairs = KINDS
            .iter()
            .flat_map(|first| KINDS.map(|second| (*first, second)));
        for (first, second) in pairs.filter(|(first, second)| first != second) {
            let place = changes::with_layer(who);
            prints(&place, first, changes::CHANGES);
            let before = prints(&place, first, changes::SNAPSHOT);
            assert!(
                !before.contains("/gone") && !before.contains("old"),
                "{before}"
            );
            assert_eq!(
                prints(&place, second, changes::SNAPSHOT),
                before,
                "{first} {second}"
            );
            // In the tree that the other one has touched too.
            let more = "cd /t; rm kept; rm -r remade; mkdir remade; rm hard";
            prints(&place, second, more);
            let before = prints(&place, second, changes::SNAPSHOT);
            assert_eq!(
                prints(&place, first, changes::SNAPSHOT),
                before,
                "{second} {first}"
            );
            let mut commit = told(&place, first, &["fim-layer", "commit", "binary"]);
            commit.stdout(std::process::Stdio::null());
            assert_eq!(Ran::of(commit).code, 0);
            for kind in KINDS {
                assert_eq!(
                    prints(&place, kind, changes::SNAPSHOT),
                    before,
                    "{kind} after a commit"
                );
            }
            place.assert_clean();
        }
    }
}

/// The directory with the programs, once they were used.
fn programs(place: &Place) -> PathBuf {
    let units = fs::read_dir(place.home().join(".cache/flatimage")).unwrap();
    let mut found = units.map(|unit| unit.unwrap().path().join("servers"));
    found
        .find(|path| path.is_dir())
        .expect("they were unpacked")
}

#[test]
fn the_programs_are_unpacked_when_they_are_used_and_need_nothing_of_the_host() {
    let place = Place::blueprint(Who::Caller);
    place.succeed(&["fim-exec", "true"]);
    let units = fs::read_dir(place.home().join(".cache/flatimage")).unwrap();
    assert!(
        units
            .flatten()
            .all(|unit| !unit.path().join("servers").exists())
    );
    prints(&place, "overlayfs", "true");
    let mut bwrap = Command::new("bwrap");
    bwrap.args(["--proc", "/proc", "--ro-bind"]);
    bwrap.arg(programs(&place)).arg("/servers");
    bwrap.args([
        "/servers/ld.so",
        "--library-path",
        "/servers",
        "/servers/fuse-overlayfs",
        "--version",
    ]);
    let ran = Ran::of(bwrap);
    assert!(
        ran.code == 0 && ran.out.contains("fuse-overlayfs: version"),
        "{ran:?}"
    );
    let listed = place.succeed(&["fim-version", "deps"]);
    assert!(
        listed.contains("\"fuse-overlayfs\"") && listed.contains("\"ld.so\""),
        "{listed}"
    );
    place.assert_clean();
}

#[test]
fn paths_with_every_character_that_options_give_a_meaning_work() {
    for who in everybody() {
        let place = Place::with_layer(who);
        let odd = place.path().join("a b:c,d\\e\"f'g\nh=%s");
        fs::create_dir(&odd).unwrap();
        place.give(&odd);
        let image = odd.join("app:1,\\2");
        support::copy(&place.image, &image);
        place.give(&image);
        for kind in KINDS {
            let mut command = place.command(&image);
            command.env("FIM_OVERLAY", kind);
            let script =
                format!("cat /first /{kind}; echo more >> /kept; cat /kept; rm -f /second");
            command.args([
                "fim-exec",
                "bash",
                "-c",
                &format!("echo {kind} > /{kind}; {script}"),
            ]);
            let ran = Ran::of(command);
            let kept = "more\n".repeat(1 + KINDS.iter().position(|one| *one == kind).unwrap());
            assert_eq!(
                (ran.out, ran.err.as_str()),
                (format!("1\n{kind}\n{kept}"), "")
            );
        }
        fs::remove_dir_all(&odd).unwrap();
        place.succeed(&["fim-exec", "true"]);
        place.assert_clean();
    }
}

/// A blueprint with what the operations need: a layer, and the host's Python.
fn with_files(who: Who) -> Place {
    let place = Place::blueprint(who);
    let tree = place.path().join("tree");
    for name in [
        "replaced",
        "renamed",
        "gone",
        "again",
        "linked",
        "truncated",
        "appended",
        "mode",
        "mapped",
        "attribute",
        "numbered",
        "unlinked",
        "written",
        "locked",
        "kept",
        "directory/below/b",
        "tree/a",
        "remade/old",
    ] {
        let path = tree.join("t").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let contents = path.file_name().unwrap().to_string_lossy();
        fs::write(&path, format!("{contents}\n")).unwrap();
    }
    give_all(&place, &tree);
    let layer = place.pack(&tree, "base.layer");
    place.add_layer(&layer);
    for path in ["/usr", "/lib", "/lib64"] {
        place.succeed(&["fim-bind", "add", "ro", path, path]);
    }
    place
}

/// What the book says that a kind cannot do, by the names of the operations.
fn cannot(kind: &str) -> String {
    let chapter = chapter::read("overlays.md");
    let line = chapter
        .lines()
        .find(|line| line.starts_with(&format!("| `{kind}` cannot")));
    let names = line
        .expect("the chapter has a line for each kind")
        .split('`')
        .skip(3)
        .step_by(2);
    names.map(|name| format!("{name}\n")).collect()
}

#[test]
fn every_kind_does_what_programs_do_with_files_but_for_what_the_book_says() {
    for who in everybody() {
        for kind in KINDS {
            let place = with_files(who);
            let operations = ["fim-root", "/usr/bin/python3", "-c", OPERATIONS];
            let ran = Ran::of(told(&place, kind, &operations));
            assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{kind}: {ran:?}");
            let failed = ran.out.lines().filter_map(|line| line.split(' ').next());
            let failed: String = failed.map(|name| format!("{name}\n")).collect();
            assert_eq!(failed, cannot(kind), "{who:?} {kind}: {ran:?}");
            let after = prints(&place, kind, changes::SNAPSHOT);
            for other in KINDS {
                assert_eq!(
                    prints(&place, other, changes::SNAPSHOT),
                    after,
                    "{kind} {other}"
                );
            }
            place.assert_clean();
        }
    }
}

/// Bash that touches the layer, the changes and itself, for about as long as the test looks.
const BUSY: &str = "for i in 1 2 3 4 5 6; do cat /first /second; echo x >> /log; sleep 0.01; done";

#[test]
fn whatever_is_killed_at_whatever_moment_nothing_is_left_and_the_next_start_works() {
    for who in everybody() {
        let place = stacked(who, "overlayfs");
        // What a kill leaves of the programs being unpacked is removed after an hour.
        place.succeed(&["fim-exec", "true"]);
        let mut chance = Chance(13);
        for round in 0..16 {
            let start = || {
                let (kind, _) = PROGRAMS[round / 2 % 2];
                let mut command = told(&place, kind, &["fim-exec", "bash", "-c", BUSY]);
                command.env("FIM_CASEFOLD", if round % 2 == 0 { "0" } else { "1" });
                Running::spawned(command)
            };
            let instances: Vec<_> = (0..1 + round % 3).map(|_| start()).collect();
            std::thread::sleep(std::time::Duration::from_micros(chance.below(80_000)));
            let mut victims = place.processes();
            if round % 4 != 3 {
                // One or two of them; every fourth time it is all.
                while victims.len() as u64 > 1 + chance.below(2) {
                    victims.swap_remove(chance.below(victims.len() as u64) as usize);
                }
            }
            for victim in victims {
                // It may have ended meanwhile.
                let _ = kill(Pid::from_raw(victim), Signal::SIGKILL);
            }
            for instance in instances {
                let ran = instance.end();
                let known = [0, 1, 125, -9, 137].contains(&ran.code);
                let ours = ran.err.lines().filter(|line| line.starts_with("error: "));
                assert!(known && ours.count() <= 1, "round {round}: {ran:?}");
            }
            place.assert_gone();
            assert_eq!(place.succeed(&["fim-exec", "cat", "/first"]), "1\n");
        }
        place.assert_clean();
    }
}
