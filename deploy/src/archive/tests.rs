//! Archives as several programs write them.

use std::io::Write;

use tar::{Builder, EntryType};

use super::*;

fn header(kind: EntryType, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(0o4755);
    header.set_uid(1000);
    header.set_gid(5_000_000);
    header.set_mtime(1_600_000_000);
    header.set_cksum();
    header
}

fn members(bytes: &[u8]) -> io::Result<Vec<(Member, Vec<u8>)>> {
    let mut archive = Archive::new(decompressed(bytes)?);
    let mut all = Vec::new();
    while let Some(member) = archive.next()? {
        let mut content = Vec::new();
        archive.copy_content(&mut content)?;
        all.push((member, content));
    }
    assert!(archive.is_ended());
    Ok(all)
}

fn one_file(pax: &[(&str, &[u8])], name: &str, content: &[u8]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    builder.append_pax_extensions(pax.iter().copied()).unwrap();
    let mut header = header(EntryType::Regular, content.len() as u64);
    builder.append_data(&mut header, name, content).unwrap();
    builder.into_inner().unwrap()
}

#[test]
fn owners_modes_times_and_devices_are_what_the_header_says() {
    let mut builder = Builder::new(Vec::new());
    let mut file = header(EntryType::Regular, 3);
    builder.append_data(&mut file, "a", &b"abc"[..]).unwrap();
    let mut device = header(EntryType::Char, 0);
    device.set_device_major(0x1234).unwrap();
    device.set_device_minor(0x5_6789).unwrap();
    builder.append_data(&mut device, "d", io::empty()).unwrap();
    let found = members(&builder.into_inner().unwrap()).unwrap();
    let (file, content) = &found[0];
    assert_eq!((file.mode, file.uid, file.gid), (0o4755, 1000, 5_000_000));
    assert_eq!((file.mtime, &content[..]), (1_600_000_000, &b"abc"[..]));
    let number = nix_makedev(0x1234, 0x5_6789);
    assert_eq!(found[1].0.kind, Kind::Character(number));
}

/// As in `sys/sysmacros.h`.
fn nix_makedev(major: u64, minor: u64) -> u64 {
    (major & 0xffff_f000) << 32
        | (major & 0xfff) << 8
        | (minor & 0xffff_ff00) << 12
        | (minor & 0xff)
}

#[test]
fn long_names_and_links_are_whole() {
    let (name, link) = ("n/".repeat(150) + "x", "l/".repeat(200) + "y");
    let mut builder = Builder::new(Vec::new());
    let mut header = header(EntryType::Symlink, 0);
    builder.append_link(&mut header, &name, &link).unwrap();
    let found = members(&builder.into_inner().unwrap()).unwrap();
    assert_eq!(found[0].0.name, name.as_bytes());
    assert_eq!(found[0].0.kind, Kind::Symlink(link.into_bytes()));
}

#[test]
fn attributes_of_any_bytes_are_kept() {
    let value = b"\x01\x00\x00\x02\n\x00=\n7 a=b\n\xff";
    let key = "SCHILY.xattr.security.capability";
    let pax: &[(&str, &[u8])] = &[(key, value), ("path", b"other"), ("uid", b"70000")];
    let found = members(&one_file(pax, "name", b"content")).unwrap();
    let (file, content) = &found[0];
    assert_eq!(
        file.xattrs,
        [(b"security.capability".to_vec(), value.to_vec())]
    );
    assert_eq!((&file.name[..], file.uid), (&b"other"[..], 70_000));
    assert_eq!(content, b"content");
}

#[test]
fn access_control_lists_as_text_are_noticed() {
    let pax: &[(&str, &[u8])] = &[("SCHILY.acl.access", b"user::rw-,user:1:r--")];
    let found = members(&one_file(pax, "name", b"")).unwrap();
    assert!(found[0].0.has_acl);
}

#[test]
fn sizes_of_records_come_before_those_of_headers() {
    let mut archive = one_file(&[("size", b"5")], "name", b"12345");
    // The header of the file, behind that of the records and the records.
    let mut header = Header::from_byte_slice(&archive[1024..1536]).clone();
    header.set_size(0);
    header.set_cksum();
    archive[1024..1536].copy_from_slice(header.as_bytes());
    assert_eq!(members(&archive).unwrap()[0].1, b"12345");
}

#[test]
fn every_compression_is_told_by_its_first_bytes() {
    let plain = one_file(&[], "name", &[b'x'; 100_000]);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&plain).unwrap();
    let compressed: [Vec<u8>; 4] = [
        plain.clone(),
        gzip.finish().unwrap(),
        include_bytes!("sample.tar.xz").to_vec(),
        zstd::encode_all(&plain[..], 1).unwrap(),
    ];
    for archive in compressed {
        assert_eq!(members(&archive).unwrap()[0].1, [b'x'; 100_000]);
        // Cut off at any place, also in what follows the last member.
        for end in [1, 20, 600, archive.len() / 2, archive.len() - 1] {
            let cut = &archive[..end.min(archive.len() - 1)];
            let is_plain_tail = archive == plain && end == archive.len() - 1;
            assert_eq!(members(cut).is_err(), !is_plain_tail, "{end}");
        }
    }
    let error = members(b"BZh9...").unwrap_err().to_string();
    assert!(error.contains("bzip2"), "{error}");
}

#[test]
fn what_is_no_archive_is_refused() {
    for bytes in [&b"hello"[..], &[7; 4096], &[b'0'; 512]] {
        assert!(members(bytes).is_err());
    }
    let mut archive = one_file(&[], "name", b"content");
    archive[0] ^= 1;
    let error = members(&archive).unwrap_err().to_string();
    assert!(error.contains("checksum"), "{error}");
}

/// A file of GNU tar with holes, in its own format and in the three of its records: `head`, a hole, `tail`, a hole.
fn sparse_archives() -> Vec<Vec<u8>> {
    let (content, size) = (b"headtail", 1 << 20);
    let mut archives = Vec::new();
    let mut header = header(EntryType::GNUSparse, 8);
    let gnu = header.as_gnu_mut().unwrap();
    let field = |number: u64| -> [u8; 12] {
        let text = format!("{number:011o}\0");
        text.as_bytes().try_into().unwrap()
    };
    for (place, (offset, length)) in [(0, 4), (524_288, 4), (size, 0)].into_iter().enumerate() {
        gnu.sparse[place].offset = field(offset);
        gnu.sparse[place].numbytes = field(length);
    }
    gnu.realsize = field(size);
    header.set_path("sparse").unwrap();
    header.set_cksum();
    let mut builder = Builder::new(Vec::new());
    builder.append(&header, &content[..]).unwrap();
    archives.push(builder.into_inner().unwrap());

    let size = size.to_string();
    let all: [&[(&str, &[u8])]; 2] = [
        &[
            ("GNU.sparse.size", size.as_bytes()),
            ("GNU.sparse.offset", b"0"),
            ("GNU.sparse.numbytes", b"4"),
            ("GNU.sparse.offset", b"524288"),
            ("GNU.sparse.numbytes", b"4"),
        ],
        &[
            ("GNU.sparse.size", size.as_bytes()),
            ("GNU.sparse.map", b"0,4,524288,4"),
            ("GNU.sparse.name", b"sparse"),
        ],
    ];
    for pax in all {
        archives.push(one_file(pax, "sparse", content));
    }
    let pax: &[(&str, &[u8])] = &[
        ("GNU.sparse.major", b"1"),
        ("GNU.sparse.minor", b"0"),
        ("GNU.sparse.name", b"sparse"),
        ("GNU.sparse.realsize", size.as_bytes()),
    ];
    let mut mapped = b"3\n0\n4\n524288\n4\n1048576\n0\n".to_vec();
    mapped.resize(512, 0);
    mapped.extend_from_slice(content);
    archives.push(one_file(pax, "GNUSparseFile.1/sparse", &mapped));
    archives
}

#[test]
fn holes_are_found_in_every_format() {
    for archive in sparse_archives() {
        let found = members(&archive).unwrap();
        assert_eq!(found.len(), 1);
        let (member, content) = &found[0];
        let segment = |offset| Segment { offset, size: 4 };
        let expected = Kind::File {
            size: 1 << 20,
            segments: vec![segment(0), segment(524_288)],
        };
        assert_eq!(
            (&member.kind, &member.name[..]),
            (&expected, &b"sparse"[..])
        );
        assert_eq!(content, b"headtail");
    }
}

#[test]
fn maps_that_do_not_fit_are_refused() {
    for map in [
        &b"0,4,2,4"[..],
        b"0,4",
        b"0,8,9",
        b"9,8",
        b"x,8",
        b"18446744073709551615,8",
    ] {
        let pax: &[(&str, &[u8])] = &[("GNU.sparse.size", b"16"), ("GNU.sparse.map", map)];
        assert!(
            members(&one_file(pax, "name", b"headtail")).is_err(),
            "{map:?}"
        );
    }
}

#[test]
fn gnu_tar_and_this_reader_agree() {
    let dir = tempfile::tempdir().unwrap();
    let tree = dir.path().join("tree");
    std::fs::create_dir_all(tree.join("d/e")).unwrap();
    std::fs::write(tree.join("d/file"), vec![b'y'; 70_000]).unwrap();
    std::fs::hard_link(tree.join("d/file"), tree.join("d/second")).unwrap();
    std::os::unix::fs::symlink("file", tree.join("d/link")).unwrap();
    let sparse = std::fs::File::create(tree.join("sparse")).unwrap();
    sparse.set_len(5 << 20).unwrap();
    for format in ["v7", "ustar", "gnu", "oldgnu", "pax"] {
        let archive = dir.path().join("archive");
        let mut tar = std::process::Command::new("tar");
        tar.args([
            "--create",
            "--format",
            format,
            "--sort=name",
            "--owner=7",
            "--group=8",
        ]);
        if format == "pax" || format.ends_with("gnu") {
            tar.arg("--sparse");
        }
        let status = tar
            .arg("-f")
            .arg(&archive)
            .arg("-C")
            .arg(&tree)
            .arg(".")
            .status();
        assert!(status.unwrap().success());
        let found = members(&std::fs::read(archive).unwrap()).unwrap();
        let names: Vec<_> = found
            .iter()
            .map(|(member, _)| String::from_utf8_lossy(&member.name).into_owned())
            .collect();
        let expected = [
            "./",
            "./d/",
            "./d/e/",
            "./d/file",
            "./d/link",
            "./d/second",
            "./sparse",
        ];
        assert_eq!(names, expected, "{format}");
        assert!(
            found
                .iter()
                .all(|(member, _)| (member.uid, member.gid) == (7, 8))
        );
        assert_eq!(found[3].1, vec![b'y'; 70_000]);
        assert_eq!(found[4].0.kind, Kind::Symlink(b"file".to_vec()));
        assert_eq!(found[5].0.kind, Kind::Link(b"./d/file".to_vec()));
        let Kind::File { size, .. } = found[6].0.kind else {
            panic!("{:?}", found[6])
        };
        assert_eq!(size, 5 << 20);
    }
}
