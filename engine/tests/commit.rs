//! What programs changed becomes a layer, whole or not at all.

mod support;

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use flatimage_layer::Layer;
use support::changes::{CHANGES, SNAPSHOT, give_all_as, root, snapshot, with_layer};
use support::store::{Random, finished, start, verified};
use support::{Place, Ran, everybody};

fn is_empty(directory: &Path) -> bool {
    fs::read_dir(directory).is_ok_and(|mut entries| entries.next().is_none())
}

fn without_changes(place: &Place) -> bool {
    is_empty(&place.data().join("root")) && !place.data().join("root.committed").exists()
}

#[test]
fn a_commit_to_the_image_or_to_the_data_directory_changes_nothing_that_is_seen() {
    for who in everybody() {
        let place = with_layer(who);
        for to in ["binary", "layer"] {
            root(&place, CHANGES);
            let before = snapshot(&place);
            assert!(
                !before.contains("gone") && !before.contains("tree"),
                "{before}"
            );
            place.succeed(&["fim-layer", "commit", to]);
            assert!(without_changes(&place), "{to}");
            assert_eq!(snapshot(&place), before, "{to}");
            assert_eq!(
                root(&place, "[ /t/program -ef /t/hard ] && echo same"),
                "same\n"
            );
            // Back to what the changes begin with; two layers then hide each other's files.
            let undo = "cd /t; rm -rf closed shared program hard link fifo appended; \
                echo 1 > gone; mkdir tree; echo 2 > tree/a; echo 4 > appended; echo 6 > remade/old";
            root(&place, undo);
        }
        place.succeed(&["fim-layer", "commit", "layer"]);
        let names = ["layer-000.layer", "layer-001.layer"]
            .map(|name| place.data().join("layers").join(name));
        assert!(names.iter().all(|name| name.exists()));
        assert!(verified(&place).iter().all(|part| part["ok"] == true));
        place.assert_clean();
    }
}

#[test]
fn a_commit_to_the_image_takes_the_layers_of_the_data_directory_along() {
    for who in everybody() {
        let place = with_layer(who);
        let remake = |number: u32| {
            let script = format!(
                "cd /t; rm -r remade; mkdir remade; echo {number} | tee kept > remade/{number}; \
                 [ ! -e gone ] || rm gone"
            );
            root(&place, &script);
            snapshot(&place)
        };
        let mut seen = String::new();
        for (number, to) in ["layer", "layer", "binary", "layer"].iter().enumerate() {
            seen = remake(number as u32);
            place.succeed(&["fim-layer", "commit", to]);
            assert_eq!(snapshot(&place), seen, "{number}");
        }
        let layers = place.data().join("layers");
        assert_eq!(fs::read_dir(&layers).unwrap().count(), 1);
        // A broken file is stacked by no start, and stays.
        fs::write(layers.join("layer-9.layer"), "no layer").unwrap();
        let ran = place.run(&["fim-layer", "commit", "binary"]);
        assert_eq!(ran.code, 0);
        assert!(ran.err.contains("layer-9.layer is left out"), "{ran:?}");
        let left = fs::read_dir(&layers).unwrap();
        let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["layer-9.layer"]);
        fs::remove_file(layers.join("layer-9.layer")).unwrap();
        assert_eq!(snapshot(&place), seen);
        assert!(verified(&place).iter().all(|part| part["ok"] == true));
        place.assert_clean();
    }
}

/// The places that every root has belong to no layer, and can be deleted by one all the same.
#[test]
fn a_deleted_place_of_every_root_stays_deleted_in_a_layer() {
    for who in everybody() {
        let place = Place::blueprint(who);
        let deleted = "ls -A /etc; ls -A / | grep -c sys; ls -d /sys /etc/passwd";
        root(&place, "rm /etc/passwd; rmdir /sys; echo x > /etc/other");
        let seen = place.run(&["fim-root", "bash", "-c", deleted]).out;
        assert!(seen.contains("other") && !seen.contains("passwd"), "{seen}");
        place.succeed(&["fim-layer", "commit", "binary"]);
        assert!(is_empty(&place.data().join("root")));
        assert_eq!(place.run(&["fim-root", "bash", "-c", deleted]).out, seen);
        place.assert_clean();
    }
}

#[test]
fn a_commit_to_a_file_has_all_changes_and_replaces_nothing() {
    for who in everybody() {
        let place = with_layer(who);
        let without = snapshot(&place);
        root(&place, CHANGES);
        let before = snapshot(&place);
        let file = place.path().join("changes.layer");
        let path = file.to_string_lossy();
        place.succeed(&["fim-layer", "commit", "file", &path]);
        assert!(without_changes(&place));
        assert_eq!(snapshot(&place), without);
        let mut with = place.image(&["fim-root", "bash", "-c", SNAPSHOT]);
        with.env("FIM_LAYERS", &file);
        assert_eq!(Ran::of(with).out, before);
        let size = fs::metadata(&file).unwrap().len();
        root(&place, "echo 1 > /t/another");
        let line = place.fail(125, &["fim-layer", "commit", "file", &path]);
        assert!(line.contains("is there already"), "{line}");
        assert_eq!(fs::metadata(&file).unwrap().len(), size);
        assert_eq!(root(&place, "cat /t/another"), "1\n");
        fs::remove_file(&file).unwrap();
        place.assert_clean();
    }
}

#[test]
fn a_directory_that_was_made_anew_does_not_show_what_was_in_the_old_one() {
    for who in everybody() {
        for to in ["binary", "layer"] {
            let place = with_layer(who);
            root(
                &place,
                "cd /t; rm -r remade; mkdir remade; echo new > remade/new",
            );
            let before = snapshot(&place);
            place.succeed(&["fim-layer", "commit", to]);
            assert_eq!(root(&place, "ls /t/remade"), "new\n");
            assert_eq!(snapshot(&place), before);
            place.assert_clean();
        }
    }
}

/// Owner and group that a layer has recorded for a path.
fn recorded(layer: &Path, path: &str) -> (u32, u32) {
    let file = File::open(layer).unwrap();
    let size = file.metadata().unwrap().len();
    let layer = Layer::open(file.into(), 0, size).unwrap();
    let mut inode = flatimage_layer::ROOT;
    for name in path.split('/') {
        inode = layer.lookup(inode, name.as_bytes()).unwrap();
    }
    let found = layer.attributes(inode).unwrap();
    (found.uid, found.gid)
}

#[test]
fn owners_are_recorded_as_the_container_sees_them() {
    for who in everybody() {
        let place = with_layer(who);
        root(
            &place,
            "echo 1 > /t/mine; echo 2 > /t/other; chown 5:6 /t/other 2>&1; true",
        );
        let seen = "stat -c '%u %g' /t/mine /t/other /t/kept";
        let before = root(&place, seen);
        place.succeed(&["fim-layer", "commit", "layer"]);
        let layer = place.data().join("layers/layer-000.layer");
        assert_eq!(recorded(&layer, "t/mine"), (0, 0));
        // With one id there is nobody else to give a file to.
        let other = match before.contains("5 6") {
            true => (5, 6),
            false => (0, 0),
        };
        assert_eq!(recorded(&layer, "t/other"), other, "{who:?}");
        assert_eq!(root(&place, seen), before);
        place.assert_clean();
    }
}

#[test]
fn nothing_is_committed_while_an_instance_runs() {
    for who in everybody() {
        let place = with_layer(who);
        root(&place, "echo 1 > /t/new");
        let before = fs::metadata(&place.image).unwrap().len();
        let running = place.start("echo ready; read -r; true");
        let named = format!("process {}", running.pid());
        let file = place.path().join("x").to_string_lossy().into_owned();
        for arguments in [
            &["fim-layer", "commit", "binary"][..],
            &["fim-layer", "commit", "layer"],
            &["fim-layer", "commit", "file", &file],
            &["fim-data", "purge"],
        ] {
            let line = place.fail(125, arguments);
            assert!(line.contains(&named), "{line}");
        }
        let shown = place.succeed(&["fim-data", "show"]);
        assert!(shown.contains(&format!("users  {named}\n")), "{shown}");
        assert_eq!(running.end().code, 0);
        assert_eq!(fs::metadata(&place.image).unwrap().len(), before);
        // At once: what the kernel still has to let go of is waited for.
        place.shell("echo 2 > /t/newer");
        place.succeed(&["fim-layer", "commit", "binary"]);
        assert_eq!(place.shell("cat /t/new /t/newer"), "1\n2\n");
        place.assert_clean();
    }
}

#[test]
fn nothing_to_commit_is_no_mistake_but_writes_no_file() {
    for who in everybody() {
        let place = with_layer(who);
        for to in ["binary", "layer"] {
            let ran = place.run(&["fim-layer", "commit", to]);
            assert_eq!((ran.code, ran.out.as_str()), (0, ""), "{ran:?}");
            assert_eq!(ran.err, "nothing has changed since the last commit\n");
        }
        assert!(!place.data().exists());
        place.fail(125, &["fim-layer", "commit", "file", "x"]);
        place.fail(125, &["fim-layer", "commit", "file"]);
        place.fail(125, &["fim-layer", "commit", "binary", "x"]);
        let line = place.fail(125, &["fim-layer", "commit", "elsewhere"]);
        assert!(
            line.contains("`binary`, `layer` or `file <path>`"),
            "{line}"
        );
        place.assert_clean();
    }
}

/// Kills a commit after a random part of `life`; answers whether it had ended well before.
fn kill_commit(place: &Place, to: &str, random: &mut Random, life: Duration) -> bool {
    let mut child = start(place, &["fim-layer", "commit", to]);
    thread::sleep(Duration::from_nanos(random.below(life.as_nanos() as u64)));
    let _ = child.kill();
    finished(child).code == 0
}

#[test]
fn a_commit_that_is_killed_at_any_moment_loses_nothing_and_brings_nothing_back() {
    for who in everybody() {
        let place = with_layer(who);
        let mut random = Random(0xc0);
        let change = |number: u64| {
            let script = format!(
                "cd /t; rm -r remade; mkdir remade; echo x > remade/{number}; \
                 head -c 1000000 /dev/urandom > noise-{number}; rm -f noise-{}; \
                 mkdir -p d/{number}; seq 1 60 | while read -r n; do echo $n > d/{number}/$n; done; \
                 rm -rf d/{}",
                number.saturating_sub(2),
                number.saturating_sub(3)
            );
            root(&place, &script);
        };
        change(0);
        let whole = |to| {
            let begun = Instant::now();
            place.succeed(&["fim-layer", "commit", to]);
            begun.elapsed() * 5 / 4
        };
        let mut life = whole("binary");
        let mut unfinished = 0;
        for number in 1..21 {
            change(number);
            let before = snapshot(&place);
            let to = ["binary", "layer"][random.below(2) as usize];
            // Some that end well one after the other, too.
            match number % 5 < 2 {
                // The first ones take longer.
                true => life = life.min(whole(to)),
                false => unfinished += usize::from(!kill_commit(&place, to, &mut random, life)),
            }
            assert_eq!(snapshot(&place), before, "{who:?} {number}");
            assert!(!place.data().join("root.committed").exists());
        }
        assert!(unfinished > 0);
        let before = snapshot(&place);
        assert_eq!(place.run(&["fim-layer", "commit", "binary"]).code, 0);
        assert!(without_changes(&place));
        assert_eq!(snapshot(&place), before);
        assert!(verified(&place).iter().all(|part| part["ok"] == true));
        let left = fs::read_dir(place.data()).unwrap();
        let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
        assert!(left.len() <= 5, "{left:?}");
        place.assert_clean();
    }
}

#[test]
fn what_a_commit_left_to_remove_is_gone_at_the_next_start_and_never_seen() {
    for who in everybody() {
        let place = with_layer(who);
        root(
            &place,
            "rm /t/gone; rm -r /t/tree; mkdir /t/closed; chmod 000 /t/closed",
        );
        let before = snapshot(&place);
        place.succeed(&["fim-layer", "commit", "binary"]);
        // As after a kill in the middle of the removal: an empty directory that hid others, without its mark.
        let left = place.data().join("root.committed");
        fs::create_dir_all(left.join("t/kept/deep")).unwrap();
        give_all_as(&left, &place.data());
        fs::set_permissions(left.join("t/kept"), Permissions::from_mode(0o000)).unwrap();
        assert_eq!(snapshot(&place), before);
        assert!(!left.exists());
        place.assert_clean();
    }
}

#[test]
fn on_a_full_disk_image_and_changes_stay_as_they_were() {
    for who in everybody() {
        let place = Place::blueprint(who);
        let full = place.path().join("full");
        fs::create_dir(&full).unwrap();
        place.give(&full);
        let size = fs::metadata(&place.image).unwrap().len() + (7 << 20);
        // The changes fit, and their layer does not.
        let script = "set -e; cp \"$0\" full/app.flatimage; cd full\n\
            ./app.flatimage fim-exec bash -c 'head -c 4000000 /dev/urandom > /noise; echo 1 > /one; md5sum /noise'\n\
            sum=$(md5sum < app.flatimage)\n\
            for to in binary layer 'file x'; do ./app.flatimage fim-layer commit $to && exit 9; [ $? = 125 ]; done\n\
            [ \"$sum\" = \"$(md5sum < app.flatimage)\" ]; [ ! -e x ]\n\
            [ -z \"$(ls .app.flatimage.data/layers 2>/dev/null)\" ]\n\
            ./app.flatimage fim-exec bash -c 'md5sum /noise; cat /one; rm /noise'\n\
            ./app.flatimage fim-layer commit binary; ./app.flatimage fim-exec cat /one\n";
        let mut command = place.command("bwrap");
        command.args([
            "--dev-bind",
            "/",
            "/",
            "--size",
            &size.to_string(),
            "--tmpfs",
        ]);
        command
            .arg(&full)
            .args(["bash", "-c", script])
            .arg(&place.image);
        let ran = Ran::of(command);
        assert_eq!(ran.code, 0, "{who:?}: {ran:?}");
        let lines: Vec<&str> = ran.out.lines().collect();
        assert_eq!((lines.len(), lines[0] == lines[1]), (4, true), "{ran:?}");
        assert_eq!(lines[2..], ["1", "1"]);
        assert_eq!(ran.err.lines().count(), 3, "{ran:?}");
        assert!(
            ran.err.lines().all(|line| line.contains("no space left")),
            "{ran:?}"
        );
        assert!(
            ran.err
                .lines()
                .all(|line| line.contains("the changes stay in")),
            "{ran:?}"
        );
        fs::remove_dir(full).unwrap();
        place.assert_clean();
    }
}
