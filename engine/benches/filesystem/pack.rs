//! Size and processor time of packing.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

use super::Bench;
use super::measure::{is_there, run};

/// What is made, and the processor seconds that it took.
struct Packed {
    bytes: u64,
    seconds: f64,
}

/// Packs the tree at the default level beside `mksquashfs -comp zstd -Xcompression-level 19`, and at the highest beside `mkdwarfs`.
pub fn row(bench: &Bench) {
    println!("pack the tree");
    let usual = layer(bench, "7");
    print("layer", &usual);
    if is_there("mksquashfs") {
        beside("mksquashfs", &usual, &measured(|| squash(bench)));
    }
    let small = layer(bench, "9");
    print("level 9", &small);
    if is_there("mkdwarfs") {
        beside("mkdwarfs", &small, &measured(|| dwarf(bench)));
    }
}

fn layer(bench: &Bench, level: &str) -> Packed {
    let layer = bench.place.path().join("packed.layer");
    let packed = measured(|| {
        run(Command::new(&bench.blueprint)
            .env("FIM_COMPRESSION_LEVEL", level)
            .args(["fim-layer", "create"])
            .args([&bench.tree, &layer]));
        layer.clone()
    });
    fs::remove_file(layer).expect("the layer is ours");
    packed
}

fn print(name: &str, packed: &Packed) {
    let (megabytes, seconds) = (packed.bytes as f64 / 1e6, packed.seconds);
    println!("  {name:<11} {megabytes:6.1} MB {seconds:6.1} s of processor time");
}

fn beside(name: &str, ours: &Packed, theirs: &Packed) {
    print(name, theirs);
    let size = ours.bytes as f64 / theirs.bytes as f64;
    let time = ours.seconds / theirs.seconds;
    println!("  {size:.2} x its size, {time:.2} x its processor time");
}

/// The tree as `mkdwarfs` packs it when it is told nothing.
fn dwarf(bench: &Bench) -> PathBuf {
    let image = bench.place.path().join("tree.dwarfs");
    run(Command::new("mkdwarfs")
        .args(["--force", "--log-level=error", "--no-progress", "-i"])
        .arg(&bench.tree)
        .arg("-o")
        .arg(&image));
    image
}

/// The tree as a squashfs image, made anew.
pub fn squash(bench: &Bench) -> PathBuf {
    let image = bench.place.path().join("tree.squashfs");
    let mut command = Command::new("mksquashfs");
    command.arg(&bench.tree).arg(&image);
    command.args(["-comp", "zstd", "-Xcompression-level", "19", "-b", "128K"]);
    command.args(["-noappend", "-quiet", "-no-progress"]);
    run(&mut command);
    image
}

fn measured(work: impl FnOnce() -> PathBuf) -> Packed {
    let used = || {
        let usage = getrusage(UsageWho::RUSAGE_CHILDREN).expect("the usage of children");
        (usage.user_time() + usage.system_time()).num_milliseconds() as f64 / 1000.0
    };
    let before = used();
    let made = work();
    Packed {
        bytes: fs::metadata(made).expect("what was made").len(),
        seconds: used() - before,
    }
}
