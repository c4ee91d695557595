//! Hosts that refuse what a sandbox is made of.

use std::path::PathBuf;
use std::process::Command;

use super::compiled::compiled;
use super::{Place, Who};

/// User namespaces to everybody but `bwrap` and what it starts.
pub const ALL_BUT_BWRAP: &str = "but:/usr/bin/bwrap";

/// The same, and to what it starts as well.
pub const ALL_BUT_BWRAP_ITSELF: &str = "only:/usr/bin/bwrap";

/// A program in the place that runs others where something is refused.
pub struct Refusing<'a> {
    place: &'a Place,
    program: PathBuf,
}

impl<'a> Refusing<'a> {
    /// Compiles it.
    pub fn new(place: &'a Place) -> Refusing<'a> {
        Refusing {
            place,
            program: compiled(place, "refuse/refuse.c", &[]),
        }
    }

    /// The image with arguments where `what` is refused.
    pub fn image(&self, what: &str, arguments: &[&str]) -> Command {
        let mut command = self.place.command(&self.program);
        command.arg(what).arg(&self.place.image).args(arguments);
        command
    }
}

impl Drop for Refusing<'_> {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.program);
    }
}

/// Everybody whose start can be on another rung: root's needs no namespace that the host could refuse an ordinary user.
pub fn ordinary() -> Who {
    match nix::unistd::geteuid().is_root() {
        true => Who::Ordinary,
        false => Who::Caller,
    }
}
