//! The store on real files: what is written is read, what is old is gone, what is damaged is named.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::process::Command;
use std::thread;

use flatimage_reserved::declared::{self, ENVIRONMENT, LAYERS, PERMISSIONS, REGIONS, SPACE};
use flatimage_reserved::{Copies, FieldValue, Record, RegionDecl, Store, StoreError, Value, Verb};

/// Bytes before the reserved space, as the program has them in a real image.
const BASE: u64 = 1000;

struct Image {
    _directory: tempfile::TempDir,
    path: PathBuf,
}

impl Image {
    fn fresh() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("image");
        let mut bytes = vec![0xAA; BASE as usize];
        bytes.extend(SPACE.blank().expect("the layout fits"));
        bytes.extend([0xBB; 1000]);
        fs::write(&path, bytes).expect("written");
        Self {
            _directory: directory,
            path,
        }
    }

    fn store(&self) -> Store {
        Store::open(&self.path, BASE).expect("an image")
    }

    fn bytes(&self) -> Vec<u8> {
        fs::read(&self.path).expect("readable")
    }

    fn poke(&self, offset: u64, bytes: &[u8]) {
        let file = OpenOptions::new()
            .write(true)
            .open(&self.path)
            .expect("writable");
        file.write_all_at(bytes, BASE + offset).expect("written");
    }
}

fn add(words: &[&str]) -> Verb {
    Verb::Add(words.iter().map(|word| (*word).to_owned()).collect())
}

fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle)
}

/// Start of a slot from the start of the reserved space.
fn slot(decl: &RegionDecl, which: u64) -> u64 {
    decl.offset + which * decl.slot_size()
}

#[test]
fn a_fresh_image_has_every_default() {
    let image = Image::fresh();
    let store = image.store();
    for region in REGIONS {
        assert_eq!(
            store.value(region).expect(region.name),
            region.default_value(),
            "{}",
            region.name
        );
    }
    assert_eq!(store.superblock().layout, declared::LAYOUT);
    assert_eq!(store.end(), BASE + declared::RESERVED_SIZE);
    assert!(store.config().is_ok());
}

#[test]
fn a_write_touches_its_region_alone_and_leaves_nothing_of_the_old_value() {
    let image = Image::fresh();
    let store = image.store();
    let long = format!("TOKEN=secret{}", "x".repeat(9000));
    store.perform(ENVIRONMENT, &add(&[&long])).expect("written");
    assert!(contains(&image.bytes(), b"secret"));
    let before = image.bytes();
    store
        .perform(ENVIRONMENT, &add(&["TOKEN=other"]))
        .expect("written");
    let after = image.bytes();
    assert!(!contains(&after, b"secret") && !contains(&after, b"xxxx"));
    let region = (BASE + ENVIRONMENT.offset) as usize..(BASE + ENVIRONMENT.end()) as usize;
    assert_eq!(before[..region.start], after[..region.start]);
    assert_eq!(before[region.end..], after[region.end..]);
    store.perform(ENVIRONMENT, &Verb::Clear).expect("written");
    let used = image.bytes()[region]
        .iter()
        .filter(|byte| **byte != 0)
        .count();
    assert!(
        used <= 32,
        "an empty value leaves a header and nothing else"
    );
}

#[test]
fn a_value_that_does_not_fit_says_by_how_much_and_changes_nothing() {
    let image = Image::fresh();
    let before = image.bytes();
    let long = format!("A={}", "x".repeat(ENVIRONMENT.slot_size() as usize));
    let error = image
        .store()
        .perform(ENVIRONMENT, &add(&[&long]))
        .expect_err("refused");
    assert_eq!(
        error.to_string(),
        "`environment`: the value is 41 bytes too long; 786400 fit in all"
    );
    assert_eq!(before, image.bytes());
}

#[test]
fn the_newer_slot_wins_and_a_torn_one_does_not_count() {
    let image = Image::fresh();
    let store = image.store();
    store.perform(ENVIRONMENT, &add(&["A=1"])).expect("written");
    let old = image.bytes();
    store.perform(ENVIRONMENT, &add(&["A=2"])).expect("written");
    let new = image.bytes();
    let at = |which: u64| (BASE + slot(ENVIRONMENT, which)) as usize;
    let (old_slot, new_slot) = (&old[at(1)..at(1) + 64], &new[at(0)..at(0) + 64]);
    let value = |store: &Store| store.perform(ENVIRONMENT, &Verb::List).expect("readable");
    image.poke(slot(ENVIRONMENT, 1), old_slot);
    assert_eq!(
        value(&store),
        "A=2\n",
        "before the old slot is zeroed both are there"
    );
    for cut in 0..42 {
        let mut torn = [0; 64];
        torn[..cut].copy_from_slice(&new_slot[..cut]);
        image.poke(slot(ENVIRONMENT, 0), &torn);
        assert_eq!(value(&store), "A=1\n", "cut after {cut} bytes");
    }
    store
        .perform(ENVIRONMENT, &add(&["B=3"]))
        .expect("a write after a torn one");
    assert_eq!(value(&store), "A=1\nB=3\n");
}

#[test]
fn a_flipped_bit_is_found_named_and_mended_by_replacing_the_value() {
    for flipped in [0, 5, 9, 20, 32, 40] {
        let image = Image::fresh();
        let store = image.store();
        store
            .perform(PERMISSIONS, &add(&["network"]))
            .expect("written");
        store.perform(ENVIRONMENT, &add(&["A=1"])).expect("written");
        let place = slot(PERMISSIONS, 1) + flipped.min(39);
        let byte = image.bytes()[(BASE + place) as usize];
        image.poke(place, &[byte ^ 0x10]);
        let error = store.value(PERMISSIONS).expect_err("damaged");
        let offset = BASE + PERMISSIONS.offset;
        assert!(
            matches!(error, StoreError::Damaged { region: "permissions", offset: at } if at == offset),
            "{error}"
        );
        let (values, damage) = store.salvage().expect("readable");
        assert_eq!((values.len(), damage.len()), (REGIONS.len(), 1));
        assert!(
            store.perform(PERMISSIONS, &add(&["home"])).is_err(),
            "what is added to is lost"
        );
        store.perform(PERMISSIONS, &Verb::Clear).expect("mended");
        assert_eq!(store.value(PERMISSIONS).expect("whole"), Value::Bits(0));
        assert_eq!(
            store.perform(ENVIRONMENT, &Verb::List).expect("untouched"),
            "A=1\n"
        );
    }
}

#[test]
fn a_region_that_is_newer_than_the_image_has_its_default_and_can_be_written() {
    let image = Image::fresh();
    let store = image.store();
    image.poke(slot(PERMISSIONS, 0), &vec![0; PERMISSIONS.size as usize]);
    assert_eq!(
        store.value(PERMISSIONS).expect("the default"),
        PERMISSIONS.default_value()
    );
    store
        .perform(PERMISSIONS, &add(&["home"]))
        .expect("written");
    assert_eq!(store.value(PERMISSIONS).expect("whole"), Value::Bits(1));
}

#[test]
fn the_first_write_of_a_region_cut_off_is_no_damage() {
    let image = Image::fresh();
    let store = image.store();
    let first = image.bytes()[(BASE + slot(PERMISSIONS, 0)) as usize..][..40].to_vec();
    for cut in 0..40 {
        let mut torn = vec![0; PERMISSIONS.size as usize];
        torn[..cut].copy_from_slice(&first[..cut]);
        image.poke(slot(PERMISSIONS, 0), &torn);
        assert_eq!(
            store.value(PERMISSIONS).expect("the default"),
            Value::Bits(0),
            "cut after {cut} bytes"
        );
    }
}

#[test]
fn writers_at_once_lose_nothing() {
    let image = Image::fresh();
    thread::scope(|scope| {
        for writer in 0..8 {
            let image = &image;
            scope.spawn(move || {
                for round in 0..4 {
                    let pair = format!("K{writer}_{round}=v");
                    image
                        .store()
                        .perform(ENVIRONMENT, &add(&[&pair]))
                        .expect("written");
                }
            });
        }
        let store = image.store();
        let mut seen = 0;
        while seen < 32 {
            let Value::Map(map) = store.value(ENVIRONMENT).expect("always whole") else {
                unreachable!()
            };
            assert!(map.len() >= seen, "nothing that was there goes away");
            seen = map.len();
        }
    });
}

#[test]
fn a_running_image_keeps_writers_waiting_and_is_named_in_the_end() {
    let image = Image::fresh();
    // A copy of a program of the host, with a reserved space behind it.
    let mut bytes = fs::read("/bin/sleep").expect("a program");
    let base = bytes.len() as u64;
    bytes.extend(SPACE.blank().expect("the layout fits"));
    fs::write(&image.path, bytes).expect("written");
    fs::set_permissions(&image.path, fs::Permissions::from_mode(0o755)).expect("executable");
    let store = Store::open(&image.path, base).expect("an image");
    let mut short = Command::new(&image.path)
        .arg("0.3")
        .spawn()
        .expect("started");
    store
        .perform(PERMISSIONS, &add(&["home"]))
        .expect("written once the program is gone");
    assert!(short.wait().expect("ended").success());
    let mut long = Command::new(&image.path)
        .arg("60")
        .spawn()
        .expect("started");
    let error = store
        .perform(PERMISSIONS, &add(&["gpu"]))
        .expect_err("busy");
    let pid = long.id().to_string();
    long.kill().and_then(|()| long.wait()).expect("ended");
    assert!(
        matches!(error, StoreError::Busy { ref pids, .. } if *pids == pid),
        "{error}"
    );
    assert_eq!(store.value(PERMISSIONS).expect("whole"), Value::Bits(1));
}

#[test]
fn a_record_is_updated_in_place() {
    let image = Image::fresh();
    let store = image.store();
    let one = Record::from(declared::Layers { count: 1, end: 77 });
    assert_eq!(
        one,
        Record(vec![FieldValue::Number(1), FieldValue::Number(77)])
    );
    store
        .update::<StoreError>(LAYERS, |_| Ok(Value::Record(Some(one))))
        .expect("written");
    assert_eq!(
        store.config().expect("readable").layers,
        Some(declared::Layers { count: 1, end: 77 })
    );
}

#[test]
fn what_is_no_image_is_refused_in_one_line() {
    let image = Image::fresh();
    for (base, what) in [
        (0, "no reserved space"),
        (BASE + 1, "no reserved space"),
        (1 << 40, "no reserved space"),
    ] {
        let error = Store::open(&image.path, base)
            .expect_err("refused")
            .to_string();
        assert!(error.contains(what) && !error.contains('\n'), "{error}");
    }
    image.poke(100, b"x");
    assert_eq!(image.store().copies(), Copies::Damaged);
    image.store().reset(PERMISSIONS).expect("mended");
    assert_eq!(image.store().copies(), Copies::Both);
    image.poke(100, b"x");
    image.poke(4196, b"x");
    assert!(
        Store::open(&image.path, BASE)
            .expect_err("refused")
            .to_string()
            .contains("damaged")
    );
    let length = BASE + ENVIRONMENT.offset;
    let cut = Image::fresh();
    OpenOptions::new()
        .write(true)
        .open(&cut.path)
        .and_then(|file| file.set_len(length))
        .expect("cut");
    assert!(matches!(
        cut.store().value(ENVIRONMENT),
        Err(StoreError::CutOff {
            region: "environment",
            ..
        })
    ));
    let newer = Image::fresh();
    let mut later = SPACE;
    later.format += 1;
    newer.poke(0, &later.blank().expect("the layout fits"));
    let error = Store::open(&newer.path, BASE)
        .expect_err("refused")
        .to_string();
    assert!(
        error.contains("use the program that made the image"),
        "{error}"
    );
    assert!(matches!(
        Store::open("/nonexistent".as_ref(), 0),
        Err(StoreError::Read { .. })
    ));
}
