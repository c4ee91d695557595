//! What the user is told by notifications, on a real message bus.

mod support;

use std::fs;
use std::io::Read;
use std::os::unix::net::UnixListener;
use std::process::Command;

use support::screen::Screen;
use support::session::Session;
use support::{Place, Ran, Who, everybody, icons};

/// What a desktop gives to what it starts.
const BY_DESKTOP: (&str, &str) = ("GIO_LAUNCHED_DESKTOP_FILE", "/a.desktop");

/// A command of the image with a session.
fn with(place: &Place, session: &Session, arguments: &[&str]) -> Command {
    let mut command = place.image(arguments);
    command.env("DBUS_SESSION_BUS_ADDRESS", session.address());
    command
}

fn set_up(place: &Place, description: &str) {
    let icon = place.path().join("icon.png");
    fs::write(&icon, icons::png(64)).unwrap();
    place.give(&icon);
    place.write("app.json", description);
    place.succeed(&["fim-desktop", "setup", "app.json"]);
    for name in ["icon.png", "app.json"] {
        fs::remove_file(place.path().join(name)).unwrap();
    }
}

#[test]
fn each_start_is_announced_once_with_name_and_icon() {
    for who in everybody() {
        let (place, session) = (Place::blueprint(who), Session::start(true));
        let start = || {
            let ran = Ran::of(with(&place, &session, &["fim-exec", "echo", "runs"]));
            assert_eq!((ran.out.as_str(), ran.err.as_str()), ("runs\n", ""));
        };
        start();
        place.succeed(&["fim-notify", "on"]);
        assert_eq!(place.succeed(&["fim-notify", "show"]), "on\n");
        start();
        let shown = session.next();
        assert_eq!(
            (shown.application.as_str(), shown.summary.as_str()),
            ("app.flatimage", "app.flatimage")
        );
        assert_eq!(
            (shown.body.as_str(), shown.icon.as_str()),
            ("has been started", "")
        );
        assert_eq!(shown.hints.keys().collect::<Vec<_>>(), ["urgency"]);
        // An icon that is not installed comes along.
        set_up(
            &place,
            r#"{"name": "Tic <Tac> ü", "icon": "icon.png", "integrations": []}"#,
        );
        start();
        let shown = session.next();
        assert_eq!(shown.summary, "Tic <Tac> ü");
        assert_eq!(shown.hints["image-data"].len(), 128 * 128 * 4);
        assert_eq!(shown.hints["image-data"][..4], [200, 0, 0, 255]);
        // One that is installed is named.
        place.succeed(&["fim-desktop", "enable", "entry,icon"]);
        start();
        let shown = session.next();
        let icon = shown.icon.strip_prefix("file://").unwrap();
        assert!(fs::read(icon).unwrap().starts_with(b"\x89PNG"), "{icon}");
        let entry = String::from_utf8(shown.hints["desktop-entry"].clone()).unwrap();
        let entry = format!(".local/share/applications/{entry}.desktop");
        assert!(place.home().join(entry).is_file());
        assert!(!shown.hints.contains_key("image-data"));
        place.succeed(&["fim-notify", "off"]);
        start();
        place.succeed(&["fim-desktop", "clean"]);
        place.assert_gone();
        session.assert_silent();
        let _ = fs::remove_dir_all(place.home().join(".local"));
        place.assert_clean();
    }
}

#[test]
fn a_bus_that_is_not_there_or_does_not_answer_holds_nothing_up() {
    for who in everybody() {
        let place = Place::blueprint(who);
        place.succeed(&["fim-notify", "on"]);
        let socket = place.path().join("bus");
        let listening = UnixListener::bind(&socket).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        fs::set_permissions(&socket, mode).unwrap();
        let path = socket.display();
        for address in [
            String::new(),
            "autolaunch:".to_owned(),
            "unix:path=/nowhere/bus".to_owned(),
            format!("unix:path={path}"),
        ] {
            let mut command = place.image(&["fim-exec", "echo", "runs"]);
            command.env("DBUS_SESSION_BUS_ADDRESS", &address);
            // Its output ends with it: nobody else holds it.
            let ran = Ran::of(command);
            assert_eq!(
                (ran.out.as_str(), ran.err.as_str()),
                ("runs\n", ""),
                "{address}"
            );
        }
        // Only now somebody takes the call of the last one, and hangs up.
        let (mut caller, _) = listening.accept().unwrap();
        let mut byte = [1];
        caller.read_exact(&mut byte).unwrap();
        assert_eq!(byte, [0]);
        drop(caller);
        fs::remove_file(&socket).unwrap();
        place.assert_clean();
    }
}

#[test]
fn an_error_reaches_the_user_where_there_is_no_terminal() {
    for who in everybody() {
        let place = Place::blueprint(who);
        for (session, path) in [
            (Session::start(true), "/&lt;b&gt;"),
            (Session::start(false), "/<b>"),
        ] {
            let mut command = with(&place, &session, &["fim-exec", "/<b>"]);
            let ran = Ran::of({
                command.env(BY_DESKTOP.0, BY_DESKTOP.1);
                command
            });
            assert_eq!((ran.code, ran.err.lines().count()), (127, 1), "{ran:?}");
            let shown = session.next();
            assert_eq!(shown.summary, "app.flatimage");
            assert!(shown.body.contains(path), "{shown:?}");
            assert_eq!(shown.hints["urgency"], [2]);
            place.assert_gone();
            session.assert_silent();
        }
        let session = Session::start(true);
        // A session without a terminal is enough.
        let mut command = place.command("setsid");
        command.args([
            "--wait",
            place.image.to_str().unwrap(),
            "fim-exec",
            "/nowhere",
        ]);
        command.env("DBUS_SESSION_BUS_ADDRESS", session.address());
        assert_eq!(Ran::of(command).code, 127);
        assert!(session.next().body.contains("/nowhere"));
        // Somebody who asks for something else looks at the answer.
        let mut command = with(&place, &session, &["fim-perms", "add", "nothing"]);
        command.env(BY_DESKTOP.0, BY_DESKTOP.1);
        assert_eq!(Ran::of(command).code, 125);
        place.assert_gone();
        session.assert_silent();
        place.assert_clean();
    }
}

#[test]
fn an_error_on_a_terminal_is_told_there_and_not_twice() {
    let (place, session) = (Place::blueprint(Who::Caller), Session::start(true));
    let address = format!("DBUS_SESSION_BUS_ADDRESS={}", session.address());
    let image = place.image.to_str().unwrap();
    let arguments = [address.as_str(), image, "fim-exec", "/nowhere"];
    let mut screen = Screen::start(&place, "env", &arguments);
    screen.expect("/nowhere");
    screen.end();
    place.assert_gone();
    session.assert_silent();
    place.assert_clean();
}

#[test]
fn an_image_that_is_damaged_says_so_on_the_desktop() {
    let (place, session) = (Place::blueprint(Who::Caller), Session::start(true));
    set_up(&place, r#"{"name": "Broken", "integrations": []}"#);
    // Another process writes: what this one has open for writing, the processes that other tests fork have as well.
    let mut cut = Command::new("truncate");
    cut.args(["--size", "-1000"]).arg(&place.image);
    assert_eq!(Ran::of(cut).code, 0);
    let mut command = with(&place, &session, &[]);
    command.env(BY_DESKTOP.0, BY_DESKTOP.1);
    let ran = Ran::of(command);
    assert_eq!(ran.code, 125, "{ran:?}");
    let shown = session.next();
    assert_eq!(shown.summary, "Broken");
    assert_eq!(format!("error: {}\n", shown.body), ran.err);
    place.assert_gone();
    session.assert_silent();
}
