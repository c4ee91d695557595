//! A tree that is described becomes what the same tree on disk does.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};

use common::{listing, opened, packed};
use flatimage_layer::{
    Description, Extent, Node, NodeKind, PackError, PackOptions, pack_description,
};

/// Describes a tree on disk.
struct Scribe {
    nodes: Vec<Node>,
    contents: fs::File,
    end: u64,
    known: BTreeMap<u64, usize>,
}

impl Scribe {
    fn new() -> Scribe {
        Scribe {
            nodes: Vec::new(),
            contents: tempfile::tempfile().unwrap(),
            end: 0,
            known: BTreeMap::new(),
        }
    }

    fn describe(&mut self, path: &Path) -> usize {
        let found = fs::symlink_metadata(path).unwrap();
        if let Some(index) = self.known.get(&found.ino()) {
            return *index;
        }
        let index = self.nodes.len();
        self.known.insert(found.ino(), index);
        let kind = NodeKind::Fifo;
        self.nodes.push(Node {
            mode: found.mode() & 0o7777,
            uid: found.uid(),
            gid: found.gid(),
            mtime: found.mtime() as u64,
            xattrs: Vec::new(),
            kind,
        });
        let kind = if found.is_dir() {
            let entries = fs::read_dir(path).unwrap().map(|entry| entry.unwrap());
            let entries = entries.map(|entry| {
                let name = entry.file_name().into_encoded_bytes();
                (name, self.describe(&entry.path()))
            });
            NodeKind::Directory(entries.collect())
        } else if found.is_symlink() {
            let target = fs::read_link(path).unwrap();
            NodeKind::Symlink(target.into_os_string().into_encoded_bytes())
        } else {
            let bytes = fs::read(path).unwrap();
            self.contents.write_all(&bytes).unwrap();
            let (at, size) = (self.end, bytes.len() as u64);
            self.end += size;
            let extent = Extent {
                offset: 0,
                at,
                size,
            };
            let data = if size == 0 { vec![] } else { vec![extent] };
            NodeKind::File { size, data }
        };
        self.nodes[index].kind = kind;
        index
    }
}

fn image(nodes: &[Node], contents: &fs::File, options: &PackOptions) -> Result<Vec<u8>, PackError> {
    let mut image = Vec::new();
    let description = Description { nodes, contents };
    pack_description(&description, &mut image, options, &mut |_| {})?;
    Ok(image)
}

#[test]
fn the_bytes_are_those_of_the_tree_on_disk() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    for name in ["a/b/c", "a/z", "m"] {
        fs::create_dir_all(root.join(name)).unwrap();
    }
    for (name, size) in [
        ("a/one", 0),
        ("a/two.txt", 5000),
        ("m/big", 400_000),
        ("x.txt", 5000),
    ] {
        let bytes: Vec<u8> = (0..size).map(|at: u64| (at * at / 7) as u8).collect();
        fs::write(root.join(name), bytes).unwrap();
    }
    fs::hard_link(root.join("x.txt"), root.join("a/b/same.txt")).unwrap();
    symlink("two.txt", root.join("a/link")).unwrap();
    fs::set_permissions(root.join("m/big"), fs::Permissions::from_mode(0o4711)).unwrap();
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
    fs::File::open(root.join("m/big"))
        .unwrap()
        .set_modified(long_ago)
        .unwrap();

    let mut scribe = Scribe::new();
    scribe.describe(root);
    for (level, block_size_log2, latest_mtime) in [(1, 12, None), (7, 17, Some(2_000_000))] {
        let options = PackOptions {
            level,
            block_size_log2,
            latest_mtime,
            ..PackOptions::default()
        };
        let (expected, _) = packed(root, &options);
        let found = image(&scribe.nodes, &scribe.contents, &options).unwrap();
        assert!(expected == found, "level {level}");
    }
}

fn node(kind: NodeKind) -> Node {
    Node {
        mode: 0o644,
        uid: 0,
        gid: 0,
        mtime: 0,
        xattrs: Vec::new(),
        kind,
    }
}

fn directory(entries: &[(&str, usize)]) -> Node {
    let entries = entries.iter();
    let entries = entries.map(|(name, index)| (name.as_bytes().to_vec(), *index));
    node(NodeKind::Directory(entries.collect()))
}

#[test]
fn what_an_ordinary_user_cannot_make_is_packed() {
    let mut owned = node(NodeKind::File {
        size: 1 << 24,
        data: vec![],
    });
    (owned.uid, owned.gid, owned.mode) = (4_000_000_000, 65_534, 0o6755);
    let mut closed = directory(&[]);
    closed.xattrs = vec![(b"user.overlay.opaque".to_vec(), b"y".to_vec())];
    let nodes = [
        directory(&[
            ("closed", 1),
            ("device", 2),
            ("gone", 3),
            ("owned", 4),
            ("s", 5),
        ]),
        closed,
        node(NodeKind::Block(0x0801)),
        node(NodeKind::Character(0)),
        owned,
        node(NodeKind::Socket),
        node(NodeKind::Fifo),
    ];
    let contents = tempfile::tempfile().unwrap();
    let bytes = image(&nodes, &contents, &PackOptions::default()).unwrap();
    let found = listing(&opened(&bytes));
    let line = |name: &str| found[name.as_bytes()].as_str();
    assert_eq!(found.len(), 6, "{found:?}");
    assert!(line("/device").contains("8:1"), "{found:?}");
    assert!(line("/gone").contains("0:0"), "{found:?}");
    let owned = line("/owned");
    for part in ["6755", "4000000000", "65534", "16777216"] {
        assert!(owned.contains(part), "{owned}");
    }
}

#[test]
fn a_description_that_is_none_of_a_tree_is_refused() {
    let file = |size, data| node(NodeKind::File { size, data });
    let extent = |offset, size| Extent {
        offset,
        at: 0,
        size,
    };
    let wrong: [&[Node]; 9] = [
        &[],
        &[file(0, vec![])],
        &[directory(&[("a", 7)])],
        &[directory(&[("a", 0)])],
        &[directory(&[("a/b", 1)]), file(0, vec![])],
        &[directory(&[("..", 1)]), file(0, vec![])],
        &[directory(&[("a", 1), ("b", 1)]), directory(&[])],
        &[
            directory(&[("a", 1)]),
            file(4, vec![extent(0, 3), extent(2, 2)]),
        ],
        &[directory(&[("a", 1)]), file(4, vec![extent(2, u64::MAX)])],
    ];
    let contents = tempfile::tempfile().unwrap();
    for nodes in wrong {
        let error = image(nodes, &contents, &PackOptions::default()).unwrap_err();
        assert!(matches!(error, PackError::Description(_)), "{error}");
    }
    // Contents that are shorter than what is described.
    let nodes = [directory(&[("a", 1)]), file(4, vec![extent(0, 4)])];
    assert!(image(&nodes, &contents, &PackOptions::default()).is_err());
}
