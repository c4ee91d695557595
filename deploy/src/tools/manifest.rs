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
    /// Nowhere: what serves the root is started outside of it, see [`super::servers`].
    Servers,
    /// `$FIM_DIR_APP_SBIN`: applets, behind everything else in `PATH`.
    Sbin,
}

/// An entry of `tools.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolEntry {
    /// File name of the program.
    pub name: String,
    /// Where it appears.
    pub directory: Directory,
    /// Where its zstd frame begins, in bytes from the start of the tools.
    pub offset: u64,
    /// Bytes of the zstd frame.
    pub compressed_size: u64,
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

fn json(value: &impl Serialize) -> Vec<u8> {
    let mut bytes = serde_json::to_vec(value).expect("names and numbers always have a JSON form");
    bytes.push(b'\n');
    bytes
}
