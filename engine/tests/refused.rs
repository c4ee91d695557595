//! What happens where the host refuses user namespaces.

mod support;

use std::process::Command;

use support::prepared::NO_FUSE;
use support::refusing::{ALL_BUT_BWRAP, Refusing, ordinary};
use support::running::Running;
use support::{Place, Ran, everybody};

fn succeed(command: Command) -> String {
    let ran = Ran::of(command);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{ran:?}");
    ran.out
}

fn fail(command: Command) -> String {
    let ran = Ran::of(command);
    assert_eq!((ran.code, ran.out.as_str()), (125, ""), "{ran:?}");
    assert_eq!(ran.err.lines().count(), 1, "{ran:?}");
    ran.err
}

#[test]
fn a_variable_that_says_nothing_known_is_refused() {
    for who in everybody() {
        let place = Place::blueprint(who);
        for arguments in [&["fim-exec", "true"][..], &["fim-plan"]] {
            let mut command = place.image(arguments);
            command.env("FIM_SANDBOX", "bestefort");
            let line = fail(command);
            assert!(
                line.contains("FIM_SANDBOX") && line.contains("`best-effort`"),
                "{line}"
            );
        }
        let mut command = place.image(&["fim-exec", "true"]);
        command.env("FIM_SANDBOX", "required");
        succeed(command);
        place.assert_clean();
    }
}

#[test]
fn where_everybody_is_refused_one_line_says_who_refuses() {
    for who in everybody() {
        let place = Place::blueprint(who);
        let refusing = Refusing::new(&place);
        for what in ["all", "mounts"] {
            let line = fail(refusing.image(what, &["fim-exec", "true"]));
            assert!(line.contains("filter of system calls"), "{line}");
        }
        drop(refusing);
        place.assert_clean();
    }
}

#[test]
fn a_limit_of_none_is_named_with_the_command_that_raises_it() {
    let place = Place::blueprint(ordinary());
    let script = "echo 0 > /proc/sys/user/max_user_namespaces; exec setpriv --ambient-caps=-all --inh-caps=-all \"$0\" \"$@\"";
    let mut command = place.command("unshare");
    command.args([
        "-U",
        "--map-user=1",
        "--map-group=1",
        "--keep-caps",
        "sh",
        "-c",
        script,
    ]);
    command.arg(&place.image).args(["fim-exec", "true"]);
    let line = fail(command);
    assert!(
        line.contains("sudo sysctl -w user.max_user_namespaces="),
        "{line}"
    );
    place.assert_clean();
}

#[test]
fn an_allowed_bwrap_makes_the_namespaces_and_all_else_is_the_same() {
    let place = Place::with_layer(ordinary());
    let refusing = Refusing::new(&place);
    let lent = |arguments: &[&str]| succeed(refusing.image(ALL_BUT_BWRAP, arguments));
    let script = "cat /first /proc/self/uid_map /proc/self/status; id -u; ls / /dev /proc/1/root 2>&1; readlink /proc/self/cwd; \
                  cut -d' ' -f5- /proc/self/mountinfo | sort";
    let known = |text: String| -> Vec<String> {
        let differs = |line: &str| {
            [
                "Pid",
                "PPid",
                "NSpid",
                "voluntary",
                "nonvoluntary",
                "Vm",
                "Rss",
                "Seccomp_filters",
                "Tracer",
                "Cpus",
                "Ngid",
                "Tgid",
                "NS",
                "State",
            ]
            .iter()
            .any(|name| line.starts_with(name))
        };
        // Said of a directory that was stacked before.
        let text = text.replace("uuid=on,", "");
        text.lines()
            .filter(|line| !differs(line))
            .map(str::to_owned)
            .collect()
    };
    let natively = place.shell(script);
    assert_eq!(
        known(lent(&["fim-exec", "bash", "-c", script])),
        known(natively)
    );
    assert_eq!(lent(&["fim-root", "id", "-u"]), "0\n");
    assert_eq!(
        Ran::of(refusing.image(ALL_BUT_BWRAP, &["fim-exec", "bash", "-c", "exit 7"])).code,
        7
    );
    drop(refusing);
    place.assert_clean();
}

#[test]
fn further_starts_join_what_bwrap_made() {
    let place = Place::with_layer(ordinary());
    let refusing = Refusing::new(&place);
    let start = || {
        refusing.image(
            ALL_BUT_BWRAP,
            &[
                "fim-exec",
                "bash",
                "-c",
                "echo ready; read -r line; eval \"$line\"",
            ],
        )
    };
    let mut first = Running::ready(start());
    let mut second = Running::ready(start());
    second
        .say("echo x > /of-the-second; for n in pid net user; do readlink /proc/self/ns/$n; done");
    let namespaces: Vec<_> = (0..3).map(|_| second.line()).collect();
    assert_eq!(second.end().code, 0);
    first.say("cat /of-the-second; for n in pid net user; do readlink /proc/self/ns/$n; done");
    assert_eq!(first.line(), "x\n");
    for theirs in namespaces {
        assert_ne!(first.line(), theirs);
    }
    // Who is not refused joins as well.
    let mut third =
        Running::ready(place.image(&["fim-exec", "bash", "-c", "echo ready; cat /of-the-second"]));
    assert_eq!(third.line(), "x\n");
    assert_eq!((first.end().code, third.end().code), (0, 0));
    drop(refusing);
    place.assert_clean();
}

#[test]
fn the_plan_says_what_one_gets() {
    let place = Place::blueprint(ordinary());
    let refusing = Refusing::new(&place);
    let plan = |what: &str, further: &[&str]| {
        succeed(refusing.image(what, &[&["fim-plan"], further].concat()))
    };
    assert!(
        place
            .succeed(&["fim-plan"])
            .starts_with("sandbox    native\n")
    );
    let lent = plan(ALL_BUT_BWRAP, &[]);
    let label = "sandbox    in namespaces that /usr/bin/bwrap makes, all else as natively; this host gives no namespaces (";
    assert!(lent.starts_with(label), "{lent}");
    let none = plan("all", &[]);
    assert!(
        none.starts_with("sandbox    none, and no start; this host gives no"),
        "{none}"
    );
    let json: serde_json::Value = serde_json::from_str(&plan(ALL_BUT_BWRAP, &["--json"])).unwrap();
    assert_eq!(json["rung"]["maker"]["bwrap"], "/usr/bin/bwrap");
    let json: serde_json::Value = serde_json::from_str(&plan("all", &["--json"])).unwrap();
    assert_eq!(json["rung"]["maker"], "nobody");
    assert!(!place.data().exists(), "a plan changes nothing");

    let mut told = refusing.image(ALL_BUT_BWRAP, &["fim-exec", "true"]);
    told.env("FIM_DEBUG", "1");
    let ran = Ran::of(told);
    assert!(
        ran.err
            .contains("sandbox    in namespaces that /usr/bin/bwrap makes"),
        "{ran:?}"
    );
    drop(refusing);
    place.assert_clean();
}

#[test]
fn changes_are_committed_and_purged_all_the_same() {
    let place = Place::with_layer(ordinary());
    let refusing = Refusing::new(&place);
    let run = |arguments: &[&str]| succeed(refusing.image(ALL_BUT_BWRAP, arguments));
    run(&[
        "fim-root",
        "bash",
        "-c",
        "rm /first; echo x > /new; chmod 0 /new",
    ]);
    run(&["fim-layer", "commit", "binary"]);
    assert_eq!(
        run(&[
            "fim-root",
            "bash",
            "-c",
            "cat /new; ! ls -d /first 2>/dev/null"
        ]),
        "x\n"
    );
    run(&[
        "fim-exec",
        "bash",
        "-c",
        "mkdir /closed; echo x > /closed/file; chmod 0 /closed",
    ]);
    run(&["fim-data", "purge"]);
    assert!(!place.data().join("root/closed").exists());
    drop(refusing);
    place.assert_gone();
}

#[test]
fn changes_on_an_overlay_are_refused_with_one_line() {
    let place = Place::with_layer(ordinary());
    let over = place.path().join("over");
    for name in ["", "lower", "upper", "work", "merged"] {
        std::fs::create_dir(over.join(name)).unwrap();
        place.give(&over.join(name));
    }
    let mount = format!(
        "{NO_FUSE} && cd {} && mount -t overlay none -o lowerdir=lower,upperdir=upper,workdir=work merged && cd -",
        over.display()
    );
    let mut command = place.prepared(&mount, &["fim-exec", "true"]);
    command.env("FIM_DIR_DATA", over.join("merged/data"));
    let ran = Ran::of(command);
    assert_eq!((ran.code, ran.err.lines().count()), (125, 1), "{ran:?}");
    assert!(
        ran.err.contains("such as a volume, with FIM_DIR_DATA"),
        "{ran:?}"
    );
    std::fs::remove_dir_all(over).unwrap();
    place.assert_clean();
}

#[test]
fn root_of_a_namespace_with_one_id_is_told_who_can_start() {
    let place = Place::blueprint(ordinary());
    let mut command = place.command("unshare");
    command
        .arg("-Ur")
        .arg(&place.image)
        .args(["fim-exec", "true"]);
    let line = fail(command);
    assert!(
        line.contains("root has no ids from 524288 on here"),
        "{line}"
    );
    place.assert_gone();
}
