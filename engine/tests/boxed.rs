//! Where `bwrap` alone may mount, it makes the sandbox around a plain copy of the layers, if that is asked for.

mod support;

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::sys::stat::{Mode, SFlag, mknod};
use nix::unistd::Pid;
use rustix::fs::{XattrFlags, setxattr};

use support::refusing::{ALL_BUT_BWRAP_ITSELF, Refusing, ordinary};
use support::running::Running;
use support::{Place, Ran};

fn best_effort(refusing: &Refusing<'_>, arguments: &[&str]) -> Command {
    let mut command = refusing.image(ALL_BUT_BWRAP_ITSELF, arguments);
    command.env("FIM_SANDBOX", "best-effort");
    command
}

/// What a shell script says in the container; of the runtime there is a warning for each thing that is missing.
fn shell(refusing: &Refusing<'_>, script: &str) -> Ran {
    let ran = Ran::of(best_effort(refusing, &["fim-exec", "bash", "-c", script]));
    let (warnings, others): (Vec<&str>, Vec<&str>) = ran
        .err
        .lines()
        .partition(|line| line.starts_with("warning: the container lacks "));
    assert_eq!(warnings.len(), 3, "{ran:?}");
    Ran {
        err: others.concat(),
        ..ran
    }
}

fn said(refusing: &Refusing<'_>, script: &str) -> String {
    let ran = shell(refusing, script);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{ran:?}");
    ran.out
}

#[test]
fn it_is_asked_for_and_labelled() {
    let place = Place::with_layer(ordinary());
    let refusing = Refusing::new(&place);
    let ran = Ran::of(refusing.image(ALL_BUT_BWRAP_ITSELF, &["fim-exec", "true"]));
    assert_eq!((ran.code, ran.err.lines().count()), (125, 1), "{ran:?}");
    assert!(ran.err.contains("this host gives no namespaces"), "{ran:?}");
    assert!(ran.err.ends_with("by FIM_SANDBOX=best-effort\n"), "{ran:?}");
    assert!(!place.data().join("copies").exists());
    let plan = Ran::of(best_effort(&refusing, &["fim-plan"]));
    let label = "sandbox    made by /usr/bin/bwrap from arguments; this host gives no namespaces";
    assert!(plan.out.starts_with(label), "{plan:?}");
    assert_eq!(plan.out.matches("\nlacks ").count(), 3, "{plan:?}");
    assert!(plan.out.contains("\ncopy       "), "{plan:?}");
    assert!(!place.data().join("copies").exists());
    drop(refusing);
    place.assert_clean();
}

#[test]
fn files_are_kept_and_layers_are_merged() {
    let place = Place::with_layer(ordinary());
    let second = place.layer(
        "two.layer",
        &[("second", "of the upper\n"), ("third", "3\n")],
    );
    place.add_layer(&second);
    let refusing = Refusing::new(&place);
    assert_eq!(
        said(
            &refusing,
            "cat /first /second /third; echo x > /new; rm /first"
        ),
        "1\nof the upper\n3\n"
    );
    assert_eq!(
        said(&refusing, "cat /new; ls -d /first 2>/dev/null; true"),
        "x\n"
    );
    assert_eq!(shell(&refusing, "exit 7").code, 7);
    assert_eq!(shell(&refusing, "kill -TERM $$").code, 143);
    assert_eq!(
        place.succeed(&["fim-exec", "cat", "/first"]),
        "1\n",
        "the overlay has changes of its own"
    );
    assert!(place.data().join("copies").exists());
    place.succeed(&["fim-data", "purge"]);
    assert!(!place.data().exists());
    drop(refusing);
    place.assert_clean();
}

#[test]
fn the_rest_of_the_promise_holds() {
    let place = Place::with_layer(ordinary());
    let refusing = Refusing::new(&place);
    let status = said(
        &refusing,
        "cat /proc/self/status; id -u; set -- /proc/[0-9]*; echo processes $#",
    );
    for line in [
        "CapPrm:\t0000000000000000",
        "CapEff:\t0000000000000000",
        "NoNewPrivs:\t1",
        "Seccomp:\t2",
        "\nprocesses 2\n",
    ] {
        assert!(status.contains(line), "{line} is not in {status}");
    }
    for name in ["user", "mnt", "pid", "ipc", "uts", "net"] {
        let link = format!("/proc/self/ns/{name}");
        let outside = std::fs::read_link(&link).unwrap();
        assert_ne!(
            said(&refusing, &format!("readlink {link}")).trim(),
            outside.to_string_lossy()
        );
    }
    let script = "cat /proc/1/environ 2>/dev/null | head -c 1; unshare -U true 2>/dev/null && echo nested; mount -t tmpfs none /tmp 2>/dev/null && \
                  echo mounted; hostname; ls /sys; ls -d /proc/acpi/* 2>/dev/null; env | grep -c FIM_FIRST; echo > /proc/sys/kernel/hostname; cat /etc/machine-id | wc -c; ls /proc/self/fd | wc -l";
    let ran = shell(&refusing, script);
    assert_eq!(ran.out, "app\n0\n33\n4\n", "{ran:?}");
    drop(refusing);
    place.assert_clean();
}

#[test]
fn further_starts_use_the_same_copy_and_others_are_told() {
    let place = Place::with_layer(ordinary());
    let refusing = Refusing::new(&place);
    let script = "echo ready; read -r line; eval \"$line\"";
    let mut first = Running::ready(best_effort(&refusing, &["fim-exec", "bash", "-c", script]));
    said(&refusing, "echo from the second > /new");
    let line = place.fail(125, &["fim-exec", "true"]);
    assert!(
        line.contains("runs a container of this data directory in a plain copy"),
        "{line}"
    );
    let id = place.succeed(&["fim-instance", "list"]);
    let id = id.split(':').next().unwrap().to_owned();
    assert_eq!(
        place.succeed(&["fim-instance", "exec", &id, "cat", "/new"]),
        "from the second\n"
    );
    first.say("cat /new");
    assert_eq!(first.line(), "from the second\n");
    assert_eq!(first.end().code, 0);
    drop(refusing);
    place.assert_clean();
}

#[test]
fn nothing_is_left_of_one_that_is_killed() {
    let place = Place::with_layer(ordinary());
    let refusing = Refusing::new(&place);
    for _ in 0..3 {
        let running = Running::ready(best_effort(
            &refusing,
            &[
                "fim-exec",
                "bash",
                "-c",
                "echo ready; sleep 1000 & sleep 1000",
            ],
        ));
        let list = place.succeed(&["fim-instance", "list"]);
        let supervisor = list.trim().split(':').nth(1).unwrap().parse().unwrap();
        kill(Pid::from_raw(supervisor), Signal::SIGKILL).unwrap();
        running.end();
        place.assert_gone();
    }
    drop(refusing);
    place.assert_clean();
}

#[test]
fn settings_do_what_they_do_elsewhere() {
    let place = Place::with_layer(ordinary());
    for name in ["read", "written"] {
        std::fs::create_dir(place.path().join(name)).unwrap();
        place.give(&place.path().join(name));
    }
    let at = |name: &str| place.path().join(name).to_string_lossy().into_owned();
    place.succeed(&["fim-bind", "add", "ro", &at("read"), "/deep/er/read"]);
    place.succeed(&["fim-bind", "add", "rw", &at("written"), "/written"]);
    place.succeed(&["fim-bind", "add", "rw", &at(""), "/place"]);
    place.succeed(&["fim-env", "set", "GREETING=hello", "UID=5000", "USER=bo"]);
    let refusing = Refusing::new(&place);
    let script = "id -u; whoami; echo $GREETING; touch /deep/er/read/x 2>/dev/null || echo read-only; touch /written/x; \
                  echo x 2>/dev/null >> /place/app.flatimage || echo own; mkdir /place/.app.flatimage.data/x 2>/dev/null || echo own; \
                  mv /place/.app.flatimage.data /place/moved 2>/dev/null || echo held";
    assert_eq!(
        said(&refusing, script),
        "5000\nbo\nhello\nread-only\nown\nown\nheld\n"
    );
    assert!(place.path().join("written/x").exists());
    let ran = Ran::of(best_effort(
        &refusing,
        &[
            "fim-root",
            "bash",
            "-c",
            "id -u; grep CapEff /proc/self/status",
        ],
    ));
    assert_eq!(ran.out, "0\nCapEff:\t0000000000000000\n", "{ran:?}");
    assert_eq!(
        ran.err.matches("warning: the container lacks ").count(),
        4,
        "{ran:?}"
    );
    place.succeed(&["fim-unshare", "del", "pid"]);
    let ran = Ran::of(best_effort(&refusing, &["fim-exec", "true"]));
    assert_eq!(ran.code, 125);
    assert!(ran.err.contains("fim-unshare add pid"), "{ran:?}");
    drop(refusing);
    for name in ["read", "written"] {
        std::fs::remove_dir_all(place.path().join(name)).unwrap();
    }
    place.assert_clean();
}

#[test]
fn what_a_layer_hides_is_not_in_the_copy() {
    let place = Place::blueprint(ordinary());
    let tree = |directories: &[&str], files: &[(&str, &str)]| {
        let root = place.path().join("tree");
        for name in [&[""], directories].concat() {
            std::fs::create_dir(root.join(name)).unwrap();
            place.give(&root.join(name));
        }
        for (name, text) in files {
            std::fs::write(root.join(name), text).unwrap();
            place.give(&root.join(name));
        }
        root
    };
    let lower = tree(
        &["kept", "anew", "replaced"],
        &[
            ("gone", "x"),
            ("kept/a", "a"),
            ("anew/a", "a"),
            ("replaced/a", "a"),
            ("file", "x"),
        ],
    );
    place.add_layer(&place.pack(&lower, "lower.layer"));
    let upper = tree(
        &["kept", "anew", "file"],
        &[
            ("kept/b", "b"),
            ("anew/b", "b"),
            ("replaced", "now a file"),
            ("file/b", "b"),
        ],
    );
    mknod(&upper.join("gone"), SFlag::S_IFCHR, Mode::empty(), 0).unwrap();
    place.give(&upper.join("gone"));
    setxattr(
        upper.join("anew"),
        "user.overlay.opaque",
        b"y",
        XattrFlags::empty(),
    )
    .unwrap();
    std::fs::set_permissions(upper.join("kept"), std::fs::Permissions::from_mode(0o500)).unwrap();
    place.add_layer(&place.pack(&upper, "upper.layer"));
    let list = "cd /; find gone kept anew replaced file -exec stat -c '%n %F %a' {} \\; 2>/dev/null | sort; cat replaced";
    let refusing = Refusing::new(&place);
    let copied = said(&refusing, list);
    assert_eq!(copied, place.shell(list));
    assert!(
        copied.contains("kept/a") && !copied.contains("anew/a") && !copied.contains("gone"),
        "{copied}"
    );
    drop(refusing);
    place.assert_clean();
}

#[test]
fn an_interrupt_for_all_in_front_of_a_terminal_is_the_programs() {
    let place = Place::with_layer(ordinary());
    let refusing = Refusing::new(&place);
    let script = "trap 'echo caught; exit 3' INT; echo ready; while :; do read -r -t 1; done";
    let mut command = best_effort(&refusing, &["fim-exec", "bash", "-c", script]);
    command.process_group(0);
    let mut running = Running::ready(command);
    // As the kernel does it: whoever traces would end with it.
    for pid in place.processes() {
        if pid != running.pid() {
            // It may have ended with the program, which was told before.
            let _ = kill(Pid::from_raw(pid), Signal::SIGINT);
        }
    }
    assert_eq!(running.line(), "caught\n");
    assert_eq!(running.end().code, 3);
    drop(refusing);
    place.assert_clean();
}

#[test]
fn a_failure_is_explained_here_too() {
    let place = Place::with_layer(ordinary());
    let refusing = Refusing::new(&place);
    let ran = shell(&refusing, "exec 2>/dev/null; : >/dev/tcp/192.0.2.1/80");
    assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{ran:?}");
    assert!(
        ran.err
            .starts_with("hint: a program tried to reach a network"),
        "{ran:?}"
    );
    assert!(ran.err.contains("`fim-perms add network`"), "{ran:?}");
    assert_eq!(shell(&refusing, "exit 1").err, "");
    drop(refusing);
    place.assert_clean();
}
