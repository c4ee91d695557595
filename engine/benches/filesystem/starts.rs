//! Whether a start takes longer when the image is larger, or has more layers.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::Bench;
use super::measure::{compare, run, time};

/// Starts of each image.
const ROUNDS: usize = 40;

/// An image with one small file, 12 MB as a rule, beside one of 4 GiB more that do not compress.
pub fn size(bench: &Bench) {
    println!("start of `true` by the size of the image");
    let small = with_layers(bench, "small", 1);
    let tree = bench.place.path().join("large");
    fs::create_dir(&tree).expect("a directory");
    let script = "head -c 4G /dev/urandom > \"$0\"";
    run(Command::new("sh")
        .args(["-c", script])
        .arg(tree.join("file")));
    let layer = bench.place.path().join("large.layer");
    run(Command::new(&bench.blueprint)
        .env("FIM_COMPRESSION_LEVEL", "0")
        .args(["fim-layer", "create"])
        .args([&tree, &layer]));
    let large = bench.place.path().join("large.flatimage");
    fs::copy(&bench.blueprint, &large).expect("a copy of the image");
    bench.add(&large, &layer);
    let start = |image: &Path| time(&mut bench.inside(image, &["true"]));
    compare(
        "4 GiB",
        ROUNDS,
        || start(&large),
        "small image",
        || start(&small),
    );
    for path in [&layer, &large] {
        fs::remove_file(path).expect("the file is ours");
    }
    fs::remove_dir_all(tree).expect("the tree is ours");
}

/// An image with one layer beside one with a hundred.
pub fn layers(bench: &Bench) {
    println!("start of `true` by the number of layers");
    let one = with_layers(bench, "one", 1);
    let start = |image: &Path| time(&mut bench.inside(image, &["true"]));
    for count in [10, 100] {
        let many = with_layers(bench, "many", count);
        let what = format!("{count} layers");
        compare(&what, ROUNDS, || start(&many), "one layer", || start(&one));
    }
}

fn with_layers(bench: &Bench, name: &str, count: usize) -> std::path::PathBuf {
    let image = bench.place.path().join(format!("{name}.flatimage"));
    fs::copy(&bench.blueprint, &image).expect("a copy of the image");
    let tree = bench.place.path().join(name);
    fs::create_dir(&tree).expect("a directory");
    let layer = bench.place.path().join(format!("{name}.layer"));
    for number in 0..count {
        fs::write(tree.join(format!("file-{number}")), "content").expect("a file");
        bench.create(&tree, &layer);
        bench.add(&image, &layer);
    }
    fs::remove_dir_all(tree).expect("the tree is ours");
    image
}
