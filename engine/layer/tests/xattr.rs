//! Extended attributes travel in a section of their own, which nobody else has to know.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use common::{opened, packed, walk};
use flatimage_layer::{IdRange, Layer, Owners, PackError, PackOptions, pack};
use rustix::fs::{XattrFlags, lsetxattr};

type Found = BTreeMap<String, BTreeMap<String, Vec<u8>>>;

fn set(path: &Path, name: &str, value: &[u8]) {
    lsetxattr(path, name, value, XattrFlags::empty())
        .unwrap_or_else(|error| panic!("{name} of {}: {error}", path.display()));
}

/// All attributes of a layer, by path and name.
fn all(layer: &Layer) -> Found {
    let mut found = Found::new();
    for (path, inode) in walk(layer) {
        for (name, value) in layer.xattrs(inode) {
            let path = String::from_utf8(path.clone()).unwrap();
            let name = String::from_utf8(name.to_vec()).unwrap();
            found.entry(path).or_default().insert(name, value.to_vec());
        }
    }
    found
}

/// An access control list that gives `user` what the group has.
fn list(user: u32) -> Vec<u8> {
    let entries = [
        (0x01, 6, u32::MAX),
        (0x02, 4, user),
        (0x04, 4, u32::MAX),
        (0x10, 4, u32::MAX),
        (0x20, 0, u32::MAX),
    ];
    let mut bytes = 2u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries {
        bytes.extend(u16::to_le_bytes(tag));
        bytes.extend(u16::to_le_bytes(permissions));
        bytes.extend(u32::to_le_bytes(id));
    }
    bytes
}

#[test]
fn attributes_read_back_as_they_were() {
    let tree = tempfile::tempdir().unwrap();
    let at = |name: &str| tree.path().join(name);
    for name in ["plain", "marked", "also marked", "many"] {
        fs::write(at(name), name).unwrap();
    }
    fs::create_dir(at("directory")).unwrap();
    fs::hard_link(at("marked"), at("linked")).unwrap();
    let mut expected = Found::new();
    let mut give = |name: &str, attribute: &str, value: &[u8]| {
        set(&at(name), attribute, value);
        let path = format!("/{name}");
        let attributes = expected.entry(path).or_default();
        attributes.insert(attribute.into(), value.to_vec());
    };
    give("", "user.of the root", b"x");
    give("marked", "user.mime_type", b"text/plain");
    give("also marked", "user.mime_type", b"text/plain");
    give("directory", "user.overlay.opaque", b"y");
    give("directory", "user.empty", b"");
    give("directory", "system.posix_acl_default", &list(12));
    for i in 0..50 {
        give("many", &format!("user.{i:03}"), &[i; 50]);
    }
    let linked = expected["/marked"].clone();
    expected.insert("/linked".into(), linked);
    let (image, _) = packed(tree.path(), &PackOptions::default());
    let layer = opened(&image);
    assert_eq!(all(&layer), expected);
    let plain = layer.lookup(0, b"plain").unwrap();
    assert_eq!(layer.xattrs(plain).count(), 0);
    assert!(image == packed(tree.path(), &PackOptions::default()).0);
}

#[test]
fn a_tree_without_attributes_takes_no_section() {
    let tree = tempfile::tempdir().unwrap();
    fs::write(tree.path().join("file"), b"x").unwrap();
    let (plain, _) = packed(tree.path(), &PackOptions::default());
    assert_eq!(opened(&plain).xattr_names().count(), 0);
    set(&tree.path().join("file"), "user.a", b"b");
    let (marked, _) = packed(tree.path(), &PackOptions::default());
    assert_eq!(opened(&marked).xattr_names().count(), 1);
    assert!(marked.len() > plain.len());
}

#[test]
fn ids_in_attributes_are_mapped_like_owners() {
    let tree = tempfile::tempdir().unwrap();
    let file = tree.path().join("file");
    fs::write(&file, b"x").unwrap();
    let uid = fs::metadata(&file).unwrap().uid();
    set(&file, "system.posix_acl_access", &list(uid));
    let range = IdRange {
        found: uid,
        recorded: 77,
        count: 1,
    };
    let options = PackOptions {
        owners: Owners::Mapped {
            uids: vec![range],
            gids: Vec::new(),
        },
        ..PackOptions::default()
    };
    let found = all(&opened(&packed(tree.path(), &options).0));
    assert_eq!(found["/file"]["system.posix_acl_access"], list(77));
}

#[test]
fn what_only_an_upper_directory_means_is_left_out_or_refused() {
    let tree = tempfile::tempdir().unwrap();
    let directory = tree.path().join("directory");
    fs::create_dir(&directory).unwrap();
    set(&directory, "user.overlay.origin", b"handle");
    set(&directory, "user.overlay.impure", b"y");
    let (image, _) = packed(tree.path(), &PackOptions::default());
    assert!(all(&opened(&image)).is_empty());
    set(&directory, "user.overlay.redirect", b"/elsewhere");
    let error = pack(
        tree.path(),
        &mut Vec::new(),
        &PackOptions::default(),
        &mut |_| {},
    );
    let error = error.unwrap_err();
    assert!(matches!(&error, PackError::Half { path } if *path == directory));
}

#[test]
fn an_attribute_on_everything_takes_a_few_bytes_each() {
    let tree = tempfile::tempdir().unwrap();
    for i in 0..2000 {
        let path = tree.path().join(i.to_string());
        fs::write(&path, b"x").unwrap();
        set(&path, "user.label", &[b'v'; 200]);
    }
    let (image, _) = packed(tree.path(), &PackOptions::default());
    assert!(image.len() < 40_000, "{} bytes", image.len());
    assert_eq!(all(&opened(&image)).len(), 2000);
}
