//! What the portal costs: a request beside the same program started by a shell of the host, and bytes through it beside a
//! plain pipe.
//!
//! Runs of both alternate, so that a machine that changes its speed changes it for both; what counts is the ratio. Run it on an
//! idle machine: `cargo bench -p flatimage --bench portal`.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

/// Rounds that are counted.
const ROUNDS: usize = 15;
/// Requests in one round.
const REQUESTS: usize = 100;
/// Mebibytes in one round.
const MEBIBYTES: usize = 2048;

fn main() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let image = image(place.path());
    let mut inside = Shell::start(
        Command::new(&image)
            .args(["fim-exec", "bash", "--norc"])
            .env("FIM_DIR_DATA", place.path().join("data")),
    );
    let mut outside = Shell::start(Command::new("bash").arg("--norc"));
    let times = |command: &str| {
        format!("i=0; while [ $i -lt {REQUESTS} ]; do {command}; i=$((i + 1)); done")
    };
    let unit = 1000.0 / REQUESTS as f64;
    let rows = [
        (
            "a shell of the host starts `/bin/true`",
            false,
            times("/bin/true"),
        ),
        (
            "a shell of the container starts `true`",
            true,
            times("busybox true"),
        ),
        (
            "`fim_portal /bin/true`",
            true,
            times("fim_portal /bin/true"),
        ),
    ];
    compare(
        "one program, ms",
        &rows,
        &mut inside,
        &mut outside,
        |time| time * unit,
    );
    let source = format!("dd if=/dev/zero bs=1M count={MEBIBYTES} 2> /dev/null");
    let sink = "dd of=/dev/null bs=1M 2> /dev/null";
    let rows = [
        (
            "pipe of the host",
            false,
            format!("{source} | cat | {sink}"),
        ),
        (
            "pipe of the container",
            true,
            format!("{source} | cat | {sink}"),
        ),
        (
            "through the portal",
            true,
            format!("{source} | fim_portal cat | {sink}"),
        ),
    ];
    let speed = |time: f64| MEBIBYTES as f64 / 1024.0 / time;
    compare("throughput, GiB/s", &rows, &mut inside, &mut outside, speed);
}

/// A blueprint image that may run everything.
fn image(place: &Path) -> PathBuf {
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("images");
    let options = deploy::Options {
        out,
        ..deploy::Options::new("blueprint")
    };
    let built = deploy::build(&options, &mut ()).expect("deploy builds the blueprint image");
    let image = place.join("app.flatimage");
    std::fs::copy(built.image, &image).expect("a copy of the image");
    for arguments in [["fim-perms", "add", "portal"], ["fim-portal", "add", "*"]] {
        let status = Command::new(&image).args(arguments).status();
        assert!(status.expect("the image runs").success());
    }
    image
}

/// A shell that does what it is told.
struct Shell {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Shell {
    fn start(command: &mut Command) -> Shell {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("a shell");
        Shell {
            input: child.stdin.take(),
            output: BufReader::new(child.stdout.take().expect("a pipe")),
            child,
        }
    }

    /// Seconds that a script takes.
    fn time(&mut self, script: &str) -> f64 {
        let start = Instant::now();
        let input = self.input.as_mut().expect("the shell runs");
        writeln!(input, "{{ {script}; }} < /dev/null; echo done").expect("the shell listens");
        let mut line = String::new();
        self.output.read_line(&mut line).expect("the shell answers");
        assert_eq!(line, "done\n");
        start.elapsed().as_secs_f64()
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.child.wait();
    }
}

fn compare(
    title: &str,
    rows: &[(&str, bool, String)],
    inside: &mut Shell,
    outside: &mut Shell,
    value: impl Fn(f64) -> f64,
) {
    let mut values = vec![Vec::new(); rows.len()];
    for round in 0..=ROUNDS {
        for ((_, is_inside, script), values) in rows.iter().zip(&mut values) {
            let shell = if *is_inside {
                &mut *inside
            } else {
                &mut *outside
            };
            let time = shell.time(script);
            // The first round fills caches.
            if round > 0 {
                values.push(value(time));
            }
        }
    }
    println!("{title}, {ROUNDS} rounds in turn, quartiles");
    for ((name, ..), values) in rows.iter().zip(&mut values) {
        values.sort_by(f64::total_cmp);
        let at = |part: usize| values[(values.len() - 1) * part / 4];
        println!("  {:8.3} {:8.3} {:8.3}  {name}", at(1), at(2), at(3));
    }
}
