//! A failure is explained when it is known what the program was denied, and only then.

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use support::compiled::compiled;
use support::running::Running;
use support::{Place, Ran, Who, everybody};

const NESTED: &str = "hint: a program was denied namespaces of its own, which a sandbox is made of; if it failed because of that, \
                      `fim-perms add nested` opens it from the next start on\n";
const DEVEL: &str = "hint: a program was denied a look into another one; if it failed because of that, `fim-perms add devel` opens \
                     it from the next start on\n";
const NETWORK: &str = "hint: a program tried to reach a network and there is none; if it failed because of that, `fim-perms add \
                       network` opens it from the next start on\n";

fn display(name: &str) -> String {
    format!(
        "hint: the program is one with windows and has no display; if it failed because of that, `fim-perms add {name}` opens it \
         from the next start on\n"
    )
}

/// An image with the program at `/want`.
fn with_program(who: Who) -> Place {
    let place = Place::blueprint(who);
    let program = compiled(&place, "hints/want.c", &[]);
    let bind = ["fim-bind", "add", "ro", &program.to_string_lossy(), "/want"];
    place.succeed(&bind);
    place
}

/// A container in which namespaces would be of use: user id 0 needs a right that real root alone has.
fn how(who: Who) -> &'static str {
    match nix::unistd::geteuid().is_root() && who == Who::Caller {
        true => "fim-root",
        false => "fim-exec",
    }
}

fn want(place: &Place, wishes: &str) -> Ran {
    run(place, how(place.who), wishes)
}

fn run(place: &Place, how: &str, wishes: &str) -> Ran {
    let words = [how, "/want"];
    let words: Vec<&str> = words.into_iter().chain(wishes.split(' ')).collect();
    place.run(&words)
}

fn done(place: &Place) {
    std::fs::remove_file(place.path().join("want")).unwrap();
    place.assert_clean();
}

#[test]
fn what_was_denied_is_said_after_a_failure() {
    for who in everybody() {
        let place = with_program(who);
        for (wishes, code, hint) in [
            ("unshare 3", 3, NESTED),
            ("clone 1", 1, NESTED),
            ("ptrace 1", 1, DEVEL),
            ("tcp 1", 1, NETWORK),
            ("tcp6 1", 1, NETWORK),
            ("udp 2", 2, NETWORK),
            ("resolve 1", 1, NETWORK),
            ("unshare abort", 134, NESTED),
            // The surest one alone.
            ("tcp unshare 1", 1, NESTED),
        ] {
            let ran = want(&place, wishes);
            assert_eq!(
                (ran.code, ran.err.as_str(), ran.out.as_str()),
                (code, hint, ""),
                "{wishes} {who:?}"
            );
        }
        done(&place);
    }
}

#[test]
fn nothing_is_said_without_a_failure_or_without_a_sign() {
    for who in everybody() {
        let place = with_program(who);
        for (wishes, code) in [
            ("unshare tcp ptrace 0", 0),
            ("1", 1),
            ("local 1", 1),
            ("abort", 134),
            // Somebody has ended it.
            ("unshare tcp terminate", 143),
        ] {
            let ran = want(&place, wishes);
            assert_eq!((ran.code, ran.err.as_str()), (code, ""), "{wishes} {who:?}");
        }
        done(&place);
    }
}

#[test]
fn what_is_open_is_not_blamed() {
    for who in everybody() {
        let place = with_program(who);
        for (permission, wishes, rest) in [
            ("nested", "unshare clone 1", NETWORK),
            ("devel", "ptrace 1", NETWORK),
            ("network", "tcp6 udp resolve 1", NESTED),
        ] {
            place.succeed(&["fim-perms", "set", permission]);
            let ran = want(&place, wishes);
            assert_eq!(
                (ran.code, ran.err.as_str()),
                (1, ""),
                "{permission} {who:?}"
            );
            let plan = place.succeed(&["fim-plan"]);
            let hints = plan.lines().find(|line| line.starts_with("hints"));
            assert!(!hints.unwrap().contains(permission), "{plan}");
            // What is closed still is.
            let other = if rest == NESTED { "unshare 1" } else { "tcp 1" };
            assert_eq!(want(&place, other).err, rest, "{permission} {who:?}");
        }
        // A network that is shared by another setting is there as well.
        place.succeed(&["fim-perms", "clear"]);
        place.succeed(&["fim-unshare", "del", "net"]);
        assert_eq!(want(&place, "resolve 1").err, "", "{who:?}");
        done(&place);
    }
}

#[test]
fn what_would_not_help_is_not_blamed() {
    for who in everybody() {
        let place = with_program(who);
        let other = match how(who) {
            "fim-root" => "fim-exec",
            _ => "fim-root",
        };
        // User id 0 without the right to be mapped once more: `nested` would be of no use to it.
        assert_eq!(run(&place, other, "unshare 1").err, "", "{who:?}");
        assert_eq!(run(&place, other, "unshare ptrace 1").err, DEVEL, "{who:?}");
        done(&place);
    }
}

#[test]
fn hints_can_be_turned_off() {
    for who in everybody() {
        let place = with_program(who);
        let run = |value: &str| {
            let mut command = place.image(&[how(who), "/want", "unshare", "tcp", "1"]);
            command.env("FIM_HINTS", value);
            Ran::of(command)
        };
        assert_eq!(run("off").err, "");
        assert_eq!(run("on").err, NESTED);
        let ran = run("never");
        assert_eq!((ran.code, ran.err.lines().count()), (125, 1), "{ran:?}");
        assert!(ran.err.contains("FIM_HINTS: `never` is unknown"), "{ran:?}");
        done(&place);
    }
}

#[test]
fn a_guest_is_told_of_its_own_program_and_of_no_other() {
    for who in everybody() {
        let place = with_program(who);
        let start = |script| Running::ready(place.image(&[how(who), "bash", "-c", script]));
        let mut own = start("echo ready; read -r line; exit 9");
        let guest = |wishes: &str| {
            let words = ["fim-instance", "exec", "0", "/want"];
            let words: Vec<&str> = words.into_iter().chain(wishes.split(' ')).collect();
            place.run(&words)
        };
        for (wishes, hint) in [
            ("unshare 1", NESTED),
            ("1", ""),
            ("ptrace 1", DEVEL),
            ("unshare 0", ""),
        ] {
            assert_eq!(guest(wishes).err, hint, "{wishes} {who:?}");
        }
        own.say("end");
        let ran = own.end();
        assert_eq!((ran.code, ran.err.as_str()), (9, ""), "{who:?}");
        // What was sent before a guest began is not its own.
        let own =
            place.start("exec 2>/dev/null; : >/dev/tcp/192.0.2.1/80; echo ready; read -r line");
        assert_eq!(guest("1").err, "", "{who:?}");
        assert_eq!(guest("tcp 1").err, NETWORK, "{who:?}");
        assert_eq!(own.end().err, NETWORK, "{who:?}");
        done(&place);
    }
}

/// A program that names a library of that name, in a directory with the library.
fn program_with(place: &Place, library: &str) -> PathBuf {
    let directory = place.path().join("libraries");
    std::fs::create_dir_all(&directory).unwrap();
    let run = |arguments: &[&str], source: &str| {
        let source_file = directory.join("source.c");
        std::fs::write(&source_file, source).unwrap();
        let mut compiler = Command::new("gcc");
        compiler
            .current_dir(&directory)
            .args(arguments)
            .arg("source.c");
        let ran = Ran::of(compiler);
        assert_eq!(ran.code, 0, "{}", ran.err);
    };
    run(
        &[
            "-shared",
            "-fPIC",
            &format!("-Wl,-soname,{library}"),
            "-o",
            library,
        ],
        "int shown = 0;\n",
    );
    let linked = format!("./{library}");
    run(
        &[
            "-Wl,--no-as-needed,-rpath,/libraries",
            "-o",
            "window",
            &linked,
            "-x",
            "c",
        ],
        "#include <stdlib.h>\nint main(int c, char **v) { return c > 1 ? atoi(v[1]) : 1; }\n",
    );
    directory
}

#[test]
fn a_program_with_windows_and_no_display_is_told_of_the_callers() {
    for who in everybody() {
        let place = Place::blueprint(who);
        for directory in ["/usr", "/lib", "/lib64"] {
            if Path::new(directory).exists() {
                place.succeed(&["fim-bind", "add", "ro", directory, directory]);
            }
        }
        let at = place.path().join("libraries");
        place.succeed(&["fim-bind", "add", "ro", &at.to_string_lossy(), "/libraries"]);
        let run = |code: &str, variables: &[(&str, &str)]| {
            let mut command = place.image(&["fim-exec", "/libraries/window", code]);
            let ran = Ran::of({
                command.envs(variables.iter().copied());
                command
            });
            assert_eq!(ran.code.to_string(), code, "{ran:?}");
            ran.err
        };
        let both = [("DISPLAY", ":7"), ("WAYLAND_DISPLAY", "wayland-7")];
        program_with(&place, "libxcb.so.1");
        assert_eq!(run("1", &both), display("xorg"));
        assert_eq!(run("0", &both), "");
        assert_eq!(run("1", &both[1..]), "");
        program_with(&place, "libwayland-client.so.0");
        assert_eq!(run("1", &both), display("wayland"));
        assert_eq!(run("1", &[]), "");
        program_with(&place, "libzstd-of-no-windows.so.1");
        assert_eq!(run("1", &both), "");
        program_with(&place, "libX11.so.6");
        for permission in ["xorg", "wayland"] {
            place.succeed(&["fim-perms", "set", permission]);
            assert_eq!(run("1", &both), "", "{permission}");
        }
        std::fs::remove_dir_all(at).unwrap();
        place.assert_clean();
    }
}
