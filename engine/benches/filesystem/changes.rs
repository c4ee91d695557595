//! Changing files in the container, beside a plain directory.

use std::fs;
use std::process::Command;

use super::Bench;
use super::measure::{compare_steps, steps};

/// Rounds of each comparison.
const ROUNDS: usize = 7;

/// Prints the microseconds of making 1000 files, of `find`, and of writing 64 MiB, and leaves nothing.
const SCRIPT: &str =
    "at() { local now=$EPOCHREALTIME; echo $((${now/./} - ${before/./})); before=$EPOCHREALTIME; }
    mkdir work; cd work; before=$EPOCHREALTIME
    for i in {1..1000}; do echo x > file-$i; done; at
    find . >/dev/null; at
    dd if=/dev/zero of=large bs=1M count=64 2>/dev/null; at
    cd ..; rm -r work";

const STEPS: [&str; 3] = ["create 1000", "find", "write 64 MiB"];

/// The container's root, with the kernel's overlay, beside a directory of the filesystem that its changes are on; then
/// the root with case folding beside the one without.
pub fn row(bench: &Bench) {
    println!("change files, in a running container");
    let plain = bench.place.path().join("plain");
    fs::create_dir_all(&plain).expect("a directory");
    let script = format!("cd /; {SCRIPT}");
    let inside = |folded: &str| {
        let mut command = bench.inside(&bench.debian, &["bash", "-c", &script]);
        steps(command.env("FIM_CASEFOLD", folded))
    };
    let theirs = || {
        let mut peer = Command::new("bash");
        steps(peer.args(["-c", SCRIPT]).current_dir(&plain))
    };
    compare_steps(&STEPS, ROUNDS, || inside("0"), "plain directory", theirs);
    println!("the same with case folding");
    compare_steps(&STEPS, ROUNDS, || inside("1"), "without", || inside("0"));
}
