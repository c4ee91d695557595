//! The schema of distributions' files is the one of the types that read them.
//!
//! `cargo test -p deploy --test schema -- --ignored` writes it anew.

use std::fs;
use std::path::{Path, PathBuf};

use deploy::distribution::Distribution;

fn distributions() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("distributions")
}

fn schema() -> PathBuf {
    distributions().join("distribution.schema.json")
}

#[test]
fn the_schema_is_fresh() {
    let held = fs::read_to_string(schema()).unwrap_or_default();
    assert!(
        held == Distribution::schema(),
        "stale: `cargo test -p deploy --test schema -- --ignored` writes it anew"
    );
}

#[test]
#[ignore = "writes the schema"]
fn write() {
    fs::write(schema(), Distribution::schema()).unwrap();
}

#[test]
fn every_distribution_names_its_schema() {
    for entry in fs::read_dir(distributions()).unwrap() {
        let path = entry.unwrap().path();
        if path
            .extension()
            .is_some_and(|extension| extension == "yaml")
        {
            let text = fs::read_to_string(&path).unwrap();
            let first = text.lines().next();
            let expected = "# yaml-language-server: $schema=distribution.schema.json";
            assert_eq!(first, Some(expected), "{}", path.display());
        }
    }
}
