//! Programs of the host that have to do with desktops.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use super::support::{Place, Ran};

/// Runs a program of the host as the user, which must succeed.
pub fn host(place: &Place, program: &str, package: &str, arguments: &[&str]) -> String {
    succeed(place.command(program), program, package, arguments)
}

fn succeed(mut command: Command, program: &str, package: &str, arguments: &[&str]) -> String {
    command
        .args(arguments)
        .env("XDG_CURRENT_DESKTOP", "GNOME")
        .env("XDG_DATA_DIRS", "/usr/local/share:/usr/share");
    let output = command.output();
    let ran =
        Ran::from(output.unwrap_or_else(|error| {
            panic!("{program}, of the package {package}, is needed: {error}")
        }));
    assert_eq!(ran.code, 0, "{program} {arguments:?}: {ran:?}");
    ran.out
}

/// A display that nobody looks at, for programs that want one.
pub struct Display {
    server: Child,
    directory: tempfile::TempDir,
}

impl Display {
    pub fn of(place: &Place) -> Display {
        let directory = tempfile::Builder::new()
            .prefix("display-")
            .tempdir()
            .unwrap();
        place.give(directory.path());
        let mut display = place.command("broadwayd");
        display
            .arg("--unixsocket")
            .arg(directory.path().join("http"))
            .arg(":0")
            .env("XDG_RUNTIME_DIR", directory.path())
            .stdout(Stdio::piped());
        let server = display.spawn();
        let mut display = Display {
            server: server.unwrap_or_else(|error| {
                panic!("broadwayd, of the package libgtk-3-bin, is needed: {error}")
            }),
            directory,
        };
        let mut line = String::new();
        let said = display.server.stdout.take().unwrap();
        BufReader::new(said).read_line(&mut line).unwrap();
        assert!(line.starts_with("Listening on "), "{line}");
        display
    }

    pub fn host(&self, place: &Place, program: &str, package: &str, arguments: &[&str]) -> String {
        let mut command = place.command(program);
        command
            .env("GDK_BACKEND", "broadway")
            .env("BROADWAY_DISPLAY", ":0")
            .env("XDG_RUNTIME_DIR", self.directory.path());
        succeed(command, program, package, arguments)
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
