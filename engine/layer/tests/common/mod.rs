//! What the tests of this crate share: a listing of a layer that can be compared.
#![allow(dead_code, reason = "each test file uses a part of it")]

pub mod forge;
pub mod mounts;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flatimage_layer::{
    Attributes, BlockCache, Kind, Layer, OpenError, PackOptions, Packed, ROOT, pack,
};
use sha2::{Digest, Sha256};

/// A path within a layer, as bytes.
pub type Name = Vec<u8>;

pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

pub fn open(path: &Path) -> Result<Layer, OpenError> {
    let file = File::open(path).expect("the image can be opened");
    let length = file.metadata().expect("the image has a size").len();
    Layer::open(Arc::new(file), 0, length)
}

/// The image of a tree.
#[track_caller]
pub fn packed(tree: &Path, options: &PackOptions) -> (Vec<u8>, Packed) {
    let mut image = Vec::new();
    let packed = pack(tree, &mut image, options, &mut |_| {}).unwrap();
    assert_eq!(packed.bytes_out, image.len() as u64);
    (image, packed)
}

/// An image in memory, opened.
pub fn opened(image: &[u8]) -> Layer {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(image).unwrap();
    Layer::open(Arc::new(file), 0, image.len() as u64).unwrap()
}

/// All of a file's content.
pub fn content(layer: &Layer, cache: &BlockCache, inode: u32) -> Vec<u8> {
    let size = layer.attributes(inode).expect("the inode is there").size;
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < size {
        let before = bytes.len();
        let read = layer.read(cache, inode, before as u64, 100_000, |piece| {
            bytes.extend_from_slice(piece)
        });
        read.expect("the content can be read");
        assert!(
            bytes.len() > before,
            "the content ends at {before} of {size} bytes"
        );
    }
    bytes
}

/// Every path of a layer with its inode.
pub fn walk(layer: &Layer) -> BTreeMap<Name, u32> {
    let mut found = BTreeMap::from([(b"/".to_vec(), ROOT)]);
    let mut open = vec![(Vec::new(), ROOT)];
    while let Some((path, directory)) = open.pop() {
        for (_, entry) in layer.entries(directory, 0) {
            let path = [&path, &b"/"[..], &entry.name].concat();
            assert_eq!(
                layer.lookup(directory, &entry.name),
                Some(entry.inode),
                "{path:?}"
            );
            if layer
                .attributes(entry.inode)
                .expect("the inode is there")
                .kind
                == Kind::Directory
            {
                open.push((path.clone(), entry.inode));
            }
            found.insert(path, entry.inode);
        }
    }
    found
}

/// One line of the manifest for each path of a layer, by path.
pub fn listing(layer: &Layer) -> BTreeMap<Name, String> {
    let cache = BlockCache::new(1 << 20);
    let line = |inode| describe(layer, &cache, inode);
    walk(layer)
        .into_iter()
        .map(|(path, inode)| (path, line(inode)))
        .collect()
}

fn describe(layer: &Layer, cache: &BlockCache, inode: u32) -> String {
    let attributes = layer.attributes(inode).expect("the inode is there");
    let Attributes {
        kind,
        mode,
        uid,
        gid,
        size,
        links,
        device,
        mtime,
        ..
    } = attributes;
    let start = |name: &str, size: &str| format!("{name}\t{mode:o}\t{uid}\t{gid}\t{size}\t{mtime}");
    let number = format!("{}:{}", device >> 8, device & 0xff);
    match kind {
        Kind::Directory => start("dir", "") + "\t\t",
        Kind::Fifo => start("fifo", "") + "\t\t",
        Kind::Socket => start("socket", "") + "\t\t",
        Kind::CharDevice => start("char", "") + &format!("\t{number}\t"),
        Kind::BlockDevice => start("block", "") + &format!("\t{number}\t"),
        Kind::Symlink => {
            let target = layer.target(inode).expect("a link has a target");
            start("symlink", &size.to_string())
                + &format!("\t\t{}", String::from_utf8_lossy(&target))
        }
        Kind::File => {
            let hash = hex(&Sha256::digest(content(layer, cache, inode)));
            start("file", &size.to_string()) + &format!("\t{links}\t{hash}")
        }
    }
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes everything");
        text
    })
}
