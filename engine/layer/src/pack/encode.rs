//! The metadata as bytes: the schema that says which bits mean what, and the tables.

use dwarfs::metadata::{Metadata, OrderedSet};

use super::PackError;

/// The feature that an image with holes names (`thrift/features.thrift` of DwarFS).
const SPARSE: &str = "sparsefiles";

/// `preferred_path_separator` and `hole_block_index` (`thrift/metadata.thrift` of DwarFS), both an optional number of
/// 32 bits.
const SEPARATOR: usize = 26;
const HOLE_BLOCK: usize = 34;

/// What the two sections of the metadata hold.
pub(super) struct Encoded {
    pub(super) schema: Vec<u8>,
    pub(super) tables: Vec<u8>,
}

/// Encodes the metadata. Where there are holes, `hole_block` is the number of the block that they are said to be in.
pub(super) fn metadata(
    mut metadata: Metadata,
    hole_block: Option<u32>,
) -> Result<Encoded, PackError> {
    let invalid = |error| PackError::Write(std::io::Error::other(error));
    if hole_block.is_some() {
        metadata.features = Some(OrderedSet(vec![SPARSE.into()]));
        // The crate does not know the field, but another one of the same type that is of no use here. It writes that
        // one, and then the schema says that it is the field.
        metadata.preferred_path_separator = hole_block;
    }
    let (mut schema, tables) = metadata.to_schema_and_bytes().map_err(invalid)?;
    if hole_block.is_some() {
        let root = schema.layouts.0.get_mut(schema.root_layout as usize);
        if let Some(Some(root)) = root {
            let fields = &mut root.fields.0;
            fields.resize(fields.len().max(HOLE_BLOCK + 1), None);
            fields.swap(SEPARATOR, HOLE_BLOCK);
        }
    }
    let schema = schema.to_bytes().map_err(invalid)?;
    Ok(Encoded { schema, tables })
}
