//! What an image says about its tools: `tools.json`, which the runtime acts on, and `meta.json`, which it only shows.
//!
//! Both are objects with one key, a list, so that more can be said later without breaking readers.

use serde::{Deserialize, Serialize};

use super::Part;
use super::find::Found;
use crate::digest;

/// Where in the container a tool and its links appear.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Directory {
    /// `$FIM_DIR_APP_BIN`: programs of their own.
    Bin,
    /// Nowhere: the runtime runs it on the host.
    Host,
    /// Beside the former, in `lib`: what programs in it are started by and with, see [`super::bundled`].
    Lib,
    /// Nowhere: what serves the root is started outside of it, see [`super::bundled`].
    Servers,
    /// `$FIM_DIR_APP_SBIN`: applets, behind everything else in `PATH`.
    Sbin,
}

impl Directory {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Directory::Bin => "bin",
            Directory::Host => "host",
            Directory::Lib => "lib",
            Directory::Servers => "servers",
            Directory::Sbin => "sbin",
        }
    }
}

/// An entry of `tools.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolEntry {
    /// File name of the program.
    pub name: String,
    /// Where it appears.
    pub directory: Directory,
    /// Where it begins in the tools, unpacked.
    pub offset: u64,
    /// Bytes of the program.
    pub size: u64,
    /// SHA-256 of the program, in hexadecimal.
    pub sha256: String,
    /// Further names it answers to, sorted; each becomes a link to it in the same directory.
    pub links: Vec<String>,
}

/// `tools.json` as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolsJson {
    /// Every tool, sorted by name, then what serves the root and what is run on the host, in the order in which they are stored.
    pub tools: Vec<ToolEntry>,
}

/// An entry of `meta.json`: what a licence asks us to pass on, and where a byte came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetaEntry {
    /// File name of the program.
    pub name: String,
    /// The version it states itself.
    pub version: String,
    /// SPDX expression.
    pub licence: String,
    /// How it was got: `directory`, `PATH`, or a package with its version.
    pub source: String,
    /// Bytes of the program.
    pub size: u64,
    /// SHA-256 of the program, in hexadecimal.
    pub sha256: String,
}

/// `meta.json` as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetaJson {
    /// Every tool, in the order of `tools.json`.
    pub tools: Vec<MetaEntry>,
}

pub(super) fn tools_json(entries: &[ToolEntry]) -> Vec<u8> {
    json(&ToolsJson {
        tools: entries.to_vec(),
    })
}

pub(super) fn meta_json(found: &[Found], parts: &[Part]) -> Vec<u8> {
    let entry = |tool: &Found| MetaEntry {
        name: tool.wanted.name.to_owned(),
        version: tool.version.clone(),
        licence: tool.wanted.licence.to_owned(),
        source: tool.source.clone(),
        size: tool.program.len() as u64,
        sha256: digest::hex(&digest::of(&tool.program)),
    };
    let part = |part: &Part| MetaEntry {
        name: part.name.clone(),
        version: part.about.version.clone(),
        licence: part.about.licence.clone(),
        source: part.about.source.clone(),
        size: part.program.len() as u64,
        sha256: digest::hex(&digest::of(&part.program)),
    };
    json(&MetaJson {
        tools: found
            .iter()
            .map(entry)
            .chain(parts.iter().map(part))
            .collect(),
    })
}

/// The description of an image: both texts, with a zero byte between them.
pub fn description(tools: &ToolsJson, metadata: &[u8]) -> Vec<u8> {
    [&json(tools), &b"\0"[..], metadata].concat()
}

/// Both texts of a description; `None` when it is none.
pub(crate) fn texts(description: &[u8]) -> Option<(&[u8], &[u8])> {
    let middle = description.iter().position(|byte| *byte == 0)?;
    Some((&description[..middle], &description[middle + 1..]))
}

/// `tools.json` out of its text; in words, why it is none.
pub(crate) fn parse(text: &[u8]) -> Result<ToolsJson, String> {
    serde_json::from_slice(text).map_err(|error| error.to_string())
}

/// The table given, when every program in it is one of those that were made.
pub(super) fn chosen(mut given: ToolsJson, made: &ToolsJson) -> Result<ToolsJson, String> {
    for entry in &given.tools {
        let same = |tool: &&ToolEntry| {
            let programs = [entry, *tool];
            let [one, other] = programs.map(|tool| (&tool.name, tool.offset, &tool.sha256));
            one == other && entry.size == tool.size
        };
        if !made.tools.iter().any(|tool| same(&tool)) {
            return Err(format!("`{}` is no tool of this build", entry.name));
        }
    }
    // They are unpacked in one go.
    given.tools.sort_by_key(|tool| tool.offset);
    Ok(given)
}

/// Whether a text can be what `fim-version deps` answers; in words, why not.
pub(super) fn check_metadata(text: &[u8]) -> Result<(), String> {
    let object: Result<serde_json::Map<String, serde_json::Value>, _> =
        serde_json::from_slice(text);
    object.map(drop).map_err(|error| error.to_string())
}

fn json(value: &impl Serialize) -> Vec<u8> {
    let mut bytes = serde_json::to_vec(value).expect("names and numbers always have a JSON form");
    bytes.push(b'\n');
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, offset: u64) -> ToolEntry {
        ToolEntry {
            name: name.to_owned(),
            directory: Directory::Sbin,
            offset,
            size: 2,
            sha256: "00".to_owned(),
            links: vec!["ls".to_owned()],
        }
    }

    #[test]
    fn a_table_that_is_given_names_tools_of_the_build_only() {
        let made = ToolsJson {
            tools: vec![entry("a", 0), entry("b", 1)],
        };
        let mut fewer = made.clone();
        fewer.tools.remove(0);
        fewer.tools[0].links.clear();
        assert_eq!(chosen(fewer.clone(), &made), Ok(fewer));
        let moved = ToolsJson {
            tools: vec![entry("a", 1)],
        };
        let reason = chosen(moved, &made).unwrap_err();
        assert_eq!(reason, "`a` is no tool of this build");
        assert!(parse(b"{\"tools\": [{}]}").is_err());
        assert!(check_metadata(b"[]").is_err());
        assert!(check_metadata(b"{}").is_ok());
    }
}
