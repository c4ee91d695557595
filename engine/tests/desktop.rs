//! An image is an application of the desktop, for as long as that is wanted and wherever it is.

mod support;

#[path = "desktop/foreign.rs"]
mod foreign;
#[path = "desktop/refused.rs"]
mod refused;
#[path = "desktop/tools.rs"]
mod tools;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use support::{Place, Ran, Who, chapter, copy, everybody, icons, inode};
use tools::{Display, host};

/// Names that mean something to one of those who read them.
const ODD: &str = "we\"ird; 100% $x `\\ <ü>&[*]\nb.flatimage";

/// A place whose image is set up as `description`, with `icon.png` beside it.
fn place(who: Who, description: &str) -> Place {
    let place = Place::blueprint(who);
    fs::write(place.path().join("icon.png"), icons::png(300)).unwrap();
    place.give(&place.path().join("icon.png"));
    set_up(&place, description);
    place
}

fn set_up(place: &Place, description: &str) {
    place.write("app.json", description);
    place.succeed(&["fim-desktop", "setup", "app.json"]);
}

fn share(place: &Place) -> PathBuf {
    place.home().join(".local/share")
}

/// The files below the user's data directory that have to do with the image, by their path in it.
fn files(place: &Place) -> Vec<String> {
    fn walk(directory: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            match entry.file_type().unwrap().is_dir() {
                true => walk(&entry.path(), found),
                false => found.push(entry.path()),
            }
        }
    }
    let mut found = Vec::new();
    walk(&share(place), &mut found);
    let mut names: Vec<String> = found
        .iter()
        .map(|path| path.strip_prefix(share(place)).unwrap().to_string_lossy())
        // What update-mime-database makes has the type's name as well.
        .filter(|name| name.contains("flatimage") && !name.starts_with("mime/application"))
        .map(|name| name.into_owned())
        .collect();
    names.sort();
    names
}

/// The one file that is called so.
fn file(place: &Place, directory: &str, end: &str) -> PathBuf {
    let names = files(place);
    let mut found = names
        .iter()
        .filter(|name| name.starts_with(directory) && name.ends_with(end));
    let name = found.next().unwrap_or_else(|| panic!("{end}: {names:?}"));
    share(place).join(name)
}

fn entry(place: &Place) -> PathBuf {
    let opener = file(place, "applications", "-file.desktop");
    let name = opener
        .to_string_lossy()
        .replace("-file.desktop", ".desktop");
    PathBuf::from(name)
}

/// Demands that something comes true.
fn eventually(mut is_so: impl FnMut() -> bool) {
    let patience = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < patience);
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Takes the image off the desktop, demands that nothing of it is left, and tidies up what the host made of it.
fn end(place: &Place) {
    place.succeed(&["fim-desktop", "clean"]);
    assert_eq!(files(place), Vec::<String>::new());
    place.succeed(&["fim-exec", "true"]);
    assert_eq!(files(place), Vec::<String>::new());
    // Nor in what the host makes of it.
    let known = || fs::read_to_string(share(place).join("mime/globs2")).unwrap_or_default();
    eventually(|| !known().contains("flatimage"));
    place.assert_gone();
    let _ = fs::remove_dir_all(place.home().join(".local"));
    for name in ["icon.png", "app.json"] {
        fs::remove_file(place.path().join(name)).unwrap();
    }
    place.assert_clean();
}

const ALL: &str = r#"{"name": "My \"App\"; 100 %\n<ü> & more", "icon": "icon.png",
    "categories": ["Game", "X-Own"], "integrations": ["ENTRY", "MIMETYPE", "ICON"]}"#;

#[test]
fn a_start_installs_what_the_tools_of_desktops_find_right() {
    for who in everybody() {
        let place = place(who, ALL);
        assert_eq!(files(&place), Vec::<String>::new());
        place.succeed(&["fim-exec", "true"]);
        let entries = [entry(&place), file(&place, "applications", "-file.desktop")];
        for entry in &entries {
            let said = host(
                &place,
                "desktop-file-validate",
                "desktop-file-utils",
                &[entry.to_str().unwrap()],
            );
            assert_eq!(said, "", "{}", fs::read_to_string(entry).unwrap());
        }
        let package = file(&place, "mime/packages", ".xml");
        let package = package.to_str().unwrap();
        host(&place, "xmllint", "libxml2-utils", &["--noout", package]);
        for size in [16, 22, 24, 32, 48, 64, 96, 128, 256] {
            let icon = file(&place, &format!("icons/hicolor/{size}x{size}/apps"), ".png");
            let icon = fs::read(icon).unwrap();
            let reader = png::Decoder::new(std::io::Cursor::new(icon)).read_info();
            let reader = reader.unwrap();
            assert_eq!((reader.info().width, reader.info().height), (size, size));
        }
        // The image had the databases made; they know the type of the image, and what opens it.
        let types = share(&place).join("mime/globs2");
        let opens = share(&place).join("applications/mimeinfo.cache");
        eventually(|| types.is_file() && opens.is_file());
        place.assert_gone();
        let image = place.image.to_str().unwrap();
        let found = host(
            &place,
            "xdg-mime",
            "xdg-utils",
            &["query", "filetype", image],
        );
        let stem = entries[0].file_stem().unwrap().to_str().unwrap();
        assert_eq!(found.trim(), format!("application/x-{stem}"));
        let opener = host(
            &place,
            "xdg-mime",
            "xdg-utils",
            &["query", "default", found.trim()],
        );
        assert_eq!(
            Some(opener.trim()),
            entries[1].file_name().unwrap().to_str()
        );
        // What is printed is what is installed.
        let dumped = place.succeed(&["fim-desktop", "dump", "entry"]);
        assert_eq!(dumped, fs::read_to_string(&entries[0]).unwrap());
        let dumped = place.succeed(&["fim-desktop", "dump", "mimetype"]);
        assert_eq!(dumped, fs::read_to_string(package).unwrap());
        end(&place);
    }
}

#[test]
fn a_menu_starts_the_image_and_a_file_manager_opens_it_whatever_it_is_called() {
    for who in everybody() {
        let place = place(who, ALL);
        let odd = place.path().join(ODD);
        let out = place.path().join("out");
        fs::create_dir(&out).unwrap();
        // Root of the host is nobody of the host inside.
        fs::set_permissions(&out, fs::Permissions::from_mode(0o777)).unwrap();
        place.succeed(&["fim-bind", "add", "rw", out.to_str().unwrap(), "/out"]);
        let script = "printf '%s|' \"$#\" \"$@\" > /out/new && mv /out/new /out/done";
        place.succeed(&["fim-boot", "set", "sh", "-c", script, "sh"]);
        fs::rename(&place.image, &odd).unwrap();
        let command = || {
            let mut command = place.command(&odd);
            command.args(["fim-exec", "true"]);
            command
        };
        let ran = Ran::of(command());
        assert_eq!((ran.code, ran.err.as_str()), (0, ""));
        let done = out.join("done");
        // gtk-launch wants a display, and this one needs no screen.
        let display = Display::of(&place);
        let started = |program: &str, arguments: &[&str]| {
            let package = "libgtk-3-bin or libglib2.0-bin";
            display.host(&place, program, package, arguments);
            eventually(|| done.is_file());
            let said = fs::read_to_string(&done).unwrap();
            fs::remove_file(&done).unwrap();
            said
        };
        let menu = entry(&place);
        let validated = ["desktop-file-validate", menu.to_str().unwrap()];
        host(&place, validated[0], "desktop-file-utils", &validated[1..]);
        let name = menu.file_name().unwrap().to_str().unwrap();
        assert_eq!(started("gtk-launch", &[name]), "0|");
        let document = place.write("a b.txt", "");
        let document = document.to_str().unwrap();
        let expected = format!("1|{document}|");
        assert_eq!(started("gtk-launch", &[name, document]), expected);
        let opener = file(&place, "applications", "-file.desktop");
        let opener = [opener.to_str().unwrap(), odd.to_str().unwrap()];
        assert_eq!(started("gio", &["launch", opener[0], opener[1]]), "0|");
        drop(display);
        eventually(|| share(&place).join("mime/globs2").is_file());
        place.assert_gone();
        // Its type is known as well, and its name has added none.
        let found = host(
            &place,
            "gio",
            "libglib2.0-bin",
            &["info", odd.to_str().unwrap()],
        );
        let stem = menu.file_stem().unwrap().to_str().unwrap();
        assert!(
            found.contains(&format!("standard::content-type: application/x-{stem}")),
            "{found}"
        );
        let globs = fs::read_to_string(share(&place).join("mime/globs2")).unwrap();
        let mut lines = globs.lines().filter(|line| !line.starts_with('#'));
        let own = format!("60:application/x-{stem}:we\"ird; 100% $x `? <ü>&????b.flatimage");
        assert!(lines.all(|line| line.starts_with(&own)), "{globs}");
        fs::rename(&odd, &place.image).unwrap();
        fs::remove_file(document).unwrap();
        fs::remove_dir(&out).unwrap();
        let mut old = PathBuf::from(&odd);
        old.set_file_name(format!(".{ODD}.data"));
        let _ = fs::remove_dir_all(old);
        end(&place);
    }
}

#[test]
fn nothing_is_written_twice_and_all_of_it_follows_the_image() {
    for who in everybody() {
        let place = place(who, ALL);
        place.succeed(&["fim-exec", "true"]);
        let inodes = || -> Vec<u64> {
            let names = files(&place);
            names
                .iter()
                .map(|name| inode(&share(&place).join(name)))
                .collect()
        };
        let before = inodes();
        assert_eq!(before.len(), 13);
        place.succeed(&["fim-exec", "true"]);
        assert_eq!(inodes(), before);
        // A copy takes it over, and the image takes it back when it is started again.
        let exec = |place: &Place| {
            let entry = fs::read_to_string(entry(place)).unwrap();
            let line = entry.lines().find_map(|line| line.strip_prefix("TryExec="));
            PathBuf::from(line.unwrap())
        };
        let moved = place.path().join("moved.flatimage");
        copy(&place.image, &moved);
        place.give(&moved);
        let mut other = place.command(&moved);
        other.args(["fim-exec", "true"]);
        assert_eq!(Ran::of(other).code, 0);
        assert_eq!(exec(&place), moved);
        place.succeed(&["fim-exec", "true"]);
        assert_eq!(exec(&place), place.image);
        assert_eq!(files(&place).len(), 13);
        fs::remove_file(&moved).unwrap();
        let _ = fs::remove_dir_all(place.path().join(".moved.flatimage.data"));
        // What is not chosen goes, and what is set up anew under another name takes the place of the old one.
        place.succeed(&["fim-desktop", "enable", "entry,icon"]);
        place.succeed(&["fim-exec", "true"]);
        assert!(!files(&place).iter().any(|name| name.ends_with(".xml")));
        place.write("drawing.svg", icons::SVG);
        set_up(&place, r#"{"name": "Other", "icon": "drawing.svg"}"#);
        place.succeed(&["fim-exec", "true"]);
        let names = files(&place);
        assert_eq!(names.len(), 5, "{names:?}");
        assert!(
            names.iter().all(|name| name.contains("other-")),
            "{names:?}"
        );
        let drawing = file(&place, "icons/hicolor/scalable/apps", ".svg");
        let drawing = drawing.to_str().unwrap();
        host(&place, "xmllint", "libxml2-utils", &["--noout", drawing]);
        place.succeed(&["fim-desktop", "dump", "icon", "dumped"]);
        let dumped = place.path().join("dumped");
        assert_eq!(fs::read_to_string(&dumped).unwrap(), icons::SVG);
        for path in [dumped, place.path().join("drawing.svg")] {
            fs::remove_file(path).unwrap();
        }
        place.succeed(&["fim-desktop", "enable", "none"]);
        place.succeed(&["fim-exec", "true"]);
        assert_eq!(files(&place), Vec::<String>::new());
        // An image that forgot what it was cleans up all the same.
        place.succeed(&["fim-desktop", "enable", "entry"]);
        place.succeed(&["fim-exec", "true"]);
        place.succeed(&["fim-reset", "desktop"]);
        place.succeed(&["fim-exec", "true"]);
        assert_eq!(files(&place).len(), 2);
        end(&place);
    }
}

#[test]
fn a_jpeg_becomes_a_png_and_an_image_without_an_icon_has_an_entry_all_the_same() {
    let place = place(
        Who::Caller,
        r#"{"name": "Plain", "integrations": ["entry"]}"#,
    );
    place.succeed(&["fim-exec", "true"]);
    assert_eq!(files(&place).len(), 2);
    let line = place.fail(125, &["fim-desktop", "enable", "icon"]);
    assert!(line.contains("has no icon"), "{line}");
    let photograph = Path::new(env!("CARGO_MANIFEST_DIR")).join("icon/src/sample.jpg");
    set_up(
        &place,
        &format!(r#"{{"name": "Plain", "icon": "{}"}}"#, photograph.display()),
    );
    place.succeed(&["fim-desktop", "dump", "icon", "dumped"]);
    let dumped = place.path().join("dumped");
    assert!(fs::read(&dumped).unwrap().starts_with(b"\x89PNG"));
    fs::remove_file(dumped).unwrap();
    place.succeed(&["fim-exec", "true"]);
    assert_eq!(files(&place).len(), 13);
    end(&place);
}

#[test]
fn the_image_is_started_as_before_where_no_tools_of_desktops_are() {
    let place = place(Who::Caller, ALL);
    let nowhere = place.path().join("empty");
    fs::create_dir(&nowhere).unwrap();
    fs::set_permissions(&nowhere, fs::Permissions::from_mode(0o755)).unwrap();
    let mut command: Command = place.image(&["fim-exec", "echo", "started"]);
    command.env("PATH", &nowhere);
    let ran = Ran::of(command);
    assert_eq!((ran.out.as_str(), ran.err.as_str()), ("started\n", ""));
    assert_eq!(files(&place).len(), 13);
    fs::remove_dir(nowhere).unwrap();
    end(&place);
}

#[test]
fn it_goes_as_the_book_says() {
    for who in everybody() {
        let place = Place::blueprint(who);
        chapter::run(&place, &chapter::read("desktop.md"));
        place.write("icon.png", "");
        fs::remove_file(place.path().join("app.svg")).unwrap();
        end(&place);
    }
}
