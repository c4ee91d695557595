//! Images made by `mkdwarfs` read back as what they were made from.

mod common;

use std::collections::BTreeMap;

use common::{Name, fixture, listing, open};

fn manifest() -> BTreeMap<Name, String> {
    let text = std::fs::read_to_string(fixture("manifest.tsv")).unwrap();
    let line = |line: &str| {
        let (path, rest) = line.split_once('\t').unwrap();
        (path.as_bytes().to_vec(), rest.to_owned())
    };
    text.lines().skip(1).map(line).collect()
}

#[track_caller]
fn reads_back(name: &str) {
    let expected = manifest();
    let mut found = listing(&open(&fixture(name)).unwrap());
    if name == "non-utf8-name.dwarfs" {
        let line = found
            .remove(&b"/etc/latin1-\xe9"[..])
            .expect("a name of any bytes is kept");
        assert!(line.starts_with("file\t644\t0\t0\t1\t"), "{line}");
        // The directory was changed by the additional file.
        found.insert(b"/etc".to_vec(), expected[&b"/etc"[..]].clone());
    }
    assert_eq!(
        found.keys().collect::<Vec<_>>(),
        expected.keys().collect::<Vec<_>>()
    );
    for (path, line) in &expected {
        assert_eq!(
            &found[path],
            line,
            "{name}: {}",
            String::from_utf8_lossy(path)
        );
    }
}

macro_rules! samples {
    ($($test:ident: $file:literal)*) => { $(#[test] fn $test() { reads_back($file); })* };
}

samples! {
    sparse_files: "default.dwarfs"
    no_sparse_files: "no-sparse.dwarfs"
    fast_zstd: "level1.dwarfs"
    lzma: "lzma.dwarfs"
    lz4: "lz4.dwarfs"
    uncompressed: "uncompressed.dwarfs"
    small_blocks: "blocks-64k.dwarfs"
    packed_metadata: "packed-metadata.dwarfs"
    all_times: "keep-all-times.dwarfs"
    names_that_are_not_utf8: "non-utf8-name.dwarfs"
}

#[test]
fn brotli_is_refused_in_one_line() {
    let error = open(&fixture("brotli.dwarfs")).unwrap_err().to_string();
    assert_eq!(
        error,
        "the image at offset 0 uses brotli compression, which is not supported; repack it with `mkdwarfs -C zstd`"
    );
}
