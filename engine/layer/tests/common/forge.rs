//! Images that no writer makes, with right checksums.

use dwarfs::section::{CompressAlgo, Header, MagicVersion, SectionIndexEntry, SectionType};
use dwarfs::zerocopy::little_endian::U16;
use dwarfs::zerocopy::{FromZeros, IntoBytes};

/// The type of the section with extended attributes.
pub const XATTRS: SectionType = SectionType(U16::new(u16::from_le_bytes(*b"FX")));

/// An image of these two sections, with valid checksums and index, and no blocks.
pub fn forged(schema: &[u8], metadata: &[u8]) -> Vec<u8> {
    forged_with(&[
        (SectionType::METADATA_V2_SCHEMA, schema),
        (SectionType::METADATA_V2, metadata),
    ])
}

pub fn forged_with(sections: &[(SectionType, &[u8])]) -> Vec<u8> {
    let mut image = Vec::new();
    let mut index = Vec::new();
    let push = |image: &mut Vec<u8>, kind, payload: &[u8]| {
        let mut header = Header::new_zeroed();
        header.magic_version = MagicVersion::LATEST;
        header.section_type = kind;
        header.compress_algo = CompressAlgo::NONE;
        header.update_size_and_checksum(payload);
        image.extend_from_slice(header.as_bytes());
        image.extend_from_slice(payload);
    };
    for &(kind, payload) in sections {
        index.push(SectionIndexEntry::new(kind, image.len() as u64).unwrap());
        push(&mut image, kind, payload);
    }
    index.push(SectionIndexEntry::new(SectionType::SECTION_INDEX, image.len() as u64).unwrap());
    push(&mut image, SectionType::SECTION_INDEX, index.as_bytes());
    image
}

/// A section of extended attributes for inodes 0 and 1: `user.a` is `v`, and of the second also `user.b`.
pub fn attributes() -> Vec<u8> {
    let numbers = [
        1, 2, 2, 3, // version; inodes, sets, attributes
        0, 0, 1, 1, // inode, set
        0, 1, 3, // first attribute of each set, and the end
        0, 6, 12, 1, // name and value
        0, 6, 12, 1, //
        6, 6, 12, 0,
    ];
    let numbers = numbers.into_iter().flat_map(u32::to_le_bytes);
    b"fimxattr"
        .iter()
        .copied()
        .chain(numbers)
        .chain(*b"user.auser.bv")
        .collect()
}

/// An image of a directory with a file in it, and this section.
pub fn with_attributes(section: &[u8]) -> Vec<u8> {
    let mut metadata = dwarfs::metadata::Metadata::default();
    metadata.block_size = 65536;
    metadata.modes = vec![0o40755, 0o100644];
    (metadata.uids, metadata.gids) = (vec![0], vec![0]);
    metadata.names = vec!["a".into()];
    metadata.chunk_table = vec![0, 0];
    metadata.directories = vec![Default::default(), Default::default()];
    metadata.directories[0].first_entry = 1;
    metadata.directories[1].first_entry = 2;
    metadata.inodes = vec![Default::default(); 2];
    metadata.inodes[1].mode_index = 1;
    metadata.dir_entries = Some(vec![Default::default(); 2]);
    metadata.dir_entries.as_mut().unwrap()[1].inode_num = 1;
    let (schema, tables) = metadata.to_schema_and_bytes().unwrap();
    forged_with(&[
        (SectionType::METADATA_V2_SCHEMA, &schema.to_bytes().unwrap()),
        (SectionType::METADATA_V2, &tables),
        (XATTRS, section),
    ])
}
