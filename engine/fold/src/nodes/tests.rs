//! Nodes without a filesystem.

use super::*;

/// A file below, as far as nodes look at it.
fn stat(kind: FileType, number: u64, links: u64) -> Stat {
    let mut stat = rustix::fs::stat("/").unwrap();
    stat.st_dev = 7;
    stat.st_ino = number;
    stat.st_nlink = links as _;
    stat.st_mode = kind.as_raw_mode() | 0o644;
    stat
}

fn fd() -> Arc<OwnedFd> {
    Arc::new(std::fs::File::open("/").unwrap().into())
}

fn nodes() -> Nodes {
    Nodes::new(fd(), &stat(FileType::Directory, 2, 2), 2)
}

fn seen(nodes: &mut Nodes, parent: u64, name: &str, stat: &Stat) -> u64 {
    match nodes.see(parent, name.as_bytes(), stat) {
        Seen::Node(id) => id,
        Seen::Perhaps(other) => panic!("perhaps {other}"),
    }
}

#[test]
fn a_node_lives_until_all_lookups_are_forgotten() {
    let mut nodes = nodes();
    let file = stat(FileType::RegularFile, 10, 1);
    let id = seen(&mut nodes, ROOT, "file", &file);
    assert_eq!(seen(&mut nodes, ROOT, "file", &file), id);
    assert_eq!(nodes.forget(id, 1), []);
    assert_eq!(nodes.forget(id, 1), [id]);
    assert_eq!(nodes.at(ROOT, b"file"), None);
    assert_eq!(nodes.nodes.len(), 1);
    assert!(nodes.by_key.is_empty());
    assert_eq!(nodes.forget(ROOT, 1), [], "the root is never forgotten");
    assert_eq!(nodes.forget(99, 1), []);
}

#[test]
fn a_directory_lives_as_long_as_what_is_below() {
    let mut nodes = nodes();
    let directory = seen(&mut nodes, ROOT, "a", &stat(FileType::Directory, 10, 2));
    let file = seen(
        &mut nodes,
        directory,
        "b",
        &stat(FileType::RegularFile, 11, 1),
    );
    assert_eq!(nodes.forget(directory, 1), []);
    assert!(matches!(nodes.way(file), Way::Below(parent, _) if parent == directory));
    assert_eq!(nodes.forget(file, 1), [file, directory]);
}

#[test]
fn a_file_keeps_its_number_when_it_is_copied_up() {
    let mut nodes = nodes();
    let id = seen(
        &mut nodes,
        ROOT,
        "file",
        &stat(FileType::RegularFile, 10, 1),
    );
    assert_eq!(
        seen(
            &mut nodes,
            ROOT,
            "file",
            &stat(FileType::RegularFile, 20, 1)
        ),
        id
    );
    let other = seen(
        &mut nodes,
        ROOT,
        "other",
        &stat(FileType::RegularFile, 10, 1),
    );
    assert_ne!(other, id);
}

#[test]
fn hard_links_are_one_node_until_they_part() {
    let mut nodes = nodes();
    let file = stat(FileType::RegularFile, 10, 2);
    let id = seen(&mut nodes, ROOT, "one", &file);
    assert_eq!(nodes.see(ROOT, b"two", &file), Seen::Perhaps(id));
    let is = Some(Key::of(&file));
    assert_eq!(nodes.settle(ROOT, b"two", &file, id, is), Seen::Node(id));
    // The first name was copied up: it is another file now.
    let is = Some(Key::of(&stat(FileType::RegularFile, 20, 1)));
    let two = nodes.settle(ROOT, b"two", &file, id, is);
    assert_ne!(two, Seen::Node(id));
    assert_eq!(Seen::Node(seen(&mut nodes, ROOT, "two", &file)), two);
    assert_eq!(
        seen(&mut nodes, ROOT, "one", &stat(FileType::RegularFile, 20, 1)),
        id
    );
}

#[test]
fn a_removed_file_is_reachable_while_it_is_open() {
    let mut nodes = nodes();
    let file = stat(FileType::RegularFile, 10, 1);
    let id = seen(&mut nodes, ROOT, "file", &file);
    assert!(!nodes.is_needed(ROOT, b"file", &file));
    nodes.opened(id, || None);
    assert!(nodes.is_needed(ROOT, b"file", &file));
    nodes.remove(ROOT, b"file", Some(fd()));
    assert!(matches!(nodes.way(id), Way::Open(_)));
    nodes.closed(id);
    assert!(matches!(nodes.way(id), Way::Gone));
    let new = seen(&mut nodes, ROOT, "file", &file);
    assert_ne!(
        new, id,
        "the number below is used again, ours is not yet free"
    );
    nodes.opened(id, || Some(fd()));
    assert!(
        matches!(nodes.way(id), Way::Open(_)),
        "opened while it was removed"
    );
}

#[test]
fn few_removed_files_are_kept_for_their_other_names() {
    let mut nodes = nodes();
    for number in 10..14 {
        let file = stat(FileType::RegularFile, number, 2);
        let name = number.to_string();
        let id = seen(&mut nodes, ROOT, &name, &file);
        let needed = nodes.is_needed(ROOT, name.as_bytes(), &file);
        assert_eq!(needed, number < 12);
        nodes.remove(ROOT, name.as_bytes(), needed.then(fd));
        assert_eq!(nodes.spare, (number as usize - 9).min(2));
        if number == 11 {
            let is = Some(Key::of(&file));
            assert_eq!(nodes.see(ROOT, b"name", &file), Seen::Perhaps(id));
            assert_eq!(nodes.settle(ROOT, b"name", &file, id, is), Seen::Node(id));
            assert_eq!(nodes.at(ROOT, b"name"), Some(id), "it is somewhere again");
            assert_eq!(nodes.spare, 1);
            nodes.remove(ROOT, b"name", Some(fd()));
        }
    }
    for id in [10, 11, 12, 13] {
        nodes.forget(id, 9);
    }
    assert_eq!((nodes.spare, nodes.nodes.len()), (0, 1));
}

#[test]
fn only_so_many_directories_stay_open() {
    let mut nodes = nodes();
    let ids = ["a", "b", "c"].map(|name| {
        let number = u64::from(name.as_bytes()[0]);
        let id = seen(
            &mut nodes,
            ROOT,
            name,
            &stat(FileType::Directory, number, 2),
        );
        nodes.cache(id, fd());
        id
    });
    let open = ids.map(|id| matches!(nodes.way(id), Way::Open(_)));
    assert_eq!(open, [false, true, true]);
}

#[test]
fn names_move_with_what_they_lead_to() {
    let mut nodes = nodes();
    let one = seen(&mut nodes, ROOT, "one", &stat(FileType::RegularFile, 10, 1));
    let two = seen(&mut nodes, ROOT, "two", &stat(FileType::RegularFile, 11, 1));
    nodes.exchange((ROOT, b"one"), (ROOT, b"two"));
    assert_eq!(
        (nodes.at(ROOT, b"one"), nodes.at(ROOT, b"two")),
        (Some(two), Some(one))
    );
    nodes.rename((ROOT, b"one"), (ROOT, b"three"));
    assert_eq!(
        (nodes.at(ROOT, b"one"), nodes.at(ROOT, b"three")),
        (None, Some(two))
    );
}
