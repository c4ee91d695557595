//! A container that is started from a terminal has one of its own, which behaves like the caller's.

mod support;

use std::fs;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::termios::Termios;
use nix::unistd::Pid;
use support::screen::Screen;
use support::{Place, everybody};

/// What of the modes there is to compare.
fn shape(modes: &Termios) -> impl PartialEq + use<> {
    let modes = modes.clone();
    (
        modes.input_flags,
        modes.output_flags,
        modes.control_flags,
        modes.local_flags,
        modes.control_chars,
    )
}

#[test]
fn the_program_is_at_the_first_terminal_of_the_container() {
    for who in everybody() {
        let place = Place::blueprint(who);
        let script = "tty; tty > /dev/tty; test -t 0 && test -t 1 && test -t 2; echo $? $(ls /dev/pts); \
            read -r line; echo \"<$line>\"; stty size; exit 7";
        let mut screen = Screen::image(&place, &["fim-exec", "bash", "-c", script]);
        let before = screen.expect("0 0 ptmx");
        assert_eq!(before, "/dev/pts/0\r\n/dev/pts/0\r\n0 0 ptmx");
        screen.say("typed");
        screen.expect("typed\r\n<typed>\r\n24 80\r\n");
        assert_eq!(screen.end(), (7, String::new()));
        place.assert_clean();
    }
}

#[test]
fn the_plan_says_so_and_without_a_terminal_there_is_none() {
    for who in everybody() {
        let place = Place::blueprint(who);
        let mut screen = Screen::image(&place, &["fim-plan"]);
        screen.expect("terminal   a new one as input output error");
        assert_eq!(screen.end().0, 0);
        assert!(!place.succeed(&["fim-plan"]).contains("terminal   a new"));
        assert_eq!(
            place.shell("ls /dev/pts; (: < /dev/tty) 2> /dev/null; echo $?"),
            "ptmx\n1\n"
        );
        place.assert_clean();
    }
}

#[test]
fn it_has_the_size_of_the_window_and_keeps_it() {
    for who in everybody() {
        let place = Place::blueprint(who);
        let script = "trap 'stty size; exit' WINCH; echo ready; while :; do read -t 1 -r x; done";
        let mut screen = Screen::image(&place, &["fim-exec", "bash", "-c", script]);
        screen.expect("ready");
        screen.resize(31, 97);
        screen.expect("31 97\r\n");
        assert_eq!(screen.end().0, 0);
        place.assert_clean();
    }
}

#[test]
fn keys_that_end_a_program_end_it_and_the_terminal_is_as_before() {
    for who in everybody() {
        let place = Place::blueprint(who);
        for (key, code) in [(b"\x03", 130), (b"\x1c", 131), (b"\x04", 0)] {
            let mut screen = Screen::image(&place, &["fim-exec", "cat"]);
            let before = shape(&screen.modes());
            screen.say("ready");
            screen.expect("ready\r\nready\r\n");
            screen.keys(key);
            assert_eq!(screen.end().0, code);
            assert!(shape(&screen.modes()) == before);
            place.assert_clean();
        }
    }
}

#[test]
fn the_terminal_is_as_before_after_a_signal_and_after_an_error() {
    for who in everybody() {
        let place = Place::blueprint(who);
        for (signal, code) in [(Signal::SIGTERM, 143), (Signal::SIGHUP, 129)] {
            let script = "echo ready; exec sleep 1000";
            let mut screen = Screen::image(&place, &["fim-exec", "bash", "-c", script]);
            let before = shape(&screen.modes());
            screen.expect("ready");
            assert!(shape(&screen.modes()) != before, "it is raw meanwhile");
            kill(Pid::from_raw(screen.pid()), signal).unwrap();
            assert_eq!(screen.end().0, code);
            assert!(shape(&screen.modes()) == before);
        }
        let mut screen = Screen::image(&place, &["fim-exec", "not-there"]);
        let before = shape(&screen.modes());
        let (code, text) = screen.end();
        assert_eq!((code, text.lines().count()), (127, 1), "{text}");
        assert!(
            text.ends_with("\r\n"),
            "the line ends as lines do: {text:?}"
        );
        assert!(shape(&screen.modes()) == before);
        place.assert_clean();
    }
}

#[test]
fn a_program_that_reads_keys_gets_each_as_it_is() {
    for who in everybody() {
        let place = Place::blueprint(who);
        let script = "stty raw -echo; echo ready; dd bs=1 count=6 2> /dev/null | od -An -tx1";
        let mut screen = Screen::image(&place, &["fim-exec", "bash", "-c", script]);
        screen.expect("ready");
        screen.keys(b"\x03\x1a\r\x1b[A");
        screen.expect("03 1a 0d 1b 5b 41");
        assert_eq!(screen.end().0, 0);
        place.assert_clean();
    }
}

#[test]
fn nothing_that_was_shown_is_lost() {
    for who in everybody() {
        let place = Place::blueprint(who);
        let mut screen = Screen::image(&place, &["fim-exec", "seq", "1", "200000"]);
        let (code, text) = screen.end();
        assert_eq!(code, 0);
        let expected: String = (1..=200_000).map(|line| format!("{line}\r\n")).collect();
        assert!(text == expected, "{} of {}", text.len(), expected.len());
        place.assert_clean();
    }
}

#[test]
fn it_is_stopped_and_continued_as_a_job_of_a_shell() {
    for who in everybody() {
        let place = Place::blueprint(who);
        let mut shell = Screen::shell(&place);
        // What is typed before the program goes on is shown by both terminals: only the program says `<line>`.
        let script = "echo one-$((1)); while read -r x; do echo \"<$x>\"; done";
        shell.say(&format!("./app.flatimage fim-exec bash -c '{script}'"));
        shell.expect("one-1");
        for _ in 0..3 {
            shell.keys(b"\x1a");
            shell.expect("Stopped");
            shell.prompt();
            shell.say("echo again-$((1))");
            shell.expect("again-1");
            shell.prompt();
            shell.say("fg");
            shell.expect("done'\r\n");
            shell.say("line");
            shell.expect("<line>\r\n");
        }
        shell.keys(b"\x03");
        shell.prompt();
        shell.say("echo code-$?");
        shell.expect("code-130");
        shell.prompt();
        shell.say("exit");
        assert_eq!(shell.end().0, 0);
        place.assert_clean();
    }
}

#[test]
fn in_the_background_it_writes_and_waits_for_the_foreground_to_read() {
    for who in everybody() {
        let place = Place::blueprint(who);
        let mut shell = Screen::shell(&place);
        let script = "echo wrote-$((1)); read -r line; echo \"got <$line>\"";
        shell.say(&format!("./app.flatimage fim-exec bash -c '{script}' &"));
        shell.expect("wrote-1\r\n");
        let patience = Instant::now() + Duration::from_secs(20);
        loop {
            shell.say("jobs; echo looked-$((1))");
            let stopped = shell.expect("looked-1").contains("Stopped");
            shell.prompt();
            if stopped {
                break;
            }
            assert!(Instant::now() < patience);
            std::thread::sleep(Duration::from_millis(20));
        }
        shell.say("fg");
        shell.expect("fim-exec");
        shell.say("typed");
        shell.expect("got <typed>");
        shell.prompt();
        shell.say("exit");
        shell.end();
        place.assert_clean();
    }
}

#[test]
fn streams_that_are_no_terminal_stay_what_they_are() {
    for who in everybody() {
        let place = Place::blueprint(who);
        let mut shell = Screen::shell(&place);
        for (line, expected) in [
            (
                "echo piped | ./app.flatimage fim-exec bash -c 'cat; test -t 1; echo $?'",
                "piped\r\n0\r\n",
            ),
            (
                "./app.flatimage fim-exec bash -c 'test -t 0; echo a$?; test -t 1; echo b$?' | cat",
                "a0\r\nb1\r\n",
            ),
            (
                "./app.flatimage fim-exec bash -c 'echo err >&2' 2> err; cat err",
                "err\r\n",
            ),
        ] {
            shell.say(line);
            shell.expect("\r\n");
            assert_eq!(shell.prompt(), format!("{expected}%% "));
        }
        // What is in a pipe reads from the terminal when it is its turn.
        shell
            .say("echo x | ./app.flatimage fim-exec bash -c 'read -r l < /dev/tty; echo \"[$l]\"'");
        shell.expect("\r\n");
        shell.until_raw();
        shell.say("key");
        shell.expect("[key]\r\n");
        shell.prompt();
        shell.say("./app.flatimage fim-exec cat > file; cat file");
        shell.expect("\r\n");
        shell.until_raw();
        shell.keys(b"into\r\x04");
        shell.expect("into\r\ninto\r\n");
        shell.prompt();
        shell.say("exit");
        shell.end();
        for file in ["err", "file"] {
            fs::remove_file(place.path().join(file)).unwrap();
        }
        place.assert_clean();
    }
}

#[test]
fn lines_that_were_typed_ahead_arrive_and_so_does_the_end_of_input() {
    for who in everybody() {
        let place = Place::blueprint(who);
        let mut shell = Screen::shell(&place);
        shell.say("sleep 0.3; ./app.flatimage fim-exec cat > file");
        shell.keys(b"typed\rahead\r\x04");
        shell.prompt();
        shell.say("exit");
        shell.end();
        let file = place.path().join("file");
        assert_eq!(fs::read_to_string(&file).unwrap(), "typed\nahead\n");
        fs::remove_file(file).unwrap();
        place.assert_clean();
    }
}

#[test]
fn a_shell_inside_has_jobs() {
    for who in everybody() {
        let place = Place::blueprint(who);
        let mut screen = Screen::image(&place, &["fim-exec", "bash", "--norc", "-i"]);
        screen.begin();
        // The shell reads keys at its prompt; the program runs in lines.
        screen.say("echo lines-$((1)); cat");
        screen.expect("lines-1\r\n");
        screen.say("x");
        screen.expect("x\r\nx\r\n");
        screen.keys(b"\x1a");
        screen.expect("Stopped");
        screen.prompt();
        screen.say("fg");
        screen.expect("fg\r\n");
        screen.expect("cat\r\n");
        screen.say("y");
        screen.expect("y\r\ny\r\n");
        screen.keys(b"\x03");
        screen.prompt();
        screen.say("exit 5");
        let (code, text) = screen.end();
        assert_eq!(code, 5, "{text}");
        assert!(!text.contains("no job control"), "{text}");
        place.assert_clean();
    }
}

/// Types a command into a terminal (TIOCSTI), at each descriptor that the program has of one.
const TYPES: &str = r#"open T, "+<", "/dev/tty"; $n = 0;
    for $f (\*STDIN, \*STDOUT, \*STDERR, \*T) { for (split //, "touch typed\n") { ioctl($f, 0x5412, $_) and $n++ } }
    print "tried-$n\n""#;

#[test]
fn nothing_can_be_typed_into_the_callers_terminal() {
    for who in everybody() {
        let place = Place::blueprint(who);
        for path in ["/usr", "/lib", "/lib64"] {
            place.succeed(&["fim-bind", "add", "ro", path, path]);
        }
        place.write("types", TYPES);
        let mut shell = Screen::shell(&place);
        shell.say("./app.flatimage fim-exec /usr/bin/perl -e \"$(cat types)\"");
        shell.expect("tried-");
        shell.prompt();
        shell.say("echo asked-$((1))");
        shell.expect("asked-1");
        shell.prompt();
        shell.say("exit");
        shell.end();
        assert!(!place.path().join("typed").exists());
        fs::remove_file(place.path().join("types")).unwrap();
        place.assert_clean();
    }
}

#[test]
fn when_the_terminal_goes_away_so_does_the_container() {
    for who in everybody() {
        let place = Place::blueprint(who);
        let script = "echo ready; while :; do sleep 1000; done";
        let mut screen = Screen::image(&place, &["fim-exec", "bash", "-c", script]);
        screen.expect("ready");
        screen.close();
        place.assert_clean();
    }
}
