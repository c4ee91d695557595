//! System calls that programs in a container cannot make.
#![cfg(target_arch = "x86_64")]

mod support;

use std::collections::BTreeMap;
use std::fs;

use support::compiled::compiled;
use support::{Place, Ran, Who, everybody};

/// An image with the program at `/calls`, which permissions add to.
fn with_program(place: &Place, program: &std::path::Path) {
    place.succeed(&[
        "fim-bind",
        "add",
        "ro",
        &program.to_string_lossy(),
        "/calls",
    ]);
}

/// What the program has printed: what it tried and the name of the error, or `ok`.
fn tried(text: &str) -> BTreeMap<String, String> {
    let lines = text.lines().filter_map(|line| line.split_once(' '));
    lines
        .map(|(name, result)| (name.to_owned(), result.to_owned()))
        .collect()
}

const RARE: [&str; 2] = ["socket-vsock", "socket-alg"];
const GONE: [&str; 4] = ["clone3", "io_uring_setup", "newer", "x32"];

fn expected(name: &str) -> &'static str {
    let name = name.strip_prefix("int80-").unwrap_or(name);
    match name {
        _ if RARE.contains(&name) => "EAFNOSUPPORT",
        _ if GONE.contains(&name) => "ENOSYS",
        _ => "EPERM",
    }
}

#[test]
fn a_hostile_program_is_denied_every_call_of_the_filter() {
    for who in everybody() {
        let place = Place::blueprint(who);
        let program = compiled(&place, "calls/calls.c", &[]);
        let outside = tried(&Ran::of(place.command(&program)).out);
        with_program(&place, &program);
        for how in ["fim-exec", "fim-root"] {
            let inside = tried(&place.succeed(&[how, "/calls"]));
            assert!(inside.len() >= 45, "{inside:?}");
            for (name, result) in &inside {
                assert_eq!(result, expected(name), "{name} {how}");
            }
            // The program bites: most of what is denied inside is answered otherwise outside.
            let other = inside
                .iter()
                .filter(|(name, result)| outside.get(*name) != Some(result));
            assert!(other.count() > 20, "{outside:?}");
        }
        fs::remove_file(&program).unwrap();
        place.assert_clean();
    }
}

#[test]
fn permissions_allow_their_rules_and_no_other() {
    for who in everybody() {
        let place = Place::blueprint(who);
        let program = compiled(&place, "calls/calls.c", &[]);
        with_program(&place, &program);
        for (permission, opened) in [
            (
                "devel",
                &[
                    "ptrace",
                    "process_vm_readv",
                    "process_vm_writev",
                    "kcmp",
                    "pidfd_getfd",
                    "perf_event_open",
                ][..],
            ),
            (
                "nested",
                &[
                    "unshare",
                    "clone",
                    "setns",
                    "clone3",
                    "mount",
                    "umount2",
                    "pivot_root",
                    "fsopen",
                    "move_mount",
                    "open_tree",
                    "fsconfig",
                    "fsmount",
                    "fspick",
                    "mount_setattr",
                ],
            ),
        ] {
            place.succeed(&["fim-perms", "set", permission]);
            let plan = place.succeed(&["fim-plan"]);
            assert!(
                plan.contains(&format!("# permissions {permission}")),
                "{plan}"
            );
            let inside = tried(&place.succeed(&["fim-exec", "/calls"]));
            for (name, result) in &inside {
                let plain = name.strip_prefix("int80-").unwrap_or(name);
                match opened.contains(&plain) {
                    // What the kernel says of its own accord may be the same error.
                    true => assert_ne!(result, "ENOSYS", "{name} {permission}"),
                    false => assert_eq!(result, expected(name), "{name} {permission}"),
                }
            }
            let works = if permission == "devel" {
                "ptrace"
            } else {
                "unshare"
            };
            assert_eq!(inside[works], "ok", "{permission}");
        }
        fs::remove_file(&program).unwrap();
        place.assert_clean();
    }
}

#[test]
fn a_sandbox_works_inside_when_it_is_allowed_and_not_otherwise() {
    for who in everybody() {
        let place = Place::blueprint(who);
        for directory in ["/usr", "/lib", "/lib64", "/bin"] {
            place.succeed(&["fim-bind", "add", "ro", directory, directory]);
        }
        // Whoever is user id 0 needs the capabilities of `fim-root` to map that id once more.
        let how = match nix::unistd::geteuid().is_root() && who == Who::Caller {
            true => "fim-root",
            false => "fim-exec",
        };
        let sandbox = "/usr/bin/bwrap --unshare-all --ro-bind / / --proc /proc /usr/bin/id -u";
        let sandboxed: Vec<&str> = std::iter::once(how).chain(sandbox.split(' ')).collect();
        let ran = place.run(&sandboxed);
        assert_ne!(ran.code, 0, "{ran:?}");
        place.succeed(&["fim-perms", "add", "nested"]);
        let ran = place.run(&sandboxed);
        assert_eq!(ran.code, 0, "{ran:?}");
        place.assert_clean();
    }
}

#[test]
fn a_32_bit_program_runs_and_is_denied_the_same() {
    for who in everybody() {
        let place = Place::blueprint(who);
        let program = compiled(
            &place,
            "calls/calls32.c",
            &[
                "-m32",
                "-nostdlib",
                "-fno-pie",
                "-no-pie",
                "-fno-stack-protector",
            ],
        );
        with_program(&place, &program);
        for how in ["fim-exec", "fim-root"] {
            let ran = place.run(&[how, "/calls"]);
            // The program has a comment for each of them.
            assert_eq!(ran.out, "32\n1111111111111", "{how} {ran:?}");
        }
        fs::remove_file(&program).unwrap();
        place.assert_clean();
    }
}

#[test]
fn every_process_of_the_container_is_filtered() {
    for who in everybody() {
        let place = Place::blueprint(who);
        let seen = place.shell("grep -h ^Seccomp: /proc/self/status /proc/1/status");
        assert_eq!(seen, "Seccomp:\t2\nSeccomp:\t2\n");
        place.assert_clean();
    }
}
