//! Images whose settings and layers are changed, cut off and damaged.
#![allow(dead_code, reason = "every test program uses a part of this")]

use std::fs::{self, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::FileExt as _;
use std::process::{Child, Stdio};
use std::thread;

use super::{Place, Ran, Who};

/// A small generator (xorshift64).
pub struct Random(pub u64);

impl Random {
    /// A number from 0 up to, not including, `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// Starts the image. A start may meet the moment at which another process writes: the kernel refuses it then, and
/// whoever started it tries again.
pub fn start(place: &Place, arguments: &[&str]) -> Child {
    loop {
        let mut command = place.image(arguments);
        match command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
        {
            Err(error) if error.kind() == ErrorKind::ExecutableFileBusy => thread::yield_now(),
            started => return started.unwrap(),
        }
    }
}

/// Waits until nobody has the image open for writing. This process had, and a child that another test starts has what
/// this process has until it executes its program.
pub fn settle(place: &Place) {
    assert_eq!(finished(start(place, &["fim-version", "short"])).code, 0);
}

/// An image of this test's own.
pub fn blueprint(who: Who) -> Place {
    let place = Place::blueprint(who);
    settle(&place);
    place
}

/// Cuts the image off, or makes it longer.
pub fn resize(place: &Place, length: u64) {
    let file = OpenOptions::new().write(true).open(&place.image).unwrap();
    file.set_len(length).unwrap();
}

/// Waits for the end of the image.
pub fn finished(child: Child) -> Ran {
    Ran::from(child.wait_with_output().unwrap())
}

/// What `fim-verify --json` says.
pub fn verified(place: &Place) -> Vec<serde_json::Value> {
    let ran = place.run(&["fim-verify", "--json"]);
    assert!(ran.code <= 1 && ran.err.is_empty(), "{ran:?}");
    serde_json::from_str(&ran.out).unwrap()
}

/// Where the part of that kind and name begins in the file.
pub fn offset_of(place: &Place, kind: &str, name: &str) -> u64 {
    let found = verified(place);
    let part = found
        .iter()
        .find(|part| part["kind"] == kind && part["name"] == name);
    part.unwrap_or_else(|| panic!("{kind} {name}: {found:?}"))["offset"]
        .as_u64()
        .unwrap()
}

/// Flips one bit of the byte at `offset`.
pub fn flip(place: &Place, offset: u64) {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(&place.image)
        .unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[byte[0] ^ 4], offset).unwrap();
    drop(file);
    settle(place);
}

/// A layer with one file of that name, about a mebibyte that does not compress.
pub fn layer(place: &Place, name: &str) -> String {
    let root = place.path().join(format!("root-{name}"));
    fs::create_dir(&root).unwrap();
    let mut random = Random(name.len() as u64 + 77);
    let noise: Vec<u8> = (0..1 << 20).map(|_| random.below(256) as u8).collect();
    fs::write(root.join(format!("{name}.bin")), noise).unwrap();
    fs::write(root.join(name), name).unwrap();
    let path = place
        .path()
        .join(format!("{name}.layer"))
        .to_string_lossy()
        .into_owned();
    place.give(place.path());
    place.succeed(&["fim-layer", "create", &root.to_string_lossy(), &path]);
    fs::remove_dir_all(root).unwrap();
    path
}
