//! The index of a directory.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Unfit, parse};

/// What the files beside it must be, in `{remote}/{distribution}/latest/index.json`. Members that are not known are passed
/// over, so that more can be said later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Index {
    /// Every recipe and layer by the name of its file. One that is not listed is not used.
    pub files: BTreeMap<String, Entry>,
}

/// A file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Entry {
    /// Its SHA-256: 64 hexadecimal digits.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = "^[0-9A-Fa-f]{64}$")))]
    pub sha256: String,
    /// Its bytes. Nothing larger is fetched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
}

impl Index {
    /// Reads an index. Sums are in lower case from then on.
    ///
    /// # Errors
    /// JSON of another form, and sums that are none.
    pub fn parse(bytes: &[u8]) -> Result<Index, Unfit> {
        let mut index: Index = parse(bytes)?;
        for (name, entry) in &mut index.files {
            entry.sha256.make_ascii_lowercase();
            let is_sum = entry.sha256.len() == 64
                && entry.sha256.bytes().all(|digit| digit.is_ascii_hexdigit());
            if !is_sum {
                let name = name.escape_debug();
                return Err(Unfit(format!("the sum of `{name}` is no SHA-256")));
            }
        }
        Ok(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_has_sums() {
        let sum = "A".repeat(64);
        let text = format!(r#"{{"files": {{"a": {{"sha256": "{sum}", "size": 3}}}}, "later": 1}}"#);
        let index = Index::parse(text.as_bytes()).expect("an index");
        assert_eq!(index.files["a"].sha256, "a".repeat(64));
        assert_eq!(index.files["a"].size, Some(3));
        for text in [
            r#"{"files": {"a": {"sha256": "12"}}}"#,
            r#"{"files": {"a": {"sha265": ""}}}"#,
            "{}",
            "<html>",
        ] {
            let line = Index::parse(text.as_bytes()).expect_err(text).to_string();
            assert!(!line.contains('\n'), "{line}");
        }
    }
}
