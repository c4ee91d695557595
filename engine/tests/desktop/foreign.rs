//! Places and files that are not the image's.

use super::*;

#[test]
fn what_others_have_there_is_not_touched() {
    for who in everybody() {
        let place = place(who, ALL);
        place.succeed(&["fim-exec", "true"]);
        let menu = entry(&place);
        let theirs = "[Desktop Entry]\nType=Application\nName=Theirs\nExec=true\n";
        fs::write(&menu, theirs).unwrap();
        place.succeed(&["fim-desktop", "enable", "entry"]);
        let ran = place.run(&["fim-exec", "echo", "goes on"]);
        assert_eq!((ran.code, ran.out.as_str()), (0, "goes on\n"));
        assert_eq!(ran.err.lines().count(), 1, "{ran:?}");
        assert!(
            ran.err
                .contains("is not this image's; move it out of the way"),
            "{ran:?}"
        );
        assert_eq!(fs::read_to_string(&menu).unwrap(), theirs);
        place.succeed(&["fim-exec", "true"]);
        place.succeed(&["fim-desktop", "clean"]);
        assert_eq!(fs::read_to_string(&menu).unwrap(), theirs);
        fs::remove_file(menu).unwrap();
        end(&place);
    }
}

#[test]
fn a_home_that_cannot_be_written_is_one_warning_at_most() {
    for who in everybody() {
        let place = place(who, ALL);
        // A file where the directory should be stops root as well.
        fs::create_dir_all(share(&place)).unwrap();
        for path in [&place.home().join(".local"), &share(&place)] {
            place.give(path);
        }
        let blocked = share(&place).join("applications");
        fs::write(&blocked, "").unwrap();
        let ran = place.run(&["fim-exec", "echo", "goes on"]);
        assert_eq!((ran.code, ran.out.as_str()), (0, "goes on\n"));
        assert_eq!(ran.err.lines().count(), 1, "{ran:?}");
        assert!(
            ran.err
                .starts_with("warning: the desktop does not know the image: "),
            "{ran:?}"
        );
        fs::remove_file(&blocked).unwrap();
        // Somebody else's home is no place for files of the caller's.
        if who == Who::Ordinary {
            fs::remove_dir(share(&place)).unwrap();
            std::os::unix::fs::chown(place.home().join(".local"), Some(0), Some(0)).unwrap();
            place.succeed(&["fim-exec", "true"]);
            assert_eq!(files(&place), Vec::<String>::new());
        }
        end(&place);
    }
}
