//! Layers come from a remote whole, checked, or not at all.

#[path = "remote/hostile.rs"]
mod hostile;
#[path = "../fetch/tests/server/mod.rs"]
mod server;
mod support;

use std::fs;
use std::path::Path;

use server::{Served, Server, Way, good, served, tls};
use sha2::{Digest, Sha256};
use support::screen::Screen;
use support::{Place, Ran, Who, everybody};

/// Where a remote has the files of the blueprint.
const AT: &str = "/blueprint/latest";

/// A layer with a file `word` that holds `content`, and its bytes.
fn layer(place: &Place, content: &str) -> Vec<u8> {
    let file = place.layer("made.layer", &[("word", content)]);
    let bytes = fs::read(&file).unwrap();
    fs::remove_file(file).unwrap();
    bytes
}

/// A layer of a few hundred thousand bytes that do not compress.
fn large(place: &Place) -> Vec<u8> {
    let digest = |number: u32| Sha256::digest(number.to_le_bytes());
    let hex = |number| {
        digest(number)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    };
    layer(place, &(0..10_000).map(hex).collect::<String>())
}

fn sum(bytes: &[u8]) -> String {
    let sum = Sha256::digest(bytes);
    sum.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An index of these files.
fn index(files: &[(&str, &[u8])]) -> Served {
    let entry = |(name, bytes): &(&str, &[u8])| {
        let entry = serde_json::json!({"sha256": sum(bytes), "size": bytes.len()});
        ((*name).to_owned(), entry)
    };
    let files: serde_json::Map<_, _> = files.iter().map(entry).collect();
    let index = serde_json::json!({ "files": files }).to_string();
    good(&format!("{AT}/index.json"), index)
}

/// Serves a layer `word` in this way, with an index that has it.
fn serve(bytes: &[u8], ways: &[Way]) -> Server {
    let file = served(&format!("{AT}/word.layer"), bytes, ways);
    server::serve(vec![file, index(&[("word.layer", bytes)])])
}

fn set(place: &Place, server: &Server) {
    place.succeed(&["fim-remote", "set", &server.url]);
}

/// `fim-layer add` by somebody who does not wait for long.
fn add(place: &Place, what: &str) -> Ran {
    let mut command = place.image(&["fim-layer", "add", what]);
    command.env("FIM_FETCH_TIMEOUT", "1");
    Ran::of(command)
}

fn added(place: &Place, what: &str) -> Ran {
    let ran = add(place, what);
    assert_eq!((ran.code, ran.out.as_str()), (0, ""), "{ran:?}");
    ran
}

/// `fim-layer add` that must fail; the line that says why.
fn refused(place: &Place, what: &str) -> String {
    let before = sum(&fs::read(&place.image).unwrap());
    let ran = add(place, what);
    assert_eq!((ran.code, ran.out.as_str()), (125, ""), "{ran:?}");
    let errors: Vec<&str> = ran
        .err
        .lines()
        .filter(|line| line.starts_with("error: "))
        .collect();
    assert_eq!(errors.len(), 1, "{ran:?}");
    assert_eq!(ran.err.lines().last(), errors.first().copied(), "{ran:?}");
    assert_eq!(sum(&fs::read(&place.image).unwrap()), before);
    errors[0].to_owned()
}

fn assert_nothing_is_kept(place: &Place) {
    assert!(!place.data().join("downloads").exists());
    place.assert_clean();
}

#[test]
fn a_remote_is_an_address_that_can_be_used_and_has_no_secrets() {
    for who in everybody() {
        let place = Place::blueprint(who);
        assert_eq!(place.succeed(&["fim-remote", "show"]), "");
        for url in [
            "https://example.org/a",
            "http://[::1]:80",
            "file:///srv/a%20b",
        ] {
            place.succeed(&["fim-remote", "set", url]);
            assert_eq!(place.succeed(&["fim-remote", "show"]), format!("{url}\n"));
        }
        for url in [
            "ftp://example.org",
            "example.org",
            "/srv",
            "",
            "https://a:b@example.org",
        ] {
            let line = place.fail(125, &["fim-remote", "set", url]);
            assert!(line.contains("; give"), "{line}");
        }
        assert_eq!(
            place.succeed(&["fim-remote", "show"]),
            "file:///srv/a%20b\n"
        );
        place.succeed(&["fim-remote", "clear"]);
        assert_eq!(place.succeed(&["fim-remote", "show"]), "");
        place.assert_clean();
    }
}

#[test]
fn a_layer_is_added_by_its_name_its_address_and_its_path() {
    for who in everybody() {
        let place = Place::blueprint(who);
        let (bytes, path) = (layer(&place, "named"), place.path().join("word"));
        let server = serve(&bytes, &[Way::Good]);
        let line = place.fail(125, &["fim-layer", "add", "word"]);
        assert!(line.contains("fim-remote set"), "{line}");
        set(&place, &server);
        let ran = added(&place, "word");
        let address = format!("{}{AT}/word.layer", server.url);
        let lines = format!("fetching `{address}`\nfetched {} bytes\n", bytes.len());
        assert_eq!(ran.err, lines);
        assert_eq!(place.shell("cat /word"), "named");
        assert_eq!(
            server.paths(),
            [format!("{AT}/index.json"), format!("{AT}/word.layer")]
        );
        // An address needs no remote.
        place.succeed(&["fim-remote", "clear"]);
        assert_eq!(added(&place, &address).err, lines);
        // A path comes first, and `./` says that it is one.
        set(&place, &server);
        let line = refused(&place, "./word");
        assert!(
            line.contains("`./word` is no layer: no such file"),
            "{line}"
        );
        server.paths();
        fs::write(&path, layer(&place, "here")).unwrap();
        place.give(&path);
        assert_eq!(added(&place, "word").err, "");
        assert_eq!(place.shell("cat /word"), "here");
        assert_eq!(server.paths(), Vec::<String>::new());
        fs::remove_file(path).unwrap();
        assert_eq!(place.succeed(&["fim-layer", "list"]).lines().count(), 4);
        place.succeed(&["fim-verify"]);
        assert_nothing_is_kept(&place);
    }
}

#[test]
fn a_remote_can_be_a_directory() {
    for who in everybody() {
        let place = Place::blueprint(who);
        let bytes = layer(&place, "local");
        let remote = place.path().join("a remote");
        let latest = remote.join("blueprint/latest");
        fs::create_dir_all(&latest).unwrap();
        fs::write(latest.join("word.layer"), &bytes).unwrap();
        let url = format!("file://{}", remote.display()).replace(' ', "%20");
        place.succeed(&["fim-remote", "set", &url]);
        assert_eq!(added(&place, "word").err, "");
        let index = latest.join("index.json");
        fs::write(&index, index_of(&bytes)).unwrap();
        assert_eq!(added(&place, "word").err, "");
        assert_eq!(place.shell("cat /word"), "local");
        fs::write(&index, index_of(b"another")).unwrap();
        let line = refused(&place, "word");
        assert!(line.contains("has the SHA-256"), "{line}");
        let line = refused(&place, "other");
        assert!(line.contains("does not list `other.layer`"), "{line}");
        let line = refused(&place, &format!("{url}/nothing.layer"));
        assert!(line.contains("no such file"), "{line}");
        fs::remove_dir_all(remote).unwrap();
        assert_nothing_is_kept(&place);
    }
}

fn index_of(bytes: &[u8]) -> Vec<u8> {
    index(&[("word.layer", bytes)]).content
}

#[test]
fn without_an_index_it_is_said_who_is_believed() {
    let place = Place::blueprint(Who::Caller);
    let bytes = layer(&place, "believed");
    let path = format!("{AT}/word.layer");
    let plain = server::serve(vec![good(&path, &bytes[..])]);
    let url = format!("{}{path}", plain.url);
    let told = added(&place, &url).err;
    assert!(
        told.starts_with("warning: nothing at all vouches for the layer"),
        "{told}"
    );
    let (encrypted, authority) = tls::serve(vec![good(&path, &bytes[..])]);
    let trusted = place.write("trusted.pem", &authority);
    let url_of = format!("{}{path}", encrypted.url);
    let mut command = place.image(&["fim-layer", "add", &url_of]);
    command.env("SSL_CERT_FILE", &trusted);
    let ran = Ran::of(command);
    assert_eq!(ran.code, 0, "{ran:?}");
    let expected = "warning: nothing vouches for the layer but the connection to its server";
    assert!(ran.err.starts_with(expected), "{ran:?}");
    let line = refused(&place, &url_of);
    assert!(line.contains("certificate"), "{line}");
    fs::remove_file(trusted).unwrap();
    // The address says it, and no index is asked for.
    plain.paths();
    let sum = sum(&bytes);
    assert!(
        !added(&place, &format!("{url}#sha256={sum}"))
            .err
            .contains("warning")
    );
    assert_eq!(plain.paths(), [&path[..]]);
    let other = "0".repeat(64);
    let line = refused(&place, &format!("{url}#sha256={other}"));
    assert!(line.contains(&format!("{sum} and not {other}")), "{line}");
    assert_nothing_is_kept(&place);
}

#[test]
fn the_program_that_fetches_needs_no_place_to_be_kept_at() {
    for who in everybody() {
        let place = Place::blueprint(who);
        set(&place, &serve(&layer(&place, "kept"), &[Way::Good]));
        let fetched_with = |directory: &Path| directory.join("host/fim-fetch").exists();
        let kept = || {
            let units = fs::read_dir(place.home().join(".cache/flatimage")).unwrap();
            units.flatten().any(|unit| fetched_with(&unit.path()))
        };
        // It is unpacked when it is needed, and not before.
        assert!(!kept());
        let mut homeless = place.image(&["fim-layer", "add", "word"]);
        homeless.env_remove("HOME");
        let ran = Ran::of(homeless);
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!(!kept());
        added(&place, "word");
        assert!(kept());
        assert_nothing_is_kept(&place);
    }
}

#[test]
fn a_terminal_shows_how_far_it_is() {
    let place = Place::blueprint(Who::Caller);
    set(&place, &serve(&large(&place), &[Way::Good]));
    let mut screen = Screen::image(&place, &["fim-layer", "add", "word"]);
    screen.expect("word.layer` 100 %\r\n");
    assert_eq!(screen.end(), (0, String::new()));
    // What goes wrong is said on a line of its own.
    set(&place, &serve(&large(&place), &[Way::Lies]));
    let mut screen = Screen::image(&place, &["fim-layer", "add", "word"]);
    screen.expect("100 %\r\nerror: ");
    assert_eq!(screen.end().0, 125);
    assert_nothing_is_kept(&place);
}
