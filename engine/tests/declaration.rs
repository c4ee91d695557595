//! A setting is added by editing the declaration and nothing else.

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;

use support::{Place, Who};

const GREETING: &str = r#"
  - name: greeting
    command: greeting
    offset: 0x00300000
    size: 0x400
    summary: what the container says
    docs: |
      A text that programs find in `GREETING`.
    encoding:
      text: {max: 256}
    effects:
      - setenv: {name: GREETING, value: "{value}"}
"#;

/// Copies what Git knows or would know of the workspace.
fn copy_workspace(to: &Path) {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    for name in [
        "Cargo.toml",
        "Cargo.lock",
        "schema",
        "codegen",
        "engine",
        "deploy",
        "snapshots",
        "book",
    ] {
        let copied = Command::new("cp")
            .arg("-a")
            .arg(workspace.join(name))
            .arg(to)
            .status()
            .unwrap();
        assert!(copied.success(), "{name}");
    }
}

#[test]
fn a_key_by_the_declaration_alone() {
    let copy = tempfile::tempdir().unwrap();
    copy_workspace(copy.path());
    let declaration = copy.path().join("schema/reserved.yaml");
    let text = fs::read_to_string(&declaration).unwrap();
    let (regions, actions) = text.split_once("\nactions:").unwrap();
    fs::write(
        &declaration,
        format!("{regions}{GREETING}\nactions:{actions}"),
    )
    .unwrap();

    let out = copy.path().join("dist");
    let options = deploy::Options {
        out: out.clone(),
        workspace: copy.path().to_owned(),
        ..deploy::Options::new("blueprint")
    };
    let built = deploy::build(&options, &mut ()).unwrap_or_else(|error| panic!("{error}"));

    let place = Place::with(Who::Caller, &built.image);
    assert_eq!(place.succeed(&["fim-greeting", "show"]), "");
    place.succeed(&["fim-greeting", "set", "hello $HOME"]);
    assert_eq!(place.succeed(&["fim-greeting", "show"]), "hello $HOME\n");
    let expected = format!("hello {}\n", place.home().display());
    assert_eq!(place.shell("echo \"$GREETING\""), expected);
    let help = place.succeed(&["fim-help", "greeting"]);
    assert!(
        help.contains("A text that programs find in `GREETING`."),
        "{help}"
    );
    assert!(place.succeed(&["fim-help"]).contains("fim-greeting"));
    let long = "x".repeat(257);
    let line = place.fail(125, &["fim-greeting", "set", &long]);
    assert!(line.contains("1 bytes too long"), "{line}");
    place.succeed(&["fim-greeting", "clear"]);
    assert_eq!(place.shell("echo \"${GREETING-unset}\""), "unset\n");
    place.assert_clean();
}
