//! Why a container did not start.

use std::io;

use thiserror::Error;

/// Exit code of a failure of ours.
pub const OURS: u8 = 125;
/// Exit code for a program that is there and cannot be executed.
pub const NOT_EXECUTABLE: u8 = 126;
/// Exit code for a program that is not there.
pub const NOT_FOUND: u8 = 127;

/// One line for the user, and the exit code.
#[derive(Debug, Error)]
#[error("{text}")]
pub struct Failure {
    /// The exit code.
    pub code: u8,
    /// What was wrong, where, and how to mend it.
    pub text: String,
}

impl Failure {
    /// A failure of ours.
    pub fn ours(text: impl Into<String>) -> Failure {
        Failure {
            code: OURS,
            text: text.into(),
        }
    }

    /// Of a container whose layers nobody serves any more.
    pub fn unserved() -> Failure {
        Failure::ours(
            "the process that served the container's files was killed, and the container was \
             ended; start it again",
        )
    }
}

/// Says what was attempted when a system call failed.
pub trait Attempt<T> {
    /// Names what was attempted, as it would follow "cannot".
    ///
    /// # Errors
    /// The error with its context.
    fn attempting(self, what: impl FnOnce() -> String) -> Result<T, Failure>;
}

impl<T, E: Into<io::Error>> Attempt<T> for Result<T, E> {
    fn attempting(self, what: impl FnOnce() -> String) -> Result<T, Failure> {
        self.map_err(|error| {
            let error: io::Error = error.into();
            Failure::ours(format!("cannot {}: {}", what(), plain(&error)))
        })
    }
}

/// The error in words, without Rust's error number.
pub fn plain(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(code) => nix::errno::Errno::from_raw(code).desc().to_lowercase(),
        None => error.to_string(),
    }
}
