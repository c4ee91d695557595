//! Images that get the program and the tools of this tree.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use flatimage_reserved::{RegionDecl, Space, Store, Value, declared, layout};
use serde_json::Value as Json;

use super::{Copy, SETTINGS, deploy, refused, run, succeed, text};

/// What must be the same afterwards.
fn lasting(found: &Json) -> Json {
    let layers = found["layers"].as_array().unwrap().iter();
    let layers: Vec<_> = layers
        .map(|layer| [&layer["size"], &layer["entries"]])
        .collect();
    serde_json::json!([found["distribution"], found["settings"], layers])
}

/// The bytes of the layers, each with its size before it.
fn layers(image: &Path) -> Vec<u8> {
    let offset = succeed(run(image).env("FIM_MAIN_OFFSET", "1"));
    let offset: usize = offset.trim().parse().unwrap();
    fs::read(image).unwrap().split_off(offset - 8)
}

#[test]
fn an_upgrade_changes_program_and_tools_and_nothing_else() {
    let copy = Copy::new();
    copy.make_older();
    fs::set_permissions(&copy.image, fs::Permissions::from_mode(0o750)).unwrap();
    let checksum = copy.dir.path().join("it.flatimage.sha256sum");
    fs::write(&checksum, "old\n").unwrap();
    let (before, before_layers) = (copy.inspect(), layers(&copy.image));
    assert_eq!(before["version"], "0.0.9");
    let link = copy.dir.path().join("link");
    std::os::unix::fs::symlink("it.flatimage", &link).unwrap();
    let mut running = run(&copy.image);
    running.args([
        "fim-exec",
        "bash",
        "-c",
        "read -r line; echo $line; cat /second",
    ]);
    let running = running
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut running = running.spawn().unwrap();

    let told = succeed(deploy(&["upgrade"]).arg(&link));
    assert_eq!(told, format!("{}\n", copy.image.display()));
    let after = copy.inspect();
    assert_eq!(lasting(&after), lasting(&before));
    assert!(layers(&copy.image) == before_layers);
    assert_eq!(after["version"], env!("CARGO_PKG_VERSION"));
    assert_ne!(after["build_id"], before["build_id"]);
    assert_eq!(fs::metadata(&copy.image).unwrap().mode() & 0o7777, 0o750);
    succeed(
        Command::new("sha256sum")
            .args(["--check", "--quiet"])
            .arg(&checksum)
            .current_dir(copy.dir.path()),
    );
    for (setting, shown) in [
        (["fim-env", "list"], "A=1 2\nB=$HOME\n"),
        (["fim-perms", "list"], "home\nnetwork\n"),
    ] {
        assert_eq!(succeed(run(&copy.image).args(setting)), shown);
    }
    succeed(run(&copy.image).arg("fim-verify"));
    use std::io::Write;
    running.stdin.take().unwrap().write_all(b"on\n").unwrap();
    let ran = running.wait_with_output().unwrap();
    assert_eq!(text(&ran.stdout), "on\nsecond", "{ran:?}");
    let names = ["it.flatimage", "it.flatimage.sha256sum", "link"];
    let left: Vec<_> = copy
        .names()
        .into_iter()
        .filter(|name| !name.ends_with(".data"))
        .collect();
    assert_eq!(left, names);
}

#[test]
fn an_image_of_the_marker_before_is_looked_into_and_upgraded() {
    let copy = Copy::new();
    let before_layers = layers(&copy.image);
    copy.make_much_older();
    let before = copy.inspect();
    assert_eq!(before["distribution"], "my-own");
    succeed(deploy(&["upgrade"]).arg(&copy.image));
    assert_eq!(lasting(&copy.inspect()), lasting(&before));
    assert!(layers(&copy.image) == before_layers);
    succeed(run(&copy.image).arg("fim-verify"));
}

#[test]
fn the_old_image_is_kept_when_asked_and_never_overwritten() {
    let copy = Copy::new();
    let before = fs::read(&copy.image).unwrap();
    copy.make_older();
    let old = copy.dir.path().join("it.flatimage.old");
    fs::write(&old, "somebody's").unwrap();
    let line = refused(deploy(&["upgrade"]).arg(&copy.image));
    assert!(
        line.contains("it.flatimage.old` is there already"),
        "{line}"
    );
    assert_eq!(fs::read(&old).unwrap(), b"somebody's");
    fs::remove_file(&old).unwrap();
    let older = fs::read(&copy.image).unwrap();
    succeed(deploy(&["upgrade", "--keep"]).arg(&copy.image));
    assert!(fs::read(&old).unwrap() == older);
    // The same program, tools and settings give the same image again.
    assert!(fs::read(&copy.image).unwrap() == before);
}

#[test]
fn a_damaged_image_stays_as_it_is() {
    let copy = Copy::new();
    let layer = &copy.inspect()["layers"][2];
    let (offset, size) = (
        layer["offset"].as_u64().unwrap(),
        layer["size"].as_u64().unwrap(),
    );
    // A block of files, which nothing looks at but `fim-verify`.
    copy.patch(offset + size / 4, &[0x55; 16]);
    let before = fs::read(&copy.image).unwrap();
    let complaint = deploy(&["upgrade"]).arg(&copy.image).output().unwrap();
    assert_eq!(complaint.status.code(), Some(125));
    let line = text(&complaint.stderr);
    assert!(
        line.lines().last().unwrap().starts_with("error: "),
        "{line}"
    );
    assert!(fs::read(&copy.image).unwrap() == before);
    assert_eq!(copy.names(), ["it.flatimage"]);
}

#[test]
fn an_upgrade_that_is_killed_leaves_a_whole_image() {
    let copy = Copy::new();
    copy.make_older();
    let before = lasting(&copy.inspect());
    for milliseconds in [200, 500, 700, 900, 1000, 1100, 1200, 1400, 1700] {
        let mut upgrade = deploy(&["upgrade"]);
        let upgrade = upgrade
            .arg(&copy.image)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut child = upgrade.spawn().unwrap();
        std::thread::sleep(Duration::from_millis(milliseconds));
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(lasting(&copy.inspect()), before, "after {milliseconds} ms");
        // Cut off between the two steps it is there, whole.
        let old = copy.dir.path().join("it.flatimage.old");
        if old.exists() {
            succeed(deploy(&["inspect"]).arg(&old));
            fs::remove_file(old).unwrap();
        }
    }
    succeed(deploy(&["upgrade"]).arg(&copy.image));
    assert_eq!(lasting(&copy.inspect()), before);
    assert_eq!(copy.names(), ["it.flatimage"]);
}

/// The declaration as an older one could have been: one region elsewhere, and one not there yet.
fn older_space() -> Space {
    let missing = "casefold";
    let mut regions: Vec<RegionDecl> = declared::REGIONS.to_vec();
    regions.retain(|region| region.name != missing);
    let placed = layout::parse(declared::LAYOUT, declared::DEFAULT_SIZE).unwrap();
    let moved = regions.iter_mut().find(|region| region.name == "boot");
    let moved = moved.unwrap();
    let (from, size) = (moved.offset, moved.size);
    let free = layout::free(&placed, from, size, declared::DEFAULT_SIZE);
    moved.offset = free.unwrap();
    let to = moved.offset;
    regions.sort_by_key(|region| region.offset);
    let lines = declared::LAYOUT.lines();
    let lines = lines.filter(|line| !line.starts_with(&format!("{missing} ")));
    let text: String = lines
        .map(|line| match line.starts_with("boot ") {
            true => format!(
                "{}\n",
                line.replace(&format!(" {from} "), &format!(" {to} "))
            ),
            false => format!("{line}\n"),
        })
        .collect();
    Space {
        layout: text.leak(),
        regions: regions.leak(),
        ..declared::SPACE
    }
}

#[test]
fn settings_of_an_older_layout_are_found_and_put_where_they_belong() {
    let copy = Copy::new();
    let before = copy.inspect();
    let (_, marker) = copy.marker();
    let values: Vec<(RegionDecl, Value)> = {
        let store = Store::open(&copy.image, marker.reserved_offset).unwrap();
        let value = |region: &RegionDecl| (*region, store.value(region).unwrap());
        declared::REGIONS.iter().map(value).collect()
    };
    let space = older_space();
    let file = copy.dir.path().join("space");
    fs::write(&file, space.blank().unwrap()).unwrap();
    let store = Store::open_in(space, &file, 0).unwrap();
    let mut locked = store.lock().unwrap();
    for (region, value) in &values {
        if let Some(region) = space.regions.iter().find(|known| known.name == region.name) {
            locked.write(region, value).unwrap();
        }
    }
    drop(locked);
    copy.patch(marker.reserved_offset, &fs::read(&file).unwrap());
    fs::remove_file(&file).unwrap();
    let older = copy.inspect();
    assert_eq!(
        older["settings"].as_array().unwrap().len(),
        SETTINGS.len() - 1
    );
    succeed(deploy(&["upgrade"]).arg(&copy.image));
    assert_eq!(lasting(&copy.inspect()), lasting(&older));
    let store = Store::open(&copy.image, copy.marker().1.reserved_offset).unwrap();
    assert_eq!(store.superblock().layout, declared::LAYOUT);
    succeed(run(&copy.image).args(["fim-casefold", "on"]));
    assert_eq!(lasting(&copy.inspect()), lasting(&before));
}
