//! How long a command on a setting takes beside `/bin/true`, and how many starts meet a writer.
//!
//! Runs of both alternate, so that a machine that changes its speed changes it for both; what counts is the ratio. On
//! a filesystem in memory a sync costs nothing: the difference is the time inside of `fdatasync`. Run it on an idle
//! machine: `cargo bench -p flatimage --bench settings`.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Counted runs of each command.
const RUNS: usize = 200;

/// Starts beside a writer.
const STARTS: usize = 1000;

fn main() {
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("images");
    let options = deploy::Options {
        out: out.clone(),
        ..deploy::Options::new("blueprint")
    };
    let image = deploy::build(&options, &mut ())
        .expect("deploy builds the blueprint image")
        .image;
    for (name, base) in [
        ("on the disk", out.as_path()),
        ("in memory", "/dev/shm".as_ref()),
    ] {
        let place = tempfile::tempdir_in(base).expect("a temporary directory");
        let copy = place.path().join("app.flatimage");
        fs::copy(&image, &copy).expect("a copy of the image");
        println!("an image {name}, {RUNS} runs in turn, quartiles");
        compare(&copy, &["fim-env", "list"]);
        compare(&copy, &["fim-env", "set", "A=1"]);
        if name == "on the disk" {
            for pause in [0, 1] {
                let share = refused(&copy, Duration::from_millis(pause)) * 100.0;
                println!("  {share:.2} % of starts meet a writer in a loop with {pause} ms pauses");
            }
        }
    }
}

fn compare(image: &Path, arguments: &[&str]) {
    let (mut ours, mut peer) = (Command::new(image), Command::new("/bin/true"));
    ours.args(arguments);
    let mut times = [Vec::new(), Vec::new(), Vec::new()];
    for round in 0..=RUNS {
        if arguments.contains(&"set") {
            // Another value each time: the same one is not written again.
            ours = Command::new(image);
            ours.args(["fim-env", "set", &format!("A={round}")]);
        }
        let (ours, peer) = (time(&mut ours), time(&mut peer));
        // The first round fills caches.
        if round > 0 {
            times[0].push(ours);
            times[1].push(peer);
            times[2].push(ours / peer);
        }
    }
    let [ours, peer, ratio] = times.each_mut().map(|times| quartiles(times));
    println!(
        "  {}: {ours} ms; /bin/true {peer} ms; ratio {ratio}",
        arguments.join(" ")
    );
}

fn time(command: &mut Command) -> f64 {
    let start = Instant::now();
    let status = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let taken = start.elapsed();
    assert!(status.success(), "{command:?}: {status}");
    taken.as_secs_f64() * 1000.0
}

/// First quartile, median and third quartile.
fn quartiles(values: &mut [f64]) -> String {
    values.sort_by(f64::total_cmp);
    let at = |part: usize| values[(values.len() - 1) * part / 4];
    format!("{:.2} {:.2} {:.2}", at(1), at(2), at(3))
}

/// The share of starts that the kernel refuses because a writer has the image open just then.
fn refused(image: &Path, pause: Duration) -> f64 {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut number = 0;
            while !done.load(Ordering::Relaxed) {
                number += 1;
                let mut command = Command::new(image);
                command.args(["fim-env", "set", &format!("A={number}")]);
                // Refused like any other start: tried again.
                let _ = command.stdin(Stdio::null()).status();
                thread::sleep(pause);
            }
        });
        let mut refused = 0;
        for _ in 0..STARTS {
            let started = Command::new(image)
                .args(["fim-version", "short"])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .status();
            match started {
                Err(error) if error.kind() == ErrorKind::ExecutableFileBusy => refused += 1,
                other => assert!(other.expect("the image starts").success()),
            }
        }
        done.store(true, Ordering::Relaxed);
        f64::from(refused) / STARTS as f64
    })
}
