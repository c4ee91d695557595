//! What desktops make of installed files, for themselves: databases that are made anew by programs of the host.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use crate::background::in_background;
use crate::relocate;
use crate::trace::trace;

/// The longest that a database may take, in seconds.
const LONGEST: u32 = 60;

/// Which of the installed files changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// Desktop entries.
    pub entries: bool,
    /// MIME packages.
    pub types: bool,
    /// Icons.
    pub icons: bool,
}

impl Changed {
    /// Notes a file, by its path below the data directory.
    pub fn note(&mut self, path: &str) {
        self.entries |= path.starts_with("applications/");
        self.types |= path.starts_with("mime/");
        self.icons |= path.starts_with("icons/");
    }

    /// Has the databases of `share` made anew, in the background. A host without these programs has no use for them.
    pub fn update(self, share: &Path) {
        if self.types {
            start("update-mime-database", &share.join("mime"));
        }
        if self.entries {
            start("update-desktop-database", &share.join("applications"));
        }
    }
}

fn start(program: &str, directory: &Path) {
    in_background(LONGEST, || {
        let mut command = Command::new(program);
        command
            .arg(directory)
            .env_clear()
            .envs(relocate::environment());
        let error = command.exec();
        trace(|| format!("{program} is not run: {error}"));
    });
}
