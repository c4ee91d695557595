//! How much slower the view is than the directory below. Run with `--ignored --nocapture`.

mod common;

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use common::{Folded, in_namespaces, with_all_ids};

fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

fn create(at: &Path) {
    for number in 0..1000 {
        fs::write(at.join(format!("File {number}")), "content").unwrap();
    }
}

fn run(program: &[&str], at: &Path) {
    let output = Command::new(program[0])
        .args(&program[1..])
        .arg(at)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}

fn write(at: &Path) {
    let mut file = File::create(at.join("large")).unwrap();
    let piece = vec![7; 1 << 20];
    for _ in 0..64 {
        file.write_all(&piece).unwrap();
    }
}

fn read_again(at: &Path) {
    assert_eq!(fs::read(at.join("large")).unwrap().len(), 64 << 20);
}

fn miss(at: &Path) {
    for number in 0..1000 {
        assert!(!at.join(format!("nothing {number}")).exists());
    }
}

#[test]
#[ignore = "a measurement"]
fn the_view_is_compared_with_the_directory() {
    in_namespaces("the_view_is_compared_with_the_directory", || {
        let folded = Folded::prepared(|below| fs::create_dir(below.join("plain")).unwrap());
        fs::create_dir(folded.at("view")).unwrap();
        let (plain, view) = (folded.below().join("plain"), folded.at("view"));
        type Work<'a> = &'a dyn Fn(&Path);
        let works: [(&str, Work<'_>); 7] = [
            ("create 1000 files", &create),
            ("find", &|at| run(&["find"], at)),
            ("ls -l", &|at| run(&["ls", "-l"], at)),
            ("1000 names that are not there", &miss),
            ("write 64 MiB", &write),
            ("read 64 MiB", &read_again),
            ("cat 1000 files", &|at| run(&["grep", "-rc", "content"], at)),
        ];
        for (name, work) in works {
            let (below, above) = (timed(|| work(&plain)), timed(|| work(&view)));
            let ratio = above.as_secs_f64() / below.as_secs_f64();
            println!(
                "figure: {name}: {below:.1?} below, {above:.1?} in the view, {ratio:.1} times"
            );
        }
        folded.end();
    });
}

/// Descriptors that this process, which is the server too, has open.
fn open_descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
#[ignore = "takes a while"]
fn a_hundred_thousand_files_need_no_descriptor_each() {
    with_all_ids("a_hundred_thousand_files_need_no_descriptor_each", || {
        const COUNT: usize = 100_000;
        let folded = Folded::prepared(|below| {
            for number in 0..COUNT {
                File::create(below.join(format!("File {number}"))).unwrap();
            }
        });
        let before = open_descriptors();
        let first = timed(|| assert!(!folded.at("nothing").exists()));
        let miss = timed(|| miss(&folded.at("")));
        let other = timed(|| {
            for number in 0..1000 {
                fs::metadata(folded.at(&format!("FILE {number}"))).unwrap();
            }
        });
        println!(
            "figure: index of {COUNT} names: {first:.1?}; 1000 misses: {miss:.1?}; 1000 by another case: {other:.1?}"
        );
        run(&["ls", "-l"], &folded.at(""));
        assert!(open_descriptors() <= before + 2);
        for name in common::names(&folded.at("")) {
            fs::remove_file(folded.at(&name.to_lowercase())).unwrap();
        }
        assert!(
            open_descriptors() <= before + 2,
            "what was removed is closed"
        );
        folded.end();
    });
}
