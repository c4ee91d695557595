//! The README's tour, word for word. Needs the packages of `.ci/packages`.
#![cfg(feature = "distribution")]

mod support;

use std::fs;

use support::{Place, Ran, Who, blueprint};

/// The blocks of shell commands, in order.
fn blocks() -> Vec<&'static str> {
    let readme = include_str!("../../README.md");
    let rest = readme.split("\n```sh\n").skip(1);
    rest.filter_map(|rest| rest.split("\n```").next()).collect()
}

#[test]
fn the_tour_of_the_readme_goes_as_it_says() {
    let blocks = blocks();
    let [build, distribution, ..] = blocks.as_slice() else {
        panic!("{blocks:?}")
    };
    let place = Place::blueprint(Who::Caller);
    fs::create_dir(place.path().join("dist")).unwrap();
    fs::copy(blueprint(), place.path().join("dist/blueprint.flatimage")).unwrap();
    let run = |script: &str| {
        let mut shell = place.command("bash");
        shell.args(["-euc", script]);
        let ran = Ran::of(shell);
        assert_eq!(ran.code, 0, "{script}\n{ran:?}");
        ran.out
    };

    // The image is there: other tests build it in the same way, from the library.
    let (cargo, hello) = build.split_once(" && ").unwrap();
    assert_eq!(cargo, "cargo run --release -p deploy -- blueprint");
    assert_eq!(run(hello), "hello\n");
    assert_eq!(run(distribution).lines().last(), Some("hello"));
    run("./dist/blueprint.flatimage fim-boot set perl");
    assert_eq!(run("./dist/blueprint.flatimage -e 'print 7'"), "7");
    assert!(place.path().join("dist/.blueprint.flatimage.data").is_dir());
    place.assert_gone();
}
