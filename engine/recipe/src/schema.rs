//! JSON Schemas of what a remote serves (draft-07), from the types that read it.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;

use crate::{Index, Recipe};

/// The schema of a recipe.
#[must_use]
pub fn recipe() -> String {
    of::<Recipe>()
}

/// The schema of an index.
#[must_use]
pub fn index() -> String {
    of::<Index>()
}

fn of<T: JsonSchema>() -> String {
    let mut schema = SchemaSettings::draft07()
        .into_generator()
        .into_root_schema_for::<T>();
    let written = "Written by `cargo run -p flatimage-codegen -- write`.";
    schema.insert("$comment".to_owned(), written.into());
    let mut text = serde_json::to_string_pretty(&schema).expect("a schema is JSON");
    text.push('\n');
    text
}
