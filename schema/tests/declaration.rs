//! The declaration of the project, and the mistakes that one can make in it.

use std::fs;

use flatimage_schema::load;

#[test]
fn the_declaration_has_no_mistakes() {
    let text = include_str!("../reserved.yaml");
    if let Err(report) = load("schema/reserved.yaml", text) {
        panic!("{report}");
    }
}

#[test]
fn mistakes_are_reported_all_at_once_with_line_and_remedy() {
    insta::glob!("invalid/*.yaml", |path| {
        let text = fs::read_to_string(path).expect("readable");
        let file = path.file_name().expect("a file").to_string_lossy();
        let report = load(&file, &text).expect_err("a mistake");
        insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
            insta::assert_snapshot!(report.to_string());
        });
    });
}

#[test]
fn a_region_is_added_by_the_file_alone() {
    let text = include_str!("../reserved.yaml");
    let before = load("before", text).expect("sound");
    let region = r#"
  - name: greeting
    command: greeting
    offset: 0x003c0000
    size: 0x800
    summary: what the container says
    docs: Says it.
    encoding: {text: {max: 256}}
    effects:
      - setenv: {name: GREETING, value: "{value}"}

actions:
"#;
    let after = load("after", &text.replacen("\nactions:\n", region, 1)).expect("sound");
    let (before_layout, after_layout) = (before.layout(), after.layout());
    let added: Vec<&str> = after_layout
        .lines()
        .filter(|line| !before_layout.lines().any(|old| old == *line))
        .collect();
    assert_eq!(added, ["greeting 3932160 2048 text(256)"]);
    assert_ne!(before.digest(), after.digest());
}
