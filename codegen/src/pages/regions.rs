//! The reserved space, region by region: offsets, sizes, encodings, defaults, effects.

use flatimage_reserved::declared::{DEFAULT_SIZE, FORMAT, REGIONS, SPACE};
use flatimage_reserved::{Encoding, Field, FieldKind, RegionDecl, SUPERBLOCK_SIZE};

use super::{code, effects, page, table};

/// The page of all regions.
pub fn regions() -> String {
    let introduction = format!(
        "Format {FORMAT}. The reserved space is {DEFAULT_SIZE:#x} bytes unless the build chose another size. Offsets \
         count from its first byte; all integers are little-endian. Each region is two slots of half its size; how \
         they are written is in [The file](../format.md). What lies between regions is zero and free."
    );
    let superblock = [
        code("0x00000000"),
        code(&format!("{SUPERBLOCK_SIZE:#x}")),
        "the superblock".to_owned(),
        String::new(),
        String::new(),
    ];
    let rows = REGIONS.iter().map(|region| {
        [
            code(&format!("{:#010x}", region.offset)),
            code(&format!("{:#x}", region.size)),
            format!("[`{0}`](#{0})", region.name),
            region
                .command
                .map(|command| format!("`fim-{command}`"))
                .unwrap_or_default(),
            kind(&region.encoding).to_owned(),
        ]
    });
    let overview = table(
        ["offset", "size", "region", "command", "encoding"],
        std::iter::once(superblock).chain(rows),
    );
    let signatures = SPACE
        .layout
        .lines()
        .map(|line| line.rsplit(' ').next().unwrap_or_default());
    let sections: String = REGIONS
        .iter()
        .zip(signatures)
        .map(|(region, signature)| section(region, signature))
        .collect();
    page(
        "The reserved space",
        &introduction,
        &format!("{overview}{sections}"),
    )
}

fn section(region: &RegionDecl, signature: &str) -> String {
    let default = match region.default {
        [] => "empty".to_owned(),
        bytes => code(
            &bytes
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect::<String>(),
        ),
    };
    let mut text = format!(
        "## {}\n\n{}\n\n{}. Default: {default}. A value has at most {} bytes less the slot's header.\n\n",
        region.name,
        region.docs.trim(),
        bytes(&region.encoding),
        code(&format!("{:#x}", region.slot_size())),
    );
    text.push_str(&parts(&region.encoding));
    if let Some(variable) = region.variable {
        text.push_str(&format!(
            "For one start, the variable {} counts instead.\n\n",
            code(variable)
        ));
    }
    text.push_str(&format!(
        "In the superblock's layout:\n\n```text\n{signature}\n```\n\n"
    ));
    if !region.effects.is_empty() {
        text.push_str(&format!(
            "At a start:\n\n{}\n",
            effects::list(region.effects, 0)
        ));
    }
    text
}

fn kind(encoding: &Encoding) -> &'static str {
    match encoding {
        Encoding::Flag => "flag",
        Encoding::Choice(_) => "choice",
        Encoding::Bits(_) => "bits",
        Encoding::Text { .. } => "text",
        Encoding::Map => "map",
        Encoding::List(_) => "list",
        Encoding::Record(_) => "record",
        Encoding::Blob => "blob",
    }
}

/// How the bytes are read.
fn bytes(encoding: &Encoding) -> String {
    match encoding {
        Encoding::Flag => "One byte: 1 is on, 0 is off".to_owned(),
        Encoding::Choice(_) => "The chosen name in UTF-8".to_owned(),
        Encoding::Bits(_) => "One u64; bit 0 is the lowest".to_owned(),
        Encoding::Text { max, schemes, .. } => {
            let text = format!(
                "Nothing when unset, else the byte 1 and at most {max} bytes of UTF-8 without NUL"
            );
            let schemes: Vec<String> = schemes.iter().map(|name| format!("`{name}:`")).collect();
            match schemes.is_empty() {
                true => text,
                false => format!("{text}, which begin with one of {}", schemes.join(", ")),
            }
        }
        Encoding::Map => {
            "For each name, in byte order: u32 length, name, u32 length, value; UTF-8 without NUL"
                .to_owned()
        }
        Encoding::List(_) => {
            "For each entry: u32 length, then its fields, each as u32 length and bytes".to_owned()
        }
        Encoding::Record(_) => {
            "Nothing when unset, else each field as u32 length and bytes".to_owned()
        }
        Encoding::Blob => "The bytes as they are".to_owned(),
    }
}

/// Bits, choices or fields.
fn parts(encoding: &Encoding) -> String {
    match encoding {
        Encoding::Bits(decl) => table(
            ["bit", "name"],
            decl.bits
                .iter()
                .map(|bit| [bit.number.to_string(), code(bit.name)]),
        ),
        Encoding::Choice(choices) => table(
            ["name", "printed as"],
            choices
                .iter()
                .map(|choice| [code(choice.name), code(choice.output)]),
        ),
        Encoding::List(fields) | Encoding::Record(fields) => {
            table(["field", "bytes", ""], fields.iter().map(field))
        }
        _ => String::new(),
    }
}

fn field(field: &Field) -> [String; 3] {
    let kind = match field.kind {
        FieldKind::Text | FieldKind::Path(_) => "UTF-8 without NUL".to_owned(),
        FieldKind::Number => "u64".to_owned(),
        FieldKind::Texts => "each as u32 length and UTF-8".to_owned(),
        FieldKind::Choice(names) => names
            .iter()
            .map(|name| code(name))
            .collect::<Vec<_>>()
            .join(", "),
    };
    [code(field.name), kind, field.summary.to_owned()]
}
