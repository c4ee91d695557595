//! SVG in: XML with the root that it has to have. Drawing it is the business of whoever shows it.

use roxmltree::{Document, ParsingOptions};

use super::IconError;

/// The namespace of SVG.
const NAMESPACE: &str = "http://www.w3.org/2000/svg";

/// The most nodes: a tree in memory is many times as large as the text.
const MOST_NODES: u32 = 200_000;

/// Whether it begins as XML does, behind a byte order mark and spaces.
pub fn is_text(bytes: &[u8]) -> bool {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    bytes.trim_ascii_start().first() == Some(&b'<')
}

/// Refuses what is no SVG.
pub fn check(bytes: &[u8]) -> Result<(), IconError> {
    let broken = |reason: String| IconError::Broken {
        format: "SVG",
        reason,
    };
    let text = std::str::from_utf8(bytes).map_err(|error| broken(error.to_string()))?;
    let options = ParsingOptions {
        // Drawing programs write one. What it can blow up is bounded by the parser.
        allow_dtd: true,
        nodes_limit: MOST_NODES,
        ..ParsingOptions::default()
    };
    let document =
        Document::parse_with_options(text, options).map_err(|error| broken(error.to_string()))?;
    let root = document.root_element().tag_name();
    match (root.name(), root.namespace()) {
        ("svg", Some(NAMESPACE)) => Ok(()),
        (name, _) => Err(broken(format!(
            "its root is `{name}`, not `svg` in the namespace {NAMESPACE}"
        ))),
    }
}

/// The same picture with a comment at its end.
pub fn marked(bytes: &[u8], mark: &str) -> Vec<u8> {
    let end = bytes.trim_ascii_end();
    [end, format!("\n<!-- {mark} -->\n").as_bytes()].concat()
}
