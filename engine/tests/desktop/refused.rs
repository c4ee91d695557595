//! What is no description of an application.

use super::*;

#[test]
fn a_wrong_description_changes_nothing_and_is_named() {
    let place = place(Who::Caller, ALL);
    let before = place.succeed(&["fim-show"]);
    let refused = |description: &str, expected: &str| {
        place.write("wrong.json", description);
        let line = place.fail(125, &["fim-desktop", "setup", "wrong.json"]);
        assert!(line.starts_with("error: `wrong.json`: "), "{line}");
        assert!(line.contains(expected), "{line}");
    };
    refused("{", "it is no JSON");
    refused(
        r#"{"name": "A", "icn": "x"}"#,
        "unknown key `icn`; did you mean `icon`?",
    );
    refused(
        r#"{"name": "A", "categories": ["Gaem"]}"#,
        "did you mean `Game`?",
    );
    refused(
        r#"{"name": "A", "integrations": ["MIME"]}"#,
        "unknown integration `MIME`",
    );
    refused(
        r#"{"name": "A", "icon": "nowhere.png"}"#,
        "the icon `nowhere.png`: cannot read it",
    );
    refused(
        r#"{"name": "A", "icon": "wrong.json"}"#,
        "it is no PNG, SVG or JPEG",
    );
    refused(r#"{"name": "A", "icon": "/dev/zero"}"#, "it is no file");
    refused(
        r#"{"name": "A", "icon": "ftp://example.org/a.png"}"#,
        "begins with `https://`",
    );
    fs::write(place.path().join("large.png"), icons::noise(400_000)).unwrap();
    refused(
        r#"{"name": "A", "icon": "large.png"}"#,
        "at most 393184 fit into the image",
    );
    assert_eq!(place.succeed(&["fim-show"]), before);
    for (arguments, expected) in [
        (vec!["enable", "entyr"], "did you mean `entry`?"),
        (vec!["enable", "none,entry"], "`none` stands alone"),
        (vec!["dump", "ikon"], "did you mean `icon`?"),
        (vec!["dump", "icon"], "name the file"),
        (vec!["dump", "entry", "x"], "leave the file out"),
        (vec!["setup", "nowhere.json"], "cannot read it"),
    ] {
        let all: Vec<&str> = std::iter::once("fim-desktop").chain(arguments).collect();
        let line = place.fail(125, &all);
        assert!(line.contains(expected), "{line}");
    }
    for name in ["wrong.json", "large.png"] {
        fs::remove_file(place.path().join(name)).unwrap();
    }
    place.succeed(&["fim-reset", "all"]);
    place.fail(125, &["fim-desktop", "dump", "entry"]);
    end(&place);
    let bare = Place::blueprint(Who::Caller);
    for arguments in [["enable", "entry"], ["dump", "entry"]] {
        let line = bare.fail(125, &["fim-desktop", arguments[0], arguments[1]]);
        assert!(line.contains("`fim-desktop setup <json>`"), "{line}");
    }
    bare.succeed(&["fim-desktop", "clean"]);
}
