//! Images of other programs: regions that lie elsewhere, have another size, have grown, or mean something else.

use std::fs;

use flatimage_reserved::declared::{BINDINGS, ENVIRONMENT, PERMISSIONS, REGIONS, SPACE};
use flatimage_reserved::{RegionDecl, Space, Store, StoreError, Verb};

/// What another program declared: every region as far again from the start, of twice the size, in reverse order.
fn moved() -> Space {
    let mut offset = 8192;
    let mut layout = String::new();
    let mut regions = Vec::new();
    for decl in REGIONS.iter().rev() {
        let line = SPACE
            .layout
            .lines()
            .find(|line| line.starts_with(decl.name));
        let signature = line
            .and_then(|line| line.splitn(4, ' ').nth(3))
            .expect("a line");
        let size = decl.size * 2;
        layout.push_str(&format!("{} {offset} {size} {signature}\n", decl.name));
        regions.push(RegionDecl {
            offset,
            size,
            ..*decl
        });
        offset += size;
    }
    Space {
        size: offset.next_multiple_of(4096) + 8192,
        layout: layout.leak(),
        regions: regions.leak(),
        ..SPACE
    }
}

fn image(space: &Space) -> (tempfile::TempDir, std::path::PathBuf) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("image");
    fs::write(&path, space.blank().expect("the layout fits")).expect("written");
    (directory, path)
}

fn words(line: &str) -> Vec<String> {
    line.split(' ').map(str::to_owned).collect()
}

fn with_layout(from: &str, to: &str) -> Space {
    assert!(SPACE.layout.contains(from));
    Space {
        layout: SPACE.layout.replace(from, to).leak(),
        ..SPACE
    }
}

#[test]
fn settings_are_found_where_the_image_has_them_and_written_there() {
    let space = moved();
    let (_directory, path) = image(&space);
    let theirs = Store::open_in(space, &path, 0).expect("an image");
    let find = |decl: &RegionDecl| {
        space
            .regions
            .iter()
            .find(|other| other.name == decl.name)
            .expect("there")
    };
    theirs
        .perform(find(PERMISSIONS), &Verb::Set(words("home,gpu")))
        .expect("written");
    theirs
        .perform(find(ENVIRONMENT), &Verb::Add(words("A=1 B=2")))
        .expect("written");
    let ours = Store::open(&path, 0).expect("an image");
    assert_eq!(
        ours.perform(PERMISSIONS, &Verb::List).expect("read"),
        "gpu\nhome\n"
    );
    assert_eq!(
        ours.perform(ENVIRONMENT, &Verb::List).expect("read"),
        "A=1\nB=2\n"
    );
    ours.perform(ENVIRONMENT, &Verb::Add(words("C=3")))
        .expect("written");
    assert_eq!(
        theirs
            .perform(find(ENVIRONMENT), &Verb::List)
            .expect("read"),
        "A=1\nB=2\nC=3\n"
    );
    for decl in REGIONS {
        assert_eq!(
            ours.value(decl).expect(decl.name),
            theirs.value(find(decl)).expect(decl.name)
        );
        ours.check(decl).expect(decl.name);
    }
}

#[test]
fn an_encoding_that_has_grown_is_read_and_one_that_changed_is_refused() {
    let (_directory, path) = image(&with_layout("home=0,", ""));
    let store = Store::open(&path, 0).expect("an image");
    store
        .perform(PERMISSIONS, &Verb::Set(words("home")))
        .expect("written");
    let reopened = Store::open(&path, 0).expect("an image");
    assert_eq!(
        reopened.superblock().layout,
        SPACE.layout,
        "the image learns what is in it"
    );
    assert_eq!(
        reopened.perform(PERMISSIONS, &Verb::List).expect("read"),
        "home\n"
    );

    let (_directory, path) = image(&with_layout("home=0,media=1", "media=0,home=1"));
    let store = Store::open(&path, 0).expect("an image");
    for verb in [Verb::List, Verb::Set(words("home"))] {
        let error = store.perform(PERMISSIONS, &verb).expect_err("refused");
        assert!(matches!(
            error,
            StoreError::Incompatible {
                region: "permissions",
                ..
            }
        ));
        assert!(
            error
                .to_string()
                .ends_with("use the program that made the image"),
            "{error}"
        );
    }
    store
        .perform(BINDINGS, &Verb::Clear)
        .expect("the others work");
}

#[test]
fn a_region_without_room_in_an_older_image_is_refused() {
    let line = SPACE
        .layout
        .lines()
        .find(|line| line.starts_with("environment"))
        .expect("a line");
    let space = with_layout(&format!("{line}\n"), "");
    let (_directory, path) = image(&space);
    let store = Store::open(&path, 0).expect("an image");
    store
        .perform(ENVIRONMENT, &Verb::Add(words("A=1")))
        .expect("its own place is free");
    assert_eq!(
        store.perform(ENVIRONMENT, &Verb::List).expect("read"),
        "A=1\n"
    );

    let taken = format!("other {} 4096 map\n", ENVIRONMENT.offset);
    // A smaller space, in which there is nothing behind the region.
    let size = ENVIRONMENT.end();
    let fits = |line: &&str| {
        let mut numbers = line.split(' ').skip(1).map_while(|word| word.parse().ok());
        numbers
            .next()
            .zip(numbers.next())
            .is_some_and(|(offset, length): (u64, u64)| offset + length <= size)
    };
    let changed = with_layout(&format!("{line}\n"), &taken).layout;
    let layout: String = changed
        .lines()
        .filter(fits)
        .map(|line| format!("{line}\n"))
        .collect();
    let space = Space {
        size,
        layout: layout.leak(),
        regions: &[],
        ..SPACE
    };
    let (_directory, path) = image(&space);
    let store = Store::open(&path, 0).expect("an image");
    let before = fs::read(&path).expect("readable");
    let error = store
        .perform(ENVIRONMENT, &Verb::Add(words("A=1")))
        .expect_err("refused");
    assert!(
        matches!(
            error,
            StoreError::NoRoom {
                region: "environment",
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(before, fs::read(&path).expect("readable"));
}
