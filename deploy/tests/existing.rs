//! Images that are there: looked at, and given another program.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use deploy::marker::{self, Marker};
use flatimage_reserved::{RegionDecl, Space, Store, Value, declared, layout};
use serde_json::Value as Json;
use tempfile::TempDir;

fn deploy(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_deploy"));
    command.args(arguments).stdin(Stdio::null());
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn succeed(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    text(&output.stdout)
}

/// The one line of a command that must fail as deploy does.
fn refused(command: &mut Command) -> String {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().unwrap();
    let line = text(&stderr);
    assert_eq!(
        (status.code(), text(&stdout).as_str()),
        (Some(125), ""),
        "{line}"
    );
    assert!(
        line.starts_with("error: ") && line.lines().count() == 1,
        "{line}"
    );
    line
}

/// Settings of every kind, as they are typed.
const SETTINGS: [&[&str]; 6] = [
    &["fim-env", "add", "A=1 2", "B=$HOME"],
    &["fim-boot", "set", "cat", "/first", "it's"],
    &["fim-perms", "add", "home,network"],
    &["fim-bind", "add", "ro", "/etc", "/host-etc"],
    &["fim-casefold", "on"],
    &["fim-overlay", "set", "overlayfs"],
];

/// An image with settings and two layers beside the empty one, made once.
fn original() -> &'static Path {
    static ORIGINAL: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let (_, image) = ORIGINAL.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("dist");
        let mut build = deploy(&["blueprint", "--name", "it", "--level", "1", "--out"]);
        succeed(build.arg(&out).env("FIM_DIST", "My-Own"));
        let image = out.join("it.flatimage");
        for (name, files) in [("first", 1), ("second", 30)] {
            let tree = dir.path().join(name);
            fs::create_dir_all(tree.join("dir")).unwrap();
            for number in 0..files {
                fs::write(tree.join(format!("dir/{number}")), name).unwrap();
            }
            fs::write(tree.join(name), name).unwrap();
            let layer = dir.path().join(format!("{name}.layer"));
            succeed(
                run(&image)
                    .args(["fim-layer", "create"])
                    .args([&tree, &layer]),
            );
            succeed(run(&image).args(["fim-layer", "add"]).arg(&layer));
        }
        for setting in SETTINGS {
            succeed(run(&image).args(setting));
        }
        (dir, image)
    });
    image
}

/// The image, with nothing of the caller's.
fn run(image: &Path) -> Command {
    let mut command = Command::new(image);
    let home = image.parent().unwrap();
    command
        .env_clear()
        .env("HOME", home)
        .env("PATH", "/usr/bin:/bin");
    command.stdin(Stdio::null());
    command
}

/// A copy of the original, made by another process: a descriptor of ours that can write could be in a child of another test.
struct Copy {
    dir: TempDir,
    image: PathBuf,
}

impl Copy {
    fn new() -> Copy {
        let dir = tempfile::tempdir().unwrap();
        let image = dir.path().join("it.flatimage");
        succeed(Command::new("cp").arg(original()).arg(&image));
        Copy { dir, image }
    }

    /// Overwrites a part.
    fn patch(&self, offset: u64, bytes: &[u8]) {
        let from = self.dir.path().join("patch");
        fs::write(&from, bytes).unwrap();
        let mut dd = Command::new("dd");
        dd.args(["status=none", "conv=notrunc", "oflag=seek_bytes"]);
        dd.arg(format!("seek={offset}"));
        for (name, path) in [("if", &from), ("of", &self.image)] {
            dd.arg(format!("{name}={}", path.display()));
        }
        succeed(&mut dd);
        fs::remove_file(from).unwrap();
    }

    fn marker(&self) -> (u64, Marker) {
        let bytes = fs::read(&self.image).unwrap();
        let found = bytes[marker::OFFSET..].first_chunk().unwrap();
        (marker::OFFSET as u64, Marker::decode(found).unwrap())
    }

    /// Makes it an image of an older version.
    fn make_older(&self) {
        let (at, mut marker) = self.marker();
        marker.origin.version = "0.0.9".to_owned();
        marker.build_id = [9; 32];
        self.patch(at, &marker.encode());
    }

    fn inspect(&self) -> Json {
        let mut command = deploy(&["inspect", "--json"]);
        serde_json::from_str(&succeed(command.arg(&self.image))).unwrap()
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.dir.path()).unwrap().flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        let mut names: Vec<String> = names.filter(|name| name != ".cache").collect();
        names.sort();
        names
    }
}

#[test]
fn an_image_is_told_part_by_part() {
    let copy = Copy::new();
    let found = copy.inspect();
    assert_eq!(found["distribution"], "my-own");
    assert_eq!(found["version"], env!("CARGO_PKG_VERSION"));
    let sum = succeed(Command::new("sha256sum").arg(&copy.image));
    assert!(sum.starts_with(found["sha256"].as_str().unwrap()));
    // The parts follow one another, up to the end of the file.
    let parts = found["parts"].as_array().unwrap();
    let number = |part: &Json, key: &str| part[key].as_u64().unwrap();
    assert!(parts.windows(2).all(|pair| {
        number(&pair[0], "offset") + number(&pair[0], "size") <= number(&pair[1], "offset")
    }));
    let last = parts.last().unwrap();
    let size = fs::metadata(&copy.image).unwrap().len();
    assert_eq!(number(last, "offset") + number(last, "size"), size);
    let layers = found["layers"].as_array().unwrap();
    let listed = succeed(run(&copy.image).args(["fim-layer", "list"]));
    let told: String = layers
        .iter()
        .map(|layer| {
            assert_eq!(layer["format"], "DwarFS 2.5");
            let (index, offset, size) = (&layer["index"], &layer["offset"], &layer["size"]);
            format!("{index}:{offset}:{size}:{}\n", copy.image.display())
        })
        .collect();
    assert_eq!(told, listed);
    let entries: Vec<u64> = layers
        .iter()
        .map(|layer| number(layer, "entries"))
        .collect();
    assert_eq!(entries, [0, 3, 32]);
    assert_eq!(layers[2]["content"], 31 * 6);
    let tools = found["tools"].as_array().unwrap();
    let deps: Json =
        serde_json::from_str(&succeed(run(&copy.image).args(["fim-version", "deps"]))).unwrap();
    for (tool, told) in tools.iter().zip(deps["tools"].as_array().unwrap()) {
        for key in ["name", "version", "licence", "size", "sha256"] {
            assert_eq!(tool[key], told[key]);
        }
    }
    let settings: Vec<_> = found["settings"].as_array().unwrap().iter().collect();
    assert_eq!(settings.len(), SETTINGS.len());
    for setting in settings {
        let command = setting["command"].as_str().unwrap();
        assert!(
            SETTINGS.iter().any(|typed| typed[0] == command),
            "{setting}"
        );
    }
    let table = succeed(deploy(&["inspect"]).arg(&copy.image));
    for part in [
        "my-own",
        "reserved space",
        "busybox",
        "GPL-2.0-only",
        "fim-env",
        "A=1 2",
        "32 entries",
    ] {
        assert!(table.contains(part), "{part}: {table}");
    }
    let unchanged = deploy(&["inspect"]).arg(original()).output().unwrap();
    assert!(unchanged.status.success());
}

#[test]
fn what_is_no_image_or_half_of_one_is_said_in_one_line() {
    let copy = Copy::new();
    let (at, marker) = copy.marker();
    let whole = fs::read(&copy.image).unwrap();
    let file = copy.dir.path().join("wrong");
    let inspect = |bytes: &[u8]| {
        fs::write(&file, bytes).unwrap();
        refused(deploy(&["inspect"]).arg(&file))
    };
    assert!(inspect(b"").contains("is no image"));
    assert!(inspect(b"#!/bin/sh\n").contains("is no image"));
    assert!(inspect(&fs::read("/bin/true").unwrap()).contains("is no image"));
    let mut older = whole.clone();
    older[at as usize + 18] = b'1';
    assert!(inspect(&older).contains("version 1"));
    // Cut off in every part.
    for end in [
        at + 100,
        marker::RUNTIME_OFFSET as u64,
        marker.tools_offset + 10,
        marker.description_offset + 10,
        marker.reserved_offset,
        marker.reserved_offset + 5000,
        marker.reserved_offset + (1 << 20),
        whole.len() as u64 - 1,
    ] {
        inspect(&whole[..end as usize]);
    }
    // Every place of the marker that says where something is.
    for place in [24, 32, 48, 56] {
        for number in [0, 1, u64::MAX, whole.len() as u64] {
            let mut bytes = whole.clone();
            let start = at as usize + place;
            bytes[start..start + 8].copy_from_slice(&number.to_le_bytes());
            // A description of no bytes is that of an image without tools.
            if (place, number) != (56, 0) {
                inspect(&bytes);
            }
        }
    }
    // The sizes of the layers.
    let first = copy.inspect()["layers"][0]["offset"].as_u64().unwrap() as usize;
    let mut bytes = whole.clone();
    bytes[first - 8..first].fill(0xff);
    assert!(inspect(&bytes).contains("shorter than the layers"));
    let mut bytes = whole.clone();
    bytes[first] ^= 1;
    assert!(inspect(&bytes).contains("layer 0"));
    let mut bytes = whole;
    bytes[marker.description_offset as usize + 3] ^= 1;
    assert!(inspect(&bytes).contains("another sum"));
    let line = refused(&mut deploy(&["inspect"]));
    assert!(line.contains("name the image"), "{line}");
    assert!(refused(&mut deploy(&["inspect", "/none"])).contains("/none"));
    assert!(refused(&mut deploy(&["upgrade", "/tmp"])).contains("/tmp"));
}

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
