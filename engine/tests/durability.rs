//! Settings and layers of real images under kill -9, many writers, running instances and damage.
//!
//! A bounded share runs with the other tests; `FIM_SOAK=1 cargo test --release -p flatimage --test durability` runs the
//! long form: ten thousand kills and five hundred rounds of writers.

mod support;

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{BufRead as _, BufReader, ErrorKind};
use std::os::unix::fs::FileExt as _;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use support::{Place, Ran, Who, everybody};

/// `short` in a normal run, `long` in a soak.
fn share(short: usize, long: usize) -> usize {
    match std::env::var_os("FIM_SOAK") {
        Some(_) => long,
        None => short,
    }
}

/// A small generator (xorshift64).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// Starts the image. A start may meet the moment at which another process writes: the kernel refuses it then, and
/// whoever started it tries again.
fn start(place: &Place, arguments: &[&str]) -> Child {
    loop {
        let mut command = place.image(arguments);
        match command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
        {
            Err(error) if error.kind() == ErrorKind::ExecutableFileBusy => thread::yield_now(),
            started => return started.unwrap(),
        }
    }
}

/// Waits until nobody has the image open for writing. This process had, and a child that another test starts has what
/// this process has until it executes its program.
fn settle(place: &Place) {
    assert_eq!(finished(start(place, &["fim-version", "short"])).code, 0);
}

/// An image of this test's own.
fn blueprint(who: Who) -> Place {
    let place = Place::blueprint(who);
    settle(&place);
    place
}

/// Cuts the image off, or makes it longer.
fn resize(place: &Place, length: u64) {
    let file = OpenOptions::new().write(true).open(&place.image).unwrap();
    file.set_len(length).unwrap();
}

fn finished(child: Child) -> Ran {
    Ran::from(child.wait_with_output().unwrap())
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

/// What `fim-verify --json` says.
fn verified(place: &Place) -> Vec<serde_json::Value> {
    let ran = place.run(&["fim-verify", "--json"]);
    assert!(ran.code <= 1 && ran.err.is_empty(), "{ran:?}");
    serde_json::from_str(&ran.out).unwrap()
}

/// Where the part of that kind and name begins in the file.
fn offset_of(place: &Place, kind: &str, name: &str) -> u64 {
    let found = verified(place);
    let part = found
        .iter()
        .find(|part| part["kind"] == kind && part["name"] == name);
    part.unwrap_or_else(|| panic!("{kind} {name}: {found:?}"))["offset"]
        .as_u64()
        .unwrap()
}

fn flip(place: &Place, offset: u64) {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(&place.image)
        .unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[byte[0] ^ 4], offset).unwrap();
    drop(file);
    settle(place);
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

/// A layer with one file of that name, about a mebibyte that does not compress.
fn layer(place: &Place, name: &str) -> String {
    let root = place.path().join(format!("root-{name}"));
    fs::create_dir(&root).unwrap();
    let mut random = Random(name.len() as u64 + 77);
    let noise: Vec<u8> = (0..1 << 20).map(|_| random.below(256) as u8).collect();
    fs::write(root.join(format!("{name}.bin")), noise).unwrap();
    fs::write(root.join(name), name).unwrap();
    let path = place
        .path()
        .join(format!("{name}.layer"))
        .to_string_lossy()
        .into_owned();
    place.give(place.path());
    place.succeed(&["fim-layer", "create", &root.to_string_lossy(), &path]);
    fs::remove_dir_all(root).unwrap();
    path
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
fn a_deleted_secret_is_nowhere_in_the_file() {
    let place = blueprint(Who::Caller);
    let secret = "correct-horse-battery-staple";
    let holds = || {
        let bytes = fs::read(&place.image).unwrap();
        bytes
            .windows(secret.len())
            .any(|window| window == secret.as_bytes())
    };
    place.succeed(&["fim-env", "add", &format!("TOKEN={secret}")]);
    assert!(holds());
    place.succeed(&["fim-env", "del", "TOKEN"]);
    assert!(!holds());
    let line = place.fail(125, &["fim-boot", "set", "true", &"x".repeat(40_000)]);
    assert!(line.contains("bytes too long"), "{line}");
}

/// A command that prints each setting, and one that stores a value in it.
const SETTINGS: [(&str, &[&str], &[&str]); 4] = [
    (
        "permissions",
        &["fim-perms", "list"],
        &["fim-perms", "add", "home"],
    ),
    (
        "environment",
        &["fim-env", "list"],
        &["fim-env", "add", "A=1"],
    ),
    (
        "bindings",
        &["fim-bind", "list"],
        &["fim-bind", "add", "ro", "/etc", "/host-etc"],
    ),
    ("boot", &["fim-boot", "show"], &["fim-boot", "set", "true"]),
];

#[test]
fn a_flipped_bit_is_named_and_the_rest_works() {
    for (name, print, _) in SETTINGS {
        let place = blueprint(Who::Caller);
        for (_, _, store) in SETTINGS {
            place.succeed(store);
        }
        let default = blueprint(Who::Caller).succeed(print);
        let offset = offset_of(&place, "setting", name);
        // The last write went into the second slot, so that both are hit: one is empty.
        let size = flatimage_reserved::declared::REGIONS
            .iter()
            .find(|region| region.name == name)
            .unwrap()
            .size;
        let second = offset + size / 2;
        flip(&place, second + 33);
        let line = place.fail(125, print);
        for part in [
            format!("`{name}`"),
            format!("byte {offset}"),
            format!("fim-reset {name}"),
            "default".into(),
        ] {
            assert!(line.contains(&part), "{line}: {part}");
        }
        for (other, print, _) in SETTINGS.iter().filter(|(other, ..)| *other != name) {
            assert_eq!(place.run(print).code, 0, "{other} beside {name}");
        }
        let ran = place.run(&["fim-exec", "bash", "-c", "ls -d /host-etc; echo A=$A"]);
        assert_eq!(
            ran.err.lines().next().map(|line| line.contains(name)),
            Some(true),
            "{ran:?}"
        );
        assert!(
            ran.out.ends_with(if name == "environment" {
                "A=\n"
            } else {
                "A=1\n"
            }),
            "{ran:?}"
        );
        assert_eq!(
            ran.out.contains("/host-etc\n"),
            name != "bindings",
            "{ran:?}"
        );
        let plan = place.run(&["fim-plan", "true"]);
        let home = format!(" {} ", place.home().display());
        assert_eq!(
            plan.out.contains(&home),
            name != "permissions",
            "{}",
            plan.out
        );
        let verify = place.run(&["fim-verify"]);
        let damaged: Vec<&str> = verify
            .out
            .lines()
            .filter(|line| line.starts_with("damaged"))
            .collect();
        assert_eq!((verify.code, damaged.len()), (1, 1), "{verify:?}");
        assert!(
            damaged[0].contains(&format!("setting {name} at {offset}")),
            "{damaged:?}"
        );
        place.succeed(&["fim-reset", name]);
        assert_eq!(place.succeed(print), default);
        place.succeed(&["fim-verify"]);
    }
}

#[test]
fn a_damaged_list_of_layers_starts_nothing_and_is_made_anew() {
    let place = blueprint(Who::Caller);
    let added = layer(&place, "added");
    place.succeed(&["fim-layer", "add", &added]);
    let listed = place.succeed(&["fim-layer", "list"]);
    let offset = offset_of(&place, "setting", "layers");
    for slot in [0, 512] {
        flip(&place, offset + slot + 33);
    }
    let line = place.fail(125, &["fim-exec", "true"]);
    assert!(
        line.contains("fim-reset layers") && line.contains("nothing is started"),
        "{line}"
    );
    place.succeed(&["fim-reset", "layers"]);
    assert_eq!(place.succeed(&["fim-layer", "list"]), listed);
    assert_eq!(place.shell("cat /added"), "added");
}

#[test]
fn every_damaged_part_is_found() {
    let place = blueprint(Who::Caller);
    let added = layer(&place, "added");
    place.succeed(&["fim-layer", "add", &added]);
    let parts = verified(&place);
    assert!(parts.iter().all(|part| part["ok"] == true), "{parts:?}");
    for kind in ["reserved space", "layer", "tool"] {
        let of_kind: Vec<_> = parts.iter().filter(|part| part["kind"] == kind).collect();
        assert!(!of_kind.is_empty(), "{kind}");
        for part in of_kind {
            let offset = part["offset"].as_u64().unwrap() + 40;
            flip(&place, offset);
            let ran = place.run(&["fim-verify"]);
            let damaged: Vec<&str> = ran
                .out
                .lines()
                .filter(|line| line.starts_with("damaged"))
                .collect();
            assert_eq!((ran.code, damaged.len()), (1, 1), "{kind}: {ran:?}");
            assert!(
                damaged[0].starts_with(&format!("damaged  {kind}")),
                "{damaged:?}"
            );
            flip(&place, offset);
        }
    }
    place.succeed(&["fim-verify"]);
}

#[test]
fn files_that_are_cut_off_or_no_image_are_answered_in_one_line() {
    let place = blueprint(Who::Caller);
    let reserved = offset_of(&place, "reserved space", "");
    let environment = offset_of(&place, "setting", "environment");
    for (length, command, what) in [
        (environment + 10, ["fim-env", "list"], "cut off"),
        (environment + 10, ["fim-exec", "true"], "cut off"),
        (
            reserved + 100,
            ["fim-perms", "list"],
            "description of the reserved space is damaged",
        ),
        (reserved, ["fim-perms", "list"], "no reserved space"),
    ] {
        let cut = blueprint(Who::Caller);
        resize(&cut, length);
        let ran = finished(start(&cut, &command));
        assert_eq!(
            (ran.code, ran.out.as_str(), ran.err.lines().count()),
            (125, "", 1),
            "{ran:?}"
        );
        let line = ran.err;
        assert!(line.contains(what), "{line}");
    }
    let added = layer(&place, "added");
    let half = fs::read(&added).unwrap();
    fs::write(&added, &half[..half.len() / 2]).unwrap();
    let line = place.fail(125, &["fim-layer", "add", &added]);
    assert!(line.contains("no whole layer"), "{line}");
    let line = place.fail(125, &["fim-reset", "enviroment"]);
    assert!(line.contains("did you mean `environment`?"), "{line}");
}
