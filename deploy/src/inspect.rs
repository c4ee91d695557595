//! What an image is made of, without running it.

use std::fmt::Write as _;
use std::path::Path;

use flatimage_reserved::verb::apply;
use flatimage_reserved::{Copies, Encoding, RegionDecl, Value, Verb, declared};
use serde::Serialize;

use crate::digest;
use crate::image::{Image, ImageError, entries};
use crate::report::bytes;
use crate::tools::manifest::ToolEntry;

/// What is in an image. Offsets and sizes are in bytes.
#[derive(Debug, Serialize)]
pub struct Inspection {
    /// The file.
    pub image: String,
    /// Bytes of the file.
    pub size: u64,
    /// SHA-256 of the file.
    pub sha256: String,
    /// Version of the project that made it.
    pub version: String,
    /// Commit of the sources.
    pub commit: String,
    /// Time of the sources.
    pub timestamp: String,
    /// The distribution, in lower case.
    pub distribution: String,
    /// What a private copy of its program and tools is named by.
    pub build_id: String,
    /// The parts of the file, in their order.
    pub parts: Vec<Part>,
    /// The tools, in the order in which they are stored.
    pub tools: Vec<Tool>,
    /// The layers, the lowest first.
    pub layers: Vec<Layer>,
    /// The settings that have another value than the default.
    pub settings: Vec<Setting>,
}

/// A part of the file.
#[derive(Debug, Serialize)]
pub struct Part {
    /// `program`, `tools`, `description`, `reserved space` or `layers`.
    pub name: &'static str,
    /// First byte.
    pub offset: u64,
    /// Bytes.
    pub size: u64,
    /// What else is to be said.
    pub detail: String,
}

/// A tool.
#[derive(Debug, Serialize)]
pub struct Tool {
    /// File name.
    pub name: String,
    /// What it says of its version.
    pub version: String,
    /// SPDX expression.
    pub licence: String,
    /// How it was got.
    pub source: String,
    /// Bytes of the program.
    pub size: u64,
    /// SHA-256 of the program.
    pub sha256: String,
    /// How many other names it has.
    pub links: usize,
}

/// A layer.
#[derive(Debug, Serialize)]
pub struct Layer {
    /// Counted from 0, the lowest.
    pub index: usize,
    /// First byte of the DwarFS image.
    pub offset: u64,
    /// Its bytes.
    pub size: u64,
    /// Name and version of the format.
    pub format: String,
    /// Names in all its directories.
    pub entries: u64,
    /// Bytes of all files in it.
    pub content: u64,
}

/// A setting that is not the default.
#[derive(Debug, Serialize)]
pub struct Setting {
    /// Name in the declaration.
    pub name: &'static str,
    /// The command that changes it; none for what the program keeps for itself.
    pub command: Option<String>,
    /// What that command prints.
    pub value: String,
}

/// Looks at an image: at everything but the contents of files and tools, of which the sum of the file is made.
///
/// # Errors
/// A file that cannot be read, is no image, or is damaged.
pub fn inspect(path: &Path) -> Result<Inspection, ImageError> {
    let image = Image::open(path)?;
    let origin = &image.marker.origin;
    let layers = (0..image.layers.len()).map(|index| layer(&image, index));
    let settings = declared::REGIONS.iter().filter_map(|region| {
        let value = image.store.value(region).map_err(ImageError::from);
        value.map(|value| setting(region, value)).transpose()
    });
    Ok(Inspection {
        image: path.display().to_string(),
        size: image.size,
        sha256: digest::hex(&image.sum(0, image.size)?),
        version: origin.version.clone(),
        commit: origin.commit.clone(),
        timestamp: origin.timestamp.clone(),
        distribution: origin.distribution.clone(),
        build_id: digest::hex(&image.marker.build_id),
        parts: parts(&image),
        tools: tools(&image),
        layers: layers.collect::<Result<_, _>>()?,
        settings: settings.collect::<Result<_, _>>()?,
    })
}

fn parts(image: &Image) -> Vec<Part> {
    let marker = &image.marker;
    let part = |name, offset, size, detail: String| Part {
        name,
        offset,
        size,
        detail,
    };
    let unpacked = image.tools.tools.iter().map(|tool| tool.size).sum();
    let superblock = image.store.superblock();
    let copies = match image.store.copies() {
        Copies::Both | Copies::One => "",
        Copies::Damaged => ", one of two descriptions damaged",
    };
    let end = image
        .layers
        .last()
        .map_or(image.store.end(), |layer| layer.offset + layer.size);
    let behind = match image.size - end {
        0 => String::new(),
        rest => format!(", and {rest} bytes of an addition that was cut off"),
    };
    vec![
        part(
            "program",
            0,
            marker.tools_offset,
            format!("{} unpacked", bytes(marker.runtime_size)),
        ),
        part(
            "tools",
            marker.tools_offset,
            marker.description_offset - marker.tools_offset,
            format!("{}, {} unpacked", image.tools.tools.len(), bytes(unpacked)),
        ),
        part(
            "description",
            marker.description_offset,
            marker.description_size,
            String::new(),
        ),
        part(
            "reserved space",
            marker.reserved_offset,
            superblock.size,
            format!("format {}{copies}", superblock.format),
        ),
        part(
            "layers",
            image.store.end(),
            end - image.store.end(),
            format!("{}{behind}", image.layers.len()),
        ),
    ]
}

fn tools(image: &Image) -> Vec<Tool> {
    // A program can have the name of what starts it.
    let told = |entry: &ToolEntry, key: &str| {
        let all = image.metadata["tools"].as_array();
        let same = |tool: &&serde_json::Value| {
            tool["name"] == entry.name.as_str() && tool["sha256"] == entry.sha256.as_str()
        };
        let one = all.and_then(|all| all.iter().find(same));
        one.and_then(|tool| tool[key].as_str())
            .unwrap_or_default()
            .to_owned()
    };
    let tool = |entry: &ToolEntry| Tool {
        name: entry.name.clone(),
        version: told(entry, "version"),
        licence: told(entry, "licence"),
        source: told(entry, "source"),
        size: entry.size,
        sha256: entry.sha256.clone(),
        links: entry.links.len(),
    };
    image.tools.tools.iter().map(tool).collect()
}

fn layer(image: &Image, index: usize) -> Result<Layer, ImageError> {
    let span = image.layers[index];
    let opened = image.layer(index)?;
    Ok(Layer {
        index,
        offset: span.offset,
        size: span.size,
        format: image.format(index)?,
        entries: entries(&opened),
        content: opened.content_size(),
    })
}

/// What a setting's command prints, when it is not the default. Of bytes it is how many.
fn setting(region: &'static RegionDecl, value: Value) -> Option<Setting> {
    if value == region.default_value() || region.command.is_none() {
        return None;
    }
    let shown = match (region.encoding, &value) {
        (Encoding::Blob, Value::Blob(bytes)) => format!("{} bytes", bytes.len()),
        _ => [Verb::List, Verb::Show]
            .iter()
            .find_map(|verb| apply(region, &value, verb).ok())
            .map_or_else(String::new, |outcome| outcome.output),
    };
    Some(Setting {
        name: region.name,
        command: region.command.map(|command| format!("fim-{command}")),
        value: shown.trim_end().to_owned(),
    })
}

impl Inspection {
    /// As a table for people.
    pub fn table(&self) -> String {
        let mut text = String::new();
        let rows = [
            ("image", format!("{}, {}", self.image, bytes(self.size))),
            ("sha256", self.sha256.clone()),
            ("distribution", self.distribution.clone()),
            (
                "version",
                format!(
                    "{}, commit {} of {}",
                    self.version, self.commit, self.timestamp
                ),
            ),
        ];
        for (name, value) in rows {
            let _ = writeln!(text, "{name:<14}{value}");
        }
        let parts = self.parts.iter().map(|part| {
            let (offset, size) = (part.offset.to_string(), bytes(part.size));
            [part.name.to_owned(), offset, size, part.detail.clone()]
        });
        section(&mut text, ["PART", "OFFSET", "SIZE", ""], parts);
        let tools = self.tools.iter().map(|tool| {
            let size = bytes(tool.size);
            let (version, licence) = (tool.version.clone(), tool.licence.clone());
            [tool.name.clone(), size, version, licence]
        });
        section(&mut text, ["TOOL", "SIZE", "VERSION", "LICENCE"], tools);
        let layers = self.layers.iter().map(|layer| {
            let what = format!("{}, {} entries", layer.format, layer.entries);
            let (offset, size) = (layer.offset.to_string(), bytes(layer.size));
            [layer.index.to_string(), offset, size, what]
        });
        section(&mut text, ["LAYER", "OFFSET", "SIZE", "FORMAT"], layers);
        let settings = self.settings.iter().flat_map(|setting| {
            let command = setting.command.clone().unwrap_or_default();
            let lines = setting.value.lines().enumerate();
            lines.map(move |(place, line)| {
                let name = if place == 0 {
                    command.clone()
                } else {
                    String::new()
                };
                [name, line.to_owned(), String::new(), String::new()]
            })
        });
        section(&mut text, ["SETTING", "VALUE", "", ""], settings);
        text
    }

    /// As one JSON object.
    pub fn json(&self) -> String {
        let text = serde_json::to_string_pretty(self);
        format!("{}\n", text.unwrap_or_default())
    }
}

/// Columns as wide as their widest field; the last is not filled up. Nothing, where there are no rows.
fn section(text: &mut String, head: [&str; 4], rows: impl Iterator<Item = [String; 4]>) {
    let mut all = vec![head.map(str::to_owned)];
    all.extend(rows);
    if all.len() == 1 {
        return;
    }
    let width = |column: usize| all.iter().map(|row| row[column].chars().count()).max();
    let widths = [0, 1, 2].map(|column| width(column).unwrap_or(0));
    text.push('\n');
    for [one, two, three, four] in &all {
        let [first, second, third] = widths;
        let line = format!("{one:first$}  {two:second$}  {three:third$}  {four}");
        let _ = writeln!(text, "{}", line.trim_end());
    }
}
