//! What the declaration becomes, as a person reads it: a small one whole, so that a change of an emitter can be reviewed.

const SMALL: &str = include_str!("small.yaml");

fn pretty(text: &str) -> String {
    let model =
        flatimage_schema::load("small.yaml", text).unwrap_or_else(|report| panic!("{report}"));
    let file = syn::parse2(flatimage_emit::expand(&model)).expect("the emitters write Rust");
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
