//! Programs that make a sandbox of their own, as browsers do: with `nested` they run, without it a hint says what they lack.
#![cfg(target_arch = "x86_64")]

mod support;

use support::compiled::compiled;
use support::{Place, Ran, Who, everybody};

/// Whoever is user id 0 needs the capabilities of `fim-root` to map that id once more.
fn how(who: Who) -> &'static str {
    match nix::unistd::geteuid().is_root() && who == Who::Caller {
        true => "fim-root",
        false => "fim-exec",
    }
}

fn run(place: &Place, line: &str) -> Ran {
    let words: Vec<&str> = [how(place.who)]
        .into_iter()
        .chain(line.split(' '))
        .collect();
    place.run(&words)
}

/// Demands that a program fails and is explained, and runs with `nested`; answers what it prints then.
fn only_nested(place: &Place, line: &str) -> String {
    let ran = run(place, line);
    assert_ne!(ran.code, 0, "{line} {ran:?}");
    let hint = ran.err.lines().last().unwrap_or_default();
    assert!(
        hint.starts_with("hint: a program was denied namespaces"),
        "{line} {ran:?}"
    );
    assert!(hint.contains("`fim-perms add nested`"), "{line} {ran:?}");
    place.succeed(&["fim-perms", "add", "nested"]);
    let ran = run(place, line);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{line} {ran:?}");
    place.succeed(&["fim-perms", "clear"]);
    ran.out
}

#[test]
fn a_zygote_like_chromiums_needs_nested_and_nothing_else() {
    for who in everybody() {
        let place = Place::blueprint(who);
        let program = compiled(&place, "sandboxes/zygote.c", &[]);
        place.succeed(&[
            "fim-bind",
            "add",
            "ro",
            &program.to_string_lossy(),
            "/zygote",
        ]);
        assert_eq!(
            only_nested(&place, "/zygote"),
            "memory\nprobe\nmap\nfirst of its processes\nroot in nothing\nfirst again\nno capabilities\nfilter\ndenied by it\n\
             shared memory\ntrapped by it\nzygote\nshared with it\n"
        );
        std::fs::remove_file(program).unwrap();
        place.assert_clean();
    }
}

#[test]
fn bwrap_and_unshare_make_all_namespaces_inside() {
    for who in everybody() {
        let place = Place::blueprint(who);
        for directory in ["/usr", "/lib", "/lib64", "/bin"] {
            place.succeed(&["fim-bind", "add", "ro", directory, directory]);
        }
        assert_eq!(
            only_nested(&place, "/usr/bin/unshare -Ur /usr/bin/id -u"),
            "0\n"
        );
        assert_eq!(
            only_nested(
                &place,
                "/usr/bin/bwrap --unshare-all --ro-bind / / /usr/bin/true"
            ),
            ""
        );
        let whole = "/usr/bin/bwrap --unshare-all --die-with-parent --ro-bind / / --tmpfs /tmp --proc /proc --dev /dev \
                     /usr/bin/cat /proc/self/comm";
        assert_eq!(only_nested(&place, whole), "cat\n");
        // A sandbox in the sandbox in the container.
        let twice = "/usr/bin/bwrap --unshare-all --dev-bind / / --proc /proc -- /usr/bin/bwrap --unshare-all --ro-bind / / \
                     --proc /proc --dev /dev /usr/bin/true";
        assert_eq!(only_nested(&place, twice), "");
        place.assert_clean();
    }
}
