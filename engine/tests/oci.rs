//! Images of other container programs that become images of ours.

mod support;

use std::fs;
use std::path::Path;

use deploy::{Built, Error, Options};
use support::archives::{Image, Writer, files, told};
use support::{Place, Who, everybody};
use tar::EntryType;

/// Says how it was started.
const ENTRY: &str = r#"#!/run/flatimage/bin/bash
echo "$# $*"
pwd
echo "$(busybox id -u) $(busybox id -g) $USER $HOME"
echo "$GREETING $DOLLAR"
exit 7
"#;

const CONFIG: &str = r#"{
    "User": "web",
    "Env": ["PATH=/usr/bin:/bin:/run/flatimage/bin:/run/flatimage/sbin", "GREETING=good day", "DOLLAR=a $HOME b"],
    "Entrypoint": ["/entry", "first"],
    "Cmd": ["second word"],
    "WorkingDir": "/srv/web",
    "Labels": {"unknown": "things"}
}"#;

fn layers() -> Vec<Vec<u8>> {
    let mut base = Writer::new();
    for name in [
        "etc/",
        "srv/",
        "srv/web/",
        "old/",
        "old/deep/",
        "kept/",
        "usr/",
        "usr/lib/",
    ] {
        base.directory(name);
    }
    base.link(EntryType::Symlink, "lib", "usr/lib");
    base.file(
        "etc/passwd",
        "root:x:0:0::/root:/bin/sh\nweb:x:33:34::/srv/web:/bin/sh\n",
    );
    base.add(EntryType::Regular, "entry", 0o755, (0, 0), ENTRY.as_bytes());
    for name in [
        "old/a",
        "old/deep/b",
        "kept/gone",
        "kept/stays",
        "usr/lib/one",
    ] {
        base.file(name, "base\n");
    }
    let mut middle = Writer::new();
    middle.file("kept/.wh.gone", "");
    middle.file("old/.wh..wh..opq", "");
    middle.file("old/new", "middle\n");
    middle.file("lib/two", "middle\n");
    let mut top = Writer::new();
    top.file("srv/.wh.web", "");
    top.add(EntryType::Directory, "srv/web/", 0o750, (33, 34), b"");
    top.file("kept/again", "top\n");
    top.link(EntryType::Link, "kept/linked", "kept/stays");
    [base, middle, top].map(Writer::finish).into()
}

fn build(place: &Place, source: &Path) -> Result<Built, Error> {
    named(place, source, "it")
}

fn named(place: &Place, source: &Path, name: &str) -> Result<Built, Error> {
    let options = Options {
        source: Some(source.to_owned()),
        name: Some(name.to_owned()),
        out: place.path().join("dist"),
        level: 1,
        ..Options::new("oci")
    };
    deploy::build(&options, &mut ())
}

/// Demands that an image is what [`layers`] and [`CONFIG`] say.
fn assert_is_it(built: &Built) {
    for who in everybody() {
        let place = Place::with(who, &built.image);
        let ran = place.run::<&str>(&["more"]);
        let expected =
            "3 first second word more\n/srv/web\n33 34 web /srv/web\ngood day a $HOME b\n";
        assert_eq!(
            (ran.code, ran.out.as_str()),
            (7, expected),
            "{who:?} {ran:?}"
        );
        assert_eq!(place.succeed(&["fim-layer", "list"]).lines().count(), 3);
        let found = place.succeed(&[
            "fim-exec", "busybox", "find", "/old", "/kept", "/usr", "/srv", "/lib",
        ]);
        let mut found: Vec<_> = found.lines().collect();
        found.sort_unstable();
        let expected = [
            "/kept",
            "/kept/again",
            "/kept/linked",
            "/kept/stays",
            "/lib",
            "/old",
            "/old/new",
            "/srv",
            "/srv/web",
            "/usr",
            "/usr/lib",
            "/usr/lib/one",
            "/usr/lib/two",
        ];
        assert_eq!(found, expected, "{who:?}");
        let links = "busybox stat -c %h /kept/stays; cat /lib/two";
        assert_eq!(place.shell(links), "2\nmiddle\n");
        place.assert_clean();
    }
}

#[test]
fn a_layout_becomes_an_image_with_its_layers_and_settings() {
    let place = Place::blueprint(Who::Caller);
    let layers = layers();
    let image = Image {
        config: CONFIG,
        layers: &layers,
    };
    let layout = place.path().join("layout");
    image.layout(&layout);
    let built = build(&place, &layout).unwrap();
    assert_is_it(&built);
    // The same once more, from what was kept: who programs run as is known without reading the layers again.
    assert_eq!(build(&place, &layout).unwrap(), built);
}

#[test]
fn what_docker_saves_becomes_the_same_image() {
    let place = Place::blueprint(Who::Caller);
    let layers = layers();
    let image = Image {
        config: CONFIG,
        layers: &layers,
    };
    let archive = place.path().join("saved.tar.zst");
    fs::write(&archive, zstd::encode_all(&image.saved()[..], 1).unwrap()).unwrap();
    let built = build(&place, &archive).unwrap();
    assert_is_it(&built);
    let layout = place.path().join("layout");
    image.layout(&layout);
    assert_eq!(build(&place, &layout).unwrap().sha256, built.sha256);
}

#[test]
fn what_does_not_have_its_digest_makes_no_image() {
    // With a name of its own: layers that were made from sound blobs would be used again.
    let damaged = |place: &Place, source: &Path| named(place, source, "damaged");
    let place = Place::blueprint(Who::Caller);
    let layers = layers();
    let image = Image {
        config: CONFIG,
        layers: &layers,
    };
    let layout = place.path().join("layout");
    image.layout(&layout);
    let blobs = layout.join("blobs/sha256");
    for name in files(&blobs) {
        let blob = blobs.join(&name);
        let bytes = fs::read(&blob).unwrap();
        let mut other = bytes.clone();
        *other.last_mut().unwrap() ^= 1;
        fs::write(&blob, other).unwrap();
        let error = told(&damaged(&place, &layout).unwrap_err());
        assert!(error.contains("has another digest"), "{error}");
        fs::remove_file(&blob).unwrap();
        let error = told(&damaged(&place, &layout).unwrap_err());
        assert!(
            error.contains("is missing") && !error.contains('\n'),
            "{error}"
        );
        fs::write(&blob, bytes).unwrap();
    }
    assert_eq!(files(&place.path().join("dist")), Vec::<String>::new());

    let index = layout.join("index.json");
    let text = fs::read_to_string(&index).unwrap();
    for (from, to, expected) in [
        ("sha256:", "sha256:../../", "no SHA-256 digest"),
        ("sha256:", "sha512:", "no SHA-256 digest"),
        (
            "\"manifests\":[",
            "\"manifests\":[],\"others\":[",
            "no image for `linux/",
        ),
        ("{\"schema", "[\"schema", "malformed"),
    ] {
        fs::write(&index, text.replace(from, to)).unwrap();
        let error = told(&damaged(&place, &layout).unwrap_err());
        assert!(error.contains(expected), "{error}");
    }
    fs::remove_file(&index).unwrap();
    let error = told(&damaged(&place, &layout).unwrap_err());
    assert!(
        error.contains("neither `index.json` nor `manifest.json`"),
        "{error}"
    );
}

#[test]
fn an_image_without_layers_user_and_command_starts_a_shell_as_root() {
    let place = Place::blueprint(Who::Caller);
    let image = Image {
        config: "{}",
        layers: &[],
    };
    let archive = place.path().join("saved.tar");
    fs::write(&archive, image.saved()).unwrap();
    let built = build(&place, &archive).unwrap();
    for who in everybody() {
        let place = Place::with(who, &built.image);
        assert_eq!(place.shell("busybox id -u; echo ~"), "0\n/root\n");
        place.assert_clean();
    }
}

#[test]
fn of_several_images_one_has_to_be_named() {
    let place = Place::blueprint(Who::Caller);
    let layout = place.path().join("layout");
    let image = Image {
        config: "{}",
        layers: &[],
    };
    image.layout(&layout);
    let index = layout.join("index.json");
    let text = fs::read_to_string(&index).unwrap();
    let start = text.find("[{").unwrap() + 1;
    let one = &text[start..text.len() - 2];
    let with_name = |name: &str| {
        let annotation =
            format!(r#""annotations":{{"org.opencontainers.image.ref.name":"{name}"}},"#);
        one.replacen('{', &format!("{{{annotation}"), 1)
    };
    fs::write(
        &index,
        format!("{{\"manifests\":[{},{}]}}", with_name("a"), with_name("b")),
    )
    .unwrap();
    let error = told(&build(&place, &layout).unwrap_err());
    assert!(
        error.contains("`--tag` which image is meant; there are `a`, `b`"),
        "{error}"
    );
    let options = Options {
        source: Some(layout),
        tag: Some("b".to_owned()),
        out: place.path().join("dist"),
        ..Options::new("oci")
    };
    deploy::build(&options, &mut ()).unwrap();
}
