//! Instances that run are listed, and further programs run in them as their own do.

mod support;

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use support::running::Running;
use support::screen::Screen;
use support::{Place, Ran, Who, everybody};

/// Waits for a line, then does what it is told to.
const WAITS: &str = "echo ready; while read -r line; do eval \"$line\"; done";

/// What a program is in, all of which its number of files, times and sizes are not.
const LOOK: &str = "id; umask; pwd; env | grep -v '^_=\\|^SHLVL=\\|^OLDPWD='; \
    for at in user mnt pid ipc uts cgroup net; do readlink /proc/self/ns/$at; done; \
    readlink /proc/self/root; cat /proc/self/mounts; \
    grep '^Cap\\|^Seccomp\\|^NoNewPrivs\\|^Uid\\|^Gid\\|^Groups\\|^Sig[BI]' /proc/self/status; hostname; echo end";

fn lines(running: &mut Running) -> String {
    let mut text = String::new();
    while !text.ends_with("end\n") {
        let line = running.line();
        assert_ne!(line, "", "{text}");
        text.push_str(&line);
    }
    text
}

fn guest(place: &Place, id: &str, script: &str) -> Command {
    place.image(&["fim-instance", "exec", id, "bash", "-c", script])
}

/// Demands that something comes true.
fn eventually(mut is_so: impl FnMut() -> bool) {
    let patience = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < patience);
    }
}

#[test]
fn a_list_names_who_runs_oldest_first_and_nobody_who_was_killed() {
    for who in everybody() {
        let place = Place::blueprint(who);
        assert_eq!(place.succeed(&["fim-instance", "list"]), "");
        let (first, second) = (place.start(WAITS), place.start(WAITS));
        let mut third = place.start(WAITS);
        let list = || place.succeed(&["fim-instance", "list"]);
        let all = [first.pid(), second.pid(), third.pid()];
        assert_eq!(
            list(),
            format!("0:{}\n1:{}\n2:{}\n", all[0], all[1], all[2])
        );
        // A supervisor that was killed and that nobody has waited for.
        kill(Pid::from_raw(second.pid()), Signal::SIGKILL).unwrap();
        assert_eq!(list(), format!("0:{}\n2:{}\n", all[0], all[2]));
        assert_eq!(first.end().code, 0);
        drop(second);
        assert_eq!(list(), format!("2:{}\n", all[2]));
        let fourth = place.start(WAITS);
        assert_eq!(list(), format!("2:{}\n3:{}\n", all[2], fourth.pid()));
        third.say("echo $FIM_PID");
        assert_eq!(third.line(), format!("{}\n", all[2]));
        let mut elsewhere = place.image(&["fim-instance", "list"]);
        elsewhere.env("FIM_DIR_DATA", place.path().join("other"));
        assert_eq!(Ran::of(elsewhere).out, "");
        drop((third, fourth));
        place.assert_gone();
        let again = place.start(WAITS);
        assert_eq!(list(), format!("0:{}\n", again.pid()));
        drop(again);
        place.assert_clean();
    }
}

#[test]
fn a_guest_is_in_everything_that_the_program_is_in() {
    for who in everybody() {
        let place = Place::blueprint(who);
        place.succeed(&["fim-env", "set", "A=b", "HOME=/var/me"]);
        for command in ["fim-exec", "fim-root"] {
            let start = place.image(&[command, "bash", "-c", WAITS]);
            let mut running = Running::ready(start);
            // A setting that is changed meanwhile is not for those that run.
            place.succeed(&["fim-env", "set", "A=b", "HOME=/var/me", "B=c"]);
            running.say("cd; ");
            running.say(LOOK);
            let expected = lines(&mut running);
            place.succeed(&["fim-env", "set", "A=b", "HOME=/var/me"]);
            let ran = Ran::of(guest(&place, "0", LOOK));
            assert_eq!((ran.code, ran.err.as_str()), (0, ""));
            assert_eq!(ran.out, expected, "{who:?} {command}");
            assert!(expected.contains("Seccomp:\t2\n") && expected.contains("NoNewPrivs:\t1\n"));
            running.say("echo from the program > /tmp/private; sleep 1000 & echo $!");
            let sleeps = running.line();
            let script = format!("cat /tmp/private; kill {sleeps}");
            assert_eq!(
                Ran::of(guest(&place, "0", &script)).out,
                "from the program\n"
            );
            drop(running);
            place.assert_clean();
        }
    }
}

#[test]
fn a_guest_begins_where_the_caller_is_if_that_is_in_the_container() {
    for who in everybody() {
        let place = Place::blueprint(who);
        let running = place.start(WAITS);
        let begins = |at: &str| {
            let mut command = guest(&place, "0", "pwd");
            command.current_dir(at);
            Ran::of(command).out
        };
        assert_eq!(begins("/tmp"), "/tmp\n");
        assert_eq!(
            begins("/usr/share"),
            Ran::of(guest(&place, "0", "cd; pwd")).out
        );
        drop(running);
        place.assert_clean();
    }
}

#[test]
fn codes_signals_and_streams_are_those_of_the_program() {
    for who in everybody() {
        let place = Place::blueprint(who);
        let running = place.start(WAITS);
        for (script, code) in [("exit 0", 0), ("exit 7", 7), ("kill -TERM $$", 143)] {
            assert_eq!(Ran::of(guest(&place, "0", script)).code, code, "{script}");
        }
        let fail = |code, program| place.fail(code, &["fim-instance", "exec", "0", program]);
        assert!(fail(127, "nowhere").contains("`nowhere` is not in the container's PATH"));
        assert!(fail(126, "/etc").contains("`/etc` cannot be executed"));
        let mut streams =
            Running::spawned(guest(&place, "0", "read -r x; echo out $x; echo err >&2"));
        streams.say("typed");
        let ran = streams.end();
        assert_eq!(
            (ran.code, ran.out.as_str(), ran.err.as_str()),
            (0, "out typed\n", "err\n")
        );
        for signal in [
            Signal::SIGTERM,
            Signal::SIGUSR1,
            Signal::SIGINT,
            Signal::SIGHUP,
        ] {
            let name = &signal.as_str()[3..];
            let script = format!(
                "trap 'echo {name}; exit 9' {name}; echo ready; while :; do read -t 1 -r x; done"
            );
            let program = Running::ready(guest(&place, "0", &script));
            kill(Pid::from_raw(program.pid()), signal).unwrap();
            let ran = program.end();
            assert_eq!((ran.code, ran.out), (9, format!("{name}\n")));
        }
        assert_eq!(running.end().code, 0);
        place.assert_clean();
    }
}

#[test]
fn a_guest_has_a_terminal_when_its_caller_has() {
    for who in everybody() {
        let place = Place::blueprint(who);
        let running = place.start(WAITS);
        let script = "tty; test -t 0 && test -t 1 && test -t 2; echo $? $TERM; \
            trap 'stty size' WINCH; trap 'echo interrupted; exit 4' INT; echo ready; \
            while :; do read -t 1 -r x && echo \"<$x>\"; done";
        let arguments = ["fim-instance", "exec", "0", "bash", "-c", script];
        let mut one = Screen::image(&place, &arguments);
        assert_eq!(one.expect("ready\r\n"), "/dev/pts/0\r\n0 dumb\r\nready\r\n");
        let mut other = Screen::image(&place, &arguments);
        assert!(other.expect("ready\r\n").starts_with("/dev/pts/1\r\n"));
        one.resize(31, 97);
        one.expect("31 97\r\n");
        one.say("typed");
        one.expect("<typed>\r\n");
        one.keys(b"\x03");
        one.expect("interrupted\r\n");
        assert_eq!(one.end(), (4, String::new()));
        other.say("still there");
        other.expect("<still there>\r\n");
        // Its program loses its terminal with the caller's.
        other.close();
        drop(running);
        place.assert_clean();
    }
}

#[test]
fn a_guest_stops_and_goes_on_with_its_caller() {
    for who in everybody() {
        let place = Place::blueprint(who);
        let running = place.start(WAITS);
        let mut screen = Screen::shell(&place);
        let image = place.image.to_string_lossy().into_owned();
        screen.say(&format!(
            "{image} fim-instance exec 0 bash --norc -c 'echo rea''dy; read -r x; echo \"<$x>\"'"
        ));
        screen.expect("ready\r\n");
        screen.keys(b"\x1a");
        screen.expect("Stopped");
        screen.prompt();
        screen.say("fg");
        screen.expect("fim-instance");
        screen.say("more");
        screen.expect("<more>\r\n");
        screen.prompt();
        screen.say("exit");
        screen.end();
        drop(running);
        place.assert_clean();
    }
}

#[test]
fn an_id_that_is_not_there_is_answered_with_those_that_are() {
    for who in everybody() {
        let place = Place::blueprint(who);
        let exec = |id| place.fail(125, &["fim-instance", "exec", id, "true"]);
        assert!(exec("0").contains("there is no instance `0`: none runs"));
        let (first, second, third) = (place.start(WAITS), place.start(WAITS), place.start(WAITS));
        drop(second);
        for id in ["1", "3", "x", "00 "] {
            let line = exec(id);
            assert!(line.contains("those that run are 0, 2"), "{line}");
        }
        drop((first, third));
        place.assert_clean();
    }
}

#[test]
fn fifty_at_once_are_all_let_in_and_every_one_has_its_own_streams() {
    for who in everybody() {
        let place = Place::blueprint(who);
        let mut running = place.start(WAITS);
        let guests: Vec<_> = (0..50)
            .map(|number| {
                Running::spawned(guest(&place, "0", &format!("read -r x; echo {number} $x")))
            })
            .collect();
        for (number, mut guest) in guests.into_iter().enumerate() {
            guest.say("typed");
            let ran = guest.end();
            assert_eq!(
                (ran.code, ran.out, ran.err.as_str()),
                (0, format!("{number} typed\n"), "")
            );
        }
        // Nothing of them is left in the instance.
        eventually(|| {
            running.say("set -- /proc/[0-9]*; echo $#");
            running.line() == "2\n"
        });
        drop(running);
        place.assert_clean();
    }
}

#[test]
fn whoever_is_killed_takes_the_program_along() {
    for who in everybody() {
        let place = Place::blueprint(who);
        let mut running = place.start(WAITS);
        let program = Running::ready(guest(&place, "0", "echo ready; exec sleep 10007"));
        drop(program);
        eventually(|| {
            running.say("cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -c 10007");
            running.line() == "0\n"
        });
        // And the other way around.
        let program = Running::ready(guest(&place, "0", "echo ready; exec sleep 10007"));
        kill(Pid::from_raw(running.pid()), Signal::SIGKILL).unwrap();
        assert_eq!(program.end().code, 137);
        drop(running);
        place.assert_gone();
        let running = place.start(WAITS);
        let program = Running::ready(guest(&place, "0", "echo ready; exec sleep 10007"));
        assert_eq!(running.end().code, 0);
        assert_eq!(program.end().code, 137);
        place.assert_clean();
    }
}

#[test]
fn another_user_is_not_let_in_not_even_root() {
    for who in everybody().into_iter().filter(|who| *who == Who::Ordinary) {
        let place = Place::blueprint(who);
        let running = place.start(WAITS);
        // Root may read the directory and is somebody else all the same.
        let mut root = Command::new(&place.image);
        root.args(["fim-instance", "exec", "0", "true"])
            .env("HOME", place.home());
        let ran = Ran::of(root);
        assert_eq!((ran.code, ran.err.lines().count()), (125, 1), "{ran:?}");
        assert!(ran.err.contains("another user"), "{ran:?}");
        drop(running);
        place.assert_clean();
    }
}

#[test]
fn whoever_is_in_a_user_namespace_of_its_own_is_not_let_in() {
    for who in everybody() {
        let place = Place::blueprint(who);
        place.succeed(&["fim-perms", "add", "network"]);
        let mut running = place.start(WAITS);
        let token = fs::read_to_string(place.data().join("instances")).unwrap();
        let token = token.split_whitespace().nth(1).unwrap().to_owned();
        // A program in a container sees the socket when it has the host's network.
        running.say(&format!("grep -c '{token}.*-guests' /proc/net/unix"));
        assert_eq!(running.line(), "1\n");
        let script = format!(
            "import socket; s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); \
             s.connect('\\0flatimage-{token}-0-guests-2'); print(s.recv(10))"
        );
        let mut inside = place.command("unshare");
        inside.args(["--user", "--map-root-user", "python3", "-c", &script]);
        let ran = Ran::of(inside);
        assert_eq!((ran.code, ran.out.as_str()), (0, "b''\n"), "{ran:?}");
        drop(running);
        place.assert_clean();
    }
}
