//! Layers: read-only directory trees in DwarFS images.
//!
//! A layer is packed once ([`pack()`]) and then read in place, inside the image file, for as long as a container runs.
//! The boot program opens every layer ([`Layer::open`]) while the namespaces are still being made, and answers the
//! kernel's FUSE requests itself ([`serve()`]): no mount helper and no process per layer.
//!
//! What decides the shape of this crate is the time to the first program: opening an image reads its metadata and
//! parses none of it (tables are bit-packed and indexed in place), blocks are small, and an image is untrusted input:
//! every index found in it is checked where it is used.

mod acl;
mod cache;
mod digest;
mod error;
mod frozen;
mod layer;
mod merge;
mod metadata;
mod names;
mod pack;
mod section;
mod serve;
mod stack;
mod table;
mod verify;
mod xattr;

pub use cache::BlockCache;
pub use digest::digest;
pub use error::{OpenError, ReadError};
pub use layer::{Attributes, Entry, Kind, Layer, ROOT, Seek};
pub use pack::{
    Description, Extent, IdRange, Node, NodeKind, Owners, PackError, PackOptions, Packed, Progress,
    pack, pack_description,
};
pub use section::probe;
pub use serve::{IdMap, ServeError, ServeOptions, Serving, Tree, serve};
pub use verify::{Checksums, verify};
