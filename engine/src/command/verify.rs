//! Reads everything in an image that has a checksum, and says what does not match.

use std::fs::File;
use std::io;
use std::path::Path;

use flatimage_layer::{Checksums, verify};
use flatimage_reserved::declared::{self, Config, REGIONS};
use flatimage_reserved::{Copies, RegionDecl};
use serde::Serialize;

use super::{Session, json, print, warn};
use crate::image::external_layers;
use crate::marker;
use crate::plan::LayerSource;
use crate::sandbox::{Failure, plain};
use crate::tools;

/// The exit code when something is damaged.
const DAMAGED: u8 = 1;

/// One thing that was looked at.
#[derive(Serialize)]
struct Finding {
    /// Whether it is whole.
    ok: bool,
    /// What it is: `reserved space`, `setting`, `layer`, `program`, `description`, `tool`.
    kind: &'static str,
    /// Which one.
    name: String,
    /// First byte in its file.
    offset: u64,
    /// What was found, or what is wrong and how to mend it.
    detail: String,
}

impl Session {
    /// Prints a line for each part of the image; the exit code is 1 when one is damaged.
    pub(super) fn verify_image(&self, as_json: bool) -> Result<u8, Failure> {
        let mut findings = vec![self.description()];
        for decl in REGIONS {
            findings.push(self.setting(decl)?);
        }
        findings.extend(self.layers_found());
        let image = self.file()?;
        findings.extend(self.programs(&image));
        let (described, tools) = match tools::all(&image) {
            Ok(tools) => (Ok(format!("{} tools", tools.len())), tools),
            Err(error) => (Err(plain(&error)), Vec::new()),
        };
        findings.push(Finding {
            ok: described.is_ok(),
            kind: "description",
            name: String::new(),
            offset: self.placement.description_offset,
            detail: described.unwrap_or_else(|reason| reason),
        });
        let offset = self.placement.tools_offset;
        let verified = tools::verify(&tools, &image, offset);
        for (tool, verified) in tools.iter().zip(verified) {
            let remedy = |reason| format!("{reason}; copy the image anew");
            findings.push(Finding {
                ok: verified.is_ok(),
                kind: "tool",
                name: tool.name().to_owned(),
                offset,
                detail: verified.map_or_else(remedy, |bytes| format!("{bytes} bytes")),
            });
        }
        let damaged = findings.iter().any(|finding| !finding.ok);
        print(&match as_json {
            true => format!("{}\n", json(&findings)?),
            false => findings.iter().map(line).collect(),
        })?;
        Ok(if damaged { DAMAGED } else { 0 })
    }

    fn description(&self) -> Finding {
        let superblock = self.store.superblock();
        let (format, size) = (superblock.format, superblock.size);
        let (ok, copies) = match self.store.copies() {
            Copies::Both => (true, "both copies whole"),
            Copies::One => (true, "one copy, the next write makes it two"),
            Copies::Damaged => (
                false,
                "one of two copies damaged; `fim-reset` of any setting mends it",
            ),
        };
        Finding {
            ok,
            kind: "reserved space",
            name: String::new(),
            offset: self.store.base(),
            detail: format!("format {format}, {size} bytes, {copies}"),
        }
    }

    fn programs(&self, image: &File) -> [Finding; 2] {
        let finding = |name: &str, offset, found: io::Result<bool>, detail: String| Finding {
            ok: matches!(found, Ok(true)),
            kind: "program",
            name: name.to_owned(),
            offset,
            detail: match found {
                Ok(true) => detail,
                Ok(false) => "its sha256 is another; copy the image anew".to_owned(),
                Err(error) => plain(&error),
            },
        };
        let launcher = self.placement.has_its_launcher(image);
        let runtime = self.placement.has_its_runtime(image);
        let unpacked = format!("{} bytes unpacked", self.placement.runtime_size);
        [
            finding(
                "launcher",
                0,
                launcher,
                "what starts the runtime".to_owned(),
            ),
            finding("runtime", marker::RUNTIME_OFFSET, runtime, unpacked),
        ]
    }

    fn setting(&self, decl: &RegionDecl) -> Result<Finding, Failure> {
        let base = self.store.base() + decl.offset;
        let (ok, offset, detail) = match self.store.check(decl) {
            Ok(check) => {
                let mut detail = match check.stored {
                    Some(bytes) => format!("{bytes} bytes"),
                    None => "never written".to_owned(),
                };
                if check.leftover > 0 {
                    let left = check.leftover;
                    detail.push_str(&format!(
                        ", and {left} bytes of a write that was cut off; the next write clears them"
                    ));
                }
                (true, check.offset, detail)
            }
            Err(error) if error.is_damage() => (false, base, error.to_string()),
            Err(error @ flatimage_reserved::StoreError::CutOff { .. }) => {
                (false, base, error.to_string())
            }
            Err(error) => return Err(error.into()),
        };
        Ok(Finding {
            ok,
            kind: "setting",
            name: decl.name.to_owned(),
            offset,
            detail,
        })
    }

    /// The layers of the image, then those that a start would add. When the list of layers is damaged, its setting
    /// says so.
    fn layers_found(&self) -> Vec<Finding> {
        let listed = self
            .store
            .salvage()
            .ok()
            .and_then(|(values, _)| Config::of(&values));
        let listed = listed.filter(|_| self.store.value(declared::LAYERS).is_ok());
        let mut found = Vec::new();
        match listed.map(|config| self.embedded_layers(&config)) {
            Some(Ok(layers)) => found.extend(layers.iter().map(layer)),
            Some(Err(failure)) => found.push(Finding {
                ok: false,
                kind: "layer",
                name: self.image.path.display().to_string(),
                offset: self.store.end(),
                detail: failure.text,
            }),
            None => {}
        }
        found.extend(
            external_layers(&self.host, &self.data_path(), &warn)
                .iter()
                .map(layer),
        );
        found
    }
}

fn layer(source: &LayerSource) -> Finding {
    let checked = sections(&source.path, source.offset, source.size);
    let detail = match &checked {
        Ok(sections) => format!("{} bytes, {sections} sections", source.size),
        Err(reason) => reason.clone(),
    };
    Finding {
        ok: checked.is_ok(),
        kind: "layer",
        name: source.path.display().to_string(),
        offset: source.offset,
        detail,
    }
}

fn sections(path: &Path, offset: u64, size: u64) -> Result<u64, String> {
    let file = File::open(path).map_err(|error| plain(&error))?;
    verify(&file, offset, size, Checksums::All).map_err(|error| error.to_string())
}

fn line(finding: &Finding) -> String {
    let state = if finding.ok { "ok" } else { "damaged" };
    let Finding {
        kind,
        name,
        offset,
        detail,
        ..
    } = finding;
    let what = format!("{kind} {name}");
    let text = format!("{state:8} {} at {offset}: {detail}", what.trim_end());
    format!("{}\n", text.replace('\n', "\\n"))
}
