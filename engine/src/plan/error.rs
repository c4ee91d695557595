//! Why there is no plan.

use std::path::PathBuf;

use thiserror::Error;

/// Why there is no plan.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum PlanError {
    /// A path to bind does not exist.
    #[error("{cause}: the host has no `{}`; create it or remove the setting", .source_path.display())]
    MissingSource {
        /// The path.
        source_path: PathBuf,
        /// The region or permission.
        cause: String,
    },
    /// A path to bind holds a variable that is not set.
    #[error("{cause}: `{source_path}` needs the variable `{variable}`, which is not set")]
    UnsetVariable {
        /// The variable.
        variable: String,
        /// The path as it is stored.
        source_path: String,
        /// The region or permission.
        cause: String,
    },
    /// A path in the container is not one to mount on.
    #[error("{cause}: `{}` is no place in the container; give an absolute path without `..` that is not `/`", .path.display())]
    Target {
        /// The path.
        path: PathBuf,
        /// The region or permission.
        cause: String,
    },
    /// Something has to be served and cannot be.
    #[error("{cause}: this needs FUSE, and {reason}; make it usable or switch this off")]
    NoFuse {
        /// Why not.
        reason: String,
        /// The region or permission.
        cause: String,
    },
    /// The host lacks a program.
    #[error(
        "{cause}: the host has no `{program}`; install the package of that name or switch this off"
    )]
    NoProgram {
        /// Its name.
        program: &'static str,
        /// The region or permission.
        cause: String,
    },
    /// There are no subordinate ids.
    #[error(
        "{cause}: `{user}` has no subordinate ids; as root, `usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}` gives some that are free; or do without this setting"
    )]
    NoSubordinateIds {
        /// The caller.
        user: String,
        /// The region.
        cause: String,
    },
    /// They cannot be used.
    #[error(
        "{cause}: the host has no `newuidmap` and `newgidmap`; install the package `uidmap` or `shadow-utils`; or do without this setting"
    )]
    NoIdPrograms {
        /// The region.
        cause: String,
    },
    /// A user id that the container has no id for.
    #[error(
        "environment: the id {id} is outside of 0 to {last}, which are the ids of this container"
    )]
    Id {
        /// The id asked for.
        id: u32,
        /// The highest id there is.
        last: u32,
    },
}
