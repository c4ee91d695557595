//! Inside of a container of podman, as it is without options.

mod support;

use nix::unistd::getuid;
use support::podman::Podman;
use support::{Place, Ran, Who, everybody};

/// What takes the obstacles away.
const OPEN: [&str; 2] = [
    "--security-opt=unmask=ALL",
    "--security-opt=seccomp=unconfined",
];
const BEST_EFFORT: [&str; 1] = ["--env=FIM_SANDBOX=best-effort"];

/// An ordinary user's container has root of one id, who is told so.
fn is_refused_as_root_of_one_id(podman: &Podman) -> bool {
    if getuid().is_root() {
        return false;
    }
    let place = Place::with_layer(Who::Caller);
    let ran = Ran::of(podman.image(&place, &OPEN, &["fim-exec", "cat", "/first"]));
    assert_eq!((ran.code, ran.err.lines().count()), (125, 1), "{ran:?}");
    assert!(
        ran.err.contains("root has no ids from 524288 on here"),
        "{ran:?}"
    );
    place.assert_gone();
    true
}

#[test]
fn without_options_one_line_says_which_are_needed() {
    let podman = Podman::new();
    if is_refused_as_root_of_one_id(&podman) {
        return;
    }
    for who in everybody() {
        let place = Place::with_layer(who);
        let ran = Ran::of(podman.image(&place, &[], &["fim-exec", "cat", "/first"]));
        assert_eq!((ran.code, ran.err.lines().count()), (125, 1), "{ran:?}");
        let needed = "`podman run --security-opt unmask=ALL --security-opt seccomp=unconfined`";
        assert!(ran.err.contains(needed), "{ran:?}");
        let ran = Ran::of(podman.image(&place, &OPEN, &["fim-exec", "cat", "/first"]));
        assert_eq!(
            (ran.code, ran.out.as_str(), ran.err.as_str()),
            (0, "1\n", ""),
            "{ran:?}"
        );
        let plan = Ran::of(podman.image(&place, &[], &["fim-plan"])).out;
        assert!(
            plan.starts_with("sandbox    none, and no start; ") && plan.contains(needed),
            "{plan}"
        );
        place.assert_clean();
    }
}

#[test]
fn with_best_effort_it_starts_and_says_what_is_missing() {
    let podman = Podman::new();
    if is_refused_as_root_of_one_id(&podman) {
        return;
    }
    for who in everybody() {
        let place = Place::with_layer(who);
        let script =
            "cat /first; echo x > /new; cat /proc/self/comm; readlink /proc/self/ns/net; exit 7";
        let run = |script: &str| {
            Ran::of(podman.image(&place, &BEST_EFFORT, &["fim-exec", "bash", "-c", script]))
        };
        let ran = run(script);
        let lines: Vec<&str> = ran.out.lines().collect();
        assert_eq!((ran.code, &lines[..2]), (7, &["1", "cat"][..]), "{ran:?}");
        let warned: Vec<&str> = ran.err.lines().collect();
        assert_eq!(warned.len(), 2, "{ran:?}");
        assert!(
            warned[0].starts_with("warning: the container lacks processes of its own"),
            "{ran:?}"
        );
        assert!(
            warned[1].starts_with("warning: the container lacks a host name of its own"),
            "{ran:?}"
        );
        assert_eq!(run("cat /new; kill -9 $$").code, 137);
        let plan = Ran::of(podman.image(&place, &BEST_EFFORT, &["fim-plan"])).out;
        let label = "sandbox    native\nlacks      processes of its own: ";
        assert!(
            plan.starts_with(label) && plan.contains("unpacked in the cache"),
            "{plan}"
        );
        place.assert_clean();
    }
}
