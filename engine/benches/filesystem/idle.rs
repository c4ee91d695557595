//! What an image costs while its program sleeps.

use std::collections::HashMap;
use std::fs;
use std::io::Read;
use std::process::Stdio;
use std::time::Duration;

use super::Bench;

/// How long wake-ups are counted.
const WATCHED: Duration = Duration::from_secs(5);

/// Processes, private memory and wake-ups beyond the program itself, of a first instance and of a second beside it.
pub fn row(bench: &Bench) {
    println!("while programs sleep, without the programs");
    let mut running = Vec::new();
    for name in ["one instance", "two instances"] {
        let script = "echo; exec sleep 1000";
        let mut instance = bench
            .inside(&bench.debian, &["bash", "-c", script])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the image starts");
        let mut ready = [0];
        let output = instance.stdout.as_mut().expect("a pipe");
        output.read_exact(&mut ready).expect("the program runs");
        running.push(instance);
        let image = bench.debian.to_string_lossy();
        let processes = processes(&image);
        let before = wakeups(&processes);
        std::thread::sleep(WATCHED);
        let woken: u64 = wakeups(&processes).values().sum::<u64>() - before.values().sum::<u64>();
        let memory: u64 = processes.iter().map(|pid| private(*pid)).sum();
        println!(
            "  {name:<14} {} processes, {:.1} MiB private, {woken} wake-ups in {} s",
            processes.len(),
            memory as f64 / 1024.0,
            WATCHED.as_secs()
        );
    }
    for mut instance in running {
        let _ = instance.kill();
        let _ = instance.wait();
    }
}

/// The processes that have the image's path as their first argument: a program has its own.
fn processes(image: &str) -> Vec<u32> {
    let pids = fs::read_dir("/proc").expect("/proc").flatten();
    pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            line.starts_with(image.as_bytes())
        })
        .collect()
}

/// Context switches of each process, of all its threads.
fn wakeups(processes: &[u32]) -> HashMap<u32, u64> {
    let of_thread = |path: std::path::PathBuf| -> u64 {
        let status = fs::read_to_string(path.join("status")).unwrap_or_default();
        let lines = status
            .lines()
            .filter(|line| line.contains("ctxt_switches:"));
        let counts = lines.filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
        counts.sum()
    };
    let of_process = |pid: &u32| {
        let threads = fs::read_dir(format!("/proc/{pid}/task"))
            .into_iter()
            .flatten()
            .flatten();
        (*pid, threads.map(|thread| of_thread(thread.path())).sum())
    };
    processes.iter().map(of_process).collect()
}

/// KiB that are the process's alone.
fn private(pid: u32) -> u64 {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let lines = rollup.lines().filter(|line| line.starts_with("Private_"));
    lines
        .filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok())
        .sum()
}
