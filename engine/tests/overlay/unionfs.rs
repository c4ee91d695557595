//! The marks of unionfs-fuse: where they go, and what happens when that is cut off.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Command;

use super::support::changes::{self, give_all};
use super::support::{Place, Ran, everybody};
use super::{KINDS, prints, told};

#[test]
fn a_mark_that_has_no_place_yet_waits_for_its_layer() {
    for who in everybody() {
        let place = Place::with_layer(who);
        let tree = place.path().join("tree");
        fs::create_dir_all(tree.join("further/in")).unwrap();
        for name in ["gone", "kept"] {
            fs::write(tree.join("further/in").join(name), "x\n").unwrap();
        }
        let mode = fs::Permissions::from_mode(0o2751);
        fs::set_permissions(tree.join("further/in"), mode).unwrap();
        give_all(&place, &tree);
        let layer = place.pack(&tree, "further.layer");
        let with_layer = |kind: &str, script: &str| {
            let mut command = told(&place, kind, &["fim-root", "bash", "-c", script]);
            command.env("FIM_LAYERS", &layer);
            let ran = Ran::of(command);
            assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{kind}: {ran:?}");
            ran.out
        };
        let looks = "ls /further/in; busybox stat -c %a /further/in";
        with_layer("unionfs", "rm /further/in/gone");
        assert_eq!(with_layer("unionfs", looks), "kept\n2751\n");
        for kind in KINDS {
            assert_eq!(prints(&place, kind, "echo /further*"), "/further*\n");
        }
        for kind in KINDS {
            assert_eq!(with_layer(kind, looks), "kept\n2751\n", "{kind}");
        }
        fs::remove_file(&layer).unwrap();
        place.assert_clean();
    }
}

#[test]
fn a_translation_that_was_cut_off_is_done_again() {
    for who in everybody() {
        for (both, kinds) in [(true, ["bwrap", "unionfs"]), (false, ["unionfs", "bwrap"])] {
            let place = changes::with_layer(who);
            prints(&place, "bwrap", changes::CHANGES);
            let before = prints(&place, "bwrap", changes::SNAPSHOT);
            prints(&place, "unionfs", "true");
            // As after a crash: some marks are those of the one, some those of the other, and the record says so.
            let marks = place.data().join(".unionfs-fuse/root/t");
            let hidden = fs::read_dir(&marks).unwrap().flatten();
            let hidden = hidden.filter(|entry| entry.file_type().unwrap().is_file());
            let mark = hidden.map(|entry| entry.file_name()).next().unwrap();
            let name = mark.to_string_lossy().replace("_HIDDEN~", "");
            let root = place.data().join("root/t").join(&name);
            let device = Command::new("mknod")
                .arg(&root)
                .args(["c", "0", "0"])
                .status();
            assert!(device.unwrap().success());
            let owner = fs::metadata(place.data().join("root")).unwrap();
            std::os::unix::fs::chown(&root, Some(owner.uid()), Some(owner.gid())).unwrap();
            fs::write(place.data().join("overlay"), "unionfs-fuse begun\n").unwrap();
            if !both {
                fs::remove_file(marks.join(&mark)).unwrap();
            }
            for kind in kinds {
                // Making the device has changed the time of `/t` itself.
                let after = prints(&place, kind, changes::SNAPSHOT);
                let lines =
                    |text: &str| text.lines().skip(1).map(str::to_owned).collect::<Vec<_>>();
                assert_eq!(lines(&after), lines(&before), "{kind}");
            }
            place.succeed(&["fim-data", "purge"]);
            assert!(!place.data().exists());
            place.assert_clean();
        }
    }
}
