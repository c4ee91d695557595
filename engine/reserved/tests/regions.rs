//! What holds for every declared region, and for every encoding.

use std::collections::BTreeMap;

use flatimage_reserved::declared::{self, Config, REGIONS};
use flatimage_reserved::effect::Stacker;
use flatimage_reserved::wire::{decode, encode};
use flatimage_reserved::{
    Active, BitsDecl, ChoiceDecl, Encoding, Field, FieldKind, FieldValue, Record, Value, active,
};

#[test]
fn every_default_is_what_the_program_would_write() {
    for region in REGIONS {
        let value = decode(&region.encoding, region.default).expect(region.name);
        assert_eq!(
            encode(&region.encoding, &value).as_deref(),
            Ok(region.default),
            "{}",
            region.name
        );
    }
}

/// Whether a program gets something by it. What is stacked by the kernel is so in any case, and calls that are answered and not made do
/// nothing.
fn opens(effect: &Active) -> bool {
    match effect {
        Active::Stack { with } => *with != Stacker::Kernel,
        Active::When { effects, .. } => effects.iter().any(opens),
        Active::Emulate { .. } | Active::File { .. } | Active::Setenv { .. } => false,
        _ => true,
    }
}

#[test]
fn defaults_open_nothing() {
    for region in REGIONS {
        let opened = active(region, &region.default_value())
            .into_iter()
            .filter(|caused| opens(&caused.effect));
        assert_eq!(opened.count(), 0, "{}", region.name);
    }
}

#[test]
fn the_typed_configuration_follows_the_table() {
    let values: Vec<Value> = REGIONS
        .iter()
        .map(flatimage_reserved::RegionDecl::default_value)
        .collect();
    let config = Config::of(&values).expect("the values are in the order of the table");
    assert_eq!(config.permissions, declared::Permissions::default());
    assert_eq!(config.boot, None);
    assert_eq!(config.layers, Some(declared::Layers { count: 0, end: 0 }));
    assert_eq!(Config::of(&values[1..]), None);
}

const FIELDS: &[Field] = &[
    field("a", FieldKind::Text),
    field("b", FieldKind::Choice(&["x", "y"])),
    field("c", FieldKind::Number),
    field("d", FieldKind::Texts),
];

const fn field(name: &'static str, kind: FieldKind) -> Field {
    Field {
        name,
        output: name,
        kind,
        unset: None,
        summary: "",
    }
}

const CHOICES: &[ChoiceDecl] = &[ChoiceDecl {
    name: "x",
    output: "X",
    summary: "",
    effects: &[],
}];

fn samples() -> Vec<(Encoding, Vec<Value>)> {
    let texts = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    let record = |a: &str, c, d: &[&str]| {
        let (a, b) = (
            FieldValue::Text(a.to_owned()),
            FieldValue::Text("y".to_owned()),
        );
        Record(vec![
            a,
            b,
            FieldValue::Number(c),
            FieldValue::Texts(texts(d)),
        ])
    };
    let map = |pairs: &[(&str, &str)]| {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect::<BTreeMap<_, _>>()
    };
    let bits = Encoding::Bits(&BitsDecl {
        bits: &[],
        groups: &[],
    });
    let records = [
        record("", 0, &[]),
        record("é{value}", u64::MAX, &["", "-x", "y z"]),
    ];
    vec![
        (Encoding::Flag, vec![Value::Flag(false), Value::Flag(true)]),
        (
            Encoding::Choice(CHOICES),
            vec![Value::Choice("x".to_owned())],
        ),
        (
            bits,
            vec![
                Value::Bits(0),
                Value::Bits(1),
                Value::Bits(1 << 63),
                Value::Bits(u64::MAX),
            ],
        ),
        (
            Encoding::Text {
                max: 4,
                schemes: &[],
                path: None,
            },
            ["", "a", "éé", "abcd"]
                .map(|text| Value::Text(Some(text.to_owned())))
                .into_iter()
                .chain([Value::Text(None)])
                .collect(),
        ),
        (
            Encoding::Map,
            vec![
                Value::Map(map(&[])),
                Value::Map(map(&[("b", ""), ("a", "=\n"), ("", "x")])),
            ],
        ),
        (
            Encoding::List(FIELDS),
            vec![Value::List(vec![]), Value::List(records.to_vec())],
        ),
        (
            Encoding::Record(FIELDS),
            records
                .iter()
                .cloned()
                .map(|record| Value::Record(Some(record)))
                .chain([Value::Record(None)])
                .collect(),
        ),
        (
            Encoding::Blob,
            vec![Value::Blob(vec![]), Value::Blob(vec![0, 1, 255])],
        ),
    ]
}

#[test]
fn every_value_comes_back_as_it_was() {
    for (encoding, values) in samples() {
        for value in values {
            let bytes = encode(&encoding, &value).expect("encodes");
            assert_eq!(decode(&encoding, &bytes), Ok(value), "{encoding:?}");
        }
    }
}

#[test]
fn bytes_that_nobody_wrote_are_refused_or_canonical() {
    let mut state = 0x9e37_79b9_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for (encoding, values) in samples() {
        for value in values {
            let bytes = encode(&encoding, &value).expect("encodes");
            for _ in 0..200 {
                let mut bytes = bytes.clone();
                match next() % 3 {
                    0 => bytes.truncate(next() as usize % (bytes.len() + 1)),
                    1 => bytes.push(next() as u8),
                    _ if bytes.is_empty() => {}
                    _ => {
                        let place = next() as usize % bytes.len();
                        bytes[place] = next() as u8;
                    }
                }
                if let Ok(value) = decode(&encoding, &bytes) {
                    assert_eq!(encode(&encoding, &value), Ok(bytes), "{encoding:?}");
                }
            }
        }
    }
}

#[test]
fn values_that_do_not_fit_are_refused_with_the_number_of_bytes() {
    let text = |text: &str| Value::Text(Some(text.to_owned()));
    let long = encode(
        &Encoding::Text {
            max: 4,
            schemes: &[],
            path: None,
        },
        &text("abcdefg"),
    )
    .expect_err("refused");
    assert_eq!(
        long.to_string(),
        "the text is 3 bytes too long; at most 4 fit"
    );
    assert!(
        encode(
            &Encoding::Text {
                max: 4,
                schemes: &[],
                path: None,
            },
            &text("a\0")
        )
        .is_err()
    );
    assert!(encode(&Encoding::Choice(CHOICES), &Value::Choice("z".to_owned())).is_err());
    assert!(encode(&Encoding::Flag, &Value::Bits(1)).is_err());
    assert!(
        encode(
            &Encoding::Record(FIELDS),
            &Value::Record(Some(Record(vec![])))
        )
        .is_err()
    );
}
