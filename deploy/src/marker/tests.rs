//! Markers, made and read.

use super::*;

fn marker() -> Marker {
    Marker {
        reserved_offset: 0x0102_0304_0506_0708,
        tools_offset: 0x1112_1314_1516_1718,
        runtime_size: 0x2122_2324_2526_2728,
        runtime_sum: [0xef; 32],
        launcher_sum: [0x1f; 32],
        description_offset: 0x3132_3334_3536_3738,
        description_size: 0x4142_4344_4546_4748,
        description_sum: [0xcd; 32],
        origin: origin(),
        build_id: [0xab; 32],
    }
}

pub(crate) fn origin() -> Origin {
    Origin {
        distribution: "blueprint".to_owned(),
        commit: "0123abcd-dirty".to_owned(),
        version: "1.2.3".to_owned(),
        timestamp: "2026-01-01T00:00:00Z".to_owned(),
        servers: vec!["one".to_owned(), "two".to_owned()],
    }
}

pub(crate) fn launcher() -> Vec<u8> {
    crate::elf::tests::synthetic(&[(1, b"code")])
}

#[test]
fn the_head_is_the_launcher_and_the_marker_and_nothing_else() {
    let launcher = launcher();
    let head = marker().head(&launcher).unwrap();
    assert_eq!(head.len(), RUNTIME_OFFSET);
    assert_eq!(head[8..11], *b"FI\x01");
    assert_eq!(
        (&head[..8], &head[11..launcher.len()]),
        (&launcher[..8], &launcher[11..])
    );
    assert!(head[launcher.len()..OFFSET].iter().all(|byte| *byte == 0));
    let found = head[OFFSET..].first_chunk::<SIZE>().unwrap();
    assert_eq!(found[24..32], [8, 7, 6, 5, 4, 3, 2, 1]);
    assert_eq!(found[32..34], [0x18, 0x17]);
    assert_eq!(found[40..42], [0x28, 0x27]);
    assert_eq!(found[48..50], [0x38, 0x37]);
    assert_eq!(found[56..58], [0x48, 0x47]);
    assert_eq!(found[64..96], [0xcd; 32]);
    assert_eq!(found[96..128], [0xab; 32]);
    assert_eq!(found[128..138], *b"blueprint\0");
    assert_eq!(found[288..296], *b"one two\0");
    assert_eq!(found[384..416], [0xef; 32]);
    assert_eq!(found[416..], [0x1f; 32]);
    assert!(head[OFFSET + SIZE..].iter().all(|byte| *byte == 0));
    assert_eq!(Marker::decode(found), Ok(marker()));
}

#[test]
fn a_launcher_that_does_not_fit_is_refused() {
    for length in [0, 10, OFFSET + 1] {
        let refused = marker().head(&vec![0; length]);
        assert_eq!(refused, Err(MarkerError::Launcher(length)));
    }
    assert!(marker().head(&vec![0; OFFSET]).is_ok());
}

#[test]
fn a_marker_of_another_version_is_named() {
    let mut old = marker().encode();
    old[18] = b'1';
    assert_eq!(
        Marker::decode(&old),
        Err(MarkerError::Version("1".to_owned()))
    );
    assert_eq!(Marker::decode_older(&old), Marker::decode(&old));
    old[0] = b'-';
    assert_eq!(Marker::decode(&old), Err(MarkerError::Missing));
}

#[test]
fn a_marker_of_version_2_is_found_in_the_program() {
    let mut older = marker();
    older.runtime_sum = [0; 32];
    older.launcher_sum = [0; 32];
    let mut bytes = older.encode();
    bytes[18] = b'2';
    for before in [0, 1, 70_000] {
        let mut program = vec![b'F'; before];
        program.extend(&bytes[..OLDER_SIZE]);
        assert_eq!(Marker::decode_older(&program), Ok(older.clone()));
        program.pop();
        assert_eq!(Marker::decode_older(&program), Err(MarkerError::Missing));
    }
    let ours = marker().encode();
    assert_eq!(Marker::decode_older(&ours), Err(MarkerError::Missing));
}

#[test]
fn only_plain_texts_that_fit_are_taken() {
    for wrong in ["", "..", "a/b", "a b\n", &"x".repeat(64)] {
        let origin = Origin {
            distribution: wrong.to_owned(),
            ..origin()
        };
        assert!(origin.check().is_err(), "{wrong}");
    }
    let longest = Origin {
        distribution: "x".repeat(63),
        ..origin()
    };
    longest.check().unwrap();
    let mut damaged = marker().encode();
    damaged[128] = b'/';
    assert_eq!(
        Marker::decode(&damaged),
        Err(MarkerError::NoText("the distribution"))
    );
}
