//! A damaged or forged image is refused or reads as something; it never ends the program.

mod common;

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use common::forge::{attributes, forged, with_attributes};
use common::{fixture, hex};
use flatimage_layer::{
    BlockCache, Checksums, Kind, Layer, OpenError, PackOptions, ROOT, Seek, pack, probe, verify,
};

/// Uses everything that an image offers, with a limit on the work that a forged one can ask for.
fn use_all(layer: &Layer) {
    let cache = BlockCache::new(1 << 20);
    for inode in 0..layer.inode_count().min(2000) {
        for (_, entry) in layer.entries(inode, 0).take(2000) {
            layer.lookup(inode, &entry.name);
        }
        layer.target(inode);
        layer.xattrs(inode).take(2000).count();
        if layer
            .attributes(inode)
            .is_some_and(|attributes| attributes.kind == Kind::File)
        {
            let size = layer.attributes(inode).unwrap().size;
            for wanted in [Seek::Data, Seek::Hole] {
                layer.seek(inode, size / 2, wanted);
            }
            for offset in [0, size / 2, size.saturating_sub(1), u64::MAX] {
                let _ = layer.read(&cache, inode, offset, 4096, hex);
            }
        }
    }
    layer.lookup(ROOT, b"bin");
}

fn file_of(bytes: &[u8]) -> Arc<File> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    Arc::new(file)
}

fn try_all(bytes: &[u8]) {
    if let Ok(layer) = Layer::open(file_of(bytes), 0, bytes.len() as u64) {
        use_all(&layer);
    }
}

/// Pseudo-random numbers below a limit.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % below
    }
}

#[test]
fn any_byte_of_an_image_may_be_wrong() {
    let image = std::fs::read(fixture("packed-metadata.dwarfs")).unwrap();
    let mut dice = Dice(1);
    for _ in 0..500 {
        let mut bytes = image.clone();
        let at = dice.roll(bytes.len());
        bytes[at] ^= 1 << dice.roll(8);
        try_all(&bytes);
    }
}

#[test]
fn an_image_may_end_anywhere() {
    let image = std::fs::read(fixture("default.dwarfs")).unwrap();
    for length in (0..image.len()).step_by(97) {
        try_all(&image[..length]);
        let error = Layer::open(file_of(&image[..length]), 0, image.len() as u64).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("the file ends before the image does"),
            "{error}"
        );
    }
}

/// Checksums stop accidents and not malice: here they are right and the tables are not.
#[test]
fn forged_tables_with_right_checksums() {
    let mut metadata = dwarfs::metadata::Metadata::default();
    metadata.block_size = 65536;
    metadata.modes = vec![0o40755, 0o100644, 0o120777, 0o20644];
    (metadata.uids, metadata.gids) = (vec![0], vec![0]);
    metadata.names = vec!["a".into(), "b".into(), "..".into(), "x/y".into()];
    metadata.symlinks = vec!["target".into()];
    metadata.symlink_table = vec![0];
    metadata.chunk_table = vec![0, 2];
    metadata.chunks = vec![Default::default(), Default::default()];
    metadata.chunks[0].size = 70;
    metadata.devices = Some(vec![5]);
    metadata.directories = vec![Default::default(), Default::default()];
    metadata.directories[0].first_entry = 1;
    metadata.directories[1].first_entry = 5;
    metadata.inodes = vec![Default::default(); 4];
    (0..4).for_each(|i| metadata.inodes[i].mode_index = [0, 2, 1, 3][i]);
    metadata.dir_entries = Some(vec![Default::default(); 5]);
    for (i, entry) in metadata
        .dir_entries
        .as_mut()
        .unwrap()
        .iter_mut()
        .enumerate()
        .skip(1)
    {
        (entry.name_index, entry.inode_num) = (i as u32 - 1, i as u32 % 4);
    }
    let (schema, tables) = metadata.to_schema_and_bytes().unwrap();
    let schema = schema.to_bytes().unwrap();
    let whole = forged(&schema, &tables);
    let layer = Layer::open(file_of(&whole), 0, whole.len() as u64).unwrap();
    let names: Vec<_> = layer
        .entries(ROOT, 0)
        .map(|(_, entry)| entry.name.into_owned())
        .collect();
    assert_eq!(
        names,
        [b"a", b"b"],
        "names that lead elsewhere are left out"
    );

    let mut dice = Dice(2);
    for _ in 0..3000 {
        let (mut schema, mut tables) = (schema.clone(), tables.clone());
        for _ in 0..=dice.roll(4) {
            let damaged = if dice.roll(2) == 0 {
                &mut schema
            } else {
                &mut tables
            };
            let at = dice.roll(damaged.len());
            damaged[at] = dice.roll(256) as u8;
        }
        try_all(&forged(&schema, &tables));
    }
}

#[test]
fn forged_attributes_with_right_checksums() {
    let section = attributes();
    let image = with_attributes(&section);
    let check = |image: &[u8]| verify(&file_of(image), 0, image.len() as u64, Checksums::All);
    let layer = Layer::open(file_of(&image), 0, image.len() as u64).unwrap();
    let found: Vec<_> = layer.xattrs(1).collect();
    assert_eq!(found, [(&b"user.a"[..], &b"v"[..]), (b"user.b", b"")]);
    assert_eq!(layer.xattrs(0).count(), 1);
    assert_eq!(layer.xattrs(2).count(), 0);
    assert_eq!(check(&image).unwrap(), 4);

    let mut dice = Dice(3);
    for _ in 0..3000 {
        let mut section = section.clone();
        for _ in 0..=dice.roll(4) {
            let at = dice.roll(section.len());
            section[at] = dice.roll(256) as u8;
        }
        let image = with_attributes(&section[..section.len() - dice.roll(3)]);
        try_all(&image);
        let _ = check(&image);
    }
}

/// Each of these has right checksums and one number that leads nowhere: `fim-verify` must say so.
#[test]
fn attributes_that_make_no_sense_are_found() {
    // Byte of the section, and the number there.
    let wrong = [
        (0, 0, "its extended attributes are malformed"),
        (8, 2, "extended attributes of a later version"),
        (12, 3_000_000_000, "its extended attributes are malformed"),
        (20, u32::MAX, "its extended attributes are malformed"),
        (24, 1, "its extended attributes are malformed"),
        (28, 2, "its extended attributes are malformed"),
        (40, 4, "its extended attributes are malformed"),
        (48, 4, "its extended attributes are malformed"),
        (52, 100, "its extended attributes are malformed"),
        (56, 0, "its extended attributes are malformed"),
        (60, u32::MAX, "its extended attributes are malformed"),
        (64, 100_000, "its extended attributes are malformed"),
    ];
    for (at, number, words) in wrong {
        let mut section = attributes();
        section[at..at + 4].copy_from_slice(&u32::to_le_bytes(number));
        let image = with_attributes(&section);
        try_all(&image);
        let error = verify(&file_of(&image), 0, image.len() as u64, Checksums::Fast);
        let error = error.map_or_else(|error| error.to_string(), |_| "nothing found".into());
        assert!(error.contains(words), "byte {at}: {error}");
    }
}

#[test]
fn a_changed_block_is_found_by_its_checksum() {
    let tree = tempfile::tempdir().unwrap();
    std::fs::write(tree.path().join("file"), b"content").unwrap();
    let mut image = Vec::new();
    pack(
        tree.path(),
        &mut image,
        &PackOptions::default(),
        &mut |_| {},
    )
    .unwrap();
    let file = file_of(&image);
    let layer = Layer::open(Arc::clone(&file), 0, image.len() as u64).unwrap();
    // The first byte behind the first header.
    file.write_all_at(b"X", 64).unwrap();
    let cache = BlockCache::new(1 << 20);
    let inode = layer.lookup(ROOT, b"file").unwrap();
    let error = layer.read(&cache, inode, 0, 100, hex).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the image is damaged: a checksum does not match"
    );
}

#[test]
fn a_probe_tells_an_image_from_something_else() {
    let image = std::fs::read(fixture("lz4.dwarfs")).unwrap();
    let length = image.len() as u64;
    assert!(probe(&file_of(&image), 0, length).is_ok());
    assert!(matches!(
        probe(&file_of(&image), 1, length - 1),
        Err(OpenError::NotDwarfs { offset: 1, .. })
    ));
    assert!(matches!(
        probe(&file_of(&image), 0, 10),
        Err(OpenError::NotDwarfs { .. })
    ));
    assert!(matches!(
        probe(&file_of(&image), 0, length + 1),
        Err(OpenError::Damaged { .. })
    ));
    assert!(matches!(
        probe(&file_of(&image), u64::MAX, 2),
        Err(OpenError::Damaged { .. })
    ));
}
