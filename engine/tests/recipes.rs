//! Recipes are fetched, kept, put in order, and installed by the package manager of the container.

#[path = "../fetch/tests/server/mod.rs"]
mod server;
mod support;

use std::fs;

use server::{Served, Server, Way, good, served};
use sha2::{Digest, Sha256};
use support::{Place, Ran, Who, everybody};

/// Where a remote has the files of the blueprint.
const AT: &str = "/blueprint/latest";

/// A recipe with packages and dependencies, as `name: package… < dependency…`.
fn recipe(line: &str) -> Served {
    let (name, rest) = line.split_once(':').unwrap();
    let (packages, dependencies) = rest.split_once('<').unwrap_or((rest, ""));
    let words = |text: &str| {
        text.split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let recipe = serde_json::json!({
        "description": format!("the recipe {name}"),
        "packages": words(packages),
        "dependencies": words(dependencies),
    });
    good(&format!("{AT}/{name}.json"), recipe.to_string())
}

fn serve(recipes: &[&str]) -> Server {
    server::serve(recipes.iter().map(|line| recipe(line)).collect())
}

/// Without an index, of which these servers have none.
fn asked(server: &Server) -> Vec<String> {
    let names = server.paths().into_iter().filter_map(|path| {
        let name = path
            .strip_prefix(AT)?
            .strip_prefix('/')?
            .strip_suffix(".json")?;
        (name != "index").then(|| name.to_owned())
    });
    names.collect()
}

fn remote(place: &Place, server: &Server) {
    place.succeed(&["fim-remote", "set", &server.url]);
}

/// A made-up package manager: it writes down how it is asked.
fn package_manager(place: &Place, program: &str, does: &str) {
    let script = format!(
        "mkdir -p /usr/bin && {{ echo \"#!$(command -v bash)\"; echo 'echo \"$(id -u) ${{0##*/}} $*\" >> /asked; {does}'; }} \
         > /usr/bin/{program} && chmod +x /usr/bin/{program}"
    );
    place.shell(&script);
}

#[test]
fn recipes_are_fetched_anew_and_shown_without_asking_anybody() {
    for who in everybody() {
        let place = Place::blueprint(who);
        let line = place.fail(125, &["fim-recipe", "fetch", "app"]);
        assert!(line.contains("fim-remote set"), "{line}");
        let server = serve(&["app: a b < lib", "lib: c", "other: d"]);
        remote(&place, &server);
        let line = place.fail(125, &["fim-recipe", "info", "app"]);
        assert!(line.contains("`fim-recipe fetch app`"), "{line}");
        for _ in 0..2 {
            place.succeed(&["fim-recipe", "fetch", "app"]);
            assert_eq!(asked(&server), ["app", "lib"]);
        }
        place.succeed(&["fim-remote", "clear"]);
        let shown = place.succeed(&["fim-recipe", "info", "lib,app"]);
        let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
        assert_eq!(shown["app"]["packages"], serde_json::json!(["a", "b"]));
        assert_eq!(shown["lib"]["description"], "the recipe lib");
        assert_eq!(shown.as_object().unwrap().len(), 2);
        assert_eq!(asked(&server), Vec::<String>::new());
        let kept = place.data().join("recipes/blueprint");
        let mut names: Vec<_> = fs::read_dir(&kept)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        assert_eq!(names, ["app.json", "lib.json"]);
        place.succeed(&["fim-data", "purge"]);
        assert!(!place.data().exists());
        place.assert_clean();
    }
}

#[test]
fn packages_are_installed_in_order_as_root_by_what_the_container_has() {
    for who in everybody() {
        let place = Place::blueprint(who);
        let server = serve(&["app: a b < lib tool", "lib: c", "tool: d a < lib"]);
        remote(&place, &server);
        let line = place.fail(125, &["fim-recipe", "install", "app"]);
        assert!(line.contains("`fim-perms add network`"), "{line}");
        place.succeed(&["fim-perms", "add", "network"]);
        let line = place.fail(125, &["fim-recipe", "install", "app"]);
        assert!(line.contains("none of apt-get, apk, pacman"), "{line}");
        package_manager(&place, "pacman", "");
        place.succeed(&["fim-recipe", "install", "app"]);
        // It comes before the other in the declaration.
        package_manager(&place, "apt-get", "echo ${DEBIAN_FRONTEND-} >> /asked");
        assert_eq!(place.succeed(&["fim-recipe", "install", "app,lib"]), "");
        let expected = "0 pacman -Syu --noconfirm\n0 pacman -S --needed --noconfirm c d a b\n\
            0 apt-get update\n\n0 apt-get install --yes c d a b\nnoninteractive\n";
        assert_eq!(place.shell("cat /asked"), expected);
        // The second of the two starts of each comes when the first is hardly over.
        for _ in 0..10 {
            place.succeed(&["fim-recipe", "install", "lib"]);
        }
        // What was fetched for the first try was there for the others.
        assert_eq!(asked(&server), ["app", "lib", "tool"]);
        place.assert_clean();
    }
}

#[test]
fn a_package_manager_that_fails_is_said_to_have_failed() {
    let place = Place::blueprint(Who::Caller);
    remote(&place, &serve(&["app: a", "nothing:"]));
    place.succeed(&["fim-perms", "add", "network"]);
    for (does, expected) in [
        ("exit 7", "`apt-get update` ended with 7"),
        ("[[ $1 = update ]]", "apt-get install --yes` ended with 1"),
    ] {
        package_manager(&place, "apt-get", does);
        let line = place.fail(125, &["fim-recipe", "install", "app"]);
        assert!(line.contains(expected), "{line}");
    }
    assert_eq!(place.shell("wc -l < /asked"), "3\n");
    let ran = place.run(&["fim-recipe", "install", "nothing"]);
    assert_eq!(
        (ran.code, ran.err.as_str()),
        (0, "there are no packages to install\n")
    );
    assert_eq!(place.shell("wc -l < /asked"), "3\n");
    place.assert_clean();
}

#[test]
fn what_is_missing_or_goes_in_circles_is_told_before_anything_is_installed() {
    let place = Place::blueprint(Who::Caller);
    place.succeed(&["fim-perms", "add", "network"]);
    package_manager(&place, "apt-get", "");
    let server = serve(&[
        "good: a",
        "circle: a < round",
        "round: b < circle",
        "missing: a < good gone",
    ]);
    remote(&place, &server);
    for verb in ["fetch", "install"] {
        for (names, expected) in [
            ("good,circle", "`circle` needs `round` needs `circle`"),
            (
                "good,missing",
                "gone.json`: the server answers 404 Not Found (the recipe `missing` needs it)",
            ),
            ("gone", "404 Not Found"),
            ("../good", "`../good` cannot be the name of a recipe"),
            ("good,", "`` cannot be the name of a recipe"),
        ] {
            let line = place.fail(125, &["fim-recipe", verb, names]);
            assert!(line.contains(expected), "{line}");
        }
    }
    assert_eq!(
        place
            .shell("ls /asked 2>&1; true")
            .matches("No such file")
            .count(),
        1
    );
    assert!(!place.data().join("downloads").exists());
    place.assert_clean();
}

#[test]
fn a_bad_recipe_does_not_replace_a_good_one() {
    let place = Place::blueprint(Who::Caller);
    let path = format!("{AT}/app.json");
    remote(&place, &serve(&["app: a"]));
    place.succeed(&["fim-recipe", "fetch", "app"]);
    let shown = place.succeed(&["fim-recipe", "info", "app"]);
    let circle = Way::Redirects(path.clone());
    let text = r#"{"description": "other"}"#;
    for (file, expected) in [
        (
            good(&path, r#"{"description": "x", "pakages": []}"#),
            "unknown field `pakages`",
        ),
        (
            good(&path, r#"{"description": "x", "packages": ["--force"]}"#),
            "`--force` is no package",
        ),
        (
            good(&path, r#"{"description": "x", "desktop": "x"}"#),
            "expected a map",
        ),
        (good(&path, "<html>"), "is no recipe"),
        (
            good(&path, vec![b' '; (1 << 20) + 1]),
            "larger than 1048576 bytes",
        ),
        (served(&path, text, &[Way::Hides(5)]), "is no recipe"),
        (served(&path, text, &[Way::Stalls]), "timeout"),
        (served(&path, text, &[Way::Cut(3)]), "cut off"),
        (served(&path, text, &[Way::Endless]), "larger than"),
        (served(&path, text, &[circle]), "redirected again and again"),
    ] {
        remote(&place, &server::serve(vec![file]));
        let mut fetch = place.image(&["fim-recipe", "fetch", "app"]);
        fetch.env("FIM_FETCH_TIMEOUT", "1");
        let ran = Ran::of(fetch);
        assert_eq!((ran.code, ran.err.lines().count()), (125, 1), "{ran:?}");
        assert!(ran.err.contains(expected), "{expected}: {ran:?}");
        assert_eq!(place.succeed(&["fim-recipe", "info", "app"]), shown);
        assert!(!place.data().join("downloads").exists());
    }
    // One that was damaged here is not used either.
    let kept = place.data().join("recipes/blueprint/app.json");
    fs::write(kept, "{").unwrap();
    let line = place.fail(125, &["fim-recipe", "install", "app"]);
    assert!(
        line.contains("`fim-recipe fetch app` fetches it anew"),
        "{line}"
    );
    place.assert_clean();
}

#[test]
fn an_index_vouches_for_recipes_too() {
    let place = Place::blueprint(Who::Caller);
    let file = recipe("app: a");
    let sum: String = Sha256::digest(&file.content)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    for (sum, expected) in [(sum, None), ("0".repeat(64), Some("has the SHA-256"))] {
        let index = format!(r#"{{"files": {{"app.json": {{"sha256": "{sum}"}}}}}}"#);
        let index = good(&format!("{AT}/index.json"), index);
        remote(&place, &server::serve(vec![recipe("app: a"), index]));
        match expected {
            None => drop(place.succeed(&["fim-recipe", "fetch", "app"])),
            Some(expected) => {
                let line = place.fail(125, &["fim-recipe", "fetch", "app"]);
                assert!(line.contains(expected), "{line}");
            }
        }
    }
    let line = place.fail(125, &["fim-recipe", "fetch", "other"]);
    assert!(line.contains("does not list `other.json`"), "{line}");
    place.assert_clean();
}

#[test]
fn a_remote_of_recipes_can_be_a_directory() {
    for who in everybody() {
        let place = Place::blueprint(who);
        let latest = place.path().join("remote/blueprint/latest");
        fs::create_dir_all(&latest).unwrap();
        fs::write(latest.join("app.json"), recipe("app: a").content).unwrap();
        let url = format!("file://{}/remote/", place.path().display());
        place.succeed(&["fim-remote", "set", &url]);
        place.succeed(&["fim-recipe", "fetch", "app"]);
        assert!(
            place
                .succeed(&["fim-recipe", "info", "app"])
                .contains("the recipe app")
        );
        let line = place.fail(125, &["fim-recipe", "fetch", "gone"]);
        assert!(line.contains("gone.json`: no such file"), "{line}");
        fs::remove_dir_all(place.path().join("remote")).unwrap();
        place.assert_clean();
    }
}

/// A recipe with packages and a word about the desktop.
fn application(name: &str, desktop: &serde_json::Value) -> Served {
    let recipe = serde_json::json!({"description": name, "packages": [name], "desktop": desktop});
    good(&format!("{AT}/{name}.json"), recipe.to_string())
}

#[test]
fn the_first_named_recipe_that_says_something_of_the_desktop_sets_the_image_up() {
    for who in everybody() {
        let place = Place::blueprint(who);
        let svg = "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 9 9\"/>";
        let host = place.write("of-the-host.svg", svg);
        let host = host.to_str().unwrap();
        let served = vec![
            recipe("plain: a < other"),
            application("other", &serde_json::json!({"name": "Other"})),
            application(
                "app",
                &serde_json::json!({"name": "An Application", "icon": "app.svg", "categories": ["Game"]}),
            ),
            application(
                "wrong",
                &serde_json::json!({"name": "Wrong", "icn": "app.svg"}),
            ),
            application(
                "away",
                &serde_json::json!({"name": "Away", "icon": "gone.svg"}),
            ),
            // A file of the host is not for a remote to choose.
            application("path", &serde_json::json!({"name": "A", "icon": host})),
            application(
                "address",
                &serde_json::json!({"name": "A", "icon": format!("file://{host}")}),
            ),
            good(&format!("{AT}/app.svg"), svg.to_owned()),
        ];
        let server = server::serve(served);
        remote(&place, &server);
        place.succeed(&["fim-perms", "add", "network"]);
        package_manager(&place, "apk", "");
        for (name, expected) in [
            ("wrong", "did you mean `icon`?"),
            ("away", "404 Not Found"),
            ("path", "a file beside the recipe"),
            ("address", "a file beside the recipe"),
        ] {
            let line = place.fail(125, &["fim-recipe", "install", name]);
            let begin = format!("error: `desktop` of the recipe `{name}`: ");
            assert!(
                line.starts_with(&begin) && line.contains(expected),
                "{line}"
            );
        }
        // Neither of them installed anything, and what is only needed is no application.
        place.succeed(&["fim-recipe", "install", "plain"]);
        place.shell("! grep -E 'wrong|away|path|address' /asked");
        place.fail(125, &["fim-desktop", "dump", "entry"]);
        place.succeed(&["fim-recipe", "install", "plain,app,other"]);
        let entry = place.succeed(&["fim-desktop", "dump", "entry"]);
        assert!(entry.contains("Name=An Application\n"), "{entry}");
        assert!(entry.contains("Categories=Game;\n"), "{entry}");
        let icon = place.path().join("kept.svg");
        place.succeed(&["fim-desktop", "dump", "icon", "kept.svg"]);
        assert_eq!(fs::read_to_string(&icon).unwrap(), svg);
        fs::remove_file(icon).unwrap();
        fs::remove_file(host).unwrap();
        place.succeed(&["fim-desktop", "clean"]);
        place.assert_clean();
    }
}

#[test]
fn an_icon_can_be_fetched() {
    let place = Place::blueprint(Who::Caller);
    let svg = "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 8 8\"/>";
    let server = server::serve(vec![good("/icons/a.svg", svg.to_owned())]);
    for (address, expected) in [
        (format!("{}/icons/a.svg", server.url), None),
        (format!("{}/icons/b.svg", server.url), Some("404 Not Found")),
        (server.url.clone(), Some("names no file")),
    ] {
        let description = serde_json::json!({"name": "A", "icon": address}).to_string();
        place.write("app.json", &description);
        let setup = ["fim-desktop", "setup", "app.json"];
        match expected {
            None => drop(place.succeed(&setup)),
            Some(expected) => {
                let line = place.fail(125, &setup);
                assert!(line.contains(expected), "{line}");
            }
        }
    }
    place.succeed(&["fim-desktop", "dump", "icon", "kept.svg"]);
    assert_eq!(
        fs::read_to_string(place.path().join("kept.svg")).unwrap(),
        svg
    );
    for name in ["app.json", "kept.svg"] {
        fs::remove_file(place.path().join(name)).unwrap();
    }
    place.succeed(&["fim-desktop", "clean"]);
    place.assert_clean();
}
