//! What the declaration becomes, as a person reads it: a small one whole, so that a change of an emitter can be reviewed.

const SMALL: &str = r#"
format: 1
size: 0x00010000
regions:
  - name: greeting
    command: greeting
    offset: 0x2000
    size: 0x800
    summary: what the container says
    docs: Stored as typed.
    encoding: {text: {max: 256}}
    effects:
      - setenv: {name: GREETING, value: "{value}"}
  - name: theme
    command: theme
    offset: 0x2800
    size: 0x400
    summary: how it looks
    docs: One of two.
    encoding:
      choice:
        - {name: dark, summary: light on dark}
        - name: bright
          output: BRIGHT
          summary: dark on light
          effects:
            - when: {exists: /usr/share/bright, root: false, effects: [{symlink: {link: /theme, target: "/usr/share/{value}"}}]}
    default: dark
  - name: powers
    command: powers
    offset: 0x2c00
    size: 0x400
    summary: what it may do
    docs: Bits.
    encoding:
      bits:
        bits:
          - {number: 0, name: net, summary: the network, docs: The network., effects: [{share: {namespace: net}}]}
          - {number: 63, name: shm, summary: memory, docs: Memory., otherwise: [{tmpfs: {target: /dev/shm}}]}
        groups: [{name: all, bits: [net, shm], summary: both}]
  - name: mounts
    command: mount
    offset: 0x3000
    size: 0x400
    summary: paths
    docs: A list.
    encoding:
      list:
        fields:
          - {name: type, kind: {choice: [ro, rw]}, summary: access}
          - {name: path, kind: text, summary: where}
    effects:
      - for-each: {effects: [{bind: {source: "{path}", access: "{type}", missing: fail}}]}
actions:
  - name: open
    summary: open something
    docs: Opens it.
    verbs:
      - {name: file, summary: a file, arguments: [{name: path, kind: path, optional: true, summary: where}]}
      - {name: nothing, summary: not at all}
  - name: run
    summary: run something
    docs: Runs it.
    arguments:
      - {name: json, kind: switch, summary: print JSON}
      - {name: command, kind: command, summary: what}
"#;

fn pretty(text: &str) -> String {
    let model =
        flatimage_schema::load("small.yaml", text).unwrap_or_else(|report| panic!("{report}"));
    let file = syn::parse2(flatimage_codegen::expand(&model)).expect("the emitters write Rust");
    prettyplease::unparse(&file)
}

#[test]
fn a_small_declaration_becomes_this() {
    insta::assert_snapshot!(pretty(SMALL));
}

#[test]
fn generated_files_are_fresh() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let stale: Vec<_> = flatimage_codegen::generated()
        .iter()
        .filter_map(|file| file.check(&root))
        .collect();
    assert_eq!(stale, [], "run `cargo run -p flatimage-codegen -- write`");
}
