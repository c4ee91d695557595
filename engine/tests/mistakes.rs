//! What cannot be right is refused when it is set, in one line that says how to mend it, and nothing changes.

mod support;

use support::{Place, Who, everybody};

fn of(who: Who) -> Place {
    Place::blueprint(who)
}

#[test]
fn places_that_cannot_be_are_refused_when_they_are_set() {
    for who in everybody() {
        let place = of(who);
        place.succeed(&["fim-bind", "add", "ro", "$HOME/a", "/b"]);
        place.succeed(&["fim-directory", "set", "/b"]);
        let before = place.succeed(&["fim-show"]);
        for (arguments, expected) in [
            (
                &["fim-bind", "add", "ro", "relative", "/dst"][..],
                "`relative` is no absolute path of the host; begin it with `/`, or with a variable as in `$HOME/…`",
            ),
            (
                &["fim-bind", "add", "ro", "/a", "relative"],
                "`relative` is no absolute path of the container; begin it with `/`",
            ),
            (&["fim-bind", "add", "rw", "/a", "/b/../c"], "without `..`"),
            (
                &["fim-bind", "add", "dev", "/dev", "/"],
                "give a path below it",
            ),
            (&["fim-directory", "set", "relative"], "begin it with `/`"),
            (&["fim-directory", "set", "/a/.."], "without `..`"),
            (&["fim-directory", "set", ""], "begin it with `/`"),
        ] {
            let line = place.fail(125, arguments);
            assert!(line.contains(expected), "{line}");
        }
        assert_eq!(place.succeed(&["fim-show"]), before);
        place.succeed(&["fim-directory", "set", "/"]);
        assert_eq!(place.shell("pwd"), "/\n");
        place.succeed(&["fim-directory", "set", "${NOWHERE:-/tmp}/x"]);
        assert_eq!(place.shell("pwd"), "/tmp/x\n");
        place.assert_clean();
    }
}

#[test]
fn ports_that_cannot_be_are_refused_when_they_are_set() {
    for who in everybody() {
        let place = of(who);
        for address in [
            "http://h:99999/",
            "http://h:0",
            "https://h:x/a",
            "http://:80/",
        ] {
            let line = place.fail(125, &["fim-remote", "set", address]);
            assert!(line.contains("a port from 1 to 65535"), "{line}");
        }
        assert_eq!(place.succeed(&["fim-remote", "show"]), "");
        for address in ["http://h:65535/", "http://[::1]:8080/a"] {
            place.succeed(&["fim-remote", "set", address]);
            assert_eq!(
                place.succeed(&["fim-remote", "show"]),
                format!("{address}\n")
            );
        }
        place.assert_clean();
    }
}

#[test]
fn names_are_understood_in_any_case_and_kept_in_one() {
    for who in everybody() {
        let place = of(who);
        for (name, shown) in [
            ("OVERLAYFS", "OVERLAYFS\n"),
            ("Unionfs", "UNIONFS\n"),
            ("bwrap", "BWRAP\n"),
        ] {
            place.succeed(&["fim-overlay", "set", name]);
            assert_eq!(place.succeed(&["fim-overlay", "show"]), shown);
        }
        place.succeed(&["fim-perms", "set", "Network,XORG"]);
        assert_eq!(place.succeed(&["fim-perms", "list"]), "network\nxorg\n");
        place.succeed(&["fim-perms", "del", "NETWORK"]);
        assert_eq!(place.succeed(&["fim-perms", "list"]), "xorg\n");
        place.succeed(&["fim-bind", "add", "RO", "/a", "/b"]);
        assert!(place.succeed(&["fim-bind", "list"]).contains("\"ro\""));
        let mut command = place.image(&["fim-plan"]);
        command
            .env("FIM_OVERLAY", "OverlayFS")
            .env("FIM_SANDBOX", "Best-Effort");
        let plan = support::Ran::of(command);
        assert!(
            plan.code == 0 && plan.out.contains("with fuse-overlayfs"),
            "{plan:?}"
        );
        let line = place.fail(125, &["fim-overlay", "set", "overlayf"]);
        assert!(line.contains("did you mean `overlayfs`?"), "{line}");
        place.assert_clean();
    }
}

#[test]
fn a_start_that_a_setting_prevents_names_the_command_that_takes_it_back() {
    for who in everybody() {
        let place = of(who);
        // What only the start can know: the variable leads nowhere.
        place.succeed(&["fim-directory", "set", "$NOWHERE"]);
        let line = place.fail(125, &["fim-exec", "true"]);
        assert!(line.contains("`fim-directory clear`"), "{line}");
        place.succeed(&["fim-directory", "clear"]);
        place.succeed(&["fim-bind", "add", "ro", "/etc", "${NOWHERE:-b}"]);
        let line = place.fail(125, &["fim-exec", "true"]);
        assert!(line.contains("`fim-bind del <index>`"), "{line}");
        place.succeed(&["fim-bind", "del", "0"]);
        place.succeed(&["fim-exec", "true"]);
        place.assert_clean();
    }
}
