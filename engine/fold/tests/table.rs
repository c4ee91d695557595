//! The table of case folding is what Unicode publishes.
//!
//! `case-folding.txt` beside this file has the facts of <https://www.unicode.org/Public/15.0.0/ucd/CaseFolding.txt>.

use std::fmt::Write as _;
use std::path::Path;

use flatimage_fold::{UNICODE_VERSION, fold};

const SOURCE: &str = include_str!("case-folding.txt");

/// Every simple folding: the statuses C (common to simple and full folding) and S (simple only).
fn foldings() -> Vec<(u32, u32)> {
    let code = |text: &str| u32::from_str_radix(text, 16).unwrap();
    let lines = SOURCE
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty());
    lines
        .map(|line| line.split("; ").collect::<Vec<_>>())
        .filter(|fields| matches!(fields[1], "C" | "S"))
        .map(|fields| (code(fields[0]), code(fields[2])))
        .collect()
}

/// First, last, step and distance of runs: neighbours, or every second character, at one distance.
fn ranges() -> Vec<(u32, u32, u32, i32)> {
    let mut ranges: Vec<(u32, u32, u32, i32)> = Vec::new();
    for (from, to) in foldings() {
        let distance = to as i32 - from as i32;
        match ranges.last_mut() {
            Some((first, last, step, same)) if *same == distance => {
                let gap = from - *last;
                if gap <= 2 && (*first == *last || gap == *step) {
                    (*last, *step) = (from, gap);
                    continue;
                }
            }
            _ => {}
        }
        ranges.push((from, from, 1, distance));
    }
    ranges
}

fn version() -> &'static str {
    let first = SOURCE.lines().next().unwrap();
    first
        .strip_prefix("# Simple case foldings of Unicode ")
        .and_then(|rest| rest.split_once(':'))
        .unwrap()
        .0
}

fn generated() -> String {
    let mut text = format!(
        "// Written by `UPDATE=1 cargo test -p flatimage-fold --test table` from `tests/case-folding.txt`.\n\
         //! Unicode's simple case folding.\n\n\
         /// The version of Unicode whose `CaseFolding.txt` names are compared by.\n\
         pub const UNICODE_VERSION: &str = \"{}\";\n\n\
         /// Characters from `first` to `last`, every `step`th, that fold to the one at `distance`.\n\
         pub(super) struct Range {{\n    pub(super) first: u32,\n    pub(super) last: u32,\n    \
         pub(super) step: u32,\n    pub(super) distance: i32,\n}}\n\n\
         const fn range(first: u32, last: u32, step: u32, distance: i32) -> Range {{\n    Range {{\n        \
         first,\n        last,\n        step,\n        distance,\n    }}\n}}\n\n\
         /// Ordered, without overlap.\npub(super) const RANGES: &[Range] = &[\n",
        version()
    );
    for (first, last, step, distance) in ranges() {
        writeln!(
            text,
            "    range({first:#x}, {last:#x}, {step}, {distance}),"
        )
        .unwrap();
    }
    text + "];\n"
}

#[test]
fn the_table_is_what_the_source_gives() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/folding/table.rs");
    let wanted = generated();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &wanted).unwrap();
    }
    let is = std::fs::read_to_string(&path).unwrap();
    assert!(
        is == wanted,
        "{} is stale: run `UPDATE=1 cargo test -p flatimage-fold --test table`",
        path.display()
    );
}

#[test]
fn every_character_folds_as_the_source_says() {
    assert_eq!(UNICODE_VERSION, version());
    let foldings: std::collections::HashMap<u32, u32> = foldings().into_iter().collect();
    assert!(foldings.len() > 1400);
    for character in '\0'..=char::MAX {
        let code = u32::from(character);
        let wanted = char::from_u32(*foldings.get(&code).unwrap_or(&code)).unwrap();
        let folded = fold(character.to_string().as_bytes());
        assert_eq!(folded, wanted.to_string().as_bytes(), "{character:?}");
    }
}
