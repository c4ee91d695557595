//! Chapters of the book as tests: what is shown after a prompt is run, and what is shown below it must come out.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::Place;

/// Where the book's readers live.
const READER: &str = "/home/ana";

/// The text of a chapter.
pub fn read(name: &str) -> String {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "..", "book", "src", name]
        .iter()
        .collect();
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Runs every command after a `$ ` in the chapter's blocks of plain text, in order, in the place.
pub fn run(place: &Place, chapter: &str) {
    let sessions = sessions(chapter);
    assert!(!sessions.is_empty());
    let home = place.home().display().to_string();
    for (command, expected) in sessions {
        assert_eq!(
            output(place, &command),
            expected.replace(READER, &home),
            "{:?}: $ {command}",
            place.who
        );
    }
}

/// Commands and what they print.
fn sessions(chapter: &str) -> Vec<(String, String)> {
    let mut sessions: Vec<(String, String)> = Vec::new();
    let blocks = chapter.split("\n```text\n").skip(1);
    for block in blocks.filter_map(|rest| rest.split("\n```").next()) {
        let mut lines = block.lines();
        // A block without a prompt shows something else.
        let Some(first) = lines.next().and_then(|line| line.strip_prefix("$ ")) else {
            continue;
        };
        sessions.push((first.to_owned(), String::new()));
        for line in lines {
            match (line.strip_prefix("$ "), sessions.last_mut()) {
                (Some(command), _) => sessions.push((command.to_owned(), String::new())),
                (None, Some((_, expected))) => {
                    expected.push_str(line);
                    expected.push('\n');
                }
                (None, None) => {}
            }
        }
    }
    sessions
}

/// Both streams, as on a terminal.
fn output(place: &Place, command: &str) -> String {
    let shell: Command = {
        let mut shell = place.command("/bin/bash");
        shell.args(["-c", &format!("exec 2>&1\n{command}")]);
        shell
            .current_dir(place.path() as &Path)
            .stdin(Stdio::null());
        shell
    };
    super::Ran::of(shell).out
}
