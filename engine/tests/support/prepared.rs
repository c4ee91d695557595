//! Programs that run where something was mounted first, which the host does not see.

use std::ffi::OsStr;
use std::process::Command;

use nix::unistd::{getgid, getuid};

use super::{ORDINARY, Place, Who};

/// Takes the FUSE device away, for [`Place::after`].
pub const NO_FUSE: &str = "mount --bind /dev/null /dev/fuse";

impl Place {
    /// The image with arguments, as [`Place::after`] runs it.
    pub fn prepared(&self, before: &str, arguments: &[&str]) -> Command {
        self.after(before, &self.image, arguments)
    }

    /// A program run by the user of the place, in a mount namespace in which root has run the shell script `before`.
    pub fn after(&self, before: &str, program: impl AsRef<OsStr>, arguments: &[&str]) -> Command {
        let mut command = Command::new("unshare");
        command
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", self.home())
            .current_dir(self.path());
        let am_root = getuid().is_root();
        command.arg(if am_root { "-m" } else { "-Urm" });
        command.args(["sh", "-c", "eval \"$0\" && exec \"$@\"", before]);
        match self.who {
            Who::Ordinary => {
                command.args(["setpriv", "--clear-groups"]);
                command.arg(format!("--reuid={ORDINARY}"));
                command.arg(format!("--regid={ORDINARY}"));
            }
            // Not root any more, in a namespace below.
            Who::Caller if !am_root => {
                command.args(["unshare", "-U"]);
                command.arg(format!("--map-user={}", getuid()));
                command.arg(format!("--map-group={}", getgid()));
            }
            Who::Caller => {}
        }
        command.arg(program).args(arguments);
        command
    }
}
