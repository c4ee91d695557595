//! What gives the bytes of a reserved space their meaning, as text.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

use super::{Encoding, Field, FieldKind, Model};

/// One line a region: name, offset, size, signature.
pub fn table(model: &Model) -> String {
    let lines = model.regions.iter().map(|region| {
        let signature = signature(&region.encoding);
        format!(
            "{} {} {} {signature}\n",
            region.name, region.offset, region.size
        )
    });
    lines.collect()
}

/// sha256 of format version, layout and defaults.
pub fn digest(model: &Model) -> [u8; 32] {
    let mut text = format!("format {}\n{}", model.format, table(model));
    for region in &model.regions {
        let bytes: String = region
            .default
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let _ = writeln!(text, "{} {bytes}", region.name);
    }
    Sha256::digest(text.as_bytes()).into()
}

/// How an encoding is written in the layout, without blanks: `list(access:choice,source:text)`.
pub fn signature(encoding: &Encoding) -> String {
    match encoding {
        Encoding::Flag => "flag".to_owned(),
        Encoding::Choice(choices) => {
            format!(
                "choice({})",
                joined(choices.iter().map(|choice| choice.name.to_string()))
            )
        }
        Encoding::Bits(bits, _) => {
            format!(
                "bits({})",
                joined(
                    bits.iter()
                        .map(|bit| format!("{}={}", bit.name, bit.number))
                )
            )
        }
        Encoding::Text { max, .. } => format!("text({max})"),
        Encoding::Map => "map".to_owned(),
        Encoding::List(fields) => format!("list({})", joined(fields.iter().map(field))),
        Encoding::Record(fields) => format!("record({})", joined(fields.iter().map(field))),
        Encoding::Blob => "blob".to_owned(),
    }
}

fn field(field: &Field) -> String {
    let kind = match field.kind {
        // What may be typed is no matter of the bytes.
        FieldKind::Text | FieldKind::Path(_) => "text",
        FieldKind::Number => "number",
        FieldKind::Texts => "texts",
        FieldKind::Choice(_) => "choice",
    };
    format!("{}:{kind}", field.name)
}

fn joined(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(",")
}
