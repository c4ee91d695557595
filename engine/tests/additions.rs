//! A setting is added by editing the declaration and nothing else: ten kinds of additions, in one copy of the workspace,
//! built without a change in any other file and used in running containers.

mod support;

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use flatimage_reserved::Store;
use support::{Place, Ran, chapter, everybody};

/// Where an addition goes: before this text of the declaration.
const REGIONS_END: &str = "\nactions:\n";
const BITS_END: &str = "\n  - name: layers\n";

/// An addition and the lines of the layout that are there with it and not without.
struct Addition {
    text: &'static str,
    before: &'static str,
    layout: &'static [&'static str],
}

const fn region(text: &'static str, layout: &'static [&'static str]) -> Addition {
    let before = REGIONS_END;
    Addition {
        text,
        before,
        layout,
    }
}

/// A bit changes the line of its region, which the test knows; `layout` is what it ends with.
const fn bit(text: &'static str, layout: &'static [&'static str]) -> Addition {
    let before = BITS_END;
    Addition {
        text,
        before,
        layout,
    }
}

const ADDITIONS: [Addition; 9] = [
    region(
        include_str!("additions/text.yaml"),
        &["greeting 3145728 1024 text(256)"],
    ),
    region(
        include_str!("additions/flag.yaml"),
        &["scratch 3146752 1024 flag"],
    ),
    region(
        include_str!("additions/choice.yaml"),
        &["theme 3147776 1024 choice(dark,bright)"],
    ),
    bit(include_str!("additions/bit.yaml"), &[",notes=40)"]),
    bit(include_str!("additions/glob.yaml"), &[",logs=63)"]),
    region(
        include_str!("additions/map.yaml"),
        &["labels 3149824 4096 map"],
    ),
    region(
        include_str!("additions/list.yaml"),
        &["shares 3153920 4096 list(access:choice,source:text,name:text)"],
    ),
    region(
        include_str!("additions/record.yaml"),
        &["owner 3158016 1024 record(who:text,desk:number)"],
    ),
    region(
        include_str!("additions/share.yaml"),
        &["hostname 3159040 1024 flag"],
    ),
];

/// The tenth: what the help of an action says.
const OLD_HELP: &str = "Prints which program this is and what it was built from.";
const NEW_HELP: &str = "Prints which program this is, who made it and what it was built from.";

const DECLARATION: &str = include_str!("../../schema/reserved.yaml");

fn with(declaration: &str, addition: &Addition) -> String {
    let (head, tail) = declaration
        .split_once(addition.before)
        .expect("the place for additions");
    format!(
        "{head}\n{}{}{tail}",
        addition.text.trim_end(),
        addition.before
    )
}

fn layout(declaration: &str) -> Vec<String> {
    let model = flatimage_schema::load("reserved.yaml", declaration)
        .unwrap_or_else(|report| panic!("{report}"));
    model.layout().lines().map(str::to_owned).collect()
}

#[test]
fn each_addition_changes_its_own_line_of_the_layout_and_no_other() {
    let old = layout(DECLARATION);
    for addition in &ADDITIONS {
        let new = layout(&with(DECLARATION, addition));
        let added: Vec<_> = new.iter().filter(|line| !old.contains(line)).collect();
        let [line] = added.as_slice() else {
            panic!("{added:?}")
        };
        assert!(line.ends_with(addition.layout[0]), "{line}");
        let removed = old.iter().filter(|line| !new.contains(line)).count();
        assert_eq!(removed, usize::from(addition.before == BITS_END), "{line}");
    }
    assert!(chapter::read("adding-a-key.md").contains(ADDITIONS[0].text));
    assert_eq!(
        layout(&DECLARATION.replace(OLD_HELP, NEW_HELP)),
        old,
        "help is no layout"
    );
}

/// Copies what Git knows or would know of the workspace.
///
/// The copy has a target directory of its own: Cargo takes the packages of both for the same ones, and would go on with those of
/// the copy where the workspace's have changed. It begins with the programs that compile the runtime, which are the same.
fn copy_workspace(to: &Path) {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let compiled = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let _ = fs::remove_dir_all(to);
    fs::create_dir_all(to.join(".cargo")).unwrap();
    let target = to.join("target");
    let config = format!("[build]\ntarget-dir = {:?}\n", target.display().to_string());
    fs::write(to.join(".cargo/config.toml"), config).unwrap();
    fs::create_dir(&target).unwrap();
    copy(&compiled.join("runtime"), &target);
    for name in [
        "Cargo.toml",
        "Cargo.lock",
        "schema",
        "codegen",
        "engine",
        "deploy",
        "snapshots",
        "book",
    ] {
        copy(&workspace.join(name), to);
    }
}

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status();
    assert!(copied.unwrap().success(), "{}", from.display());
}

/// The image of a copy of the workspace whose declaration has all additions.
fn build(copy: &Path) -> PathBuf {
    // They are compiled then.
    support::blueprint();
    copy_workspace(copy);
    let added = ADDITIONS
        .iter()
        .fold(DECLARATION.to_owned(), |text, one| with(&text, one));
    assert!(added.contains(OLD_HELP));
    let added = added.replace(OLD_HELP, NEW_HELP);
    fs::write(copy.join("schema/reserved.yaml"), added).unwrap();
    let options = deploy::Options {
        out: copy.join("dist"),
        workspace: copy.to_owned(),
        ..deploy::Options::new("blueprint")
    };
    let built = deploy::build(&options, &mut ()).unwrap_or_else(|error| panic!("{error}"));
    built.image
}

#[test]
fn ten_additions_by_the_declaration_alone() {
    let copy = Path::new(env!("CARGO_TARGET_TMPDIR")).join("additions");
    let image = build(&copy);
    for who in everybody() {
        let place = Place::with(who, &image);
        a_text(&place);
        a_flag(&place);
        a_choice(&place);
        bits(&place);
        a_map(&place);
        a_list(&place);
        a_record(&place);
        a_shared_namespace(&place);
        help(&place);
        chapter::run(&place, &chapter::read("adding-a-key.md"));
        fs::remove_dir_all(place.path().join("files")).unwrap();
        place.assert_clean();
    }
    an_older_image_opens(&Place::with(support::Who::Caller, &image));
    fs::remove_dir_all(copy).unwrap();
}

fn a_text(place: &Place) {
    assert_eq!(place.succeed(&["fim-greeting", "show"]), "");
    place.succeed(&["fim-greeting", "set", "hello $HOME"]);
    assert_eq!(place.succeed(&["fim-greeting", "show"]), "hello $HOME\n");
    let expected = format!("hello {}\n", place.home().display());
    assert_eq!(place.shell("echo \"$GREETING\""), expected);
    let long = "x".repeat(257);
    let line = place.fail(125, &["fim-greeting", "set", &long]);
    assert!(line.contains("1 bytes too long"), "{line}");
    place.succeed(&["fim-greeting", "clear"]);
    assert_eq!(place.shell("echo \"${GREETING-unset}\""), "unset\n");
}

fn a_flag(place: &Place) {
    let mounted = "grep -c ' /scratch tmpfs ' /proc/mounts; true";
    assert_eq!(place.shell(mounted), "0\n");
    place.succeed(&["fim-scratch", "on"]);
    assert_eq!(place.shell(mounted), "1\n");
    assert_eq!(place.shell("echo x > /scratch/x; cat /scratch/x"), "x\n");
    assert_eq!(place.shell("ls -A /scratch"), "");
    assert_eq!(place.succeed(&["fim-scratch", "show"]), "on\n");
}

fn a_choice(place: &Place) {
    let themed = || {
        let mut command = place.image(&["fim-exec", "readlink", "/theme"]);
        command.env("THEMED", "1");
        Ran::of(command).out
    };
    assert_eq!(themed(), "/usr/share/themes/dark\n");
    place.succeed(&["fim-theme", "set", "bright"]);
    assert_eq!(place.succeed(&["fim-theme", "show"]), "BRIGHT\n");
    assert_eq!(themed(), "/usr/share/themes/bright\n");
    let bare = place.run(&["fim-exec", "readlink", "/theme"]);
    assert_eq!((bare.code, bare.out.as_str()), (1, ""));
    let line = place.fail(125, &["fim-theme", "set", "brigth"]);
    assert!(line.contains("`bright`"), "{line}");
}

/// One with two binds of which the host lacks one, and one whose source is a pattern.
fn bits(place: &Place) {
    let files = place.path().join("files");
    fs::create_dir(&files).unwrap();
    for file in ["log-1", "log-2", "other"] {
        fs::write(files.join(file), file).unwrap();
    }
    fs::write(place.home().join("notes"), "noted\n").unwrap();
    place.succeed(&["fim-perms", "add", "notes"]);
    assert_eq!(place.shell("ls /srv; cat /srv/notes"), "notes\nnoted\n");
    fs::remove_file(place.home().join("notes")).unwrap();
    assert_eq!(place.shell("ls -A /srv 2>/dev/null; true"), "");

    place.succeed(&["fim-perms", "set", "logs"]);
    let mut command = place.image(&["fim-exec", "ls", &files.to_string_lossy()]);
    command.env("LOGS", &files);
    assert_eq!(Ran::of(command).out, "log-1\nlog-2\n");
    assert_eq!(place.succeed(&["fim-perms", "list"]), "logs\n");
    place.succeed(&["fim-perms", "clear"]);
}

fn a_map(place: &Place) {
    place.succeed(&["fim-label", "add", "A=1", "B=two words"]);
    assert_eq!(place.shell("echo \"$LABEL_A $LABEL_B\""), "1 two words\n");
    place.succeed(&["fim-label", "del", "A"]);
    assert_eq!(place.succeed(&["fim-label", "list"]), "B=two words\n");
    place.fail(125, &["fim-label", "del", "A"]);
}

fn a_list(place: &Place) {
    let files = place.path().join("files").display().to_string();
    place.succeed(&["fim-share", "add", "ro", &files, "mine"]);
    place.succeed(&["fim-share", "add", "ro", "/usr", "theirs"]);
    assert_eq!(
        place.shell("ls /shares; cat /shares/mine/other"),
        "mine\ntheirs\nother"
    );
    place.succeed(&["fim-share", "add", "ro", "/absent", "none"]);
    let line = place.fail(125, &["fim-exec", "true"]);
    assert!(
        line.contains("`/absent`") && line.contains("shares"),
        "{line}"
    );
    place.succeed(&["fim-share", "clear"]);
}

fn a_record(place: &Place) {
    assert_eq!(
        place.succeed(&["fim-owner", "show"]),
        "{\"desk\":null,\"who\":\"nobody\"}\n"
    );
    place.succeed(&["fim-owner", "set", "Ana", "7"]);
    assert_eq!(place.shell("echo \"$OWNER\""), "Ana at 7\n");
    place.fail(125, &["fim-owner", "set", "Ana", "seven"]);
}

fn a_shared_namespace(place: &Place) {
    let hosts = fs::read_link("/proc/self/ns/uts").unwrap();
    let hosts = format!("{}\n", hosts.display());
    let inside = || place.shell("readlink /proc/self/ns/uts");
    assert_ne!(inside(), hosts);
    place.succeed(&["fim-hostname", "on"]);
    assert_eq!(inside(), hosts);
    place.succeed(&["fim-hostname", "off"]);
}

fn help(place: &Place) {
    assert!(place.succeed(&["fim-help", "version"]).contains(NEW_HELP));
    let text = place.succeed(&["fim-help", "greeting"]);
    assert!(
        text.contains("A text that programs find in `GREETING`."),
        "{text}"
    );
    let overview = place.succeed(&["fim-help"]);
    for command in [
        "greeting", "scratch", "theme", "label", "share", "owner", "hostname",
    ] {
        assert!(overview.contains(&format!("fim-{command} ")), "{overview}");
    }
}

/// Gives the image the reserved space of one that was written before there were additions.
fn an_older_image_opens(place: &Place) {
    let golden = include_str!("../../snapshots/tests/golden/format-1.hex");
    let bytes = fs::read(&place.image).unwrap();
    let pages = bytes.chunks(4096);
    let base = 4096
        * pages
            .into_iter()
            .position(|page| page.starts_with(b"FIMRSRVD"))
            .unwrap() as u64;
    assert!(Store::open(&place.image, base).is_ok());
    // A descriptor that can write the image is open for no longer than it writes: nobody could execute it.
    fs::OpenOptions::new()
        .write(true)
        .open(&place.image)
        .and_then(|image| image.write_all_at(&undump(golden), base))
        .unwrap();

    let environment = "EMPTY=\nGREETING=hello\nPATH_OF=$HOME/x\n";
    assert_eq!(place.succeed(&["fim-env", "list"]), environment);
    assert_eq!(
        place.succeed(&["fim-perms", "list"]),
        "dbus_user_raw\nhome\nnetwork\n"
    );
    assert_eq!(place.succeed(&["fim-greeting", "show"]), "");
    place.succeed(&["fim-perms", "add", "logs"]);
    place.succeed(&["fim-greeting", "set", "late"]);
    assert_eq!(place.succeed(&["fim-greeting", "show"]), "late\n");
    assert_eq!(place.succeed(&["fim-env", "list"]), environment);
}

/// The bytes of a golden file: their number, then lines of offset and bytes.
fn undump(text: &str) -> Vec<u8> {
    let (size, lines) = text.split_once('\n').unwrap();
    let mut bytes = vec![0; size.parse().unwrap()];
    for line in lines.lines() {
        let mut words = line.split(' ');
        let place = usize::from_str_radix(words.next().unwrap(), 16).unwrap();
        let digits = words.next().unwrap().as_bytes();
        for (index, pair) in digits.chunks(2).enumerate() {
            let pair = str::from_utf8(pair).unwrap();
            bytes[place + index] = u8::from_str_radix(pair, 16).unwrap();
        }
    }
    bytes
}
