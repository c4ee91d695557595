//! What of the host's namespaces a container can share, and that nothing is left all the same.

mod support;

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use support::{Place, Ran, Who, everybody};

/// The namespaces of a program inside, and whether each is the host's.
fn shared(place: &Place) -> Vec<String> {
    let names = ["user", "mnt", "pid", "ipc", "uts", "cgroup", "net"];
    let is_the_hosts = |name: &&str| {
        let link = format!("/proc/self/ns/{name}");
        let inside = place.succeed(&["fim-exec", "readlink", &link]);
        inside.trim() == fs::read_link(&link).unwrap().to_string_lossy()
    };
    names
        .into_iter()
        .filter(is_the_hosts)
        .map(str::to_owned)
        .collect()
}

#[test]
fn each_namespace_but_the_users_can_be_shared() {
    for who in everybody() {
        let place = Place::blueprint(who);
        assert_eq!(shared(&place), [""; 0]);
        for name in ["ipc", "pid", "net", "uts", "cgroup"] {
            place.succeed(&["fim-unshare", "del", name]);
            assert_eq!(shared(&place), [name]);
            let plan = place.succeed(&["fim-plan"]);
            let line = plan.lines().next().unwrap();
            assert!(!line.split(' ').any(|word| word == name), "{line}");
            place.succeed(&["fim-unshare", "add", name]);
        }
        place.succeed(&["fim-unshare", "set", "user"]);
        assert_eq!(shared(&place), ["pid", "ipc", "uts", "cgroup", "net"]);
        assert_eq!(
            place.shell("hostname"),
            fs::read_to_string("/proc/sys/kernel/hostname").unwrap()
        );
        place.succeed(&["fim-unshare", "clear"]);
        assert_eq!(shared(&place), [""; 0]);
        place.assert_clean();
    }
}

#[test]
fn the_users_namespace_stays() {
    for who in everybody() {
        let place = Place::blueprint(who);
        for arguments in [["del", "user"], ["del", "pid,user"], ["set", "pid"]] {
            let [verb, names] = arguments;
            let said = place.fail(125, &["fim-unshare", verb, names]);
            assert!(said.contains("`user` has to stay: "), "{said}");
        }
        let all = "cgroup\nipc\nnet\npid\nuser\nuts\n";
        assert_eq!(place.succeed(&["fim-unshare", "list"]), all);
        place.assert_clean();
    }
}

/// An instance with the host's processes, whose program has started others that have left it, and its first process.
fn started(place: &Place) -> (Child, i32) {
    let script = "setsid sleep 1000 & (setsid bash -c \"sleep 1000 & exec sleep 1000\" &) ; \
                  until [ $(grep -lE ^1000 /proc/[0-9]*/cmdline -z 2>/dev/null | wc -l) -ge 3 ]; do sleep 0.01; done; \
                  echo $PPID; sleep 1000";
    let mut command = place.image(&["fim-exec", "bash", "-c", script]);
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    (child, line.trim().parse().unwrap())
}

/// What is killed, the exit code that the caller sees, and how, by the supervisor's and the first process's id.
type Killing = (&'static str, i32, fn(Pid, Pid));

#[test]
fn with_the_hosts_processes_nothing_is_left_either() {
    for who in everybody() {
        let place = Place::blueprint(who);
        place.succeed(&["fim-unshare", "del", "pid"]);
        let killed: [Killing; 4] = [
            ("the supervisor", -9, |supervisor, _| {
                kill(supervisor, Signal::SIGKILL).unwrap();
            }),
            ("the first process", 137, |_, first| {
                kill(first, Signal::SIGKILL).unwrap();
            }),
            ("the process group", -9, |supervisor, _| {
                killpg(supervisor, Signal::SIGKILL).unwrap();
            }),
            ("the program, by a signal", 143, |supervisor, _| {
                kill(supervisor, Signal::SIGTERM).unwrap();
            }),
        ];
        for (what, expected, end) in killed {
            let (mut child, first) = started(&place);
            end(Pid::from_raw(child.id() as i32), Pid::from_raw(first));
            let code = Ran::code(child.wait().unwrap());
            assert_eq!(code, expected, "{who:?}: {what}");
            place.assert_gone();
        }
        let left = place.run(&["fim-exec", "bash", "-c", "setsid sleep 1000 & exit 3"]);
        assert_eq!(left.code, 3);
        place.assert_clean();
    }
}

#[test]
fn with_the_hosts_processes_they_are_seen_and_not_looked_into() {
    for who in everybody() {
        let place = Place::blueprint(who);
        place.succeed(&["fim-unshare", "del", "pid"]);
        let mut child = place.command("sleep");
        child.env("SECRET", "hidden").arg("1000");
        let mut child = child.spawn().unwrap();
        let pid = child.id();
        let seen = place.shell(&format!("tr '\\0' ' ' < /proc/{pid}/cmdline"));
        assert_eq!(seen, "sleep 1000 ");
        let ran = place.run(&["fim-exec", "cat", &format!("/proc/{pid}/environ")]);
        assert_ne!((ran.code, ran.out.contains("hidden")), (0, true));
        // Real root's container has ids of its own.
        let may = if who == Who::Caller { "no" } else { "yes" };
        let script = format!("kill -0 {pid} 2>/dev/null && echo yes || echo no");
        assert_eq!(place.shell(&script).trim(), may);
        child.kill().unwrap();
        child.wait().unwrap();
        place.assert_clean();
    }
}

#[test]
fn the_machine_has_another_number_than_the_host_and_others() {
    for who in everybody() {
        let place = Place::blueprint(who);
        let number = |place: &Place| place.succeed(&["fim-exec", "cat", "/etc/machine-id"]);
        let one = number(&place);
        assert_eq!(one.trim().len(), 32, "{one}");
        assert!(one.trim().bytes().all(|digit| digit.is_ascii_hexdigit()));
        assert_ne!(
            Some(one.clone()),
            fs::read_to_string("/etc/machine-id").ok()
        );
        assert_eq!(number(&place), one, "it stays");
        assert_ne!(number(&Place::blueprint(who)), one);
        // What the image brings along would be the same everywhere.
        let root = place.data().join("root/etc");
        place.succeed(&["fim-exec", "bash", "-c", "echo > /etc/other"]);
        fs::write(
            root.join("machine-id"),
            "ffffffffffffffffffffffffffffffff\n",
        )
        .unwrap();
        assert_eq!(number(&place), one);
        place.assert_clean();
    }
}
