//! Reading a whole tree and reading at random, beside squashfs.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::measure::{compare_steps, is_there, run, steps};
use super::{Bench, LARGE, LARGE_MIB, pack};

/// Rounds of each comparison; every one mounts anew.
const ROUNDS: usize = 5;

const STEPS: [&str; 4] = ["find", "tar, cold", "tar, warm", "2000 x 4 KiB at random"];

/// Prints the microseconds of `find`, of `tar` on what nobody has read, of the same again, and of 2000 reads of 4 KiB.
fn script(root: &str) -> String {
    format!(
        "cd {root}; at() {{ local now=$EPOCHREALTIME; echo $((${{now/./}} - ${{before/./}})); before=$EPOCHREALTIME; }}
        before=$EPOCHREALTIME; find usr etc var >/dev/null 2>&1; at
        tar cf - usr etc | cat >/dev/null; at
        tar cf - usr etc | cat >/dev/null; at
        perl -e 'srand 7; open F, \"<\", \"{LARGE}\" or die; for (1..2000) {{
            sysseek F, 4096 * int rand {pages}, 0; sysread F, $b, 4096 }}'; at",
        pages = LARGE_MIB * 256
    )
}

/// A fresh mount of squashfs, unmounted when this is dropped.
struct Mounted(PathBuf);

impl Mounted {
    fn new(bench: &Bench, program: &[&str], image: &Path) -> Mounted {
        let at = bench.place.path().join("mounted");
        std::fs::create_dir_all(&at).expect("a directory");
        run(Command::new(program[0])
            .args(&program[1..])
            .arg(image)
            .arg(&at));
        Mounted(at)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

/// The container's tree beside squashfs served by `squashfuse_ll`, and by the kernel.
pub fn row(bench: &Bench) {
    println!("read the tree, freshly mounted; the image file is in memory");
    if !is_there("mksquashfs") {
        return;
    }
    let image = pack::squash(bench);
    let mut peers = Vec::new();
    if is_there("squashfuse_ll") {
        peers.push(("squashfuse_ll", &["squashfuse_ll"][..]));
    }
    match nix::unistd::geteuid().is_root() {
        true => peers.push(("kernel squashfs", &["mount", "-o", "loop,ro"])),
        false => println!("  the kernel's squashfs can be mounted by root only"),
    }
    for (name, program) in peers {
        let ours = || steps(&mut bench.inside(&bench.debian, &["bash", "-c", &script("/")]));
        let theirs = || {
            let mounted = Mounted::new(bench, program, &image);
            let script = script(&mounted.0.to_string_lossy());
            steps(Command::new("bash").args(["-c", &script]))
        };
        compare_steps(&STEPS, ROUNDS, ours, name, theirs);
    }
}
