//! Completions and manual pages name every command, and shells accept them.

use std::process::Command;

use flatimage_codegen::companions;
use flatimage_reserved::declared::{ACTIONS, REGIONS};

fn commands() -> impl Iterator<Item = String> {
    let regions = REGIONS.iter().filter_map(|region| region.command);
    let actions = ACTIONS.iter().map(|action| action.name);
    regions.chain(actions).map(|name| format!("fim-{name}"))
}

#[test]
fn every_completion_and_every_manual_has_every_command() {
    let files = companions("app.flatimage").unwrap();
    for file in &files[..3] {
        let text = String::from_utf8(file.text.clone()).unwrap();
        for command in commands() {
            assert!(text.contains(&command), "{}: {command}", file.file);
        }
    }
    for command in commands() {
        let page = format!("app.flatimage-{command}.1");
        assert!(files.iter().any(|file| file.file == page), "{page}");
    }
}

#[test]
fn bash_completes_commands_and_their_verbs() {
    let directory = tempfile::tempdir().unwrap();
    let files = companions("app.flatimage").unwrap();
    let script = directory.path().join(&files[0].file);
    std::fs::write(&script, &files[0].text).unwrap();
    let completed = |words: &[&str]| {
        let place = words.len() - 1;
        let words = words.join("' '");
        let asked = format!(
            "source '{}'; COMP_WORDS=('{words}'); COMP_CWORD={place}; \
             $(complete -p app.flatimage | sed 's/.*-F \\([^ ]*\\).*/\\1/') app.flatimage \"${{COMP_WORDS[{place}]}}\" \"\"; \
             printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            script.display()
        );
        let output = Command::new("bash").args(["-c", &asked]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(completed(&["app.flatimage", "fim-per"]), "fim-perms\n");
    let verbs = completed(&["app.flatimage", "fim-perms", ""]);
    assert!(
        verbs.lines().any(|verb| verb == "add") && verbs.lines().any(|verb| verb == "clear"),
        "{verbs}"
    );
}
