//! How an overlay that is mounted outside of the sandbox ends, whoever is killed.

mod support;

use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use support::mounting::Mounting;
use support::refusing::ordinary;
use support::running::Running;
use support::told::{said, supervisor, unrefused};
use support::{Place, Ran};

#[test]
fn nothing_is_left_of_a_start_that_is_killed() {
    let place = Place::with_layer(ordinary());
    let host = Mounting::new(&place);
    for _ in 0..3 {
        let script = "echo ready; sleep 1000 & sleep 1000";
        let running = Running::ready(host.image(&["fim-exec", "bash", "-c", script]));
        assert_eq!(host.mounts().len(), 1);
        kill(supervisor(&host), Signal::SIGKILL).unwrap();
        running.end();
        host.assert_gone();
        assert!(!place.data().join("mounts").exists());
    }
    drop(host);
    place.assert_clean();
}

#[test]
fn without_a_server_the_container_ends_with_one_line() {
    let place = Place::with_layer(ordinary());
    let host = Mounting::new(&place);
    let running = Running::ready(host.image(&["fim-exec", "bash", "-c", "echo ready; sleep 1000"]));
    let is_stacking = |pid: &i32| {
        std::fs::read(format!("/proc/{pid}/cmdline"))
            .is_ok_and(|text| text.windows(14).any(|part| part == b"fuse-overlayfs"))
    };
    let server = place.processes().into_iter().find(is_stacking).unwrap();
    kill(Pid::from_raw(server), Signal::SIGKILL).unwrap();
    let ran = running.end();
    assert_eq!(ran.code, 125, "{ran:?}");
    assert!(
        ran.err.contains("served the container's files was killed"),
        "{ran:?}"
    );
    host.assert_gone();
    drop(host);
    place.assert_clean();
}

#[test]
fn what_is_left_when_all_are_killed_is_mended_by_whoever_comes_next() {
    let place = Place::with_layer(ordinary());
    let host = Mounting::new(&place);
    let kill_all = || {
        let script = "echo x >> /new; echo ready; sleep 1000";
        let running = Running::ready(host.image(&["fim-exec", "bash", "-c", script]));
        // First who would clean up.
        for pid in place.servers().into_iter().chain(place.processes()) {
            if pid != running.pid() {
                // It may have ended with another.
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
        }
        drop(running);
        let patience = Instant::now() + Duration::from_secs(20);
        while !place.processes().is_empty() && Instant::now() < patience {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(place.processes(), [0; 0]);
        assert_eq!(host.mounts().len(), 1, "a dead mount");
    };
    kill_all();
    assert_eq!(said(&host, "cat /new"), "x\n");
    host.assert_gone();
    kill_all();
    // Who needs nothing of it takes it away too, where they see it.
    assert_eq!(place.shell("cat /new"), "x\nx\n");
    kill_all();
    let purged = Ran::of(host.image(&["fim-data", "purge"]));
    assert_eq!(purged.code, 0, "{purged:?}");
    assert!(!place.data().exists());
    host.assert_gone();
    drop(host);
    place.assert_clean();
}

#[test]
fn a_start_that_is_killed_while_it_begins_leaves_nothing_either() {
    let place = Place::with_layer(ordinary());
    let host = Mounting::new(&place);
    said(&host, "echo x > /new");
    let mut mounted = 0;
    for step in 0..30 {
        let running = Running::spawned(host.image(&["fim-exec", "sleep", "1000"]));
        std::thread::sleep(Duration::from_millis(5 * step));
        let patience = Instant::now() + Duration::from_secs(20);
        let program = loop {
            match host.program() {
                Some(program) => break program,
                None => assert!(Instant::now() < patience),
            }
        };
        mounted += host.mounts().len();
        kill(program, Signal::SIGKILL).unwrap();
        running.end();
        host.assert_gone();
        assert!(!place.data().join("mounts").exists(), "after {step}");
    }
    assert!(mounted > 0);
    assert_eq!(said(&host, "cat /new"), "x\n");
    drop(host);
    place.assert_clean();
}

#[test]
fn who_is_told_to_end_with_everybody_ends_after_the_container() {
    let place = Place::with_layer(ordinary());
    let host = Mounting::new(&place);
    let script =
        "trap 'sleep 0.2; cat /first; exit 4' TERM; echo ready; while :; do sleep 0.01; done";
    let mut running = Running::ready(host.image(&["fim-exec", "bash", "-c", script]));
    for pid in place.servers() {
        kill(Pid::from_raw(pid), Signal::SIGTERM).unwrap();
    }
    kill(supervisor(&host), Signal::SIGTERM).unwrap();
    assert_eq!(running.line(), "1\n");
    assert_eq!(running.end().code, 4);
    host.assert_gone();
    drop(host);
    place.assert_clean();
}

#[test]
fn what_others_have_of_the_root_keeps_nobody_from_the_changes() {
    let place = Place::with_layer(ordinary());
    let host = Mounting::new(&place);
    let script = "echo ready; read -r line; echo x > /new";
    let start = || Running::ready(host.image(&["fim-exec", "bash", "-c", script]));
    let running = start();
    let other = host.copy_of_mounts();
    assert_eq!(other.mounts().len(), 1);
    assert_eq!(running.end().code, 0);
    assert_eq!(unrefused(&host, 0, &["fim-exec", "cat", "/new"]).out, "x\n");
    assert_eq!((host.mounts(), other.mounts()), (Vec::new(), Vec::new()));
    drop(other);

    // Whoever works in there does not notice that it is unmounted: the next start waits until what serves it has been ended.
    let running = start();
    let root = place.data().join("mounts/root");
    let script = format!("cd {} && echo ready && cat", root.display());
    let looking = Running::ready(host.of_user(&["sh", "-c", &script]));
    assert_eq!(running.end().code, 0);
    assert_eq!(unrefused(&host, 0, &["fim-exec", "cat", "/new"]).out, "x\n");
    assert_eq!(looking.end().code, 0);
    host.assert_gone();
    drop(host);
    place.assert_clean();
}
