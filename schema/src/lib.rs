//! Parses, checks and models `schema/reserved.yaml`, the one file that says what an image can be told.
//!
//! Two shapes: [`source`] is what people type, [`model`] is what has been checked. Whoever emits code, pages or tests
//! sees only the model. Mistakes are collected and reported all at once, each with its line and how to mend it.

mod checks;
mod encode;
pub mod json_schema;
pub mod machine;
pub mod model;
mod name;
mod nearest;
mod positions;
mod report;
pub mod source;

pub use model::Model;
pub use name::Name;
pub use report::{Problem, Report};

/// Parses and checks the declaration in `text`; `file` is the name that the report prints.
///
/// # Errors
/// Every mistake found, in the order of the lines.
pub fn load(file: &str, text: &str) -> Result<Model, Report> {
    let mut report = Report::new(file, text);
    let source = source::parse(text, &mut report);
    if let Some(source) = &source {
        checks::all(source, &mut report);
    }
    match source {
        Some(source) if report.is_empty() => Ok(model::build(&source)),
        _ => Err(report.sorted()),
    }
}
