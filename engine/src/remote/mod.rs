//! Files of a remote: where they are, and how they get here.
//!
//! What speaks HTTP is a program of its own, `fim-fetch` (`engine/fetch`), which the image brings along and [`fetcher`] runs.
//! Files of this host are copied here. Either way a file appears under its name when all of it is there and, where an
//! index says what it must be, when it is that.

mod address;
mod fetcher;
mod local;

use std::path::Path;

pub use address::Address;
pub use fetcher::Fetcher;
pub use local::{sum_of, sum_of_text};

/// A file that is wanted.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// Where it is.
    pub address: &'a Address,
    /// The SHA-256 that it must have, in lower-case hexadecimal.
    pub sum: Option<&'a str>,
    /// The most bytes that it may have.
    pub most: u64,
}

/// Why there is no file, in words.
#[derive(Debug, PartialEq, Eq)]
pub enum Unfetched {
    /// It is not there.
    Missing(String),
    /// Anything else.
    Failed(String),
}

impl Unfetched {
    /// The words.
    pub fn words(self) -> String {
        match self {
            Unfetched::Missing(words) | Unfetched::Failed(words) => words,
        }
    }
}

/// Gets a file to the path `to`. `progress` is told bytes and how many there are, or 0.
///
/// # Errors
/// When it is not there, is not what it must be, or cannot be got.
pub fn fetch(
    wanted: &Wanted<'_>,
    to: &Path,
    fetcher: &dyn Fn() -> Result<Fetcher, String>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(), Unfetched> {
    match wanted.address {
        Address::File(path) => local::copy(path, wanted, to),
        Address::Web(url) => fetcher()
            .map_err(Unfetched::Failed)?
            .fetch(url, wanted, to, progress),
    }
}
