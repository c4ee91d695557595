//! Measuring two things by turns.

use std::process::{Command, Stdio};
use std::time::Instant;

/// Runs a command that must succeed.
pub fn run(command: &mut Command) {
    let status = command.status();
    let status = status.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(status.success(), "{command:?}: {status}");
}

/// Milliseconds from the start of a command to its end.
pub fn time(command: &mut Command) -> f64 {
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let start = Instant::now();
    run(command);
    start.elapsed().as_secs_f64() * 1000.0
}

/// Whether a program is in `PATH`.
pub fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|directory| directory.join(program).exists());
    if !found {
        println!("  {program} is not installed");
    }
    found
}

/// Measures both by turns and prints how they compare. The first round fills caches and does not count.
pub fn compare(
    what: &str,
    rounds: usize,
    mut ours: impl FnMut() -> f64,
    peer: &str,
    mut theirs: impl FnMut() -> f64,
) {
    let times: Vec<_> = (0..=rounds).map(|_| (ours(), theirs())).collect();
    print(what, peer, &times[1..]);
}

/// As [`compare`] for scripts of several steps, each of which prints the microseconds that it took.
pub fn compare_steps(
    steps: &[&str],
    rounds: usize,
    mut ours: impl FnMut() -> Vec<f64>,
    peer: &str,
    mut theirs: impl FnMut() -> Vec<f64>,
) {
    let times: Vec<_> = (0..=rounds).map(|_| (ours(), theirs())).collect();
    for (index, what) in steps.iter().enumerate() {
        let step = times[1..].iter();
        let step: Vec<_> = step
            .map(|(one, other)| (one[index], other[index]))
            .collect();
        print(what, peer, &step);
    }
}

/// Milliseconds of the steps of a script that prints microseconds, one a line.
pub fn steps(command: &mut Command) -> Vec<f64> {
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output();
    let output = output.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let number = |line: &str| line.parse::<f64>().expect("a number") / 1000.0;
    text.lines().map(number).collect()
}

/// The quartiles of the ratio, and the medians in milliseconds.
fn print(what: &str, peer: &str, times: &[(f64, f64)]) {
    let [low, ratio, high] = quartiles(times.iter().map(|(one, other)| one / other));
    let [_, ours, _] = quartiles(times.iter().map(|(one, _)| *one));
    let [_, theirs, _] = quartiles(times.iter().map(|(_, other)| *other));
    println!(
        "  {what:<24} {low:5.2} {ratio:5.2} {high:5.2} x {peer}; {ours:.2} and {theirs:.2} ms"
    );
}

fn quartiles(values: impl Iterator<Item = f64>) -> [f64; 3] {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    [1, 2, 3].map(|part| values[(values.len() - 1) * part / 4])
}
