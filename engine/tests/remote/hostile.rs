//! Servers that are slow, lie, or go away, and commands that do.

use std::fs;
use std::process::Stdio;

use super::server::{self, Served, Way, good, served};
use super::support::{Place, Ran, Who, everybody};
use super::{AT, added, assert_nothing_is_kept, large, layer, refused, serve, set, sum};

#[test]
fn whatever_a_server_does_there_is_one_line_and_nothing_is_left() {
    let place = Place::blueprint(Who::Caller);
    let bytes = layer(&place, "never");
    let circle = Way::Redirects(format!("{AT}/word.layer"));
    for (way, expected) in [
        (Way::Stalls, "timeout"),
        (Way::Cut(0), "cannot fetch"),
        (Way::Lies, "has the SHA-256"),
        (Way::Hides(10), "has the SHA-256"),
        (Way::Endless, "larger than"),
        (circle, "redirected again and again"),
        (
            Way::Redirects("ftp://127.0.0.1/".to_owned()),
            "cannot fetch",
        ),
        (Way::Says("404 Not Found"), "404 Not Found"),
        (Way::Says("403 Forbidden"), "403 Forbidden"),
        (Way::Says("500 Broken"), "500"),
    ] {
        let server = serve(&bytes, std::slice::from_ref(&way));
        set(&place, &server);
        let line = refused(&place, "word");
        assert!(line.contains(expected), "{way:?}: {line}");
        assert_nothing_is_kept(&place);
    }
    // What it has is what the index says, but no layer.
    let server = serve(b"something else", &[Way::Good]);
    set(&place, &server);
    let line = refused(&place, "word");
    assert!(line.contains("is no layer"), "{line}");
    let mut damaged = bytes.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    set(&place, &serve(&damaged, &[Way::Good]));
    let line = refused(&place, "word");
    assert!(line.contains("word.layer`: it is no whole layer"), "{line}");
    assert_nothing_is_kept(&place);
}

#[test]
fn an_index_that_cannot_be_used_is_not_passed_over() {
    let place = Place::blueprint(Who::Caller);
    let bytes = layer(&place, "never");
    let path = format!("{AT}/index.json");
    for (index, expected) in [
        (good(&path, "<html>"), "is no index"),
        (
            good(&path, r#"{"files": {"word.layer": {"sha256": "12"}}}"#),
            "is no SHA-256",
        ),
        (
            good(&path, r#"{"files": {}}"#),
            "does not list `word.layer`",
        ),
        (served(&path, "", &[Way::Says("403 Forbidden")]), "403"),
        (served(&path, "", &[Way::Endless]), "larger than"),
    ] {
        let word = good(&format!("{AT}/word.layer"), &bytes[..]);
        let server = server::serve(vec![word, index]);
        set(&place, &server);
        let line = refused(&place, "word");
        assert!(line.contains(expected), "{line}");
        assert!(!server.paths().iter().any(|path| path.ends_with(".layer")));
        assert_nothing_is_kept(&place);
    }
}

#[test]
fn a_layer_that_is_cut_off_goes_on_where_it_ended_at_once_and_the_next_time() {
    for who in everybody() {
        let place = Place::blueprint(who);
        let bytes = large(&place);
        assert!(bytes.len() > 200_000, "{}", bytes.len());
        let ways = [
            Way::Cut(70_000),
            Way::Cut(10_000),
            Way::Stalls,
            Way::Stalls,
            Way::Stalls,
            Way::Good,
        ];
        let server = serve(&bytes, &ways);
        set(&place, &server);
        let line = refused(&place, "word");
        assert!(line.contains("cannot fetch"), "{line}");
        let part = place
            .data()
            .join(format!("downloads/.{}.layer.partial", sum(&bytes)));
        assert_eq!(fs::metadata(&part).unwrap().len(), 80_000);
        added(&place, "word");
        let asked = server
            .asked
            .try_iter()
            .filter(|asked| asked.path.ends_with(".layer"));
        let starts: Vec<_> = asked.map(|asked| asked.start).collect();
        let again = Some(80_000);
        assert_eq!(starts, [None, Some(70_000), again, again, again, again]);
        assert_eq!(place.shell("wc -c < /word"), "640000\n");
        assert_nothing_is_kept(&place);
    }
}

#[test]
fn parts_are_removed_with_the_data_directory() {
    let place = Place::blueprint(Who::Caller);
    let bytes = large(&place);
    set(&place, &serve(&bytes, &[Way::Cut(70_000), Way::Stalls]));
    refused(&place, "word");
    assert!(place.data().join("downloads").exists());
    place.succeed(&["fim-data", "purge"]);
    assert!(!place.data().exists());
    place.assert_clean();
}

#[test]
fn a_command_that_is_killed_fetches_nothing_any_more() {
    for who in everybody() {
        let place = Place::blueprint(who);
        let server = serve(&layer(&place, "later"), &[Way::Stalls, Way::Good]);
        set(&place, &server);
        let mut killed = place.image(&["fim-layer", "add", "word"]);
        let mut killed = killed.stderr(Stdio::null()).spawn().unwrap();
        while !server.asked.recv().unwrap().path.ends_with(".layer") {}
        killed.kill().unwrap();
        killed.wait().unwrap();
        place.assert_gone();
        added(&place, "word");
        assert_eq!(place.shell("cat /word"), "later");
        assert_nothing_is_kept(&place);
    }
}

#[test]
fn of_what_no_sum_tells_nothing_is_left_by_a_command_that_is_killed() {
    let place = Place::blueprint(Who::Caller);
    let server = server::serve(vec![Served {
        path: "/a.layer".to_owned(),
        content: large(&place),
        ways: vec![Way::Drips],
    }]);
    let url = format!("{}/a.layer", server.url);
    let mut killed = place.image(&["fim-layer", "add", &url]);
    let mut killed = killed.stderr(Stdio::null()).spawn().unwrap();
    let downloads = place.data().join("downloads");
    let parts = || {
        let found = fs::read_dir(&downloads).into_iter().flatten().flatten();
        found
            .filter(|file| file.metadata().is_ok_and(|file| file.len() > 0))
            .count()
    };
    while parts() == 0 {
        std::thread::yield_now();
    }
    killed.kill().unwrap();
    killed.wait().unwrap();
    place.assert_gone();
    assert_eq!(fs::read_dir(&downloads).unwrap().count(), 0);
    place.succeed(&["fim-data", "purge"]);
    fs::remove_file(place.path().join("made.layer")).ok();
    place.assert_clean();
}

#[test]
fn a_wish_for_patience_is_a_number_of_seconds() {
    let place = Place::blueprint(Who::Caller);
    set(&place, &serve(&layer(&place, "never"), &[Way::Good]));
    for given in ["0", "1s", "-1", "", "100000"] {
        let mut command = place.image(&["fim-layer", "add", "word"]);
        let ran = Ran::of({
            command.env("FIM_FETCH_TIMEOUT", given);
            command
        });
        assert_eq!(ran.code, 125, "{ran:?}");
        assert!(ran.err.contains("seconds from 1 to 86400"), "{ran:?}");
    }
    assert_nothing_is_kept(&place);
}
