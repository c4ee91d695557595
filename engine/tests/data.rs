//! The data directory: where it is, whose, and its end.

mod support;

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use support::changes::{CHANGES, give_all, root, with_layer};
use support::{Place, Ran, Who, everybody};

fn is_empty(directory: &Path) -> bool {
    fs::read_dir(directory).is_ok_and(|mut entries| entries.next().is_none())
}

#[test]
fn purge_removes_what_rm_cannot_and_nothing_else() {
    for who in everybody() {
        let place = with_layer(who);
        root(&place, CHANGES);
        let outside = place.write("outside", "kept");
        symlink(&outside, place.data().join("layers")).unwrap();
        let shown: serde_json::Value =
            serde_json::from_str(&place.succeed(&["fim-data", "show", "--json"])).unwrap();
        assert_eq!(shown["path"], place.data().to_string_lossy().as_ref());
        assert!(shown["bytes"].as_u64().unwrap() > 4096, "{shown}");
        assert_eq!(
            (&shown["exists"], &shown["pids"]),
            (&true.into(), &serde_json::json!([]))
        );
        fs::write(place.data().join("letter"), "").unwrap();
        let line = place.fail(125, &["fim-data", "purge"]);
        assert!(line.contains("holds other files"), "{line}");
        assert_eq!(fs::read_dir(place.data()).unwrap().count(), 1);
        fs::remove_file(place.data().join("letter")).unwrap();
        root(&place, CHANGES);
        place.succeed(&["fim-data", "purge"]);
        assert!(!place.data().exists());
        assert_eq!(fs::read_to_string(&outside).unwrap(), "kept");
        assert!(
            place
                .succeed(&["fim-data", "show"])
                .contains("nothing has been changed")
        );
        assert_eq!(place.run(&["fim-data", "purge"]).code, 0);
        assert_eq!(place.shell("cat /t/gone"), "1");
        fs::remove_file(outside).unwrap();
        place.assert_clean();
    }
}

#[test]
fn purge_does_not_cross_a_mount() {
    for who in everybody() {
        let place = with_layer(who);
        root(&place, "mkdir /t/mount /t/more; echo 1 > /t/more/x");
        let outside = place.path().join("outside");
        fs::create_dir(&outside).unwrap();
        place.give(&outside);
        place.write("outside/kept", "kept");
        let mut purge = place.command("bwrap");
        purge.args(["--dev-bind", "/", "/", "--bind"]).arg(&outside);
        purge.arg(place.data().join("root/t/mount"));
        let ran = Ran::of({
            purge.arg(&place.image).args(["fim-data", "purge"]);
            purge
        });
        assert_eq!((ran.code, ran.err.lines().count()), (125, 1), "{ran:?}");
        assert!(ran.err.contains("is a mount"), "{ran:?}");
        assert_eq!(fs::read_to_string(outside.join("kept")).unwrap(), "kept");
        place.succeed(&["fim-data", "purge"]);
        assert!(!place.data().exists());
        fs::remove_dir_all(outside).unwrap();
        place.assert_clean();
    }
}

/// An image in a directory that its user cannot write; only for a user whom the kernel refuses that.
fn read_only(who: Who) -> Option<(Place, PathBuf)> {
    if nix::unistd::geteuid().is_root() && who == Who::Caller {
        return None;
    }
    let mut place = Place::blueprint(who);
    let shared = place.path().join("shared");
    fs::create_dir(&shared).unwrap();
    let image = shared.join("app.flatimage");
    fs::rename(&place.image, &image).unwrap();
    place.image = image;
    fs::set_permissions(&shared, Permissions::from_mode(0o555)).unwrap();
    Some((place, shared))
}

#[test]
fn where_the_image_cannot_be_written_beside_changes_are_kept_at_home() {
    for (place, shared) in everybody().into_iter().filter_map(read_only) {
        let shown = place.succeed(&["fim-data", "show"]);
        let base = place.home().join(".local/share/flatimage");
        assert!(
            shown.starts_with(&format!("path   {}/app.flatimage-", base.display())),
            "{shown}"
        );
        assert!(
            shown.contains("the directory of the image cannot be written"),
            "{shown}"
        );
        place.shell("echo 1 > /kept");
        assert_eq!(place.shell("cat /kept"), "1\n");
        let found: Vec<_> = fs::read_dir(&base)
            .unwrap()
            .map(|entry| entry.unwrap())
            .collect();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].metadata().unwrap().mode() & 0o777, 0o700);
        place.succeed(&["fim-layer", "commit", "layer"]);
        assert_eq!(place.shell("cat /kept"), "1\n");

        let elsewhere = place.path().join("xdg");
        let mut other = place.image(&["fim-exec", "bash", "-c", "echo 2 > /kept"]);
        fs::create_dir(&elsewhere).unwrap();
        place.give(&elsewhere);
        other.env("XDG_DATA_HOME", &elsewhere);
        let ran = Ran::of(other);
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{ran:?}");
        assert_eq!(
            fs::read_dir(elsewhere.join("flatimage")).unwrap().count(),
            1
        );

        let mut homeless = place.image(&["fim-exec", "bash", "-c", "echo 3 > /kept; cat /kept"]);
        homeless.env_remove("HOME");
        let ran = Ran::of(homeless);
        assert_eq!((ran.code, ran.out.as_str()), (0, "3\n"), "{ran:?}");
        assert!(ran.err.starts_with("warning: changes are lost"), "{ran:?}");

        place.succeed(&["fim-data", "purge"]);
        assert!(is_empty(&base));
        fs::remove_dir_all(place.home().join(".local")).unwrap();
        fs::remove_dir_all(elsewhere).unwrap();
        fs::set_permissions(&shared, Permissions::from_mode(0o755)).unwrap();
        fs::remove_dir_all(shared).unwrap();
        place.assert_clean();
    }
}

#[test]
fn the_kind_of_ids_stays_what_it_was_at_the_first_start() {
    for who in everybody() {
        let place = Place::blueprint(who);
        place.shell("echo 1 > /kept");
        let ids = place.data().join("ids");
        let line = fs::read_to_string(&ids).unwrap();
        let uid = fs::metadata(place.home()).unwrap().uid();
        let expected = match uid {
            0 => "range 524288 65536\n".to_owned(),
            uid => format!("single {uid}\n"),
        };
        assert_eq!(line, expected);
        // As it is after the directory was given to somebody else.
        fs::write(&ids, "single 4711\n").unwrap();
        for arguments in [
            &["fim-exec", "true"][..],
            &["fim-layer", "commit", "binary"],
        ] {
            let line = place.fail(125, arguments);
            assert!(
                line.contains("was made with the one id 4711, and this start has "),
                "{line}"
            );
            assert!(line.contains("FIM_DIR_DATA"), "{line}");
        }
        assert!(
            place
                .succeed(&["fim-data", "show"])
                .contains("ids    the one id 4711\n")
        );
        fs::write(&ids, line).unwrap();
        assert_eq!(place.shell("cat /kept"), "1\n");
        place.assert_clean();
    }
}

#[test]
fn a_directory_of_roots_is_refused_to_whom_it_is_given() {
    if !everybody().contains(&Who::Ordinary) {
        return;
    }
    let place = Place::blueprint(Who::Caller);
    place.shell("echo 1 > /kept");
    let user = Place::blueprint(Who::Ordinary);
    give_all(&user, &place.data());
    assert!(
        Command::new("mv")
            .arg(place.data())
            .arg(user.data())
            .status()
            .unwrap()
            .success()
    );
    let line = user.fail(125, &["fim-exec", "true"]);
    assert!(
        line.contains("was made with the ids from 524288 on"),
        "{line}"
    );
    user.succeed(&["fim-data", "purge"]);
    user.assert_clean();
    place.assert_clean();
}
