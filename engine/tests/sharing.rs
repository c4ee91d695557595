//! Instances of one data directory share one root, and nothing of it is left when they are gone.

mod support;

use std::fs;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use support::chance::Chance;
use support::running::Running;
use support::{Place, Ran, Who, everybody};

/// Waits for a line, then says what it is told to.
const WAITS: &str = "echo ready; while read -r line; do eval \"$line\"; done";

#[test]
fn a_second_start_sees_the_same_files_at_once_and_has_its_own_processes() {
    for who in everybody() {
        let place = Place::with_layer(who);
        let mut first = place.start(WAITS);
        place.shell("echo from the second > /srv-file; cat /first");
        first.say("cat /srv-file; echo from the first > /srv-file");
        assert_eq!(first.line(), "from the second\n");
        first.say("echo done");
        assert_eq!(first.line(), "done\n");
        assert_eq!(place.shell("cat /srv-file"), "from the first\n");
        for namespace in ["pid", "net", "ipc", "uts", "mnt"] {
            let link = format!("readlink /proc/self/ns/{namespace}");
            first.say(&link);
            assert_ne!(first.line(), place.shell(&link), "{namespace}");
        }
        // The first process and the shell.
        assert_eq!(place.shell("set -- /proc/[0-9]*; echo $#"), "2\n");
        assert_eq!(first.end().code, 0);
        place.assert_clean();
    }
}

#[test]
fn identities_differ_freely() {
    for who in everybody() {
        let place = Place::blueprint(who);
        let own = place.succeed(&["fim-exec", "id", "-u"]);
        let mut first = place.start(WAITS);
        assert_eq!(place.succeed(&["fim-root", "id", "-u"]), "0\n");
        assert_eq!(
            place.succeed(&["fim-root", "bash", "-c", "cd; pwd; whoami"]),
            "/root\nroot\n"
        );
        place.succeed(&["fim-env", "set", "UID=5000", "GID=5001", "USER=bo"]);
        assert_eq!(place.shell("id -u; id -g; whoami"), "5000\n5001\nbo\n");
        first.say("id -u");
        assert_eq!(first.line(), own);
        drop(first);
        place.assert_clean();
    }
}

#[test]
fn fifty_at_once_all_run_in_one_root() {
    for who in everybody() {
        let place = Place::with_layer(who);
        let started: Vec<_> = (0..50)
            .map(|number| {
                let script = format!("cat /second; echo {number} >> /list");
                Running::spawned(place.image(&["fim-exec", "bash", "-c", &script]))
            })
            .collect();
        for running in started {
            let ran = running.end();
            assert_eq!(
                (ran.code, ran.out.as_str(), ran.err.as_str()),
                (0, "2\n", "")
            );
        }
        assert_eq!(place.shell("sort -n /list | uniq | wc -l").trim(), "50");
        place.assert_clean();
    }
}

#[test]
fn an_instance_outlives_the_one_that_built_the_root() {
    for who in everybody() {
        let place = Place::with_layer(who);
        for signal in [None, Some(Signal::SIGKILL), Some(Signal::SIGTERM)] {
            let first = place.start("echo ready; read -r");
            let mut second = place.start(WAITS);
            match signal {
                Some(signal) => kill(Pid::from_raw(first.pid()), signal).unwrap(),
                None => assert_eq!(first.end().code, 1),
            }
            let mut third = place.start(WAITS);
            third.say("echo x > /changed; cat /second");
            assert_eq!(third.line(), "2\n");
            drop(third);
            second.say("cat /first; cat /changed");
            assert_eq!((second.line(), second.line()), ("1\n".into(), "x\n".into()));
            assert_eq!(second.end().code, 0);
            place.assert_clean();
        }
    }
}

#[test]
fn what_cannot_be_shared_is_refused_with_the_pid_and_a_stored_change_is_a_warning() {
    for who in everybody() {
        let place = Place::with_layer(who);
        let extra = place.layer("extra.layer", &[("extra", "x\n")]);
        let first = place.start(WAITS);
        let mut other = place.image(&["fim-exec", "true"]);
        other.env("FIM_LAYERS", &extra);
        let ran = Ran::of(other);
        assert_eq!((ran.code, ran.err.lines().count()), (125, 1), "{ran:?}");
        let named = format!("process {} runs a container with other layers", first.pid());
        assert!(ran.err.contains(&named), "{ran:?}");

        place.succeed(&["fim-layer", "add", &extra.to_string_lossy()]);
        let ran = place.run(&["fim-exec", "bash", "-c", "ls / | grep -c extra"]);
        assert_eq!(
            (ran.out.as_str(), ran.err.lines().count()),
            ("0\n", 1),
            "{ran:?}"
        );
        assert!(ran.err.starts_with("warning: ") && ran.err.contains("other layers"));

        let mut elsewhere = place.image(&["fim-exec", "cat", "/extra"]);
        elsewhere.env("FIM_DIR_DATA", place.path().join("other"));
        assert_eq!(
            Ran::of(elsewhere).out,
            "x\n",
            "another data directory is independent"
        );
        drop(first);
        fs::remove_dir_all(place.path().join("other")).unwrap();
        fs::remove_file(extra).unwrap();
        assert_eq!(place.succeed(&["fim-exec", "cat", "/extra"]), "x\n");
        place.assert_clean();
    }
}

#[test]
fn without_its_server_an_instance_ends_with_one_line_and_the_next_start_works() {
    for who in everybody() {
        let place = Place::with_layer(who);
        let first = place.start("echo ready; sleep 1000");
        let second = place.start("echo ready; sleep 1000");
        let [server] = place.servers()[..] else {
            panic!("a root with layers has a server")
        };
        kill(Pid::from_raw(server), Signal::SIGKILL).unwrap();
        for running in [first, second] {
            let ran = running.end();
            assert_eq!((ran.code, ran.err.lines().count()), (125, 1), "{ran:?}");
            assert!(
                ran.err.contains("served the container's files was killed"),
                "{ran:?}"
            );
        }
        assert_eq!(place.succeed(&["fim-exec", "cat", "/first"]), "1\n");
        place.assert_clean();
    }
}

#[test]
fn a_supervisor_that_is_stopped_is_named_and_not_waited_for() {
    let place = Place::blueprint(Who::Caller);
    let first = place.start(WAITS);
    kill(Pid::from_raw(first.pid()), Signal::SIGSTOP).unwrap();
    let line = place.fail(125, &["fim-exec", "true"]);
    assert!(
        line.contains(&format!("process {} uses", first.pid())),
        "{line}"
    );
    kill(Pid::from_raw(first.pid()), Signal::SIGCONT).unwrap();
    assert_eq!(place.shell("echo joined"), "joined\n");
    drop(first);
    place.assert_clean();
}

/// Bash that touches the layer, the changes and itself, for about as long as the test looks.
const BUSY: &str = "for i in 1 2 3 4 5 6; do cat /first /second; echo x >> /log; sleep 0.01; done";

#[test]
fn whatever_is_killed_at_whatever_moment_nothing_is_left_and_the_next_start_works() {
    for who in everybody() {
        let place = Place::with_layer(who);
        let mut chance = Chance(7);
        for round in 0..40 {
            let instances: Vec<_> = (0..1 + round % 3)
                .map(|_| Running::spawned(place.image(&["fim-exec", "bash", "-c", BUSY])))
                .collect();
            std::thread::sleep(Duration::from_micros(chance.below(60_000)));
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
                let known = [0, 125, -9, 137].contains(&ran.code);
                // The programs may have a word to say about what was killed below them.
                let ours = ran.err.lines().filter(|line| line.starts_with("error: "));
                assert!(known && ours.count() <= 1, "round {round}: {ran:?}");
            }
            assert_eq!(place.succeed(&["fim-exec", "cat", "/first"]), "1\n");
        }
        place.assert_clean();
    }
}
