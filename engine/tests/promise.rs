//! The chapter on what the sandbox promises: each line of it names the tests that show it, and the ones here are those
//! that stand nowhere else.

mod support;

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use support::{Place, Ran, chapter, everybody};

/// The lines of the tables of the chapter that promise something: what, how, and the tests.
fn promises() -> Vec<(String, Vec<String>)> {
    let text = chapter::read("sandbox.md");
    let table = text.split("## What holds").nth(1).unwrap();
    let table = table.split("\n## ").next().unwrap();
    table
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| |"))
        .map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
            let [what, _, tests] = cells.as_slice() else {
                panic!("{line}")
            };
            let tests = tests
                .split(", ")
                .map(|test| test.trim_matches('`').to_owned());
            ((*what).to_owned(), tests.collect())
        })
        .collect()
}

#[test]
fn every_promise_is_shown_by_a_test() {
    let promises = promises();
    assert!(promises.len() >= 18, "{promises:?}");
    for (what, tests) in promises {
        for test in tests {
            let (file, name) = test
                .split_once("::")
                .unwrap_or_else(|| panic!("{what}: {test}"));
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/{file}.rs"));
            let source = fs::read_to_string(&path).unwrap_or_default();
            let is_there = source.contains(&format!("#[test]\nfn {name}() {{"));
            assert!(is_there, "{what}: there is no test {test}");
        }
    }
}

#[test]
fn the_devices_are_the_usual_ones() {
    for who in everybody() {
        let place = Place::blueprint(who);
        let devices = "core\nfd\nfull\nnull\nptmx\npts\nrandom\nshm\nstderr\nstdin\nstdout\ntty\nurandom\nzero\n";
        assert_eq!(place.shell("ls /dev"), devices);
        assert_eq!(
            place.shell("ls /dev/pts; head -c 3 /dev/zero | wc -c"),
            "ptmx\n3\n"
        );
        place.assert_clean();
    }
}

#[test]
fn what_tells_of_the_hardware_is_hidden_and_what_sets_the_kernel_is_read_only() {
    let hidden = "acpi asound kcore keys key-users latency_stats sched_debug scsi timer_list";
    let read_only = "bus fs irq sys sysrq-trigger";
    for who in everybody() {
        let place = Place::blueprint(who);
        for how in ["fim-exec", "fim-root"] {
            let script = format!(
                "cd /proc; for name in {hidden}; do \
                     test -d $name && ls -A $name || cat $name 2>/dev/null; \
                 done; \
                 for name in {read_only}; do \
                     test ! -e $name || grep -q \" /proc/$name proc ro,\" self/mounts || echo $name; \
                 done; \
                 ls -A /sys; echo x 2>/dev/null > sys/kernel/core_pattern && echo written; true"
            );
            assert_eq!(place.succeed(&[how, "bash", "-c", &script]), "");
        }
        place.assert_clean();
    }
}

#[test]
fn what_is_in_memory_is_gone_at_the_end() {
    for who in everybody() {
        let place = Place::blueprint(who);
        for directory in ["/tmp", "/run", "/dev/shm"] {
            let kind = place.shell(&format!(
                "grep \" {directory} tmpfs \" /proc/self/mounts | wc -l"
            ));
            assert_eq!(kind, "1\n", "{directory}");
        }
        place.shell("echo x > /tmp/left; echo x > /dev/shm/left; echo x > $XDG_RUNTIME_DIR/left");
        let left =
            place.shell("ls /tmp/left /dev/shm/left $XDG_RUNTIME_DIR/left 2>/dev/null; true");
        assert_eq!(left, "");
        place.assert_clean();
    }
}

#[test]
fn of_the_hosts_variables_only_the_named_ones_come_along() {
    let named = [
        "TERM",
        "TERM_PROGRAM",
        "COLORTERM",
        "COLUMNS",
        "LINES",
        "NO_COLOR",
        "TZ",
        "LANG",
        "LANGUAGE",
        "LC_TIME",
    ];
    for who in everybody() {
        let place = Place::blueprint(who);
        let mut command = place.image(&["fim-exec", "env"]);
        for name in
            named
                .iter()
                .chain(&["LD_PRELOAD_NOT", "SSH_AUTH_SOCK", "DISPLAY", "XAUTHORITY"])
        {
            command.env(name, "of-the-host");
        }
        let ran = Ran::of(command);
        let lines = ran
            .out
            .lines()
            .filter_map(|line| line.strip_suffix("=of-the-host"));
        let came: BTreeSet<&str> = lines.collect();
        assert_eq!(came, BTreeSet::from(named), "{}", ran.err);
        place.assert_clean();
    }
}

#[test]
fn the_network_is_a_loopback_interface() {
    for who in everybody() {
        let place = Place::blueprint(who);
        let interfaces =
            place.shell("tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' '; cat /proc/net/route");
        let header_only = interfaces.lines().count() == 2;
        assert!(
            interfaces.starts_with("lo\n") && header_only,
            "{interfaces}"
        );
        // Somebody answers, and be it that nobody listens.
        let said = place.shell("(echo > /dev/tcp/127.0.0.1/4000) 2>&1 | tail -n 1");
        assert!(said.contains("Connection refused"), "{said}");
        place.assert_clean();
    }
}

#[test]
fn the_data_directory_is_closed_to_others() {
    for who in everybody() {
        let place = Place::blueprint(who);
        place.succeed(&["fim-exec", "true"]);
        let mode = fs::metadata(place.data()).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o700);
        fs::set_permissions(place.data(), Permissions::from_mode(0o750)).unwrap();
        let said = place.fail(125, &["fim-exec", "true"]);
        assert!(said.contains(".app.flatimage.data"), "{said}");
        fs::set_permissions(place.data(), Permissions::from_mode(0o700)).unwrap();
        place.succeed(&["fim-exec", "true"]);
        place.assert_clean();
    }
}
