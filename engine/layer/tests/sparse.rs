//! Holes stay holes, and cost next to nothing.

mod common;

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use common::{content, fixture, open, opened, packed, walk};
use flatimage_layer::{BlockCache, Layer, PackOptions, ROOT, Seek};
use rustix::fs::{SeekFrom, seek};

const KIB: u64 = 1 << 10;
const TIB: u64 = 1 << 40;

/// A file with these bytes at these places, and holes between them.
fn sparse(path: &Path, size: u64, data: &[(u64, &[u8])]) {
    let file = File::create(path).unwrap();
    file.set_len(size).unwrap();
    for (offset, bytes) in data {
        file.write_all_at(bytes, *offset).unwrap();
    }
}

/// Where data and holes of a file start, and where it ends.
fn boundaries(layer: &Layer, inode: u32) -> Vec<u64> {
    let mut found = vec![];
    let mut at = 0;
    let mut wanted = Seek::Data;
    while let Some(next) = layer.seek(inode, at, wanted) {
        found.push(next);
        at = next;
        wanted = match wanted {
            Seek::Data => Seek::Hole,
            Seek::Hole => Seek::Data,
        };
    }
    found
}

/// Bytes of a file on disk that are in no hole. `st_blocks` also counts what a filesystem notes about them.
fn data_size(path: &Path) -> u64 {
    let file = File::open(path).unwrap();
    let mut size = 0;
    let mut at = 0;
    while let Ok(data) = seek(&file, SeekFrom::Data(at)) {
        at = seek(&file, SeekFrom::Hole(data)).unwrap();
        size += at - data;
    }
    size
}

#[test]
fn a_file_of_a_tebibyte_is_packed_and_read_in_no_time() {
    let tree = tempfile::tempdir().unwrap();
    let start = Instant::now();
    sparse(&tree.path().join("one"), TIB, &[(TIB - 4 * KIB, b"end")]);
    sparse(&tree.path().join("two"), TIB, &[(TIB - 4 * KIB, b"end")]);
    sparse(&tree.path().join("none"), 3 * TIB + 5, &[]);
    let (image, facts) = packed(tree.path(), &PackOptions::default());
    assert_eq!(facts.bytes_in, 5 * TIB + 5);
    assert!(image.len() < 4096, "{} bytes", image.len());
    let layer = opened(&image);
    let cache = BlockCache::new(1 << 20);
    let one = layer.lookup(ROOT, b"one").unwrap();
    let is = layer.attributes(one).unwrap();
    assert_eq!((is.size, is.data_size), (TIB, 4 * KIB));
    let read = |offset| {
        layer
            .read(&cache, one, offset, 8192, <[u8]>::to_vec)
            .unwrap()
    };
    assert_eq!(read(TIB / 2), [0; 8192]);
    assert_eq!(&read(TIB - 4 * KIB)[..5], b"end\0\0");
    assert_eq!(read(TIB - 8 * KIB).len(), 8192);
    assert_eq!(boundaries(&layer, one), [TIB - 4 * KIB, TIB]);
    let none = layer.lookup(ROOT, b"none").unwrap();
    assert_eq!(boundaries(&layer, none), []);
    assert_eq!(layer.seek(none, 7, Seek::Hole), Some(7));
    assert_eq!(layer.seek(none, 3 * TIB + 5, Seek::Hole), None);
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[test]
fn holes_anywhere_read_as_zeros() {
    let tree = tempfile::tempdir().unwrap();
    let path = tree.path().join("file");
    let data = vec![7; 100_000];
    let places = [0, 200 * KIB, 1000 * KIB, 5001 * KIB];
    sparse(
        &path,
        6000 * KIB + 1,
        &places.map(|offset| (offset, &data[..])),
    );
    let many: Vec<_> = (0..200).map(|i| (i * 64 * KIB, &b"x"[..])).collect();
    sparse(&tree.path().join("many"), 200 * 64 * KIB, &many);
    for block_size_log2 in [12, 17, 22] {
        let options = PackOptions {
            block_size_log2,
            ..PackOptions::default()
        };
        let layer = opened(&packed(tree.path(), &options).0);
        let cache = BlockCache::new(1 << 20);
        for name in ["file", "many"] {
            let inode = layer.lookup(ROOT, name.as_bytes()).unwrap();
            let was = fs::read(tree.path().join(name)).unwrap();
            assert!(content(&layer, &cache, inode) == was, "{name}");
            let stored = layer.attributes(inode).unwrap().data_size;
            assert_eq!(stored, data_size(&tree.path().join(name)), "{name}");
        }
        let many = layer.lookup(ROOT, b"many").unwrap();
        let expected: Vec<u64> = (0..200)
            .flat_map(|i| [i * 64 * KIB, i * 64 * KIB + 4 * KIB])
            .collect();
        assert_eq!(boundaries(&layer, many), expected);
    }
}

#[test]
fn an_image_of_the_other_writer_says_where_its_holes_are() {
    let layer = open(&fixture("default.dwarfs")).unwrap();
    let inode = walk(&layer)[&b"/etc/sparse"[..]];
    let is = layer.attributes(inode).unwrap();
    assert_eq!(is.size, 10 << 20);
    assert!((1..=64 * KIB).contains(&is.data_size), "{is:?}");
    let found = boundaries(&layer, inode);
    assert_eq!(found[1] - found[0], is.data_size, "{found:?}");
}
