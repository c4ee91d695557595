//! Images that deploy makes of the root filesystems in archives.

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use deploy::{Built, Error, Options};
use support::archives::{Writer, files, hex, listing, told};
use support::mirror::{self, Mirror};
use support::{Place, Who, everybody};
use tar::EntryType;

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
    writer.records(&[record]);
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

/// What no earlier run of the tests has downloaded: that would be kept.
fn unique(place: &Place) -> String {
    format!("{} {}\n", place.path().display(), std::process::id())
}

/// A distribution of deploy with the sum of another archive, and a mirror that has that archive.
fn on_a_mirror(place: &Place, name: &str, archive: Vec<u8>) -> (PathBuf, Mirror) {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/distributions");
    let text = fs::read_to_string(shipped.join(format!("{name}.yaml"))).unwrap();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let machine = format!("{}:", std::env::consts::ARCH);
    let at = lines
        .iter()
        .position(|line| line.trim() == machine)
        .unwrap();
    let path = lines[at + 1]
        .trim()
        .strip_prefix("path: ")
        .unwrap()
        .to_owned();
    lines[at + 2] = format!("        sha256: {}", hex(&archive));
    let dir = place.path().join("distributions");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join(format!("{name}.yaml")), lines.join("\n")).unwrap();
    (dir, mirror::serve(vec![(path, archive)]))
}

fn options(place: &Place, name: &str, distributions: PathBuf, mirror: &str) -> Options {
    Options {
        distributions: Some(distributions),
        mirror: Some(mirror.to_owned()),
        name: Some(format!("{name}-of-a-test")),
        out: place.path().join("dist"),
        level: 1,
        ..Options::new(name)
    }
}

#[test]
fn alpine_is_downloaded_checked_and_kept() {
    use std::io::Write;
    let place = Place::blueprint(Who::Caller);
    let mut writer = Writer::new();
    for name in ["./", "./etc/", "./etc/apk/"] {
        writer.directory(name);
    }
    writer.file("./etc/alpine-release", "3.23.2\n");
    writer.file("./etc/of", &unique(&place));
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&writer.finish()).unwrap();
    let (dir, mirror) = on_a_mirror(&place, "alpine", gzip.finish().unwrap());
    let mut options = options(&place, "alpine", dir, &mirror.url);
    let built = deploy::build(&options, &mut ()).unwrap();
    assert_eq!(mirror.asked.try_iter().count(), 1);
    // What is kept is enough.
    options.mirror = Some("http://127.0.0.1:9/nobody".to_owned());
    assert_eq!(deploy::build(&options, &mut ()).unwrap(), built);
    for who in everybody() {
        let place = Place::with(who, &built.image);
        assert_eq!(
            place.shell("cat /etc/alpine-release; echo $CHARSET"),
            "3.23.2\nUTF-8\n"
        );
        place.assert_clean();
    }
}

#[test]
fn arch_has_its_packages_set_up() {
    let place = Place::blueprint(Who::Caller);
    let mut writer = Writer::new();
    writer.file("pkglist.x86_64.txt", &unique(&place));
    for name in [
        "root.x86_64/",
        "root.x86_64/etc/",
        "root.x86_64/etc/pacman.d/",
    ] {
        writer.directory(name);
    }
    writer.file("root.x86_64/etc/pacman.conf", "as it came\n");
    writer.file("root.x86_64/etc/arch-release", "");
    let archive = zstd::encode_all(&writer.finish()[..], 1).unwrap();
    let (dir, mirror) = on_a_mirror(&place, "arch", archive);
    let options = options(&place, "arch", dir, &mirror.url);
    let built = deploy::build(&options, &mut ()).unwrap();
    for who in everybody() {
        let place = Place::with(who, &built.image);
        let found = place.shell("busybox ls -a / /etc; busybox cat /etc/pacman.conf");
        let has = |line: &str| found.lines().any(|found| found == line);
        assert!(has("arch-release") && has("[multilib]"), "{found}");
        assert!(!has("pkglist.x86_64.txt") && !has("root.x86_64"), "{found}");
        place.assert_clean();
    }
}

#[test]
fn a_mirror_that_has_another_archive_or_none_makes_no_image() {
    let place = Place::blueprint(Who::Caller);
    let meant = unique(&place).into_bytes();
    let (dir, mirror) = on_a_mirror(&place, "alpine", meant.clone());
    let mut options = options(&place, "alpine", dir.clone(), &mirror.url);
    options.name = Some("never".to_owned());
    // It has the sum and is no archive.
    let error = told(&deploy::build(&options, &mut ()).unwrap_err());
    assert!(error.contains("cut off"), "{error}");
    let asked = mirror.asked.recv().unwrap();
    let name = asked.trim_start_matches("/mirror/").to_owned();
    let file = dir.join("alpine.yaml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace(&hex(&meant), &hex(b"other"))).unwrap();
    let lies = mirror::serve(vec![(name, b"a lie".to_vec())]);
    options.mirror = Some(lies.url.clone());
    let error = told(&deploy::build(&options, &mut ()).unwrap_err());
    assert!(
        error.contains("has the SHA-256") && error.contains("`--from`"),
        "{error}"
    );
    let empty = mirror::serve(Vec::new());
    options.mirror = Some(empty.url.clone());
    let error = told(&deploy::build(&options, &mut ()).unwrap_err());
    assert!(error.contains("404") && !error.contains('\n'), "{error}");
    // By hand: the file must be the one that is meant, unless one says otherwise.
    let by_hand = place.path().join("by-hand.tar.gz");
    fs::write(&by_hand, rootfs()).unwrap();
    (options.source, options.mirror) = (Some(by_hand), None);
    let error = told(&deploy::build(&options, &mut ()).unwrap_err());
    assert!(error.contains("has the SHA-256"), "{error}");
    assert_eq!(files(&place.path().join("dist")), Vec::<String>::new());
    options.sha256 = Some(hex(&rootfs()));
    deploy::build(&options, &mut ()).unwrap();
}
