//! With case folding on, the root is found in any case, shared as ever, and nothing of it is left.

mod support;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use support::chance::Chance;
use support::prepared::NO_FUSE;
use support::running::Running;
use support::{ORDINARY, Place, Ran, Who, chapter, everybody};

/// Waits for a line, then does what it says.
const WAITS: &str = "echo ready; while read -r line; do eval \"$line\"; done";

/// A place with a layer, whose image folds.
fn folding(who: Who) -> Place {
    let place = Place::with_layer(who);
    place.succeed(&["fim-casefold", "on"]);
    place
}

/// The image, told by the variable whether to fold.
fn told(place: &Place, fold: &str, arguments: &[&str]) -> Command {
    let mut command = place.image(arguments);
    command.env("FIM_CASEFOLD", fold);
    command
}

/// The server that folds: of the servers it is the one in a mount namespace of its own.
fn folder(place: &Place) -> i32 {
    let namespace = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/mnt")).ok();
    let elsewhere = |pid: &i32| namespace(&pid.to_string()) != namespace("self");
    let mut found = place.servers().into_iter().filter(elsewhere);
    found.next().expect("a folded root has a server")
}

#[test]
fn the_chapter_goes_as_it_says() {
    for who in everybody() {
        let place = Place::blueprint(who);
        chapter::run(&place, &chapter::read("case-folding.md"));
        place.assert_clean();
    }
}

#[test]
fn it_is_switched_in_the_image_and_for_one_start_by_a_variable() {
    for who in everybody() {
        let place = Place::with_layer(who);
        let finds = ["fim-exec", "cat", "/FIRST"];
        let plan = |fold| Ran::of(told(&place, fold, &["fim-plan"])).out;
        let step = "fold       names are found in any case  # casefold";
        assert_eq!(place.succeed(&["fim-casefold", "show"]), "off\n");
        assert_eq!(place.run(&finds).code, 1);
        assert_eq!(Ran::of(told(&place, "1", &finds)).out, "1\n");
        assert!(plan("1").contains(step) && !plan("").contains(step));
        let json = Ran::of(told(&place, "on", &["fim-plan", "--json"])).out;
        assert!(json.contains("\"fold\""), "{json}");

        place.succeed(&["fim-casefold", "on"]);
        assert_eq!(place.succeed(&["fim-casefold", "show"]), "on\n");
        assert_eq!(place.succeed(&finds), "1\n");
        assert_eq!(Ran::of(told(&place, "0", &finds)).code, 1);
        assert!(plan("").contains(step) && !plan("off").contains(step));
        let ran = Ran::of(told(&place, "maybe", &finds));
        assert_eq!((ran.code, ran.err.lines().count()), (125, 1), "{ran:?}");
        assert!(ran.err.contains("FIM_CASEFOLD") && ran.err.contains("`maybe`"));

        place.succeed(&["fim-casefold", "off"]);
        assert_eq!(place.run(&finds).code, 1);
        place.assert_clean();
    }
}

#[test]
fn files_of_layers_and_changes_are_found_and_keep_their_names() {
    for who in everybody() {
        let place = folding(who);
        let script = "cd / && cat FIRST /Second && echo new > Changed.TXT && cat cHANGED.txt \
            && echo more >> CHANGED.TXT && mkdir -p Some/Where && echo x > sOME/wHERE/X && cat /some/where/x \
            && ln -s /SOME/where Link && cat lINK/x; set -C; echo no 2> /dev/null > changed.txt || echo exists";
        assert_eq!(place.shell(script), "1\n2\nnew\nx\nx\nexists\n");
        let root = place.data().join("root");
        assert_eq!(
            fs::read_to_string(root.join("Changed.TXT")).unwrap(),
            "new\nmore\n"
        );
        assert!(root.join("Some/Where/X").exists());
        // What follows is found in a root that was mounted anew.
        let script = "cd / && mv Changed.TXT changed.txt && ls | grep -i changed; rm FIRST; cat first 2>&1 | grep -c No";
        assert_eq!(place.shell(script), "changed.txt\n1\n");
        let exact = Ran::of(told(&place, "0", &["fim-exec", "cat", "/changed.txt"]));
        assert_eq!(exact.out, "new\nmore\n");
        assert_eq!(
            Ran::of(told(&place, "0", &["fim-exec", "cat", "/first"])).code,
            1,
            "a file of a layer that was removed stays removed"
        );
        place.assert_clean();
    }
}

#[test]
fn files_belong_to_who_makes_them_and_programs_run() {
    for who in everybody() {
        let place = folding(who);
        let mine =
            "touch /Mine && stat -c %u:%g /mINE; mkdir /Dir && stat -c %u /DIR && test -O /dir";
        let own = place.shell(mine);
        let ids = place.shell("echo $(id -u):$(id -g); id -u");
        assert_eq!(own, ids);
        assert_eq!(
            place.succeed(&[
                "fim-root",
                "bash",
                "-c",
                "echo x > /Roots; stat -c %u:%g /rOOTS"
            ]),
            "0:0\n"
        );
        if who == Who::Ordinary {
            let made = fs::metadata(place.data().join("root/Roots")).unwrap();
            assert_eq!(made.uid(), ORDINARY);
        }
        // What is executed is mapped into memory.
        let script = "cp $(command -v bash) /Program && /pROGRAM -c 'echo runs'";
        assert_eq!(place.shell(script), "runs\n");
        place.assert_clean();
    }
}

/// Takes the lock on a whole file that databases take, if it is free, and waits.
const LOCKS: &str = r#"open F, "+>>", $ARGV[0] or die; $| = 1; $whole = pack("ssx4qqix4", F_WRLCK, 0, 0, 0, 0);
    print fcntl(F, F_SETLK, $whole) ? "ready\n" : "taken\n"; <STDIN>"#;

#[test]
fn a_lock_is_seen_by_every_instance() {
    for who in everybody() {
        let place = folding(who);
        // Perl is the host's.
        for path in ["/usr", "/lib", "/lib64"] {
            place.succeed(&["fim-bind", "add", "ro", path, path]);
        }
        let perl = |file| {
            let arguments = ["fim-exec", "/USR/bin/perl", "-MFcntl", "-e", LOCKS, file];
            place.image(&arguments)
        };
        let first = Running::ready(perl("/Lock"));
        assert_eq!(Ran::of(perl("/lOCK")).out, "taken\n");
        assert_eq!(first.end().code, 0);
        assert_eq!(Ran::of(perl("/LOCK")).out, "ready\n");
        place.assert_clean();
    }
}

#[test]
fn what_is_bound_is_found_in_any_case_too() {
    for who in everybody() {
        let place = folding(who);
        let shown = place.path().join("shown");
        fs::create_dir(&shown).unwrap();
        fs::write(shown.join("File"), "of the host\n").unwrap();
        let source = shown.to_string_lossy();
        place.succeed(&["fim-bind", "add", "ro", &source, "/Mnt/Shown"]);
        assert_eq!(
            place.shell("cat /mNT/sHOWN/File; cat /Mnt/Shown/File; ls /DEV/null /PROC/self/exe"),
            "of the host\nof the host\n/DEV/null\n/PROC/self/exe\n"
        );
        // A place in a directory that is spelled otherwise hides nothing of it.
        place.shell("mkdir /Games; echo mine > /Games/own");
        place.succeed(&["fim-bind", "add", "ro", &source, "/gAMES/Shown"]);
        place.succeed(&["fim-bind", "add", "ro", &source, "/ETC/Shown"]);
        assert_eq!(
            place.shell("cat /games/own /games/shown/File; ls -d /*ames; test -s /etc/passwd && ls -d /[Ee]*"),
            "mine\nof the host\n/Games\n/etc\n"
        );
        fs::remove_dir_all(shown).unwrap();
        place.assert_clean();
    }
}

#[test]
fn instances_share_the_folded_root_and_end_in_any_order() {
    for who in everybody() {
        let place = folding(who);
        for killed in [false, true] {
            let mut first = place.start(WAITS);
            let mut second = place.start(WAITS);
            first.say("echo one > /Shared");
            second.say(
                "until grep -s one /sHARED; do sleep 0.01; done; mv /shared /SHARED; echo moved",
            );
            assert_eq!(
                (second.line(), second.line()),
                ("one\n".into(), "moved\n".into())
            );
            first.say("ls / | grep -i shared; rm /Shared; cat /SECOND");
            assert_eq!(
                (first.line(), first.line()),
                ("SHARED\n".into(), "2\n".into())
            );
            match killed {
                true => kill(Pid::from_raw(first.pid()), Signal::SIGKILL).unwrap(),
                false => assert_eq!(first.end().code, 0),
            }
            let mut third = place.start(WAITS);
            for instance in [&mut second, &mut third] {
                instance.say("cat /FIRST");
                assert_eq!(instance.line(), "1\n");
            }
            assert_eq!(second.end().code, 0);
            assert_eq!(third.end().code, 0);
            place.assert_clean();
        }
    }
}

#[test]
fn another_wish_is_refused_with_the_pid_and_a_stored_change_is_a_warning() {
    for who in everybody() {
        let place = folding(who);
        let first = place.start(WAITS);
        let ran = Ran::of(told(&place, "0", &["fim-exec", "true"]));
        assert_eq!((ran.code, ran.err.lines().count()), (125, 1), "{ran:?}");
        let pid = first.pid();
        let named = format!("process {pid} runs a container with another case folding");
        assert!(ran.err.contains(&named), "{ran:?}");
        let same = Ran::of(told(&place, "1", &["fim-exec", "cat", "/FIRST"]));
        assert_eq!((same.out.as_str(), same.err.as_str()), ("1\n", ""));

        place.succeed(&["fim-casefold", "off"]);
        let ran = place.run(&["fim-exec", "cat", "/FIRST"]);
        assert_eq!((ran.out.as_str(), ran.err.lines().count()), ("1\n", 1));
        assert!(ran.err.starts_with("warning: ") && ran.err.contains("other case folding"));
        let ran = Ran::of(told(&place, "0", &["fim-exec", "true"]));
        assert_eq!(ran.code, 125, "{ran:?}");
        drop(first);
        place.assert_gone();
        assert_eq!(place.run(&["fim-exec", "cat", "/FIRST"]).code, 1);
        place.assert_clean();
    }
}

#[test]
fn without_the_server_instances_end_with_one_line_and_the_next_start_works() {
    for who in everybody() {
        let place = folding(who);
        let sleeps = "echo ready; sleep 1000";
        let (first, second) = (place.start(sleeps), place.start(sleeps));
        kill(Pid::from_raw(folder(&place)), Signal::SIGKILL).unwrap();
        for running in [first, second] {
            let ran = running.end();
            assert_eq!((ran.code, ran.err.lines().count()), (125, 1), "{ran:?}");
            assert!(ran.err.contains("served the container's files was killed"));
        }
        assert_eq!(place.succeed(&["fim-exec", "cat", "/FIRST"]), "1\n");
        place.assert_clean();
    }
}

#[test]
fn an_empty_root_and_one_in_memory_are_folded_too() {
    for who in everybody() {
        let place = Place::blueprint(who);
        let script = "echo x > /Only && cat /oNLY";
        let ran = Ran::of(told(&place, "1", &["fim-exec", "bash", "-c", script]));
        assert_eq!((ran.out.as_str(), ran.err.as_str()), ("x\n", ""));
        place.assert_clean();
        let mut command = told(&place, "1", &["fim-exec", "bash", "-c", script]);
        command.env("FIM_DIR_DATA", "/sys/none");
        let ran = Ran::of(command);
        assert_eq!(ran.out, "x\n", "{ran:?}");
        assert!(ran.err.contains("changes are lost"), "{ran:?}");
        place.assert_clean();
    }
}

#[test]
fn where_there_is_no_fuse_it_is_refused_and_not_left_out() {
    for who in everybody() {
        let place = folding(who);
        let ran = Ran::of(place.prepared(NO_FUSE, &["fim-exec", "true"]));
        assert_eq!((ran.code, ran.err.lines().count()), (125, 1), "{ran:?}");
        assert!(
            ran.err.contains("casefold") && ran.err.contains("/dev/fuse"),
            "{ran:?}"
        );
        place.assert_clean();
    }
}

/// Bash that touches the layer, the changes and itself, for about as long as the test looks.
const BUSY: &str =
    "for i in 1 2 3 4 5 6; do cat /FIRST /second; echo x >> /Log; mv /LOG /log; sleep 0.01; done";

#[test]
fn whatever_is_killed_at_whatever_moment_nothing_is_left_and_the_next_start_works() {
    for who in everybody() {
        let place = folding(who);
        let mut chance = Chance(11);
        for round in 0..12 {
            let instances: Vec<_> = (0..1 + round % 3)
                .map(|_| Running::spawned(place.image(&["fim-exec", "bash", "-c", BUSY])))
                .collect();
            std::thread::sleep(Duration::from_micros(chance.below(80_000)));
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
                // 1 is bash's, of a `mv` that another instance was ahead of.
                let known = [0, 1, 125, -9, 137].contains(&ran.code);
                let ours = ran.err.lines().filter(|line| line.starts_with("error: "));
                assert!(known && ours.count() <= 1, "round {round}: {ran:?}");
            }
            assert_eq!(place.succeed(&["fim-exec", "cat", "/FIRST"]), "1\n");
        }
        place.assert_clean();
    }
}
