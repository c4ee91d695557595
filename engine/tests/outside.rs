//! Where `bwrap` alone may make a sandbox and `fusermount3` may mount, it is made around an overlay, if that is asked for.

mod support;

use std::os::unix::fs::PermissionsExt;

use support::changes::{CHANGES, SNAPSHOT, snapshot, with_layer};
use support::mounting::{Mounting, NO_MOUNTER};
use support::prepared::NO_FUSE;
use support::refusing::ordinary;
use support::running::Running;
use support::told::{ran, said, unrefused};
use support::{Place, Ran, Who, everybody};

/// The program does what each line says.
const OBEY: &str = "echo ready; while read -r line; do eval \"$line\"; done";

#[test]
fn changes_are_those_of_every_other_start() {
    let place = Place::with_layer(ordinary());
    let host = Mounting::new(&place);
    assert_eq!(said(&host, "cat /first; echo x > /new; rm /first"), "1\n");
    assert_eq!(
        said(&host, "cat /new /second; ls -d /first 2>&1; true"),
        "x\n2\nls: /first: No such file or directory\n"
    );
    host.assert_gone();
    assert!(!place.data().join("copies").exists());
    assert!(!place.data().join("mounts").exists());
    assert_eq!(
        place.shell("cat /new /second; ls -d /first 2>/dev/null; stat -c %a /new; echo y > /new"),
        "x\n2\n644\n"
    );
    let owners = "for file in /new /second /; do test -O $file -a -G $file && echo own; done";
    assert_eq!(
        said(&host, &format!("cat /new; {owners}")),
        "y\nown\nown\nown\n"
    );
    drop(host);
    place.assert_clean();
}

#[test]
fn what_was_deleted_stays_so_for_the_kernel_and_after_a_commit() {
    let place = with_layer(ordinary());
    let script = CHANGES.replace("chmod 000", "chmod 700");
    let host = Mounting::new(&place);
    let done = ran(&host, &["fim-root", "bash", "-c", &script]);
    assert_eq!((done.code, done.err.as_str()), (0, ""), "{done:?}");
    let here = ran(&host, &["fim-root", "bash", "-c", SNAPSHOT]);
    assert_eq!((here.code, here.err.as_str()), (0, ""), "{here:?}");
    host.assert_gone();
    let natively = snapshot(&place);
    assert_eq!(here.out, natively);
    assert!(natively.contains("./remade/new") && !natively.contains("./remade/old"));
    // The host refuses what a commit otherwise works in as well.
    said(&host, "rm /t/kept; rm -r /t/shared");
    let committed = Ran::of(host.image(&["fim-layer", "commit", "binary"]));
    assert_eq!(committed.code, 0, "{committed:?}");
    assert_eq!(
        std::fs::read_dir(place.data().join("root"))
            .unwrap()
            .count(),
        0
    );
    let after = snapshot(&place);
    let expected = |line: &&str| !line.contains("./kept") && !line.contains("./shared");
    let lines = |text: &str| {
        text.lines()
            .filter(expected)
            .filter(|line| !line.contains("'. d") && !line.starts_with(". "))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        after
            .lines()
            .filter(|line| line.contains("./kept") || line.contains("./shared"))
            .count(),
        0,
        "{after}"
    );
    assert_eq!(lines(&after), lines(&natively));
    let again = ran(&host, &["fim-root", "bash", "-c", SNAPSHOT]);
    assert_eq!(again.out, after);
    drop(host);
    place.assert_clean();
}

#[test]
fn the_plan_says_what_runs_and_what_else_there_is() {
    let place = Place::with_layer(ordinary());
    let host = Mounting::new(&place);
    let label = || {
        Ran::of(host.image(&["fim-plan"]))
            .out
            .lines()
            .next()
            .unwrap()
            .to_owned()
    };
    let runs = || {
        let mut command = host.image(&["fim-exec", "true"]);
        command.env("FIM_DEBUG", "1");
        let ran = Ran::of(command);
        assert_eq!(ran.code, 0, "{ran:?}");
        let made = |line: &&str| line.contains("sandbox    made by ");
        let line = ran
            .err
            .lines()
            .find(made)
            .unwrap_or_else(|| panic!("{ran:?}"));
        line.split_once("] ").unwrap().1.to_owned()
    };
    let outside = label();
    let around = "sandbox    made by /usr/bin/bwrap from arguments, around an overlay that /usr/bin/fusermount3 mounts; this host gives no namespaces";
    assert!(outside.starts_with(around), "{outside}");
    let plan = Ran::of(host.image(&["fim-plan"]));
    assert_eq!(plan.out.matches("\nlacks ").count(), 3, "{plan:?}");
    assert!(plan.out.contains("\noutside    "), "{plan:?}");
    assert!(!place.data().exists(), "a plan changes nothing");
    assert_eq!(runs(), outside);

    let mut required = host.image(&["fim-exec", "true"]);
    required.env("FIM_SANDBOX", "required");
    let ran = Ran::of(required);
    assert_eq!((ran.code, ran.err.lines().count()), (125, 1), "{ran:?}");
    assert!(ran.err.ends_with("by FIM_SANDBOX=best-effort\n"), "{ran:?}");

    // A copy is what is left where the device or the program is missing.
    let copy = "sandbox    made by /usr/bin/bwrap from arguments; this host gives no namespaces";
    for (without, place) in [(NO_MOUNTER, "/usr/bin/fusermount3"), (NO_FUSE, "/dev/fuse")] {
        host.run_by_root(without);
        let copied = label();
        assert!(copied.starts_with(copy), "{copied}");
        assert_eq!(runs(), copied);
        host.run_by_root(&format!("umount {place}"));
    }
    assert_eq!(label(), outside);
    let told = Ran::of(host.image(&["fim-exec", "true"]));
    assert!(
        told.err
            .contains("changes of starts around a plain copy stay in "),
        "{told:?}"
    );
    drop(host);
    place.assert_clean();
}

#[test]
fn a_mount_that_fails_leaves_the_copy() {
    let place = Place::with_layer(ordinary());
    let host = Mounting::new(&place);
    // One that is root's, and mounts nothing.
    host.run_by_root("mount -t tmpfs none /mnt; cp /bin/false /mnt/x; chmod 4755 /mnt/x; mount --bind /mnt/x /usr/bin/fusermount3; umount -l /mnt");
    let ran = Ran::of(host.image(&["fim-exec", "cat", "/first"]));
    assert_eq!((ran.code, ran.out.as_str()), (0, "1\n"), "{ran:?}");
    assert!(ran.err.contains("lacks an overlay"), "{ran:?}");
    assert!(!place.data().join("mounts").exists());
    drop(host);
    place.assert_clean();
}

/// Where root runs the tests: that of a user namespace, as whom others run them, cannot give `bwrap` the rights that it has so.
#[test]
fn a_bwrap_that_is_set_user_id_can_use_the_root() {
    let ordinary = |who: &Who| *who == Who::Ordinary;
    for who in everybody().into_iter().filter(ordinary) {
        let place = Place::with_layer(who);
        let host = Mounting::new(&place);
        host.run_by_root(
            "mount -t tmpfs none /mnt; cp /usr/bin/bwrap /mnt/x; chmod 4755 /mnt/x; \
             mount --bind /mnt/x /usr/bin/bwrap; umount -l /mnt",
        );
        assert_eq!(said(&host, "cat /first; echo x > /new"), "1\n");
        host.assert_gone();
        assert_eq!(place.shell("cat /new"), "x\n");
        drop(host);
        place.assert_clean();
    }
}

#[test]
fn programs_end_as_elsewhere() {
    let place = Place::with_layer(ordinary());
    let host = Mounting::new(&place);
    let code = |script: &str| ran(&host, &["fim-exec", "bash", "-c", script]).code;
    assert_eq!(code("exit 7"), 7);
    assert_eq!(code("kill -TERM $$"), 143);
    assert_eq!(ran(&host, &["fim-exec", "/first"]).code, 126);
    assert_eq!(ran(&host, &["fim-exec", "nothing-of-this-name"]).code, 127);
    let status = said(
        &host,
        "cat /proc/self/status; set -- /proc/[0-9]*; echo processes $#",
    );
    for line in [
        "CapEff:\t0000000000000000",
        "NoNewPrivs:\t1",
        "Seccomp:\t2",
        "\nprocesses 2\n",
    ] {
        assert!(status.contains(line), "{line} is not in {status}");
    }
    drop(host);
    place.assert_clean();
}

#[test]
fn further_starts_share_the_root_and_others_are_told() {
    let place = Place::with_layer(ordinary());
    let host = Mounting::new(&place);
    let start = || Running::ready(host.image(&["fim-exec", "bash", "-c", OBEY]));
    let mut first = start();
    assert_eq!(host.mounts().len(), 1, "{:?}", host.mounts());
    let root = place.data().join("mounts/root");
    assert!(
        std::fs::metadata(place.data().join("mounts"))
            .unwrap()
            .permissions()
            .mode()
            & 0o077
            == 0
    );
    let mut second = start();
    second.say("echo of the second > /new; cat /first");
    assert_eq!(second.line(), "1\n");
    let line = unrefused(&host, 125, &["fim-exec", "true"]).err;
    assert!(
        line.contains("around an overlay outside of it, as FIM_SANDBOX=best-effort allows"),
        "{line}"
    );
    let list = unrefused(&host, 0, &["fim-instance", "list"]).out;
    assert_eq!(list.lines().count(), 2, "{list}");
    unrefused(&host, 125, &["fim-layer", "commit", "binary"]);
    // The root outlives the start that mounted it.
    let mut third = start();
    first.say("cat /new");
    assert_eq!(first.line(), "of the second\n");
    assert_eq!(first.end().code, 0);
    third.say("cat /new");
    assert_eq!(third.line(), "of the second\n");
    let id = unrefused(&host, 0, &["fim-instance", "list"]).out;
    let id = id.split(':').next().unwrap().to_owned();
    assert_eq!(
        unrefused(&host, 0, &["fim-instance", "exec", &id, "cat", "/new"]).out,
        "of the second\n"
    );
    assert_eq!((second.end().code, third.end().code), (0, 0));
    // What comes next waits for the end of what stacked the changes.
    assert_eq!(place.shell("cat /new"), "of the second\n");
    assert!(!root.exists());
    drop(host);
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
    let host = Mounting::new(&place);
    let script = "id -u; whoami; echo $GREETING; touch /deep/er/read/x 2>/dev/null || echo read-only; touch /written/x; \
                  echo x 2>/dev/null >> /place/app.flatimage || echo own; mkdir /place/.app.flatimage.data/x 2>/dev/null || echo own; \
                  mv /place/.app.flatimage.data /place/moved 2>/dev/null || echo held; stat -c %u /first; echo x > /new";
    assert_eq!(
        said(&host, script),
        "5000\nbo\nhello\nread-only\nown\nown\nheld\n5000\n"
    );
    assert!(place.path().join("written/x").exists());
    host.assert_gone();
    // The places to mount on are no changes.
    let changed = std::fs::read_dir(place.data().join("root")).unwrap();
    let changed: Vec<_> = changed.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(changed, ["new"]);
    drop(host);
    for name in ["read", "written"] {
        std::fs::remove_dir_all(place.path().join(name)).unwrap();
    }
    place.assert_clean();
}
