//! Images that deploy makes of the root filesystems in archives.

mod support;

use std::fs;
use std::path::Path;

use deploy::{Built, Error, Options};
use support::{Place, Ran, Who, everybody};
use tar::{Builder, EntryType, Header};

/// Writes archives.
struct Writer(Builder<Vec<u8>>);

impl Writer {
    fn new() -> Writer {
        Writer(Builder::new(Vec::new()))
    }

    fn add(&mut self, kind: EntryType, name: &str, mode: u32, ids: (u64, u64), content: &[u8]) {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(ids.0);
        header.set_gid(ids.1);
        header.set_mtime(1_500_000_000);
        header.set_device_major(1).unwrap();
        header.set_device_minor(3).unwrap();
        header.set_size(content.len() as u64);
        // The crate refuses names that lead out; other programs do not.
        header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        self.0.append(&header, content).unwrap();
    }

    fn directory(&mut self, name: &str) {
        self.add(EntryType::Directory, name, 0o755, (0, 0), b"");
    }

    fn file(&mut self, name: &str, content: &str) {
        self.add(EntryType::Regular, name, 0o644, (0, 0), content.as_bytes());
    }

    fn link(&mut self, kind: EntryType, name: &str, target: &str) {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(0o777);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_500_000_000);
        header.set_size(0);
        header.set_link_name(target).unwrap();
        header.set_path(name).unwrap();
        header.set_cksum();
        self.0.append(&header, std::io::empty()).unwrap();
    }

    fn finish(self) -> Vec<u8> {
        self.0.into_inner().unwrap()
    }
}

/// An attribute with a line feed in it, as that of a file with capabilities may have.
const CAPABILITY: [u8; 20] = *b"\x01\0\0\x02\n\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

/// A root filesystem with everything that an ordinary user could not unpack.
fn rootfs() -> Vec<u8> {
    let mut writer = Writer::new();
    for name in ["./", "./usr/", "./usr/bin/", "./etc/", "./dev/"] {
        writer.directory(name);
    }
    writer.link(EntryType::Symlink, "bin", "usr/bin");
    writer.file("./etc/os-release", "ID=sample\n");
    writer.add(EntryType::Regular, "./bin/sudo", 0o4755, (0, 0), b"#!\n");
    writer.add(
        EntryType::Regular,
        "./etc/shadow",
        0o640,
        (0, 42),
        b"root:*\n",
    );
    writer.link(EntryType::Link, "usr/bin/sudoedit", "./usr/bin/sudo");
    writer.add(EntryType::Char, "./dev/null", 0o666, (0, 0), b"");
    let record: (&str, &[u8]) = ("SCHILY.xattr.user.note", &CAPABILITY);
    writer.0.append_pax_extensions([record]).unwrap();
    writer.file("./etc/noted", "noted\n");
    writer.finish()
}

/// Builds as whoever it is would: the image lands in the place.
fn build(place: &Place, name: &str, archive: &[u8]) -> Result<Built, Error> {
    let file = place.path().join(format!("{name}.tar"));
    fs::write(&file, archive).unwrap();
    let options = Options {
        source: Some(file.clone()),
        out: place.path().join("dist"),
        level: 1,
        ..Options::new("tarball")
    };
    let built = deploy::build(&options, &mut ());
    fs::remove_file(file).unwrap();
    built
}

fn image_of(who: Who, archive: &[u8]) -> Place {
    let builder = Place::blueprint(who);
    let built = build(&builder, "sample", archive).unwrap();
    Place::with(who, &built.image)
}

#[test]
fn an_archive_becomes_an_image_with_its_owners_modes_links_devices_and_attributes() {
    for who in everybody() {
        let place = image_of(who, &rootfs());
        assert_eq!(place.shell(". /etc/os-release; echo $ID"), "sample\n");
        assert_eq!(place.succeed(&["fim-layer", "list"]).lines().count(), 1);
        let stat = |path: &str| place.shell(&format!("busybox stat -c '%a %h %Y %F' {path}"));
        assert_eq!(
            stat("/usr/bin/sudoedit"),
            "4755 2 1500000000 regular file\n"
        );
        assert!(
            stat("/bin").ends_with("symbolic link\n"),
            "{}",
            stat("/bin")
        );
        // An ordinary user has no other id to show.
        let layer = listing(&place);
        assert!(layer.contains("etc/shadow 640 0 42"), "{layer}");
        assert!(layer.contains("dev/null 666 0 0"), "{layer}");
        assert!(layer.contains("usr/bin/sudo 4755 0 0"), "{layer}");
        let noted: Vec<(&[u8], &[u8])> = vec![(b"user.note", &CAPABILITY)];
        assert!(layer.contains(&format!("{noted:?}")), "{layer}");
        place.assert_clean();
    }
}

/// Name, mode and owners of everything in layer 0, as it is stored.
fn listing(place: &Place) -> String {
    use flatimage_layer::{Layer, ROOT};
    let offset: u64 = {
        let mut command = place.image(&["fim-exec", "true"]);
        command.env("FIM_MAIN_OFFSET", "1");
        Ran::of(command).out.trim().parse().unwrap()
    };
    let file = fs::File::open(&place.image).unwrap();
    let length = file.metadata().unwrap().len() - offset;
    let layer = Layer::open(std::sync::Arc::new(file), offset, length).unwrap();
    let mut lines = String::new();
    let mut open = vec![(String::new(), ROOT)];
    while let Some((path, directory)) = open.pop() {
        for (_, entry) in layer.entries(directory, 0) {
            let name = format!("{path}{}", String::from_utf8_lossy(&entry.name));
            let found = layer.attributes(entry.inode).unwrap();
            let attributes: Vec<_> = layer.xattrs(entry.inode).collect();
            if !attributes.is_empty() {
                lines += &format!("{name} {attributes:?}\n");
            }
            lines += &format!(
                "{name} {:o} {} {}\n",
                found.mode & 0o7777,
                found.uid,
                found.gid
            );
            open.push((name + "/", entry.inode));
        }
    }
    lines
}

#[test]
fn nothing_in_an_archive_leads_out_of_the_root_filesystem() {
    let place = Place::blueprint(Who::Caller);
    for name in ["../escaped", "a/../../escaped", "/../escaped"] {
        let mut writer = Writer::new();
        writer.file(name, "out\n");
        let error = told(&build(&place, "evil", &writer.finish()).unwrap_err());
        assert!(
            error.contains("leads out of the root filesystem"),
            "{error}"
        );
    }
    // Through links, and with absolute names: what is meant is inside.
    let mut writer = Writer::new();
    writer.link(EntryType::Symlink, "up", "../../../../../..");
    writer.link(EntryType::Symlink, "abs", "/tmp");
    writer.file("up/tmp/escaped-flatimage-1", "in\n");
    writer.file("abs/escaped-flatimage-2", "in\n");
    writer.file("/tmp/escaped-flatimage-3", "in\n");
    let built = build(&place, "evil", &writer.finish()).unwrap();
    for number in 1..=3 {
        let outside = format!("/tmp/escaped-flatimage-{number}");
        assert!(!Path::new(&outside).exists());
    }
    let place = Place::with(Who::Caller, &built.image);
    let listed = listing(&place);
    for number in 1..=3 {
        let inside = format!("tmp/escaped-flatimage-{number} ");
        assert!(listed.contains(&inside), "{listed}");
    }
}

#[test]
fn an_archive_that_is_damaged_or_not_the_one_that_is_meant_makes_no_image() {
    let place = Place::blueprint(Who::Caller);
    let archive = rootfs();
    let dist = place.path().join("dist");
    for (bytes, expected) in [
        (&archive[..archive.len() - 1024 - 100], "cut off"),
        (b"hello", "cut off"),
        (&[b'x'; 2048][..], "checksum"),
    ] {
        let error = told(&build(&place, "sample", bytes).unwrap_err());
        assert!(error.contains(expected) && !error.contains('\n'), "{error}");
        assert_eq!(files(&dist), Vec::<String>::new());
    }
    let file = place.path().join("sample.tar");
    fs::write(&file, &archive).unwrap();
    let mut options = Options {
        source: Some(file),
        sha256: Some("0".repeat(64)),
        out: dist.clone(),
        ..Options::new("tarball")
    };
    let error = told(&deploy::build(&options, &mut ()).unwrap_err());
    assert!(error.contains("has the SHA-256"), "{error}");
    assert_eq!(files(&dist), Vec::<String>::new());
    let found = error.split("SHA-256 ").nth(1).unwrap();
    options.sha256 = found.split(' ').next().map(str::to_owned);
    deploy::build(&options, &mut ()).unwrap();
    assert_eq!(
        files(&dist),
        ["sample.flatimage", "sample.flatimage.sha256sum"]
    );
}

fn files(dir: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(dir) else {
        return Vec::new();
    };
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

/// An error and its causes.
fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[test]
fn a_distribution_is_added_by_a_file_alone() {
    let place = Place::blueprint(Who::Caller);
    let archive = place.path().join("sample.tar");
    fs::write(&archive, rootfs()).unwrap();
    let distributions = place.path().join("distributions");
    fs::create_dir(&distributions).unwrap();
    fs::write(
        distributions.join("sample.yaml"),
        "summary: a sample\n\
         root: {tarball: {}}\n\
         add:\n  directories: [/srv/data]\n  files: {/etc/greeting: \"hello\\n\"}\n  links: {/greeting: etc/greeting}\n\
         settings:\n  environment: {GREETING: hi, HOME: /srv}\n  boot: {program: bash, args: [-c, 'cat /greeting; echo $GREETING']}\n",
    )
    .unwrap();
    let options = Options {
        source: Some(archive),
        distributions: Some(distributions),
        out: place.path().join("dist"),
        level: 1,
        ..Options::new("sample")
    };
    let built = deploy::build(&options, &mut ()).unwrap();
    for who in everybody() {
        let place = Place::with(who, &built.image);
        assert_eq!(place.succeed::<&str>(&[]), "hello\nhi\n");
        assert_eq!(
            place.shell("cd /srv/data && pwd; ls -d ~"),
            "/srv/data\n/srv\n"
        );
        place.assert_clean();
    }
}
