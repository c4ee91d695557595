//! Images that are there: looked at, and given another program.

#[path = "existing/upgrade.rs"]
mod upgrade;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use deploy::marker::{self, Marker};
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

    /// As it was when the program was not compressed, and the marker somewhere in it.
    fn make_much_older(&self) {
        let (at, marker) = self.marker();
        let mut older = marker.encode();
        older[18] = b'2';
        self.patch(at, &[0; marker::SIZE]);
        self.patch(70_001, &older[..384]);
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
