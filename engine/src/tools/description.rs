//! The image's description: the table of its tools, and what is told about them.
//!
//! Two JSON texts with a zero byte between them, `tools.json` and `meta.json` of the build. The marker says where they are and
//! which sum they have. Whoever can write the image can write both, so that nothing in the table is believed: it leads to no
//! other place of the file, and its names to no other directory.

use std::fs::File;
use std::io::{self, Read};

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::{Span, Tool};
use crate::marker::Placement;

/// Bytes of the largest description; those of images that deploy makes have about ten thousand.
const LARGEST: u64 = 1 << 20;

/// Bytes of all tools, unpacked.
const LARGEST_TOOLS: u64 = 1 << 28;

/// What the description says.
#[derive(Debug)]
pub(super) struct Description {
    pub(super) tools: Vec<Tool>,
    pub(super) metadata: String,
}

impl Default for Description {
    fn default() -> Description {
        Description {
            tools: Vec::new(),
            metadata: "{}".to_owned(),
        }
    }
}

impl Description {
    /// Reads it from the image.
    pub(super) fn read(image: &File, placement: &Placement) -> io::Result<Description> {
        let size = placement.description_size;
        if size == 0 {
            return Ok(Description::default());
        }
        if size > LARGEST {
            return Err(damaged(format_args!("it claims {size} bytes")));
        }
        let mut bytes = Vec::new();
        let span = Span {
            file: image,
            at: placement.description_offset,
            left: size,
        };
        span.take(size).read_to_end(&mut bytes)?;
        if Sha256::digest(&bytes)[..] != placement.description_sum {
            return Err(damaged(format_args!("its sha256 is another")));
        }
        Description::parse(&bytes)
    }

    fn parse(bytes: &[u8]) -> io::Result<Description> {
        #[derive(Deserialize)]
        struct Table {
            tools: Vec<Tool>,
        }
        let mut texts = bytes.splitn(2, |byte| *byte == 0);
        let table = texts.next().unwrap_or_default();
        let table: Table =
            serde_json::from_slice(table).map_err(|error| damaged(format_args!("{error}")))?;
        let metadata = std::str::from_utf8(texts.next().unwrap_or_default());
        let metadata = metadata.map_err(|_| damaged(format_args!("it is no text")))?;
        for (place, tool) in table.tools.iter().enumerate() {
            check(tool, &table.tools[..place])
                .map_err(|what| damaged(format_args!("entry {place} has {what}")))?;
        }
        Ok(Description {
            tools: table.tools,
            metadata: metadata.trim_end().to_owned(),
        })
    }
}

/// Whether a tool is one of this image and unpacks into its own directory, beside those before it.
fn check(tool: &Tool, before: &[Tool]) -> Result<(), &'static str> {
    let end = tool.offset.checked_add(tool.size);
    if end.is_none_or(|end| end > LARGEST_TOOLS) {
        return Err("more bytes than tools can have");
    }
    // They are unpacked in one go.
    let free = before.last().map_or(0, |last| last.offset + last.size);
    if tool.offset < free {
        return Err("a place before that of the entry before it");
    }
    let beside = before
        .iter()
        .filter(|other| other.directory == tool.directory);
    let mut taken: Vec<&str> = beside.flat_map(names).collect();
    taken.sort_unstable();
    let mut own: Vec<&str> = names(tool).collect();
    own.sort_unstable();
    let twice = own.windows(2).any(|pair| pair[0] == pair[1]);
    if twice || own.iter().any(|name| taken.binary_search(name).is_ok()) {
        return Err("a name that is taken");
    }
    match own.into_iter().all(is_file_name) {
        true => Ok(()),
        false => Err("a name that is none of a file"),
    }
}

fn names(tool: &Tool) -> impl Iterator<Item = &str> {
    std::iter::once(&tool.name)
        .chain(&tool.links)
        .map(String::as_str)
}

fn is_file_name(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && name.len() < 256 && !name.contains(['/', '\0'])
}

fn damaged(what: std::fmt::Arguments<'_>) -> io::Error {
    let text = format!(
        "the description of the tools in the image is damaged: {what}; copy the image anew"
    );
    io::Error::new(io::ErrorKind::InvalidData, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn entry(name: &str, directory: &str, offset: u64, size: u64) -> String {
        format!(
            r#"{{"name":"{name}","directory":"{directory}","offset":{offset},"size":{size},"sha256":"","links":["l-{name}"]}}"#
        )
    }

    fn parse(entries: &[String]) -> io::Result<Description> {
        let text = format!("{{\"tools\":[{}]}}\n\0{{\"a\": 1}}\n", entries.join(","));
        Description::parse(text.as_bytes())
    }

    #[test]
    fn both_texts_are_found() {
        let found = parse(&[entry("bash", "bin", 0, 60), entry("ls", "sbin", 60, 5)]);
        let found = found.unwrap();
        assert_eq!(found.tools.len(), 2);
        assert_eq!(found.metadata, "{\"a\": 1}");
    }

    #[test]
    fn what_leads_elsewhere_is_refused() {
        for wrong in [
            entry("bash", "bin", u64::MAX, 2),
            entry("bash", "bin", 0, 1 << 40),
            entry("bash", "bin", 1 << 40, 1),
            entry("../bash", "bin", 0, 1),
            entry("..", "bin", 0, 1),
            entry("", "bin", 0, 1),
            entry("bash", "../bin", 0, 1),
            entry("a\\u0000b", "bin", 0, 1),
            "7".to_owned(),
        ] {
            let error = parse(std::slice::from_ref(&wrong)).err().unwrap();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{wrong}");
            assert!(!error.to_string().contains('\n'), "{error}");
        }
        let twice = [entry("a", "bin", 0, 1), entry("l-a", "bin", 1, 1)];
        assert!(parse(&twice).is_err());
        let apart = [entry("a", "bin", 0, 1), entry("a", "sbin", 1, 1)];
        parse(&apart).unwrap();
        let back = [entry("a", "bin", 1, 2), entry("b", "bin", 2, 1)];
        assert!(parse(&back).is_err());
    }

    #[test]
    fn it_must_have_the_sum_that_the_marker_names() {
        let text = b"{\"tools\":[]}\0{}";
        let mut image = tempfile::tempfile().unwrap();
        image.write_all(b"program").unwrap();
        image.write_all(text).unwrap();
        let sound = Placement {
            reserved_offset: 4096,
            tools_offset: 7,
            runtime_size: 7,
            runtime_sum: [0; 32],
            launcher_sum: [0; 32],
            description_offset: 7,
            description_size: text.len() as u64,
            description_sum: Sha256::digest(text).into(),
            build_id: String::new(),
        };
        let read = |placement: &Placement| Description::read(&image, placement);
        assert_eq!(read(&sound).unwrap().metadata, "{}");
        for (size, offset) in [
            (14, 7),
            (15, 8),
            (1 << 30, 7),
            (u64::MAX, u64::MAX),
            (15, 1 << 40),
        ] {
            let other = Placement {
                description_size: size,
                description_offset: offset,
                ..sound.clone()
            };
            assert!(read(&other).is_err(), "{size} {offset}");
        }
        let none = Placement {
            description_size: 0,
            ..sound
        };
        assert!(read(&none).unwrap().tools.is_empty());
    }
}
