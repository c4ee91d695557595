//! Who root of a container is, what it can give away, and whose the files are on the host.
#![cfg(target_arch = "x86_64")]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;

use support::compiled::compiled;
use support::ids::{FIRST, forget, subordinate, with_ids};
use support::{ORDINARY, Place, Ran, Who, everybody};

fn succeed(place: &Place, before: &str, arguments: &[&str]) -> String {
    let ran = Ran::of(with_ids(place, before, arguments));
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{arguments:?}");
    ran.out
}

/// Ordinary users: the caller, unless that is root.
fn ordinary() -> Vec<Who> {
    vec![*everybody().last().unwrap()]
}

#[test]
fn root_of_a_container_with_one_id_is_told_that_files_were_given_away() {
    for who in everybody() {
        let place = Place::blueprint(who);
        let program = compiled(&place, "calls/ownership.c", &[]);
        place.succeed(&[
            "fim-bind",
            "add",
            "ro",
            &program.to_string_lossy(),
            "/calls",
        ]);
        let tried = |how: &str| -> BTreeSet<String> {
            let out = place.succeed(&[
                how,
                "bash",
                "-c",
                "> /tmp/file; /calls /tmp/file; test -p /tmp/file.device && rm /tmp/file.device && stat -c '%u %g' /tmp/file",
            ]);
            out.lines().map(str::to_owned).collect()
        };
        let results = |lines: &BTreeSet<String>, wanted: &str| {
            let ends = |line: &&String| line.ends_with(wanted);
            lines.iter().filter(ends).count()
        };
        let is_root = nix::unistd::geteuid().is_root() && who == Who::Caller;
        let inside = tried("fim-root");
        // 28 calls, two of them of one name, and the owner.
        assert_eq!(inside.len(), 28 + usize::from(is_root), "{inside:?}");
        match is_root {
            true => {
                assert!(inside.contains("12 12"), "{inside:?}");
                // A device is out of reach whatever ids there are.
                assert_eq!(results(&inside, " EPERM"), 4, "{inside:?}");
            }
            false => {
                assert!(inside.contains("0 0"), "{inside:?}");
                assert_eq!(results(&inside, " ok"), 27, "{inside:?}");
            }
        }
        let inside = tried("fim-exec");
        assert_eq!(results(&inside, " ok"), 1, "{inside:?}");
        fs::remove_file(program).unwrap();
        place.assert_clean();
    }
}

#[test]
fn what_is_emulated_is_named_by_the_plan_with_its_cause() {
    for who in ordinary() {
        let place = Place::blueprint(who);
        let mut command = place.image(&["fim-plan"]);
        command.env("FIM_ROOT", "1");
        let plan = Ran::of(command).out;
        assert!(
            plan.contains("\nemulated   ownership  # ids own\n"),
            "{plan}"
        );
        assert!(
            plan.contains("file       /run/flatimage-root/apt.conf  # ids own\n"),
            "{plan}"
        );
        assert!(!place.succeed(&["fim-plan"]).contains("emulated"));
        assert_eq!(
            place.succeed(&["fim-root", "bash", "-c", "cat $APT_CONFIG"]),
            "APT::Sandbox::User \"root\";\n"
        );
        place.assert_clean();
    }
}

#[test]
fn subordinate_ids_own_what_is_given_to_them() {
    for who in ordinary() {
        let place = Place::blueprint(who);
        let before = subordinate(&place);
        let run = |arguments: &[&str]| succeed(&place, &before, arguments);
        let program = compiled(&place, "calls/ownership.c", &[]);
        place.succeed(&[
            "fim-bind",
            "add",
            "ro",
            &program.to_string_lossy(),
            "/calls",
        ]);
        place.succeed(&["fim-ids", "set", "subordinate"]);
        let own = nix::unistd::geteuid();
        let own = if own.is_root() {
            ORDINARY
        } else {
            own.as_raw()
        };
        assert_eq!(
            run(&[
                "fim-exec",
                "bash",
                "-c",
                "id -u; touch ~/mine; stat -c '%u %n' / ~/mine | sed 's: /.*/: :'"
            ]),
            format!("{own}\n0 /\n{own} mine\n")
        );
        // One root for both, at once.
        let given =
            "touch /given && chown 33:34 /given && chmod 4755 /given && stat -c '%u %g %a' /given";
        assert_eq!(run(&["fim-root", "bash", "-c", given]), "33 34 4755\n");
        assert_eq!(
            run(&["fim-exec", "stat", "-c", "%u %g %a", "/given"]),
            "33 34 4755\n"
        );
        let calls = run(&[
            "fim-root",
            "bash",
            "-c",
            "> /tmp/file; /calls /tmp/file; stat -c '%u %g' /tmp/file",
        ]);
        assert!(
            calls.contains("\nsetuid ok\n") && calls.ends_with("\n12 12\n"),
            "{calls}"
        );
        let on_host = fs::symlink_metadata(place.data().join("root/given"));
        if who == Who::Ordinary {
            let on_host = on_host.unwrap();
            assert_eq!((on_host.uid(), on_host.gid()), (FIRST + 33, FIRST + 34));
        }
        // What the user's own tools cannot remove or read.
        run(&[
            "fim-root",
            "bash",
            "-c",
            "mkdir -p /closed/in && touch /closed/in/file && chown -R 5:5 /closed && chmod 0 /closed/in /closed",
        ]);
        let shown = run(&["fim-data", "show"]);
        assert!(
            shown.contains("ids    the caller's id and the subordinate ones\n"),
            "{shown}"
        );
        run(&["fim-layer", "commit", "binary"]);
        assert_eq!(
            run(&["fim-root", "stat", "-c", "%u %a", "/given", "/closed/in"]),
            "33 4755\n5 0\n"
        );
        run(&[
            "fim-root",
            "bash",
            "-c",
            "rm -r /closed; mkdir -p /other/in; chown -R 6 /other",
        ]);
        run(&["fim-layer", "commit", "layer"]);
        assert_eq!(
            run(&[
                "fim-exec",
                "bash",
                "-c",
                "ls -d /closed /other 2>/dev/null; true"
            ]),
            "/other\n"
        );
        run(&[
            "fim-root",
            "bash",
            "-c",
            "chown 7 /other/in; chmod 0 /other/in",
        ]);
        run(&["fim-data", "purge"]);
        assert!(!place.data().exists());
        fs::remove_file(program).unwrap();
        forget(&place);
        place.assert_clean();
    }
}

#[test]
fn what_is_deleted_with_subordinate_ids_stays_deleted_whoever_stacks() {
    for who in ordinary() {
        let place = Place::blueprint(who);
        place.shell("mkdir -p /w/a; > /w/a/f; > /w/b; > /w/c");
        place.succeed(&["fim-layer", "commit", "binary"]);
        place.succeed(&["fim-data", "purge"]);
        let before = subordinate(&place);
        place.succeed(&["fim-ids", "set", "subordinate"]);
        let left = |kind: &str, script: &str| {
            place.succeed(&["fim-overlay", "set", kind]);
            let script = format!("{script}; find /w | sort");
            let ran = Ran::of(with_ids(
                &place,
                &before,
                &["fim-root", "bash", "-c", &script],
            ));
            assert_eq!(ran.code, 0, "{ran:?}");
            assert_eq!(
                ran.err.contains("unionfs-fuse cannot be used"),
                kind == "unionfs",
                "{ran:?}"
            );
            ran.out
        };
        assert_eq!(left("unionfs", "rm -r /w/a"), "/w\n/w/b\n/w/c\n");
        assert_eq!(left("overlayfs", "rm /w/b"), "/w\n/w/c\n");
        assert_eq!(left("bwrap", "mkdir /w/a"), "/w\n/w/a\n/w/c\n");
        succeed(&place, &before, &["fim-layer", "commit", "layer"]);
        assert_eq!(left("overlayfs", ":"), "/w\n/w/a\n/w/c\n");
        succeed(&place, &before, &["fim-data", "purge"]);
        forget(&place);
        place.assert_clean();
    }
}

#[test]
fn a_data_directory_keeps_the_ids_that_it_was_made_with() {
    for who in ordinary() {
        let place = Place::blueprint(who);
        let before = subordinate(&place);
        place.shell("true");
        place.succeed(&["fim-ids", "set", "subordinate"]);
        let ran = Ran::of(with_ids(&place, &before, &["fim-exec", "true"]));
        assert_eq!(ran.code, 125, "{ran:?}");
        assert!(ran.err.contains("was made with the one id"), "{ran:?}");
        assert_eq!(ran.err.lines().count(), 1, "{ran:?}");
        place.succeed(&["fim-ids", "clear"]);
        place.shell("true");
        forget(&place);
        place.assert_clean();
    }
}

#[test]
fn subordinate_ids_that_cannot_be_had_are_told_in_one_line() {
    for who in ordinary().into_iter().filter(|who| *who == Who::Ordinary) {
        let place = Place::blueprint(who);
        let before = subordinate(&place);
        place.succeed(&["fim-ids", "set", "subordinate"]);
        // An account that no list names.
        let line = place.fail(125, &["fim-exec", "true"]);
        assert!(
            line.contains("has no subordinate ids; as root, `usermod"),
            "{line}"
        );
        for (without, words) in [
            ("mount --bind /dev/null /usr/bin/newgidmap", "newgidmap"),
            (support::prepared::NO_FUSE, "this needs FUSE"),
        ] {
            let ran = Ran::of(with_ids(
                &place,
                &format!("{before} && {without}"),
                &["fim-exec", "true"],
            ));
            assert_eq!((ran.code, ran.err.lines().count()), (125, 1), "{ran:?}");
            assert!(ran.err.contains(words), "{ran:?}");
        }
        forget(&place);
        place.assert_gone();
        assert!(!place.data().join("root").exists());
    }
}

#[test]
fn what_real_root_binds_has_the_owners_that_it_has_on_the_host() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let place = Place::blueprint(Who::Caller);
    let secret = place.write("secret", "told\n");
    fs::set_permissions(&secret, PermissionsExt::from_mode(0o600)).unwrap();
    let shared = place.path().join("shared");
    fs::create_dir(&shared).unwrap();
    for [access, path, target] in [
        ["ro", &secret.to_string_lossy(), "/secret"],
        ["rw", &shared.to_string_lossy(), "/shared"],
    ] {
        place.succeed(&["fim-bind", "add", access, path, target]);
    }
    place.succeed(&["fim-perms", "add", "home"]);
    assert_eq!(
        place.shell("cat /secret; > ~/mine; stat -c '%u %g' ~/mine"),
        "told\n0 0\n"
    );
    let ran = place.run(&["fim-exec", "bash", "-c", "> /secret"]);
    assert!(ran.code == 1 && ran.err.contains("Read-only"), "{ran:?}");
    place.succeed(&[
        "fim-root",
        "bash",
        "-c",
        "> /shared/given; chown 33:34 /shared/given; > /shared/own",
    ]);
    let owner = |path: PathBuf| {
        let found = fs::symlink_metadata(path).unwrap();
        (found.uid(), found.gid())
    };
    assert_eq!(owner(place.home().join("mine")), (0, 0));
    assert_eq!(owner(shared.join("given")), (33, 34));
    assert_eq!(owner(shared.join("own")), (0, 0));
    // A filesystem that cannot is named.
    place.succeed(&["fim-bind", "add", "rw", "/dev/pts", "/kernel"]);
    let ran = place.run(&["fim-exec", "true"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(
        ran.err
            .contains("bindings: the filesystem of /dev/pts (devpts)"),
        "{ran:?}"
    );
    for path in [secret, place.home().join("mine")] {
        fs::remove_file(path).unwrap();
    }
    fs::remove_dir_all(shared).unwrap();
    place.assert_clean();
}

#[test]
fn real_root_has_ids_of_its_own_whatever_is_set() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let place = Place::blueprint(Who::Caller);
    place.succeed(&["fim-ids", "set", "subordinate"]);
    let plan = place.succeed(&["fim-plan"]);
    assert!(
        plan.contains("65536 ids from the host's 524288 on"),
        "{plan}"
    );
    place.shell("true");
    place.assert_clean();
}

#[test]
fn what_newuidmap_refuses_is_said_with_what_mends_it() {
    for who in ordinary() {
        let place = Place::blueprint(who);
        let before = subordinate(&place);
        place.succeed(&["fim-ids", "set", "subordinate"]);
        let programs = place.path().join("programs");
        fs::create_dir(&programs).unwrap();
        let refuses = programs.join("newuidmap");
        fs::write(
            &refuses,
            "#!/bin/sh\necho newuidmap: write to uid_map failed: Operation not permitted >&2\nexit 1\n",
        )
        .unwrap();
        fs::set_permissions(&refuses, fs::Permissions::from_mode(0o755)).unwrap();
        let mut command = with_ids(&place, &before, &["fim-exec", "true"]);
        let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", programs.display());
        let ran = Ran::of({
            command.env("PATH", path);
            command
        });
        assert_eq!((ran.code, ran.err.lines().count()), (125, 1), "{ran:?}");
        for part in [
            "write to uid_map failed",
            "set-user-id",
            "`uidmap`",
            "/etc/subuid",
        ] {
            assert!(ran.err.contains(part), "{ran:?}");
        }
        fs::remove_dir_all(programs).unwrap();
        succeed(&place, &before, &["fim-data", "purge"]);
        forget(&place);
        place.assert_clean();
    }
}
