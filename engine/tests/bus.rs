//! The session bus in a container: filtered, bare, or not there.

mod support;

use std::process::{Command, Stdio};

use support::refusing::{ALL_BUT_BWRAP, Refusing, ordinary};
use support::session::Session;
use support::{Place, Ran, everybody};

/// A client that the host has, and what it needs of the host.
fn with_client(place: &Place) {
    for directory in ["/usr", "/lib", "/lib64", "/bin"] {
        place.succeed(&["fim-bind", "add", "ro", directory, directory]);
    }
}

/// A command of the image in a session.
fn within(place: &Place, session: &Session, arguments: &[&str]) -> Command {
    let mut command = place.image(arguments);
    command.env("DBUS_SESSION_BUS_ADDRESS", session.address());
    command
}

/// Calls a method of the bus itself from the container, started by `how`.
fn ask(place: &Place, session: &Session, how: &str, method: &[&str]) -> Ran {
    let call = [
        "gdbus",
        "call",
        "--session",
        "--dest",
        "org.freedesktop.DBus",
    ];
    let to = ["--object-path", "/", "--method"];
    let arguments = [&[how][..], &call, &to, method].concat();
    Ran::of(within(place, session, &arguments))
}

const NAMES: &[&str] = &["org.freedesktop.DBus.ListNames"];

/// The processes whose arguments name the bus, without those that have ended and were not waited for.
fn around(session: &Session) -> Vec<String> {
    let address = session.address();
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|process| {
        let line = std::fs::read(process.path().join("cmdline")).ok()?;
        Some(String::from_utf8_lossy(&line).replace('\0', " "))
    });
    lines.filter(|line| line.contains(&address)).collect()
}

/// The filter ends when it sees that nobody waits for it any more.
fn assert_nobody_around(session: &Session) {
    while !around(session).is_empty() {
        std::thread::yield_now();
    }
}

#[test]
fn what_is_listed_passes_and_nothing_else_whoever_one_is_inside() {
    for who in everybody() {
        let (place, session) = (Place::blueprint(who), Session::start(true));
        with_client(&place);
        place.succeed(&["fim-perms", "add", "dbus_user"]);
        for (how, variables) in [
            ("fim-exec", &[][..]),
            ("fim-root", &[]),
            ("fim-exec", &["UID=5", "GID=6"]),
        ] {
            if !variables.is_empty() {
                place.succeed(&[&["fim-env", "add"], variables].concat());
            }
            let ran = ask(&place, &session, how, NAMES);
            assert_eq!(ran.code, 0, "{ran:?}");
            assert!(ran.out.contains("org.freedesktop.Notifications"), "{ran:?}");
            let own = |name| {
                ask(
                    &place,
                    &session,
                    how,
                    &["org.freedesktop.DBus.RequestName", name, "0"],
                )
            };
            let ran = own("org.mpris.MediaPlayer2.player");
            assert!(ran.out.contains("uint32 1"), "{ran:?}");
            assert_ne!(own("org.example.other").code, 0, "{how}");
            // It would start programs of the host.
            let start = [
                "org.freedesktop.DBus.StartServiceByName",
                "org.freedesktop.systemd1",
                "0",
            ];
            let ran = ask(&place, &session, how, &start);
            assert!(ran.err.contains("Error"), "{ran:?}");
        }
        let name = "org.freedesktop.Notifications";
        let call = ["fim-exec", "gdbus", "call", "--session", "--dest", name];
        let path = [
            "--object-path",
            "/org/freedesktop/Notifications",
            "--method",
        ];
        let method = "org.freedesktop.Notifications.Notify";
        let said = [
            "player",
            "uint32 0",
            "''",
            "title",
            "text",
            "@as []",
            "@a{sv} {}",
            "--",
            "-1",
        ];
        let arguments = [&call[..], &path, &[method], &said].concat();
        let ran = Ran::of(within(&place, &session, &arguments));
        assert_eq!(ran.code, 0, "{ran:?}");
        assert_eq!(session.next().summary, "title");
        assert_nobody_around(&session);
        place.assert_clean();
    }
}

#[test]
fn without_the_permission_there_is_no_bus_and_without_a_session_no_harm() {
    for who in everybody() {
        let (place, session) = (Place::blueprint(who), Session::start(true));
        let look = [
            "fim-exec",
            "bash",
            "-c",
            "echo $DBUS_SESSION_BUS_ADDRESS; ls /run/flatimage-bus",
        ];
        let ran = Ran::of(within(&place, &session, &look));
        assert_eq!(ran.out, "\n", "{ran:?}");
        place.succeed(&["fim-perms", "add", "dbus_user"]);
        let mut command = place.image(&look);
        command.env_remove("DBUS_SESSION_BUS_ADDRESS");
        assert_eq!(Ran::of(command).out, "\n");
        let mut command = place.image(&["fim-exec", "echo", "runs"]);
        command.env("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nowhere/bus");
        let ran = Ran::of(command);
        assert_eq!((ran.code, ran.out.as_str()), (0, "runs\n"), "{ran:?}");
        place.assert_clean();
    }
}

#[test]
fn without_the_filter_there_is_no_start() {
    let session = Session::start(true);
    for who in everybody() {
        let place = Place::blueprint(who);
        place.succeed(&["fim-perms", "add", "dbus_user"]);
        let mut command = within(&place, &session, &["fim-exec", "echo", "runs"]);
        command.env("PATH", "/nowhere");
        let ran = Ran::of(command);
        assert_eq!((ran.code, ran.out.as_str()), (125, ""), "{ran:?}");
        assert_eq!(
            ran.err,
            "error: permissions dbus_user: the host has no `xdg-dbus-proxy`; install the package of that name, or do without by `fim-perms del dbus_user`\n"
        );
        place.assert_clean();
    }
}

#[test]
fn the_bare_bus_is_all_of_it() {
    for who in everybody() {
        let (place, session) = (Place::blueprint(who), Session::start(true));
        with_client(&place);
        place.succeed(&["fim-perms", "add", "dbus_user_raw"]);
        // The bus compares the user id that a client names with the one that the kernel knows, which real root's container changes.
        if nix::unistd::geteuid().is_root() && who == support::Who::Caller {
            continue;
        }
        let own = ["org.freedesktop.DBus.RequestName", "org.example.other", "0"];
        let ran = ask(&place, &session, "fim-exec", &own);
        assert!(ran.out.contains("uint32 1"), "{ran:?}");
        place.assert_clean();
    }
}

#[test]
fn the_filter_ends_with_the_container_however_that_ends() {
    for who in everybody() {
        let (place, session) = (Place::blueprint(who), Session::start(true));
        with_client(&place);
        place.succeed(&["fim-perms", "add", "dbus_user"]);
        let wait = "gdbus call --session --dest org.freedesktop.DBus --object-path / --method org.freedesktop.DBus.ListNames; \
                    read -r";
        let mut command = within(&place, &session, &["fim-exec", "bash", "-c", wait]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut running = command.spawn().unwrap();
        let mut line = String::new();
        let output = running.stdout.as_mut().unwrap();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(output), &mut line).unwrap();
        assert!(line.contains("org.freedesktop.DBus"), "{line}");
        assert!(!around(&session).is_empty());
        running.kill().unwrap();
        running.wait().unwrap();
        assert_nobody_around(&session);
        place.assert_gone();
        place.assert_clean();
    }
}

#[test]
fn programs_that_are_quicker_than_the_filter_leave_nothing() {
    for who in everybody() {
        let (place, session) = (Place::blueprint(who), Session::start(true));
        place.succeed(&["fim-perms", "add", "dbus_user"]);
        for _ in 0..30 {
            let ran = Ran::of(within(&place, &session, &["fim-exec", "true"]));
            assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{ran:?}");
        }
        assert_nobody_around(&session);
        place.assert_clean();
    }
}

#[test]
fn where_bwrap_makes_the_namespaces_the_bus_is_filtered_too() {
    let (place, session) = (Place::blueprint(ordinary()), Session::start(true));
    with_client(&place);
    place.succeed(&["fim-perms", "add", "dbus_user"]);
    let refusing = Refusing::new(&place);
    let call = |method: &[&str]| {
        let bus = [
            "gdbus",
            "call",
            "--session",
            "--dest",
            "org.freedesktop.DBus",
            "--object-path",
            "/",
            "--method",
        ];
        let arguments = [&["fim-exec"][..], &bus, method].concat();
        let mut command = refusing.image(ALL_BUT_BWRAP, &arguments);
        command.env("DBUS_SESSION_BUS_ADDRESS", session.address());
        Ran::of(command)
    };
    let ran = call(NAMES);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{ran:?}");
    assert!(ran.out.contains("org.freedesktop.Notifications"), "{ran:?}");
    let owned = call(&["org.freedesktop.DBus.RequestName", "org.example.Own", "0"]);
    assert_ne!(owned.code, 0, "{owned:?}");
    assert_nobody_around(&session);
    drop(refusing);
    place.assert_clean();
}
