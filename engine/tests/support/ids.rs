//! Subordinate ids for the ordinary user of tests.
#![allow(dead_code, reason = "not every test program uses it")]

use std::fs;
use std::process::Command;

use super::{ORDINARY, Place, Who};

/// The first of the subordinate ids that tests give to the ordinary user.
pub const FIRST: u32 = 2_000_000;

/// Gives the ordinary user of a place an account and subordinate ids, where a command runs in mounts of its own. Somebody
/// else who runs the tests must have them.
pub fn subordinate(place: &Place) -> String {
    if place.who == Who::Caller {
        return "true".to_owned();
    }
    let passwd = fs::read_to_string("/etc/passwd").unwrap();
    let account = format!("ordinary:x:{ORDINARY}:{ORDINARY}::/:/bin/sh\n");
    let files = [
        ("passwd", passwd + &account),
        ("subuid", format!("ordinary:{FIRST}:65536\n")),
        ("subgid", format!("{ORDINARY}:{FIRST}:65536\n")),
    ];
    let mounts = files.map(|(name, text)| {
        let path = place.home().join(name);
        fs::write(&path, text).unwrap();
        format!("mount --bind {} /etc/{name}", path.display())
    });
    mounts.join(" && ")
}

/// Nothing of [`subordinate`] is the image's.
pub fn forget(place: &Place) {
    for name in ["passwd", "subuid", "subgid"] {
        let _ = fs::remove_file(place.home().join(name));
    }
}

/// The image with arguments, run by somebody with subordinate ids.
pub fn with_ids(place: &Place, before: &str, arguments: &[&str]) -> Command {
    match place.who {
        Who::Ordinary => place.prepared(before, arguments),
        Who::Caller => place.image(arguments),
    }
}
