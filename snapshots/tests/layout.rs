//! The binary layout: moving or re-encoding a region shows here, and needs a new format version.

use flatimage_reserved::declared::{DIGEST, FORMAT, REGIONS, SPACE};
use flatimage_reserved::{
    Encoding, Field, FieldKind, FieldValue, Record, SUPERBLOCK_SIZE, Store, StoreError, Value,
};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn regions_stay_where_they_are() {
    let signatures = SPACE
        .layout
        .lines()
        .map(|line| line.rsplit(' ').next().unwrap_or_default());
    let mut table = format!("format {FORMAT}\nsuperblock 0x00000000 {SUPERBLOCK_SIZE:#x}\n");
    for (region, signature) in REGIONS.iter().zip(signatures) {
        let default = if region.default.is_empty() {
            "-".to_owned()
        } else {
            hex(region.default)
        };
        table.push_str(&format!(
            "{:12} {:#010x} {:#8x} default {default}\n             {signature}\n",
            region.name, region.offset, region.size
        ));
    }
    insta::assert_snapshot!(table);
}

/// The used bytes of a reserved space, sixteen a line; runs of zeros are left out.
fn dump(bytes: &[u8]) -> String {
    let lines = bytes
        .chunks(16)
        .enumerate()
        .filter(|(_, line)| line.iter().any(|byte| *byte != 0));
    let lines = lines.map(|(place, line)| {
        let text: String = line
            .iter()
            .map(|byte| {
                if byte.is_ascii_graphic() {
                    char::from(*byte)
                } else {
                    '.'
                }
            })
            .collect();
        format!("{:08x} {} {text}\n", place * 16, hex(line))
    });
    lines.collect()
}

#[test]
fn a_fresh_reserved_space_has_these_bytes() {
    insta::assert_snapshot!(dump(&SPACE.blank().expect("the layout fits")));
    assert_eq!(DIGEST.len(), 32);
}

/// A value for every encoding, none of them a default.
fn some_value(encoding: &Encoding) -> Value {
    let record = |fields: &[Field]| Record(fields.iter().map(some_field).collect());
    match encoding {
        Encoding::Flag => Value::Flag(true),
        Encoding::Choice(choices) => {
            Value::Choice(choices.last().map_or("", |choice| choice.name).to_owned())
        }
        Encoding::Bits(bits) => {
            Value::Bits(bits.bits.iter().fold(0, |set, bit| set | 1 << bit.number))
        }
        Encoding::Text { .. } => Value::Text(Some("text".to_owned())),
        Encoding::Map => Value::Map(
            [("A", "one"), ("EMPTY", ""), ("PATH_OF", "$HOME/x")]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
        ),
        Encoding::List(fields) => Value::List(vec![record(fields), record(fields)]),
        Encoding::Record(fields) => Value::Record(Some(record(fields))),
        Encoding::Blob => Value::Blob(vec![0xb1, 0x0b]),
    }
}

fn some_field(field: &Field) -> FieldValue {
    match field.kind {
        FieldKind::Text | FieldKind::Path(_) => FieldValue::Text(field.name.to_owned()),
        FieldKind::Number => FieldValue::Number(123_456_789_012),
        FieldKind::Texts => FieldValue::Texts(vec!["first".to_owned(), "second".to_owned()]),
        FieldKind::Choice(names) => {
            FieldValue::Text(names.last().copied().unwrap_or_default().to_owned())
        }
    }
}

#[test]
fn a_filled_reserved_space_has_these_bytes() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let image = directory.path().join("image");
    std::fs::write(&image, SPACE.blank().expect("the layout fits")).expect("written");
    let store = Store::open(&image, 0).expect("an image");
    for region in REGIONS {
        let value = some_value(&region.encoding);
        store
            .update::<StoreError>(region, |_| Ok(value.clone()))
            .expect("written");
        assert_eq!(
            store.value(region).expect("whole"),
            value,
            "{}",
            region.name
        );
    }
    let mut bytes = std::fs::read(&image).expect("readable");
    // The superblock is that of a fresh one.
    bytes[..SUPERBLOCK_SIZE as usize].fill(0);
    insta::assert_snapshot!(dump(&bytes));
}

#[test]
fn golden_reserved_spaces_are_still_read() {
    insta::glob!("golden/*.hex", |path| {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let image = directory.path().join("image");
        std::fs::write(
            &image,
            undump(&std::fs::read_to_string(path).expect("readable")),
        )
        .expect("written");
        let store = Store::open(&image, 0).expect("an image of any version");
        let mut text = String::new();
        for region in REGIONS {
            text.push_str(&format!(
                "{}: {:?}\n",
                region.name,
                store.value(region).expect("whole")
            ));
        }
        insta::with_settings!({ omit_expression => true }, { insta::assert_snapshot!(text) });
    });
}

/// The inverse of [`dump`]; the first line is the number of bytes.
fn undump(text: &str) -> Vec<u8> {
    let (size, lines) = text.split_once('\n').expect("a first line");
    let mut bytes = vec![0; size.parse().expect("a number of bytes")];
    for line in lines.lines() {
        let mut words = line.split(' ');
        let place = usize::from_str_radix(words.next().expect("an offset"), 16).expect("an offset");
        let digits = words.next().expect("digits");
        for (index, pair) in digits.as_bytes().chunks(2).enumerate() {
            let pair = std::str::from_utf8(pair).expect("digits");
            bytes[place + index] = u8::from_str_radix(pair, 16).expect("digits");
        }
    }
    bytes
}

/// Writes the golden file of the present declaration beside those of earlier ones: run with `--ignored` when it has
/// changed. A golden file is never taken away.
#[test]
#[ignore = "writes a new golden file"]
fn write_golden() {
    use flatimage_reserved::Verb;
    use flatimage_reserved::declared::{
        BINDINGS, BOOT, CASEFOLD, ENVIRONMENT, LAYERS, Layers, OVERLAY, PERMISSIONS,
    };
    let directory = tempfile::tempdir().expect("a temporary directory");
    let image = directory.path().join("image");
    std::fs::write(&image, SPACE.blank().expect("the layout fits")).expect("written");
    let store = Store::open(&image, 0).expect("an image");
    let words = |line: &str| line.split(' ').map(str::to_owned).collect();
    for (region, verb) in [
        (PERMISSIONS, Verb::Set(words("network,home,dbus_user_raw"))),
        (
            ENVIRONMENT,
            Verb::Add(words("GREETING=hello PATH_OF=$HOME/x EMPTY=")),
        ),
        (BINDINGS, Verb::Add(words("ro /usr/share /host/share"))),
        (BINDINGS, Verb::Add(words("dev $HOME/dev /dev/mine"))),
        (BOOT, Verb::Set(words("perl -e print"))),
        (CASEFOLD, Verb::On),
        (OVERLAY, Verb::Set(words("overlayfs"))),
    ] {
        store.perform(region, &verb).expect("written");
    }
    let layers = Record::from(Layers {
        count: 2,
        end: 123_456_789_012,
    });
    store
        .update::<StoreError>(LAYERS, |_| Ok(Value::Record(Some(layers))))
        .expect("written");
    let bytes = std::fs::read(&image).expect("readable");
    let text = format!("{}\n{}", bytes.len(), dump(&bytes));
    let made = hex(&DIGEST[..4]);
    std::fs::write(format!("tests/golden/format-{FORMAT}-{made}.hex"), text).expect("written");
}
