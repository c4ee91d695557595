use std::fs;

use super::*;

/// A user's data directory, and an image in it that is set up.
struct Desk {
    home: tempfile::TempDir,
    application: Desktop,
    image: String,
    integrations: Integrations,
}

const ALL: Integrations =
    Integrations(Integrations::ENTRY.0 | Integrations::MIMETYPE.0 | Integrations::ICON.0);

const SVG: &[u8] = b"<svg xmlns=\"http://www.w3.org/2000/svg\"/>";

impl Desk {
    fn new() -> Desk {
        let home = tempfile::tempdir().unwrap();
        let image = home.path().join("app.flatimage");
        fs::write(&image, "").unwrap();
        Desk {
            application: Desktop {
                id: "app-0123abcd".into(),
                name: "App".into(),
                icon: icon().key(),
                categories: Vec::new(),
            },
            image: image.to_str().unwrap().to_owned(),
            integrations: ALL,
            home,
        }
    }

    fn installation(&self) -> Installation<'_> {
        Installation {
            share: self.home.path().join("share"),
            application: &self.application,
            image: &self.image,
            integrations: self.integrations,
        }
    }

    fn install(&self) -> Installed {
        let done = self.installation().install(|| Some(icon())).unwrap();
        assert!(self.installation().is_current());
        done
    }

    fn path(&self, file: &str) -> PathBuf {
        self.home.path().join("share").join(file)
    }

    /// The names of all files below the data directory.
    fn files(&self) -> Vec<String> {
        fn walk(directory: &Path, names: &mut Vec<String>) {
            for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
                match entry.file_type().unwrap().is_dir() {
                    true => walk(&entry.path(), names),
                    false => names.push(entry.file_name().into_string().unwrap()),
                }
            }
        }
        let mut names = Vec::new();
        walk(&self.home.path().join("share"), &mut names);
        names.sort();
        names
    }
}

fn icon() -> Icon {
    Icon::check(SVG.to_vec()).unwrap()
}

const FILES: [&str; 5] = [
    "app-0123abcd",
    "flatimage-app-0123abcd-file.desktop",
    "flatimage-app-0123abcd.desktop",
    "flatimage-app-0123abcd.svg",
    "flatimage-app-0123abcd.xml",
];
const ENTRY: &str = "applications/flatimage-app-0123abcd.desktop";

#[test]
fn what_is_there_is_not_written_again_and_what_is_missing_is() {
    let desk = Desk::new();
    assert!(!desk.installation().is_current());
    let every = Changed {
        entries: true,
        types: true,
        icons: true,
    };
    assert_eq!(desk.install().changed, every);
    assert_eq!(desk.files(), FILES);
    let asked = || -> Option<Icon> { Some(icon()) };
    let again = desk.installation().install(asked).unwrap();
    assert_eq!(again.changed, Changed::default());
    fs::remove_file(desk.path(ENTRY)).unwrap();
    assert!(!desk.installation().is_current());
    let entries = Changed {
        entries: true,
        ..Changed::default()
    };
    assert_eq!(desk.install().changed, entries);
}

#[test]
fn it_follows_the_image_and_what_is_chosen() {
    let mut desk = Desk::new();
    desk.install();
    desk.image = "/elsewhere/ü".into();
    assert!(!desk.installation().is_current());
    desk.install();
    let entry = fs::read_to_string(desk.path(ENTRY)).unwrap();
    assert!(entry.contains("Exec=\"/elsewhere/ü\" %F"), "{entry}");
    desk.integrations = Integrations::MIMETYPE;
    desk.install();
    assert_eq!(desk.files(), [FILES[0], FILES[1], FILES[4]]);
    desk.integrations = NOTHING;
    desk.install();
    assert_eq!(desk.files(), Vec::<String>::new());
    assert!(!desk.path("icons").exists() && !desk.path("flatimage").exists());
}

#[test]
fn files_of_others_stay_as_they_are() {
    let desk = Desk::new();
    desk.install();
    fs::write(desk.path(ENTRY), "[Desktop Entry]\n").unwrap();
    fs::remove_file(desk.path("flatimage/desktop/app-0123abcd")).unwrap();
    let svg = desk.path("icons/hicolor/scalable/apps/flatimage-app-0123abcd.svg");
    fs::remove_file(&svg).unwrap();
    std::os::unix::fs::symlink(desk.path("target"), &svg).unwrap();
    let done = desk.install();
    assert_eq!(done.foreign, [desk.path(ENTRY), svg.clone()]);
    desk.installation().clean().unwrap();
    assert_eq!(
        fs::read_to_string(desk.path(ENTRY)).unwrap(),
        "[Desktop Entry]\n"
    );
    assert!(svg.is_symlink() && !desk.path("target").exists());
    assert_eq!(desk.files(), [FILES[2], FILES[3]]);
}

#[test]
fn cleaning_takes_all_of_the_image_and_nothing_of_its_copy() {
    let mut desk = Desk::new();
    desk.install();
    // Set up under another name since.
    desk.application.id = "other-00000001".into();
    desk.installation().clean().unwrap();
    assert_eq!(desk.files(), Vec::<String>::new());
    desk.install();
    desk.application.id = "app-0123abcd".into();
    desk.install();
    assert_eq!(desk.files(), FILES);
    let original = desk.image.clone();
    let copy = desk.home.path().join("copy");
    fs::write(&copy, "").unwrap();
    desk.image = copy.to_str().unwrap().to_owned();
    desk.install();
    desk.image = original;
    desk.installation().clean().unwrap();
    assert_eq!(desk.files(), FILES);
    fs::remove_file(copy).unwrap();
    desk.installation().clean().unwrap();
    assert_eq!(desk.files(), Vec::<String>::new());
    desk.install();
    desk.application.id.clear();
    desk.installation().clean().unwrap();
    assert_eq!(desk.files(), Vec::<String>::new());
    // Now with the directory of somebody else's record.
    fs::create_dir_all(desk.path("flatimage/desktop")).unwrap();
    desk.installation().clean().unwrap();
}

#[test]
fn a_damaged_icon_and_a_place_that_cannot_be_written_are_named() {
    let desk = Desk::new();
    let error = desk.installation().install(|| None).unwrap_err();
    assert!(error.to_string().contains("fim-desktop setup"), "{error}");
    assert_eq!(desk.files(), Vec::<String>::new());
    fs::create_dir(desk.path("")).unwrap();
    fs::write(desk.path("applications"), "").unwrap();
    let error = desk.installation().install(|| Some(icon())).unwrap_err();
    assert!(
        error.to_string().contains("/share/applications`: "),
        "{error}"
    );
}
