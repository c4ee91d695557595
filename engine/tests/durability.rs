//! Settings and layers of real images under kill -9, many writers and running instances.
//!
//! A bounded share runs with the other tests; `FIM_SOAK=1 cargo test --release -p flatimage --test durability` runs the
//! long form: ten thousand kills and five hundred rounds of writers.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use support::store::{Random, blueprint, finished, layer, resize, settle, start, verified};
use support::{Place, Ran, Who, everybody};

/// `short` in a normal run, `long` in a soak.
fn share(short: usize, long: usize) -> usize {
    match std::env::var_os("FIM_SOAK") {
        Some(_) => long,
        None => short,
    }
}

/// Kills a command at a random moment of its life and answers whether it had ended well before.
fn kill_within(mut child: Child, random: &mut Random, life: Duration) -> bool {
    let moment = Duration::from_nanos(random.below(life.as_nanos() as u64));
    thread::sleep(moment);
    let _ = child.kill();
    finished(child).code == 0
}

/// How long a command takes, with half as much on top.
fn life(place: &Place, arguments: &[&str]) -> Duration {
    let begun = Instant::now();
    for _ in 0..5 {
        place.succeed(arguments);
    }
    begun.elapsed() * 3 / 10
}

#[test]
fn a_killed_command_leaves_the_old_or_the_new_value() {
    let place = blueprint(*everybody().last().unwrap());
    place.succeed(&["fim-perms", "set", "home,gpu"]);
    let mut random = Random(0x5eed);
    let life = life(&place, &["fim-env", "list"]);
    let mut old = place.succeed(&["fim-env", "list"]);
    let (mut unfinished, mut changed) = (0, 0);
    let kills = share(200, 10_000);
    for number in 0..kills {
        let pad = "x".repeat(random.below(9000) as usize);
        let value = format!("A={number}{pad}");
        let new = format!("{value}\n");
        let ended = kill_within(
            start(&place, &["fim-env", "set", &value]),
            &mut random,
            life,
        );
        let found = place.succeed(&["fim-env", "list"]);
        assert!(
            found == new || (found == old && !ended),
            "kill {number}: {ended} {}",
            found.len()
        );
        unfinished += usize::from(!ended);
        changed += usize::from(!ended && found == new);
        old = found;
        if number % 50 == 0 {
            assert_eq!(place.succeed(&["fim-perms", "list"]), "gpu\nhome\n");
            assert!(verified(&place).iter().all(|part| part["ok"] == true));
        }
    }
    println!(
        "{kills} kills, {unfinished} before the end, {changed} of them after the new value was there"
    );
    assert!(unfinished > kills / 10, "{unfinished} of {kills}");
    place.succeed(&["fim-env", "set", "A=last"]);
    assert_eq!(place.succeed(&["fim-env", "list"]), "A=last\n");
}

#[test]
fn sixteen_writers_at_once_lose_nothing_and_readers_see_whole_values() {
    const WRITERS: usize = 16;
    let place = blueprint(*everybody().last().unwrap());
    let long = "v".repeat(400);
    for writer in 0..WRITERS {
        place.succeed(&["fim-env", "add", &format!("V{writer}=0{long}")]);
    }
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut reads = 0;
            while !done.load(Ordering::Relaxed) {
                let ran = finished(start(&place, &["fim-env", "list"]));
                assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{ran:?}");
                assert_eq!(ran.out.lines().count(), WRITERS, "{ran:?}");
                assert!(ran.out.lines().all(|line| line.ends_with(&long)), "{ran:?}");
                reads += 1;
            }
            reads
        });
        let end = Done(&done);
        for round in 1..=share(50, 500) {
            let writers: Vec<Child> = (0..WRITERS)
                .map(|writer| {
                    start(
                        &place,
                        &["fim-env", "add", &format!("V{writer}={round}{long}")],
                    )
                })
                .collect();
            for writer in writers {
                let ran = finished(writer);
                assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{ran:?}");
            }
            let ran = finished(start(&place, &["fim-env", "list"]));
            let found: BTreeMap<&str, &str> = ran
                .out
                .lines()
                .filter_map(|line| line.split_once('='))
                .collect();
            let wanted = format!("{round}{long}");
            assert_eq!(found.len(), WRITERS);
            assert!(
                found.values().all(|value| **value == wanted),
                "round {round}: {found:?}"
            );
        }
        drop(end);
        println!("{} reads meanwhile", reader.join().unwrap());
    });
}

/// Ends the readers, also when an assertion fails.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
#[test]
fn everything_can_be_changed_while_several_instances_run() {
    for who in everybody() {
        let place = blueprint(who);
        let mut running: Vec<Child> = (0..3)
            .map(|number| {
                let mut command =
                    place.image(&["fim-exec", "bash", "-c", "echo ready; read -r; echo $A"]);
                command.env("FIM_DIR_DATA", place.path().join(format!("data-{number}")));
                let mut child = command
                    .stdin(Stdio::piped())
                    .stdout(Stdio::piped())
                    .spawn()
                    .unwrap();
                let mut line = String::new();
                BufReader::new(child.stdout.as_mut().unwrap())
                    .read_line(&mut line)
                    .unwrap();
                assert_eq!(line, "ready\n");
                child
            })
            .collect();
        let inode = support::inode(&place.image);
        place.succeed(&["fim-env", "add", "A=1"]);
        place.succeed(&["fim-perms", "add", "network"]);
        place.succeed(&["fim-bind", "add", "ro", "/etc", "/host"]);
        place.succeed(&["fim-boot", "set", "true"]);
        place.succeed(&["fim-reset", "boot"]);
        let added = layer(&place, "added");
        place.succeed(&["fim-layer", "add", &added]);
        assert_eq!(support::inode(&place.image), inode, "it is the very file");
        assert_eq!(place.shell("cat /added; echo $A"), "added1\n");
        for child in &mut running {
            drop(child.stdin.take());
            assert!(child.wait().unwrap().success() || child.wait().unwrap().code() == Some(0));
        }
    }
}

#[test]
fn a_killed_append_leaves_the_layers_that_were_there() {
    let place = blueprint(*everybody().last().unwrap());
    let (first, second) = (layer(&place, "first"), layer(&place, "second"));
    place.succeed(&["fim-layer", "add", &first]);
    let count = |place: &Place| place.succeed(&["fim-layer", "list"]).lines().count();
    let mut before = count(&place);
    let mut random = Random(0xadd);
    let life = life(&place, &["fim-env", "list"]) * 6;
    let mut unfinished = 0;
    for number in 0..share(30, 500) {
        let ended = kill_within(
            start(&place, &["fim-layer", "add", &second]),
            &mut random,
            life,
        );
        unfinished += usize::from(!ended);
        let now = count(&place);
        assert!(
            now == before + 1 || (now == before && !ended),
            "kill {number}"
        );
        assert_eq!(place.shell("cat /first"), "first");
        before = now;
        if number % 10 == 0 {
            place.succeed(&["fim-layer", "add", &second]);
            before += 1;
            assert_eq!(count(&place), before);
            assert!(verified(&place).iter().all(|part| part["ok"] == true));
            // Back to a small image.
            let fresh = blueprint(place.who);
            fs::copy(&fresh.image, &place.image).unwrap();
            settle(&place);
            place.succeed(&["fim-layer", "add", &first]);
            before = count(&place);
        }
    }
    assert!(unfinished > 0);
}

#[test]
fn a_large_image_costs_as_much_as_a_small_one() {
    let place = blueprint(Who::Caller);
    let cost = |value: &str| {
        let script = format!("\"$0\" fim-env set A={value} && cat /proc/$$/io");
        let mut command = place.command("/bin/sh");
        command.args(["-c", &script]).arg(&place.image);
        let ran = Ran::of(command);
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{ran:?}");
        let field = |name: &str| -> u64 {
            let line = ran.out.lines().find(|line| line.starts_with(name)).unwrap();
            line.rsplit(' ').next().unwrap().parse().unwrap()
        };
        (field("rchar"), field("wchar"))
    };
    cost("0");
    let small = cost("1");
    resize(&place, 4 << 30);
    settle(&place);
    let large = cost("2");
    assert_eq!(small.1, large.1, "bytes written");
    // What else is read (libraries of the shell, `/proc`) varies by a little.
    assert!(large.0 < small.0 + 65536, "{small:?} {large:?}");
    assert!(small.1 < 4096, "{small:?}");
}

#[test]
fn a_setting_is_changed_without_another_process() {
    for who in everybody().into_iter().filter(|who| *who == Who::Ordinary) {
        let place = blueprint(who);
        let image = place.image.to_string_lossy().into_owned();
        // The kernel then refuses this user every further process; root is exempt (setrlimit(2)).
        let mut command = place.command("bash");
        command.args(["-c", "ulimit -u 0; exec \"$0\" fim-env add A=1", &image]);
        let ran = Ran::of(command);
        assert_eq!((ran.code, ran.err.as_str()), (0, ""));
        assert_eq!(place.succeed(&["fim-env", "list"]), "A=1\n");
        place.assert_clean();
    }
}
