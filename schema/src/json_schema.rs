//! The JSON Schema (draft-07) by which an editor completes and checks the declaration.

use schemars::generate::SchemaSettings;

use crate::source::Declaration;

/// The schema as text that ends with a line feed.
#[must_use]
pub fn json_schema() -> String {
    let mut schema = SchemaSettings::draft07()
        .into_generator()
        .into_root_schema_for::<Declaration>();
    let written = "Written by `cargo run -p flatimage-codegen -- write`.";
    schema.insert("$comment".to_owned(), written.into());
    let mut text = serde_json::to_string_pretty(&schema).expect("a schema is plain JSON");
    text.push('\n');
    text
}
