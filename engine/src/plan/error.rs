//! Why there is no plan.

use std::path::PathBuf;

use flatimage_reserved::Encoding;
use flatimage_reserved::declared::REGIONS;
use thiserror::Error;

/// Why there is no plan.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum PlanError {
    /// A path to bind does not exist.
    #[error("{cause}: the host has no `{}`; create it, or do without by {}", .source_path.display(), undo(.cause))]
    MissingSource {
        /// The path.
        source_path: PathBuf,
        /// The region or permission.
        cause: String,
    },
    /// A path to bind holds a variable that is not set.
    #[error("{cause}: `{source_path}` needs the variable `{variable}`, which is not set; set it, or do without by {}", undo(.cause))]
    UnsetVariable {
        /// The variable.
        variable: String,
        /// The path as it is stored.
        source_path: String,
        /// The region or permission.
        cause: String,
    },
    /// A path in the container is not one to mount on.
    #[error("{cause}: `{}` is no place in the container; give an absolute path without `..` that is not `/`, or do without by {}", .path.display(), undo(.cause))]
    Target {
        /// The path.
        path: PathBuf,
        /// The region or permission.
        cause: String,
    },
    /// Something has to be served and cannot be.
    #[error("{cause}: this needs FUSE, and {reason}; make it usable, or do without by {}", undo(.cause))]
    NoFuse {
        /// Why not.
        reason: String,
        /// The region or permission.
        cause: String,
    },
    /// The host lacks a program.
    #[error(
        "{cause}: the host has no `{program}`; install the package of that name, or do without by {}", undo(.cause)
    )]
    NoProgram {
        /// Its name.
        program: &'static str,
        /// The region or permission.
        cause: String,
    },
    /// There are no subordinate ids.
    #[error(
        "{cause}: `{user}` has no subordinate ids; as root, `usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}` gives some that are free; or do without by {}", undo(.cause)
    )]
    NoSubordinateIds {
        /// The caller.
        user: String,
        /// The region.
        cause: String,
    },
    /// They cannot be used.
    #[error(
        "{cause}: the host has no `newuidmap` and `newgidmap`; install the package `uidmap` or `shadow-utils`; or do without by {}", undo(.cause)
    )]
    NoIdPrograms {
        /// The region.
        cause: String,
    },
    /// A user id that the container has no id for.
    #[error(
        "environment: the id {id} is outside of 0 to {last}, which are the ids of this container; give one of them with `fim-env add`"
    )]
    Id {
        /// The id asked for.
        id: u32,
        /// The highest id there is.
        last: u32,
    },
}

/// The command that takes away what is responsible.
fn undo(cause: &str) -> String {
    let (region, name) = cause.split_once(' ').unwrap_or((cause, ""));
    let region = REGIONS.iter().find(|known| known.name == region);
    let Some((region, command)) = region.and_then(|region| Some((region, region.command?))) else {
        return "removing the setting".to_owned();
    };
    let verb = match region.encoding {
        Encoding::Flag => "off".to_owned(),
        Encoding::Bits(_) if !name.is_empty() => format!("del {name}"),
        Encoding::Map => "del <name>".to_owned(),
        Encoding::List(_) => "del <index>".to_owned(),
        _ => "clear".to_owned(),
    };
    format!("`fim-{command} {verb}`")
}

#[cfg(test)]
mod tests {
    use super::undo;

    #[test]
    fn what_is_responsible_is_taken_away_by_a_command() {
        for (cause, command) in [
            ("casefold", "`fim-casefold off`"),
            ("permissions dbus_user", "`fim-perms del dbus_user`"),
            ("ids subordinate", "`fim-ids clear`"),
            ("directory", "`fim-directory clear`"),
            ("bindings", "`fim-bind del <index>`"),
            ("environment", "`fim-env del <name>`"),
            ("icon", "removing the setting"),
            ("nothing", "removing the setting"),
        ] {
            assert_eq!(undo(cause), command);
        }
    }
}
