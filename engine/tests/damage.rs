//! Damage of real images: what is said, what goes on working, and that nothing deleted stays.

mod support;

use std::fs;

use support::Who;
use support::store::{blueprint, finished, flip, layer, offset_of, resize, start, verified};

#[test]
fn a_deleted_secret_is_nowhere_in_the_file() {
    let place = blueprint(Who::Caller);
    let secret = "correct-horse-battery-staple";
    let holds = || {
        let bytes = fs::read(&place.image).unwrap();
        bytes
            .windows(secret.len())
            .any(|window| window == secret.as_bytes())
    };
    place.succeed(&["fim-env", "add", &format!("TOKEN={secret}")]);
    assert!(holds());
    place.succeed(&["fim-env", "del", "TOKEN"]);
    assert!(!holds());
    let line = place.fail(125, &["fim-boot", "set", "true", &"x".repeat(40_000)]);
    assert!(line.contains("bytes too long"), "{line}");
}

/// A command that prints each setting, and one that stores a value in it.
const SETTINGS: [(&str, &[&str], &[&str]); 4] = [
    (
        "permissions",
        &["fim-perms", "list"],
        &["fim-perms", "add", "home"],
    ),
    (
        "environment",
        &["fim-env", "list"],
        &["fim-env", "add", "A=1"],
    ),
    (
        "bindings",
        &["fim-bind", "list"],
        &["fim-bind", "add", "ro", "/etc", "/host-etc"],
    ),
    ("boot", &["fim-boot", "show"], &["fim-boot", "set", "true"]),
];

#[test]
fn a_flipped_bit_is_named_and_the_rest_works() {
    for (name, print, _) in SETTINGS {
        let place = blueprint(Who::Caller);
        for (_, _, store) in SETTINGS {
            place.succeed(store);
        }
        let default = blueprint(Who::Caller).succeed(print);
        let offset = offset_of(&place, "setting", name);
        // The last write went into the second slot, so that both are hit: one is empty.
        let size = flatimage_reserved::declared::REGIONS
            .iter()
            .find(|region| region.name == name)
            .unwrap()
            .size;
        let second = offset + size / 2;
        flip(&place, second + 33);
        let line = place.fail(125, print);
        for part in [
            format!("`{name}`"),
            format!("byte {offset}"),
            format!("fim-reset {name}"),
            "default".into(),
        ] {
            assert!(line.contains(&part), "{line}: {part}");
        }
        for (other, print, _) in SETTINGS.iter().filter(|(other, ..)| *other != name) {
            assert_eq!(place.run(print).code, 0, "{other} beside {name}");
        }
        let ran = place.run(&["fim-exec", "bash", "-c", "ls -d /host-etc; echo A=$A"]);
        assert_eq!(
            ran.err.lines().next().map(|line| line.contains(name)),
            Some(true),
            "{ran:?}"
        );
        assert!(
            ran.out.ends_with(if name == "environment" {
                "A=\n"
            } else {
                "A=1\n"
            }),
            "{ran:?}"
        );
        assert_eq!(
            ran.out.contains("/host-etc\n"),
            name != "bindings",
            "{ran:?}"
        );
        let plan = place.run(&["fim-plan", "true"]);
        let home = format!(" {} ", place.home().display());
        assert_eq!(
            plan.out.contains(&home),
            name != "permissions",
            "{}",
            plan.out
        );
        let verify = place.run(&["fim-verify"]);
        let damaged: Vec<&str> = verify
            .out
            .lines()
            .filter(|line| line.starts_with("damaged"))
            .collect();
        assert_eq!((verify.code, damaged.len()), (1, 1), "{verify:?}");
        assert!(
            damaged[0].contains(&format!("setting {name} at {offset}")),
            "{damaged:?}"
        );
        place.succeed(&["fim-reset", name]);
        assert_eq!(place.succeed(print), default);
        place.succeed(&["fim-verify"]);
    }
}

#[test]
fn a_damaged_list_of_layers_starts_nothing_and_is_made_anew() {
    let place = blueprint(Who::Caller);
    let added = layer(&place, "added");
    place.succeed(&["fim-layer", "add", &added]);
    let listed = place.succeed(&["fim-layer", "list"]);
    let offset = offset_of(&place, "setting", "layers");
    for slot in [0, 512] {
        flip(&place, offset + slot + 33);
    }
    let line = place.fail(125, &["fim-exec", "true"]);
    assert!(
        line.contains("fim-reset layers") && line.contains("nothing is started"),
        "{line}"
    );
    place.succeed(&["fim-reset", "layers"]);
    assert_eq!(place.succeed(&["fim-layer", "list"]), listed);
    assert_eq!(place.shell("cat /added"), "added");
}

#[test]
fn every_damaged_part_is_found() {
    let place = blueprint(Who::Caller);
    let added = layer(&place, "added");
    place.succeed(&["fim-layer", "add", &added]);
    let parts = verified(&place);
    assert!(parts.iter().all(|part| part["ok"] == true), "{parts:?}");
    for kind in ["reserved space", "layer", "tool"] {
        let of_kind: Vec<_> = parts.iter().filter(|part| part["kind"] == kind).collect();
        assert!(!of_kind.is_empty(), "{kind}");
        for part in of_kind {
            let offset = part["offset"].as_u64().unwrap() + 40;
            flip(&place, offset);
            let ran = place.run(&["fim-verify"]);
            let damaged: Vec<&str> = ran
                .out
                .lines()
                .filter(|line| line.starts_with("damaged"))
                .collect();
            assert_eq!((ran.code, damaged.len()), (1, 1), "{kind}: {ran:?}");
            assert!(
                damaged[0].starts_with(&format!("damaged  {kind}")),
                "{damaged:?}"
            );
            flip(&place, offset);
        }
    }
    place.succeed(&["fim-verify"]);
}

#[test]
fn files_that_are_cut_off_or_no_image_are_answered_in_one_line() {
    let place = blueprint(Who::Caller);
    let reserved = offset_of(&place, "reserved space", "");
    let environment = offset_of(&place, "setting", "environment");
    for (length, command, what) in [
        (environment + 10, ["fim-env", "list"], "cut off"),
        (environment + 10, ["fim-exec", "true"], "cut off"),
        (
            reserved + 100,
            ["fim-perms", "list"],
            "description of the reserved space is damaged",
        ),
        (reserved, ["fim-perms", "list"], "no reserved space"),
    ] {
        let cut = blueprint(Who::Caller);
        resize(&cut, length);
        let ran = finished(start(&cut, &command));
        assert_eq!(
            (ran.code, ran.out.as_str(), ran.err.lines().count()),
            (125, "", 1),
            "{ran:?}"
        );
        let line = ran.err;
        assert!(line.contains(what), "{line}");
    }
    let added = layer(&place, "added");
    let half = fs::read(&added).unwrap();
    fs::write(&added, &half[..half.len() / 2]).unwrap();
    let line = place.fail(125, &["fim-layer", "add", &added]);
    assert!(line.contains("no whole layer"), "{line}");
    let line = place.fail(125, &["fim-reset", "enviroment"]);
    assert!(line.contains("did you mean `environment`?"), "{line}");
}
