//! Programs of the host are run for the container as far as they are listed, and by nobody who may not ask.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use support::running::Running;
use support::screen::Screen;
use support::{Place, Ran, Who, everybody};

/// Waits for a line, then does what it is told to.
const WAITS: &str = "echo ready; while read -r line; do eval \"$line\"; done";

/// A place whose image may run these programs of the host.
fn place(who: Who, listed: &[&str]) -> Place {
    let place = Place::blueprint(who);
    place.succeed(&["fim-perms", "add", "portal"]);
    for pattern in listed {
        place.succeed(&["fim-portal", "add", pattern]);
    }
    place
}

fn shell(place: &Place, script: &str) -> Command {
    place.image(&["fim-exec", "bash", "-c", script])
}

/// Demands that something comes true.
fn eventually(mut is_so: impl FnMut() -> bool) {
    let patience = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < patience);
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Processes of the place's user with this argument, on the host or in a container.
fn with_argument(place: &Place, argument: &str) -> Vec<i32> {
    let has_it = |pid: &i32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        // Not a shell that has it in its script.
        line.split(|byte| *byte == 0).nth(1) == Some(argument.as_bytes())
    };
    place.processes().into_iter().filter(has_it).collect()
}

#[test]
fn without_the_permission_there_is_no_socket_no_program_and_no_way_to_ask() {
    for who in everybody() {
        let place = Place::blueprint(who);
        place.succeed(&["fim-portal", "add", "*"]);
        place.succeed(&["fim-perms", "set", "all"]);
        let look = "ls /run; find / -xdev -name '*portal*' -not -path '/proc/*' -not -path '/sys/*'; \
            for at in / /run /tmp /dev; do find $at -xdev -type s; done; \
            command -v fim_portal xdg-open; echo $PATH";
        let found = place.shell(&format!("{{ {look}; }} 2> /dev/null"));
        assert!(
            !found.contains("portal") && !found.contains("xdg-open"),
            "{found}"
        );
        // The program that asks is not there under any other name either, and asks nobody where there is nobody.
        let kept = fs::read_dir(place.home().join(".cache/flatimage")).unwrap();
        let kept = kept.flatten().next().unwrap().path().join("runtime");
        let asker = place.path().join("asker");
        support::copy(&kept, &asker);
        place.give(&asker);
        place.succeed(&[
            "fim-bind",
            "add",
            "ro",
            &asker.to_string_lossy(),
            "/run/flatimage-portal/fim_portal",
        ]);
        let ran = Ran::of(shell(&place, "/run/flatimage-portal/fim_portal true"));
        assert_eq!((ran.code, ran.out.as_str()), (125, ""), "{ran:?}");
        assert!(ran.err.contains("cannot reach the host"), "{ran:?}");
        fs::remove_file(asker).unwrap();
        assert!(!place.succeed(&["fim-plan"]).contains("admitted"));
        place.assert_clean();
    }
}

#[test]
fn a_program_runs_on_the_host_as_the_caller_of_the_image_would_run_it() {
    for who in everybody() {
        let place = place(who, &["*"]);
        let script = "readlink /proc/self/ns/pid; fim_portal readlink /proc/self/ns/pid; \
            fim_portal bash -c 'echo \"$0 $SECRET $FIM_VERSION|$FIM_REEXEC|\"; id -u; umask' name; \
            echo typed | fim_portal cat; fim_portal bash -c 'echo error >&2; exit 7' 2>&1; echo $?; \
            fim_portal bash -c 'kill -USR1 $$'; echo $?; fim_portal sh -c 'ls /proc/self/fd | wc -l'";
        let mut command = shell(&place, script);
        command.env("SECRET", "of the caller");
        let ran = Ran::of(command);
        let lines: Vec<&str> = ran.out.lines().collect();
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{ran:?}");
        let ours = fs::read_link("/proc/self/ns/pid").unwrap();
        assert_ne!(lines[0], lines[1]);
        assert_eq!(Path::new(lines[1]), ours);
        let id = String::from_utf8(place.command("id").arg("-u").output().unwrap().stdout).unwrap();
        assert_eq!(lines[2..4], ["name of the caller ||", id.trim()]);
        assert_eq!(
            lines[4],
            String::from_utf8(
                place
                    .command("sh")
                    .args(["-c", "umask"])
                    .output()
                    .unwrap()
                    .stdout
            )
            .unwrap()
            .trim()
        );
        // The last: three streams and the directory that is read.
        assert_eq!(lines[5..], ["typed", "error", "7", "138", "4"]);
        place.assert_clean();
    }
}

#[test]
fn only_what_is_listed_runs_and_a_refusal_names_the_setting() {
    for who in everybody() {
        let place = place(who, &[]);
        let refused = |program: &str| {
            let ran = Ran::of(shell(&place, &format!("fim_portal {program}")));
            assert_eq!((ran.code, ran.out.as_str()), (125, ""), "{ran:?}");
            assert_eq!(ran.err.lines().count(), 1, "{ran:?}");
            assert!(ran.err.contains("list it with `fim-portal`"), "{ran:?}");
            // Whether the host has it, and where, is not told.
            let asked = program.split(' ').next().unwrap_or_default();
            assert!(ran.err.contains(&format!("`{asked}`")), "{ran:?}");
        };
        let runs = |program: &str, code| {
            let ran = Ran::of(shell(&place, &format!("fim_portal {program}")));
            assert_eq!((ran.code, ran.out.as_str()), (code, ""), "{ran:?}");
        };
        refused("true");
        refused("/usr/bin/true");
        refused("nowhere");
        place.succeed(&["fim-portal", "add", "/usr/bin/tr?e"]);
        runs("true", 0);
        runs("/usr/bin/../bin/true", 0);
        refused("false");
        refused("bash -c true");
        refused("/nowhere/true");
        refused("../../usr/bin/false");
        place.succeed(&["fim-portal", "add", "false"]);
        runs("false", 1);
        // A link is what it leads to.
        let link = place.path().join("true");
        std::os::unix::fs::symlink(fs::canonicalize("/usr/bin/bash").unwrap(), &link).unwrap();
        place.succeed(&[
            "fim-portal",
            "add",
            &format!("{}/nothing", place.path().display()),
        ]);
        refused(&format!("{} -c true", link.display()));
        place.succeed(&["fim-portal", "add", &link.to_string_lossy()]);
        runs(&format!("{} -c true", link.display()), 0);
        fs::remove_file(link).unwrap();
        place.succeed(&["fim-portal", "clear"]);
        refused("true");
        place.succeed(&["fim-portal", "add", "*"]);
        let fails = |program: &str, code, text| {
            let ran = Ran::of(shell(&place, &format!("fim_portal {program}")));
            assert_eq!((ran.code, ran.err.lines().count()), (code, 1), "{ran:?}");
            assert!(ran.err.contains(text), "{ran:?}");
        };
        fails("nowhere", 127, "the host has no program `nowhere`");
        fails("''", 125, "name a program");
        fails("", 125, "usage: fim_portal");
        let script = place.write("broken", "#!/nowhere\n");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(&script, mode).unwrap();
        fails(&script.to_string_lossy(), 126, "the host cannot run");
        fs::remove_file(script).unwrap();
        place.assert_clean();
    }
}

#[test]
fn it_begins_where_the_container_is_on_the_host() {
    for who in everybody() {
        let place = place(who, &["pwd", "cat"]);
        let shared = place.path().join("shared");
        fs::create_dir_all(shared.join("deep")).unwrap();
        place.give(&shared);
        fs::write(shared.join("deep/file"), "contents\n").unwrap();
        place.succeed(&["fim-bind", "add", "ro", &shared.to_string_lossy(), "/data"]);
        let script = "cd /data/deep; fim_portal pwd; fim_portal cat file; cd /tmp; fim_portal pwd; \
            cd /run/flatimage-portal; fim_portal pwd";
        let expected = format!(
            "{}\ncontents\n/tmp\n{}\n",
            shared.join("deep").display(),
            place.path().display()
        );
        assert_eq!(place.shell(script), expected);
        fs::remove_dir_all(shared).unwrap();
        place.assert_clean();
    }
}

#[test]
fn a_terminal_stays_one_and_its_keys_are_signals() {
    for who in everybody() {
        let place = place(who, &["bash"]);
        let host = "test -t 0 && test -t 1 && test -t 2; echo $?; stty size; \
            trap 'stty size' WINCH; trap 'echo interrupted; exit 4' INT; echo ready; \
            while :; do read -t 1 -r x && echo \"<$x>\"; done";
        let script = format!(
            "fim_portal bash -c '{}'; echo $?",
            host.replace('\'', "'\\''")
        );
        let mut screen = Screen::image(&place, &["fim-exec", "bash", "-c", &script]);
        assert_eq!(screen.expect("ready\r\n"), "0\r\n24 80\r\nready\r\n");
        screen.say("typed");
        screen.expect("<typed>\r\n");
        screen.resize(31, 97);
        screen.expect("31 97\r\n");
        screen.keys(b"\x03");
        screen.expect("interrupted\r\n4\r\n");
        assert_eq!(screen.end(), (0, String::new()));
        place.assert_clean();
    }
}

#[test]
fn it_stops_and_goes_on_as_one_with_its_program() {
    for who in everybody() {
        let place = place(who, &["bash"]);
        let arguments = ["fim-exec", "bash", "--norc", "--noediting", "-i"];
        let mut screen = Screen::image(&place, &arguments);
        screen.begin();
        // Stopped from here.
        screen.say("fim_portal bash -c 'echo rea''dy; read -r x; echo \"<$x>\"; kill -STOP $$; echo aga''in'");
        screen.expect("ready\r\n");
        screen.keys(b"\x1a");
        screen.expect("Stopped");
        screen.prompt();
        screen.say("fg");
        screen.expect("fim_portal");
        screen.say("more");
        // And from there.
        screen.expect("<more>\r\n");
        screen.expect("Stopped");
        screen.prompt();
        screen.say("fg");
        screen.expect("again\r\n");
        screen.prompt();
        screen.say("exit");
        assert_eq!(screen.end().0, 0);
        place.assert_clean();
    }
}

#[test]
fn signals_are_handed_on() {
    for who in everybody() {
        let place = place(who, &["bash"]);
        for signal in ["TERM", "USR1", "INT", "HUP", "QUIT"] {
            let host = format!(
                "trap \"echo {signal}; exit 9\" {signal}; echo ready; while :; do sleep 0.01; done"
            );
            // Job control, because a background job of a script ignores keys.
            let script = format!(
                "set -m; fim_portal bash -c '{host}' > /tmp/out & until grep -q ready /tmp/out; do :; done; \
                 kill -{signal} $!; wait $!; echo $?; cat /tmp/out"
            );
            let ran = Ran::of(shell(&place, &script));
            assert!(
                ran.out.contains(&format!("9\nready\n{signal}\n")),
                "{ran:?}"
            );
        }
        place.assert_clean();
    }
}

#[test]
fn a_hundred_at_once_all_get_their_own() {
    for who in everybody() {
        let place = place(who, &["bash"]);
        let script = "for i in {1..100}; do fim_portal bash -c 'read -r x; echo $x; exit 3' <<< $i & jobs+=($!); done; \
            for job in ${jobs[@]}; do wait $job; [ $? = 3 ] && n=$((n + 1)); done; echo all $n";
        let mut lines: Vec<String> = place.shell(script).lines().map(str::to_owned).collect();
        assert_eq!(lines.pop().as_deref(), Some("all 100"));
        let mut numbers: Vec<u32> = lines.iter().map(|line| line.parse().unwrap()).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (1..=100).collect::<Vec<_>>());
        place.assert_clean();
    }
}

#[test]
fn a_gigabyte_passes_unchanged() {
    for who in everybody() {
        let place = place(who, &["cat", "wc"]);
        let bytes = 1_u64 << 30;
        // The first `cat` has it from the container and gives it back; the second end is on the host too, because it is faster.
        let script = "dd if=/dev/zero bs=1M count=1024 2> /dev/null | fim_portal cat | fim_portal wc -c; \
            seq 200000 | fim_portal cat | md5sum; seq 200000 | md5sum";
        let out = place.shell(script);
        let lines: Vec<&str> = out.lines().collect();
        assert_eq!(lines[0].trim(), bytes.to_string());
        assert_eq!(lines[1], lines[2]);
        place.assert_clean();
    }
}

/// What a process has: descriptors, children, and kilobytes of memory that are its own.
fn holds(pid: i32) -> (usize, usize, u64) {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let memory = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"));
    let memory = memory
        .unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap();
    (descriptors, children.split_whitespace().count(), memory)
}

fn in_a_row(who: Who, requests: u32) {
    let place = place(who, &["true"]);
    let mut running = Running::ready(shell(&place, WAITS));
    let mut ask = |count: u32| {
        running.say(&format!("i=0; while [ $i -lt {count} ]; do fim_portal true || echo failed; i=$((i + 1)); done; echo done"));
        assert_eq!(running.line(), "done\n");
        // Agents end right after they have answered.
        let pid = running.pid();
        let mut found = holds(pid);
        eventually(|| {
            found = holds(pid);
            found.1 == 1
        });
        found
    };
    let before = ask(20);
    let after = ask(requests);
    assert_eq!(
        (after.0, after.1),
        (before.0, before.1),
        "{before:?} {after:?}"
    );
    assert!(after.2 <= before.2 + 256, "{before:?} {after:?}");
    drop(running);
    place.assert_clean();
}

#[test]
fn five_hundred_requests_in_a_row_leave_nothing() {
    for who in everybody() {
        in_a_row(who, 500);
    }
}

#[test]
#[ignore = "takes a minute; run with `cargo test -p flatimage --test portal -- --ignored`"]
fn ten_thousand_requests_in_a_row_leave_nothing() {
    in_a_row(Who::Caller, 10_000);
}

/// The socket of a container, from outside.
fn socket(inside: i32) -> PathBuf {
    PathBuf::from(format!("/proc/{inside}/root/run/flatimage-portal/socket"))
}

/// A client that does what it likes.
struct Hostile(std::os::fd::OwnedFd);

impl Hostile {
    fn connect(path: &Path) -> Hostile {
        use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};
        use std::os::fd::AsRawFd;
        let flags = SockFlag::SOCK_CLOEXEC;
        let one = socket(AddressFamily::Unix, SockType::SeqPacket, flags, None).unwrap();
        connect(one.as_raw_fd(), &UnixAddr::new(path).unwrap()).unwrap();
        Hostile(one)
    }

    /// Sends a packet with so many descriptors; false when the other side has closed.
    fn say(&self, bytes: &[u8], descriptors: usize) -> bool {
        use nix::sys::socket::{ControlMessage, MsgFlags, UnixAddr, sendmsg};
        use std::os::fd::AsRawFd;
        let file = fs::File::open("/dev/null").unwrap();
        let fds = vec![file.as_raw_fd(); descriptors];
        let rights = [ControlMessage::ScmRights(&fds)];
        let rights = if descriptors == 0 { &[][..] } else { &rights };
        let data = [std::io::IoSlice::new(bytes)];
        sendmsg::<UnixAddr>(
            self.0.as_raw_fd(),
            &data,
            rights,
            MsgFlags::MSG_NOSIGNAL,
            None,
        )
        .is_ok()
    }

    /// What the other side says; empty when it has closed.
    fn hear(&self) -> Vec<u8> {
        use std::os::fd::AsRawFd;
        let mut bytes = vec![0; 70_000];
        let flags = nix::sys::socket::MsgFlags::empty();
        // A connection with packets that nobody has read is reset when it is closed.
        let length = nix::sys::socket::recv(self.0.as_raw_fd(), &mut bytes, flags).unwrap_or(0);
        bytes.truncate(length);
        bytes
    }
}

#[test]
fn whoever_says_nothing_too_much_or_nonsense_costs_nobody_anything() {
    for who in everybody() {
        let place = place(who, &["echo", "sleep"]);
        let mut running = Running::ready(shell(&place, WAITS));
        running.say("fim_portal echo works; fim_portal sleep 10008 & echo $!");
        assert_eq!(running.line(), "works\n");
        running.line();
        eventually(|| !with_argument(&place, "10008").is_empty());
        let inside = children(running.pid())[0];
        let path = socket(inside);
        eventually(|| holds(running.pid()).1 == 2);
        let before = holds(running.pid());
        let works = |running: &mut Running| {
            running.say("fim_portal echo works");
            assert_eq!(running.line(), "works\n");
        };

        let silent: Vec<Hostile> = (0..300).map(|_| Hostile::connect(&path)).collect();
        works(&mut running);
        // Parts of requests that never end.
        let unfinished: Vec<Hostile> = (0..100).map(|_| Hostile::connect(&path)).collect();
        // Some have made room for others already.
        let said = unfinished.iter().filter(|one| one.say(b"\x01A/\0", 0));
        assert!(said.count() > 0);
        works(&mut running);
        for (packet, descriptors) in [
            (&b"\x01xyz"[..], 0),
            (b"\x01", 0),
            (b"\x01Q", 3),
            (b"\x01S\x0f", 0),
            (b"\x01S\xff", 0),
            (b"\x01A/\0", 3),
            (b"\x01R/\0echo\0", 0),
            (b"\x01R/\0echo\0", 2),
            (b"\x01R/\0echo\0", 253),
            (&[1; 70_000], 0),
            (&[1; 70_000], 3),
        ] {
            let one = Hostile::connect(&path);
            one.say(packet, descriptors);
            assert_eq!(one.hear(), b"", "{:?}", &packet[..packet.len().min(9)]);
        }
        // What is no request is answered, as is another version.
        for (packet, text) in [
            (&b"\x01R"[..], "no program"),
            (b"\x01R/\0", "no program"),
            (b"\x01Rx", "no program"),
            (b"\x07R/\0echo\0", "version 7"),
        ] {
            let one = Hostile::connect(&path);
            one.say(packet, 3);
            let heard = one.hear();
            assert_eq!(&heard[..3], b"\x01E\x7d", "{packet:?}");
            assert!(String::from_utf8_lossy(&heard).contains(text), "{packet:?}");
        }
        let flood = Hostile::connect(&path);
        let part = [b"\x01A".as_slice(), &[b'x'; 60_000]].concat();
        assert!(!(0..100).all(|_| flood.say(&part, 0)));
        works(&mut running);
        // Nonsense while its program runs ends that program.
        let lies = Hostile::connect(&path);
        lies.say(b"\x01R/\0sleep\x0010011\0", 3);
        eventually(|| !with_argument(&place, "10011").is_empty());
        lies.say(b"\x01R/\0", 0);
        eventually(|| with_argument(&place, "10011").is_empty());
        drop((silent, unfinished, flood, lies));
        works(&mut running);
        eventually(|| {
            let now = holds(running.pid());
            (now.0, now.1) == (before.0, before.1)
        });
        assert_eq!(with_argument(&place, "10008").len(), 1, "the others' go on");
        drop(running);
        place.assert_clean();
    }
}

fn children(pid: i32) -> Vec<i32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    let pids = children.split_whitespace().map(|pid| pid.parse().unwrap());
    pids.collect()
}

#[test]
fn whoever_is_killed_takes_the_program_along() {
    for who in everybody() {
        let place = place(who, &["sleep", "bash"]);
        let started = || {
            let mut running = Running::ready(shell(&place, WAITS));
            running.say("fim_portal sleep 10010 & echo $!");
            let asker = running.line().trim().to_owned();
            eventually(|| with_argument(&place, "10010").len() == 1);
            (running, asker)
        };
        // Whoever asked.
        let (mut running, asker) = started();
        running.say(&format!("kill -KILL {asker}; wait {asker}; echo $?"));
        assert_eq!(running.line(), "137\n");
        eventually(|| with_argument(&place, "10010").is_empty());
        // A program that does not want to end.
        running.say("fim_portal bash -c 'trap \"\" TERM; sleep 10010' & until pidof fim_portal > /dev/null; do :; done; echo on");
        assert_eq!(running.line(), "on\n");
        eventually(|| with_argument(&place, "10010").len() == 1);
        assert_eq!(running.end().code, 0);
        eventually(|| with_argument(&place, "10010").is_empty());
        place.assert_clean();
        // The supervisor.
        let (running, _) = started();
        kill(Pid::from_raw(running.pid()), Signal::SIGKILL).unwrap();
        eventually(|| with_argument(&place, "10010").is_empty());
        drop(running);
        place.assert_clean();
        // The agent.
        let (mut running, asker) = started();
        let agents = children(running.pid());
        let program = with_argument(&place, "10010")[0];
        let agent = agents
            .into_iter()
            .find(|agent| children(*agent) == [program]);
        kill(Pid::from_raw(agent.unwrap()), Signal::SIGKILL).unwrap();
        eventually(|| with_argument(&place, "10010").is_empty());
        running.say(&format!("wait {asker}; echo $?"));
        assert_eq!(running.line(), "125\n");
        drop(running);
        place.assert_clean();
    }
}

#[test]
fn guests_and_root_may_ask_as_well_and_without_a_private_directory_too() {
    for who in everybody() {
        let place = place(who, &["echo"]);
        let running = Running::ready(shell(&place, WAITS));
        let out = place.succeed(&["fim-instance", "exec", "0", "fim_portal", "echo", "guest"]);
        assert_eq!(out, "guest\n");
        assert_eq!(
            place.succeed(&["fim-root", "fim_portal", "echo", "root"]),
            "root\n"
        );
        drop(running);
        let mut command = shell(
            &place,
            "fim_portal echo memory; grep -c ' /run/flatimage-portal/fim_portal .* ro,' /proc/self/mounts",
        );
        command.env("HOME", "/nowhere");
        let ran = Ran::of(command);
        assert_eq!((ran.code, ran.out.as_str()), (0, "memory\n1\n"), "{ran:?}");
        let look = "grep -c ' /run/flatimage-portal/fim_portal .* ro,' /proc/self/mounts";
        assert_eq!(place.shell(look), "1\n");
        place.assert_clean();
    }
}

#[test]
fn xdg_open_goes_through_where_it_is_listed() {
    for who in everybody() {
        let place = place(who, &["echo"]);
        let programs = place.path().join("programs");
        fs::create_dir(&programs).unwrap();
        let opener = programs.join("xdg-open");
        fs::write(&opener, "#!/bin/sh\necho opened \"$@\"\n").unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(&opener, mode).unwrap();
        let open = || {
            let mut command = shell(&place, "command -v xdg-open; xdg-open https://example.org");
            command.env("PATH", format!("{}:/usr/bin:/bin", programs.display()));
            Ran::of(command)
        };
        assert_eq!(open().code, 127);
        place.succeed(&["fim-portal", "add", "xdg-open"]);
        assert_eq!(
            open().out,
            "/run/flatimage-portal/xdg-open\nopened https://example.org\n"
        );
        fs::remove_dir_all(programs).unwrap();
        place.assert_clean();
    }
}
