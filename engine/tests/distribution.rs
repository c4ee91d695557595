//! A real distribution in one file, from the root filesystem that `mmdebstrap` makes to a
//! program that runs in it. Needs the packages of `.ci/packages`.
#![cfg(feature = "distribution")]

#[path = "distribution/packages.rs"]
mod packages;
mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use support::{Place, Ran, Who, everybody};

/// A root filesystem as an archive, made once. `mmdebstrap` needs no privileges for one.
fn archive() -> &'static Path {
    static ARCHIVE: OnceLock<PathBuf> = OnceLock::new();
    ARCHIVE.get_or_init(|| {
        let archive = Path::new(env!("CARGO_TARGET_TMPDIR")).join("debian.tar");
        let mut command = Command::new("mmdebstrap");
        command
            .args(["--quiet", "--variant=minbase"])
            // A package manager beside its own.
            .args(["--include=pacman-package-manager", &suite()])
            .arg(&archive);
        let ran = Ran::of(command);
        assert_eq!(ran.code, 0, "{ran:?}");
        archive
    })
}

/// The host's own suite: the keys to verify it are those that the host has.
fn suite() -> String {
    let release = fs::read_to_string("/etc/os-release").unwrap();
    let mut lines = release.lines();
    let name = lines.find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    name.expect("the host is a Debian or a derivative with suites")
        .trim_matches('"')
        .to_owned()
}

/// The root filesystem unpacked by the user, who cannot make device nodes.
fn unpacked(place: &Place) -> PathBuf {
    let root = place.path().join("root filesystem");
    fs::create_dir(&root).unwrap();
    place.give(&root);
    let mut command = place.command("tar");
    // Opened by whoever runs the tests: the user may not be able to enter the build directory.
    command
        .args(["--extract", "--file=-", "--exclude=./dev/*"])
        .arg("--directory")
        .arg(&root)
        .stdin(fs::File::open(archive()).unwrap());
    let ran = Ran::of(command);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    root
}

/// An image that somebody made with a layer that they packed.
struct Prepared {
    image: PathBuf,
    /// What the packed files hold: lines of `sha256sum`, sorted.
    sums: Vec<String>,
}

/// The image with the distribution as its second layer, made once by each.
fn prepared(who: Who) -> &'static Prepared {
    static BY_CALLER: OnceLock<Prepared> = OnceLock::new();
    static BY_ORDINARY: OnceLock<Prepared> = OnceLock::new();
    let prepared = match who {
        Who::Caller => &BY_CALLER,
        Who::Ordinary => &BY_ORDINARY,
    };
    prepared.get_or_init(|| {
        let place = Place::blueprint(who);
        let (root, layer) = (unpacked(&place), place.path().join("debian.layer"));
        let mut create = place.image(&["fim-layer", "create"]);
        // The fastest level: what is tested is not how small it gets.
        create
            .arg(&root)
            .arg(&layer)
            .env("FIM_COMPRESSION_LEVEL", "1");
        let ran = Ran::of(create);
        assert_eq!((ran.code, ran.err.as_str()), (0, ""));
        let mut add = place.image(&["fim-layer", "add"]);
        add.arg(&layer);
        let ran = Ran::of(add);
        assert_eq!((ran.code, ran.err.as_str()), (0, ""));
        let mut sum = place.command("bash");
        sum.current_dir(&root).args(["-c", SUMS]);
        let sums = sorted(&Ran::of(sum).out);
        fs::remove_file(layer).unwrap();
        fs::remove_dir_all(root).unwrap();
        place.assert_clean();
        let image =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("debian-{who:?}.flatimage"));
        support::copy(&place.image, &image);
        Prepared { image, sums }
    })
}

/// Sums of every file below `usr` of the working directory.
const SUMS: &str = "find usr -xdev -type f -print0 | xargs -0 sha256sum";

fn sorted(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

fn image(who: Who) -> Place {
    Place::with(who, &prepared(who).image)
}

#[test]
fn a_distribution_becomes_a_layer_and_its_programs_run() {
    for who in everybody() {
        let place = image(who);
        assert_eq!(place.succeed(&["fim-layer", "list"]).lines().count(), 2);

        place.succeed(&["fim-env", "add", "GREETING=hello"]);
        assert_eq!(
            place.succeed(&["fim-exec", "perl", "-e", "print $ENV{GREETING}"]),
            "hello"
        );

        let whoami = place.succeed(&["fim-exec", "whoami"]);
        assert_eq!(place.shell("echo $USER"), whoami);

        let release = place.succeed(&["fim-exec", "bash", "-c", ". /etc/os-release; echo $ID"]);
        assert_eq!(release, "debian\n");
        assert_eq!(
            place.succeed(&["fim-exec", "bash", "-c", "echo $BASH"]),
            "/usr/bin/bash\n"
        );
        let listing = place.succeed(&["fim-exec", "ls", "-lR", "/usr"]);
        assert!(
            listing.lines().count() > 5000,
            "{}",
            listing.lines().count()
        );
        let policy = place.succeed(&["fim-exec", "apt-cache", "policy"]);
        assert!(policy.contains("Package files:"), "{policy}");

        place.shell("echo kept > /usr/share/kept; rm /etc/debian_version; mv /usr/share/doc /usr/share/moved");
        assert_eq!(
            place.shell(
                "cat /usr/share/kept; test ! -e /etc/debian_version; ls -d /usr/share/moved"
            ),
            "kept\n/usr/share/moved\n"
        );
        place.assert_clean();
    }
}

/// A package is installed, replaced by a newer one and removed, one of the layer as well, and directories are moved.
const PACKAGES: &str = "set -e; cd /tmp; mkdir -p p/DEBIAN p/opt/it/doc; for v in 1 2; do echo $v > p/opt/it/version; \
    printf 'Package: it\nVersion: %s\nArchitecture: all\nMaintainer: it <it@it>\nDescription: it\n' $v > p/DEBIAN/control; \
    dpkg-deb --build p it-$v.deb >/dev/null; dpkg --install it-$v.deb >/dev/null; done; cat /opt/it/version; \
    dpkg --remove it make >/dev/null; ! test -e /opt/it -o -e /usr/bin/make; \
    mv /etc/apt /etc/moved; test -e /etc/moved/apt.conf.d; ! test -e /etc/apt; echo moved";

#[test]
fn debian_is_made_of_packages_by_whoever_builds() {
    let place = Place::blueprint(Who::Caller);
    let options = deploy::Options {
        suite: Some(suite()),
        include: vec!["make".to_owned()],
        out: place.path().join("dist"),
        level: 1,
        ..deploy::Options::new("debian")
    };
    let built = deploy::build(&options, &mut ()).unwrap();
    for who in everybody() {
        let place = Place::with(who, &built.image);
        let release = place.shell(". /etc/os-release; echo $ID $LANG; make --version >/dev/null");
        assert_eq!(release, "debian C.UTF-8\n");
        let listed = place.succeed(&["fim-root", "dpkg", "--list", "make"]);
        assert!(listed.contains("ii  make"), "{listed}");
        let modes = "stat -c '%a %F' /usr/bin/passwd /dev/null";
        assert!(place.shell(modes).starts_with("4755 regular file\n"));
        for kind in ["bwrap", "overlayfs", "unionfs"] {
            let mut command = place.image(&["fim-root", "bash", "-c", PACKAGES]);
            command.env("FIM_OVERLAY", kind);
            let ran = Ran::of(command);
            assert_eq!(
                (ran.code, ran.out.as_str()),
                (0, "2\nmoved\n"),
                "{kind}: {ran:?}"
            );
            place.succeed(&["fim-data", "purge"]);
        }
        place.assert_clean();
    }
    // Packages that were fetched are not fetched again, and what cannot be had is said in one line.
    assert_eq!(deploy::build(&options, &mut ()).unwrap(), built);
    let options = deploy::Options {
        include: vec!["no-such-package".to_owned()],
        ..options
    };
    let error = deploy::build(&options, &mut ()).unwrap_err().to_string();
    assert!(
        error.contains("no-such-package") && !error.contains('\n'),
        "{error}"
    );
    assert_eq!(fs::read_dir(place.path().join("dist")).unwrap().count(), 2);
}

#[test]
fn what_is_served_is_what_was_packed() {
    for who in everybody() {
        let place = image(who);
        // Read by the distribution's own programs.
        let sums = sorted(&place.shell(&format!("cd / && {SUMS}")));
        assert!(sums.len() > 1000, "{}", sums.len());
        assert_eq!(sums, prepared(who).sums);
        place.assert_clean();
    }
}

#[test]
fn programs_of_the_distribution_work_as_root_inside() {
    for who in everybody() {
        let place = image(who);
        assert_eq!(place.succeed(&["fim-root", "id", "-u"]), "0\n");
        let listed = place.succeed(&["fim-root", "dpkg", "--list", "dpkg"]);
        assert!(listed.contains("ii  dpkg"), "{listed}");
        place.assert_clean();
    }
}
