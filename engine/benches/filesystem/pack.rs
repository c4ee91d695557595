//! Size and processor time of packing.

use std::fs;
use std::process::Command;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

use super::Bench;
use super::measure::{is_there, run};

/// Packs the tree at the default level, and with `mksquashfs -comp zstd -Xcompression-level 19`.
pub fn row(bench: &Bench) {
    println!("pack the tree");
    let layer = bench.place.path().join("packed.layer");
    let ours = seconds(|| bench.create(&bench.tree, &layer));
    let bytes = fs::metadata(&layer).expect("the layer").len();
    println!(
        "  layer       {:6.1} MB {ours:6.1} s of processor time",
        megabytes(bytes)
    );
    if is_there("mksquashfs") {
        let image = squash(bench);
        let theirs = seconds(|| drop(squash(bench)));
        let size = fs::metadata(image).expect("the image").len();
        println!(
            "  mksquashfs  {:6.1} MB {theirs:6.1} s of processor time",
            megabytes(size)
        );
        let (size, time) = (bytes as f64 / size as f64, ours / theirs);
        println!("  {size:.2} x its size, {time:.2} x its processor time");
    }
    fs::remove_file(layer).expect("the layer is ours");
}

/// The tree as a squashfs image, made anew.
pub fn squash(bench: &Bench) -> std::path::PathBuf {
    let image = bench.place.path().join("tree.squashfs");
    let mut command = Command::new("mksquashfs");
    command.arg(&bench.tree).arg(&image);
    command.args(["-comp", "zstd", "-Xcompression-level", "19", "-b", "128K"]);
    command.args(["-noappend", "-quiet", "-no-progress"]);
    run(&mut command);
    image
}

/// Processor seconds of the children that end meanwhile.
fn seconds(work: impl FnOnce()) -> f64 {
    let used = || {
        let usage = getrusage(UsageWho::RUSAGE_CHILDREN).expect("the usage of children");
        (usage.user_time() + usage.system_time()).num_milliseconds() as f64 / 1000.0
    };
    let before = used();
    work();
    used() - before
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
