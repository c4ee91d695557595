//! Images and data directories in places that lack something.

mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use support::{ORDINARY, Place, Ran, Who, everybody};

/// Mounts `what` on the directory `odd` of the place, for its user.
fn mount(place: &Place, what: &str) -> String {
    let odd = place.path().join("odd");
    fs::create_dir(&odd).unwrap();
    let owner = match place.who {
        Who::Ordinary => format!("{ORDINARY}:{ORDINARY}"),
        Who::Caller => "0:0".to_owned(),
    };
    format!("mount -t {what} none odd && chown {owner} odd")
}

#[test]
fn data_where_no_attributes_are_kept_works_as_far_as_it_can_and_says_so() {
    for who in everybody() {
        let place = Place::with_layer(who);
        let before = mount(&place, "ramfs");
        let script = "echo new > /first; cat /first /second";
        let mut command = place.prepared(&before, &["fim-exec", "bash", "-c", script]);
        command.env("FIM_DIR_DATA", "odd/data");
        let ran = Ran::of(command);
        assert_eq!((ran.code, ran.out.as_str()), (0, "new\n2\n"), "{ran:?}");
        assert_eq!(ran.err.lines().count(), 1, "{ran:?}");
        assert!(
            ran.err.starts_with("warning: ") && ran.err.contains("FIM_DIR_DATA"),
            "{ran:?}"
        );
        fs::remove_dir(place.path().join("odd")).unwrap();
        place.succeed(&["fim-exec", "true"]);
        place.assert_clean();
    }
}

#[test]
fn data_on_a_full_disk_is_said_in_one_line() {
    for who in everybody() {
        let place = Place::blueprint(who);
        let before = mount(&place, "tmpfs -o nr_inodes=2,mode=755");
        let before = format!("{before} && touch odd/full");
        let mut command = place.prepared(&before, &["fim-exec", "true"]);
        command.env("FIM_DIR_DATA", "odd/data");
        let ran = Ran::of(command);
        assert_eq!((ran.code, ran.out.as_str()), (125, ""), "{ran:?}");
        assert!(
            ran.err.contains("no space left") && ran.err.lines().count() == 1,
            "{ran:?}"
        );
        fs::remove_dir(place.path().join("odd")).unwrap();
        place.succeed(&["fim-exec", "true"]);
        place.assert_clean();
    }
}

#[test]
fn an_image_in_memory_and_data_in_memory_work() {
    for who in everybody() {
        let place = Place::with_layer(who);
        let before = format!("{} && cp app.flatimage odd/app", mount(&place, "tmpfs"));
        let script = "$0 fim-exec bash -c 'rm /first; mkdir /first; ls -d /first; cat /second' && $0 fim-exec ls -d /first";
        let ran = Ran::of(place.after(&before, "sh", &["-c", script, "odd/app"]));
        assert_eq!(
            (ran.code, ran.out.as_str(), ran.err.as_str()),
            (0, "/first\n2\n/first\n", ""),
            "{ran:?}"
        );
        fs::remove_dir(place.path().join("odd")).unwrap();
        place.succeed(&["fim-exec", "true"]);
        place.assert_clean();
    }
}

#[test]
fn a_directory_with_files_that_no_image_has_made_is_left_as_it_is() {
    for who in everybody() {
        let place = Place::blueprint(who);
        let own = place.path().join("own");
        fs::create_dir_all(own.join("root")).unwrap();
        fs::write(own.join("root/notes"), "precious").unwrap();
        for path in [&own, &own.join("root"), &own.join("root/notes")] {
            place.give(path);
        }
        let owner = fs::metadata(&own).unwrap().uid();
        for mode in [0o700, 0o755] {
            fs::set_permissions(&own, fs::Permissions::from_mode(mode)).unwrap();
            let told = |arguments: &[&str]| {
                let mut command = place.image(arguments);
                command.env("FIM_DIR_DATA", &own);
                Ran::of(command)
            };
            let ran = told(&["fim-exec", "true"]);
            assert_eq!((ran.code, ran.err.lines().count()), (125, 1), "{ran:?}");
            assert!(ran.err.contains("no image has made"), "{ran:?}");
            told(&["fim-data", "purge"]);
            assert_eq!(fs::read(own.join("root/notes")).unwrap(), b"precious");
            assert_eq!(fs::read_dir(&own).unwrap().count(), 1);
            assert_eq!(fs::metadata(&own).unwrap().uid(), owner);
        }
        fs::remove_dir_all(own).unwrap();
        place.assert_clean();
    }
}

#[test]
fn a_home_that_is_no_directory_does_not_matter() {
    for who in everybody() {
        let place = Place::blueprint(who);
        let mut command = place.image(&["fim-exec", "bash", "-c", "echo runs"]);
        command.env("HOME", "/dev/null");
        let ran = Ran::of(command);
        assert_eq!((ran.out.as_str(), ran.err.as_str()), ("runs\n", ""));
        place.assert_clean();
    }
}
