//! Data directories: whose they are, and who uses them.

use super::*;
use std::os::unix::fs::PermissionsExt;

fn map() -> IdMap {
    IdMap::Single { uid: 7, gid: 8 }
}

#[test]
fn a_directory_that_is_used_is_not_had_alone_and_names_who_uses_it() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("data");
    let open = || super::open(&path, Some(&map())).unwrap().unwrap();
    let instance = open();
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
    let own = std::process::id();
    instance.enter().unwrap().register(own).unwrap();
    let error = open().exclusive().unwrap_err().to_string();
    assert!(
        error.contains(&format!("in use by process {own};")),
        "{error}"
    );
    drop(instance);
    let alone = open().exclusive().unwrap();
    let error = open().enter().unwrap_err().to_string();
    assert!(
        error.contains(&format!("in use by process {own};")),
        "{error}"
    );
    drop(alone);
    assert!(open().enter().is_ok());
}

#[test]
fn who_was_killed_does_not_run_whatever_the_kernel_still_has_to_do_for_it() {
    let stat = |state: &str, flags: u64, pending: u64| {
        let zeros = "0 ".repeat(PENDING - FLAGS - 1);
        format!("7 (a) b) {state} 1 7 7 0 -1 {flags} {zeros}{pending} 0 0\n")
    };
    assert!(is_alive(&stat("S", 0x40_0000, 0)));
    assert!(is_alive(&stat("T", 0, 1)));
    assert!(!is_alive(&stat("Z", 0, 0)));
    assert!(!is_alive(&stat("R", 0x40_0400, 0)));
    assert!(!is_alive(&stat("R", 4, 0)));
    assert!(!is_alive(&stat("S", 0, 0x100)));
    assert!(!is_alive(""));
    assert!(is_running(std::process::id()));
}

#[test]
fn a_directory_that_others_can_enter_is_refused() {
    let place = tempfile::tempdir().unwrap();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let error = super::open(place.path(), None).unwrap_err().to_string();
    assert!(
        error.contains("can be entered by others; run `chmod 700`"),
        "{error}"
    );
}

#[test]
fn a_directory_with_files_of_others_is_left_alone() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("data");
    fs::create_dir(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
    assert!(is_of_images(&path).unwrap());
    fs::create_dir(path.join("layers")).unwrap();
    assert!(is_of_images(&path).unwrap());
    fs::create_dir(path.join("root")).unwrap();
    fs::write(path.join("root/notes"), "precious").unwrap();
    assert!(!is_of_images(&path).unwrap());
    let single = IdMap::Single { uid: 0, gid: 0 };
    let refused = open(&path, Some(&single)).unwrap_err();
    assert!(matches!(refused, DataError::Occupied(_)), "{refused}");
    let mut left: Vec<_> = fs::read_dir(&path)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    left.sort();
    assert_eq!(left, ["layers", "root"]);
    fs::write(path.join("ids"), "").unwrap();
    assert!(is_of_images(&path).unwrap());
}
