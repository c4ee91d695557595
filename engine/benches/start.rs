//! How long a start takes beside `bwrap`, and where the time goes.
//!
//! Runs of both alternate, so that a machine that changes its speed changes it for both; what
//! counts is the ratio. Needs the packages of `.ci/packages`; run it on an idle machine:
//! `cargo bench -p flatimage`.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};

/// Counted runs of each command.
const RUNS: usize = 60;

/// What is traced, in order, and what has been done by then.
const PHASES: [(&str, &str); 7] = [
    ("started", "execute the launcher, then the private copy"),
    ("planned", "read the settings, plan"),
    (
        "stage entered",
        "make the root's namespaces, map ids, enter the stage",
    ),
    ("root stacked", "mount the layers and the overlay"),
    (
        "namespaces made",
        "enter the root, make the instance's namespaces",
    ),
    ("mounted", "mount /dev, /proc, /tmp, /run, tools"),
    (
        "restricted",
        "enter the root, nest the user namespace, drop privileges",
    ),
];

fn main() {
    // Cargo passes `--bench`; a name filters.
    let only = std::env::args()
        .skip(1)
        .find(|argument| !argument.starts_with('-'));
    let place = tempfile::tempdir().expect("a temporary directory");
    let blueprint = blueprint();
    let debian = debian(&blueprint);
    for (name, image) in [("blueprint", blueprint), ("debian layer", debian)] {
        if only
            .as_ref()
            .is_none_or(|only| name.contains(only.as_str()))
        {
            compare(name, &image, place.path());
        }
    }
}

fn blueprint() -> PathBuf {
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("images");
    let options = deploy::Options {
        out,
        ..deploy::Options::new("blueprint")
    };
    deploy::build(&options, &mut ())
        .expect("deploy builds the blueprint image")
        .image
}

/// The blueprint image with a minimal Debian on top, made once.
fn debian(blueprint: &Path) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let (archive, layer) = (directory.join("bench.tar"), directory.join("bench.layer"));
    let image = directory.join("images/debian.flatimage");
    if !layer.exists() {
        let release = fs::read_to_string("/etc/os-release").expect("/etc/os-release");
        let mut lines = release.lines();
        let suite = lines.find_map(|line| line.strip_prefix("VERSION_CODENAME="));
        run(Command::new("mmdebstrap")
            .args(["--quiet", "--variant=minbase", suite.expect("a suite")])
            .arg(&archive));
        let root = tempfile::tempdir_in(directory).expect("a directory");
        run(Command::new("tar")
            .args(["--extract", "--exclude=./dev/*", "--file"])
            .arg(&archive)
            .arg("--directory")
            .arg(root.path()));
        run(Command::new(blueprint)
            .args(["fim-layer", "create"])
            .arg(root.path())
            .arg(&layer));
        fs::remove_file(archive).expect("the archive is ours");
    }
    fs::copy(blueprint, &image).expect("a copy of the image");
    run(Command::new(&image).args(["fim-layer", "add"]).arg(&layer));
    image
}

fn run(command: &mut Command) {
    let status = command
        .status()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(status.success(), "{command:?}: {status}");
}

/// A first start, which builds the root, and one beside a program that runs, which joins it.
fn compare(name: &str, image: &Path, place: &Path) {
    let mut ours = Command::new(image);
    ours.args(["fim-exec", "true"])
        .env("FIM_DIR_DATA", place.join(name));
    report(&format!("{name}: first start"), &mut ours);
    let mut running = Command::new(image)
        .args(["fim-exec", "bash", "-c", "echo; read -r"])
        .env("FIM_DIR_DATA", place.join(name))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the image starts");
    let mut ready = [0];
    let output = running.stdout.as_mut().expect("a pipe");
    output.read_exact(&mut ready).expect("the program runs");
    report(&format!("{name}: second start"), &mut ours);
    drop(running.stdin.take());
    running.wait().expect("the program ends");
}

fn report(title: &str, ours: &mut Command) {
    ours.env_remove("FIM_DEBUG");
    let mut bwrap = bwrap();
    let mut times = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=RUNS {
        let (ours, peer) = (time(ours), time(&mut bwrap));
        // The first round fills caches.
        if round > 0 {
            times.0.push(ours);
            times.1.push(peer);
            times.2.push(ours / peer);
        }
    }
    let [ours_ms, peer_ms, ratio] =
        [&mut times.0, &mut times.1, &mut times.2].map(|values| quartiles(values));
    println!("{title} of `true`, {RUNS} runs in turn, quartiles");
    println!("  image  {ours_ms} ms");
    println!("  bwrap  {peer_ms} ms");
    println!("  ratio  {ratio}");
    println!("  where the time goes, median ms:");
    ours.env("FIM_DEBUG", "1");
    for (phase, milliseconds) in phases(ours) {
        println!("  {milliseconds:8.3}  {phase}");
    }
}

fn bwrap() -> Command {
    let mut bwrap = Command::new("bwrap");
    bwrap.args(["--unshare-all", "--ro-bind", "/", "/"]);
    bwrap.args(["--dev", "/dev", "--proc", "/proc", "true"]);
    bwrap
}

fn time(command: &mut Command) -> f64 {
    let command = command.stdin(Stdio::null());
    let start = Instant::now();
    let status = command
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
    format!("{:6.2} {:6.2} {:6.2}", at(1), at(2), at(3))
}

/// The median duration of each phase, with the rest at the end.
fn phases(command: &mut Command) -> Vec<(&'static str, f64)> {
    let mut durations: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
    for _ in 0..RUNS {
        let mut before = now();
        let output = command
            .stdin(Stdio::null())
            .output()
            .expect("the image runs");
        let end = now();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        let mut events = events(&text);
        for (index, (phase, _)) in PHASES.iter().enumerate() {
            let Some(at) = events.iter().position(|(_, text)| text == phase) else {
                continue;
            };
            let (time, _) = events.remove(at);
            durations
                .entry(index)
                .or_default()
                .push((time.saturating_sub(before)).as_secs_f64());
            before = time;
        }
        durations
            .entry(PHASES.len())
            .or_default()
            .push((end - before).as_secs_f64());
    }
    let median = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values[values.len() / 2] * 1000.0
    };
    let name = |index: usize| {
        PHASES
            .get(index)
            .map_or("the program, from exec to its end", |p| p.1)
    };
    durations
        .into_iter()
        .map(|(index, values)| (name(index), median(values)))
        .collect()
}

fn now() -> Duration {
    clock_gettime(ClockId::CLOCK_MONOTONIC)
        .expect("a monotonic clock")
        .into()
}

fn events(text: &str) -> Vec<(Duration, String)> {
    text.lines()
        .filter_map(|line| {
            let (time, text) = line.strip_prefix("debug: [")?.split_once("] ")?;
            let (seconds, micros) = time.split_once('.')?;
            let time = Duration::from_secs(seconds.parse().ok()?)
                + Duration::from_micros(micros.parse().ok()?);
            Some((time, text.to_owned()))
        })
        .collect()
}
