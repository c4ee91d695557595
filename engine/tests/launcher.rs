//! The program that an image begins with, which executes the one that works.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use deploy::marker;
use support::{Place, Ran, everybody};

/// Where the marker says how large the runtime is; the seventh of eight bytes.
const CLAIM: u64 = marker::OFFSET as u64 + 40 + 6;

/// Overwrites `count` bytes from `at` on. By another program, because none may have the image open for writing that starts it.
fn damage(place: &Place, at: u64, count: usize) {
    // Another one than is there, and most often 255.
    let byte = match fs::read(&place.image).unwrap()[at as usize] {
        255 => 0,
        _ => 255,
    };
    let bytes = format!("\\{byte:03o}").repeat(count);
    let script = format!("printf '{bytes}' | dd of=\"$0\" bs=1 seek={at} conv=notrunc status=none");
    let mut shell = std::process::Command::new("sh");
    let status = shell.args(["-c", &script]).arg(&place.image).status();
    assert!(status.unwrap().success());
}

fn set_mode(place: &Place, mode: u32) {
    fs::set_permissions(&place.image, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn what_it_is_told_by_others_and_first_starts_at_once_do_not_matter() {
    for who in everybody() {
        let place = Place::blueprint(who);
        let start = || {
            let mut command = place.image(&["fim-exec", "bash", "-c", "echo $0 $FIM_REEXEC", "is"]);
            command.env("FIM_REEXEC", "0123:/tmp/another.flatimage");
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
            command.spawn().unwrap()
        };
        let first: Vec<_> = (0..8).map(|_| start()).collect();
        for child in first {
            let ran = Ran::from(child.wait_with_output().unwrap());
            assert_eq!(
                (ran.out.as_str(), ran.err.as_str()),
                ("is\n", ""),
                "{ran:?}"
            );
        }
        // One copy was made, whoever was first.
        let kept = fs::read_dir(place.home().join(".cache/flatimage")).unwrap();
        assert_eq!(kept.count(), 1);
        place.assert_clean();
    }
}

#[test]
fn a_damaged_image_is_said_to_be_one_and_leaves_nothing() {
    for who in everybody() {
        // Nobody looks at a sum then: it is found that it does not unpack.
        for (at, count) in [(CLAIM, 1), (marker::RUNTIME_OFFSET as u64, 64)] {
            let place = Place::blueprint(who);
            damage(&place, at, count);
            let line = place.fail(125, &["fim-exec", "true"]);
            assert!(line.contains("the image is damaged; restore it"), "{line}");
            assert!(!place.home().join(".cache").exists());
            place.assert_clean();
        }
    }
}

#[test]
fn a_damaged_program_is_found_where_a_sound_copy_runs() {
    for who in everybody() {
        for (name, at) in [
            ("launcher", 60_000),
            ("runtime", marker::RUNTIME_OFFSET as u64 + 5000),
        ] {
            let place = Place::blueprint(who);
            place.succeed(&["fim-exec", "true"]);
            assert_eq!(place.run(&["fim-verify"]).code, 0);
            damage(&place, at, 1);
            let ran = place.run(&["fim-verify"]);
            assert_eq!(ran.code, 1, "{ran:?}");
            let line = ran.out.lines().find(|line| line.contains("damaged"));
            assert!(
                line.unwrap().contains(&format!("program {name}")),
                "{ran:?}"
            );
            place.assert_clean();
        }
    }
}

#[test]
fn an_image_that_cannot_be_read_or_has_rights_of_its_own_is_refused_in_one_line() {
    for who in everybody() {
        let place = Place::blueprint(who);
        // Whoever may read everything, may read it.
        if who != support::Who::Caller || !nix::unistd::geteuid().is_root() {
            set_mode(&place, 0o111);
            let line = place.fail(125, &["fim-exec", "true"]);
            assert!(line.contains("cannot be read; run `chmod +r`"), "{line}");
        }
        set_mode(&place, 0o755);
        place.succeed(&["fim-exec", "true"]);
        place.assert_clean();
    }
    let [root, other] = everybody()[..] else {
        return;
    };
    // Each started by the other.
    for (owner, caller) in [(root, other), (other, root)] {
        let (place, starts) = (Place::blueprint(owner), Place::blueprint(caller));
        set_mode(&place, 0o6755);
        let mut command = starts.command(&place.image);
        let ran = Ran::of({
            command.args(["fim-exec", "true"]);
            command
        });
        assert_eq!((ran.code, ran.err.lines().count()), (125, 1), "{ran:?}");
        assert!(ran.err.contains("run `chmod ug-s` on it"), "{ran:?}");
        place.assert_clean();
        starts.assert_clean();
    }
}
