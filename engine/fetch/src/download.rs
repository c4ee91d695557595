//! A download, from the first request to a file that has its name.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use crate::client::{Client, Query, Refusal, What};
use crate::part::{Part, sum_of};
use crate::{Sum, hex};

/// How often a download that is cut off is taken up again without having got any further.
const TRIES: u32 = 3;

/// A file to be downloaded.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// Where it is.
    pub url: &'a str,
    /// What it must have. Without one, who serves it is believed.
    pub sum: Option<&'a Sum>,
    /// The most bytes that it may have, so that a server that never ends does not fill the disk.
    pub most: u64,
}

/// Why there is no file.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// A file could not be read or written.
    #[error("cannot {action} `{}`", path.display())]
    File {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system answered.
        source: io::Error,
    },
    /// Another process has the part of it that is there.
    #[error("`{0}` is being fetched already; try again when that is done")]
    Busy(String),
    /// The server says that it has no such file.
    #[error("cannot fetch `{url}`: {reason}")]
    Missing {
        /// Where it was looked for.
        url: String,
        /// The server's words.
        reason: String,
    },
    /// The server cannot be reached, or does not give it.
    #[error("cannot fetch `{url}`: {reason}")]
    Refused {
        /// Where it was looked for.
        url: String,
        /// What went wrong.
        reason: String,
    },
    /// The server gave another file.
    #[error("`{url}` has the SHA-256 {found} and not {expected}")]
    Sum {
        /// Where it was.
        url: String,
        /// What was expected, in hexadecimal.
        expected: String,
        /// What it has.
        found: String,
    },
}

/// Fetches a file to the path `to`, which it has once it is whole and, where its sum is known, the one that is meant. One that
/// is there already and has that sum is left as it is.
///
/// A part that is left, here or by a process that was killed, is used by the next try, but only when there is a sum to tell
/// whether it belongs to this file. `progress` is told bytes and, where the server says it, how many there are.
///
/// # Errors
/// When the server does not give the file, or another one, or the disk does not take it.
pub fn fetch(
    to: &Path,
    wanted: &Wanted,
    client: &Client,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(), FetchError> {
    if let (Some(sum), Ok(mut there)) = (wanted.sum, File::open(to))
        && sum_of(&mut there).map_err(failed("read", to))? == *sum
    {
        return Ok(());
    }
    let part = Part::of(to).map_err(failed("create", to))?;
    let mut part = part.ok_or_else(|| FetchError::Busy(wanted.url.to_owned()))?;
    match fill(&mut part, to, wanted, client, progress) {
        Ok(()) => part.finish(to).map_err(failed("finish", to)),
        Err(error) => {
            let goes_on = matches!(&error, FetchError::Refused { .. } | FetchError::File { .. });
            if !goes_on || wanted.sum.is_none() || part.length().is_ok_and(|length| length == 0) {
                // The first error is the one to tell; what stays is begun anew or gone on with by the next try.
                let _ = part.remove();
            }
            Err(error)
        }
    }
}

/// Downloads what is missing of a file, and makes sure that it is the right one.
fn fill(
    part: &mut Part,
    to: &Path,
    wanted: &Wanted,
    client: &Client,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(), FetchError> {
    let Some(sum) = wanted.sum else {
        part.keep(0).map_err(failed("write", to))?;
        return download(part, to, wanted, client, progress);
    };
    let resumed = part.length().map_err(failed("read", to))? > 0;
    download(part, to, wanted, client, progress)?;
    let mut found = part.sum().map_err(failed("read", to))?;
    if found != *sum && resumed {
        // What an earlier try left may be of another file.
        part.keep(0).map_err(failed("write", to))?;
        download(part, to, wanted, client, progress)?;
        found = part.sum().map_err(failed("read", to))?;
    }
    match found == *sum {
        true => Ok(()),
        false => Err(FetchError::Sum {
            url: wanted.url.to_owned(),
            expected: hex(sum),
            found: hex(&found),
        }),
    }
}

/// Asks until everything is there, or nothing more comes.
fn download(
    part: &mut Part,
    to: &Path,
    wanted: &Wanted,
    client: &Client,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(), FetchError> {
    let url = || wanted.url.to_owned();
    let (mut tries, mut version, mut furthest) = (0, None, 0);
    loop {
        let mut length = part.length().map_err(failed("read", to))?;
        furthest = length.max(furthest);
        if length > 0 && version.is_none() && wanted.sum.is_none() {
            // Nothing would tell that the rest is of another file than the beginning.
            part.keep(0).map_err(failed("write", to))?;
            length = 0;
        }
        let mut piece = Piece {
            wanted,
            client,
            version: &mut version,
            progress: &mut *progress,
        };
        let reason = match piece.get(part, length) {
            Ok(()) => return Ok(()),
            Err(Broken::Disk(error)) => return Err(failed("write", to)(error)),
            Err(Broken::Refused(Refusal::Missing(reason))) => {
                return Err(FetchError::Missing { url: url(), reason });
            }
            Err(Broken::Refused(Refusal::Final(reason))) => {
                // What is there is of no use to another try.
                part.keep(0).map_err(failed("write", to))?;
                return Err(FetchError::Refused { url: url(), reason });
            }
            Err(Broken::Refused(Refusal::Passing(reason))) => reason,
        };
        let got = part.length().map_err(failed("read", to))?;
        // As long as it gets on there is no reason to give up.
        tries = if got > furthest { 0 } else { tries + 1 };
        furthest = got.max(furthest);
        if tries >= TRIES {
            return Err(FetchError::Refused { url: url(), reason });
        }
    }
}

/// Why a request did not bring the rest of a file.
enum Broken {
    Refused(Refusal),
    Disk(io::Error),
}

fn passing(reason: impl Into<String>) -> Broken {
    Broken::Refused(Refusal::Passing(reason.into()))
}

/// One request for what is missing.
struct Piece<'a> {
    wanted: &'a Wanted<'a>,
    client: &'a Client,
    version: &'a mut Option<String>,
    progress: &'a mut dyn FnMut(u64, u64),
}

impl Piece<'_> {
    /// Asks for everything from `length` on and writes what comes.
    fn get(&mut self, part: &mut Part, length: u64) -> Result<(), Broken> {
        let query = Query {
            url: self.wanted.url,
            start: length,
            version: self.version.as_deref(),
            downgrade: self.wanted.sum.is_some(),
        };
        let answer = self.client.get(&query).map_err(Broken::Refused)?;
        let (body, start, rest) = match answer.what {
            What::Rest { body, length: rest } => (body, length, rest),
            What::Whole { body, length } => (body, 0, length),
            // There is nothing behind what is there, or what is there is longer than the file.
            What::Beyond { length: Some(all) } if all == length => return Ok(()),
            What::Beyond { .. } => {
                part.keep(0).map_err(Broken::Disk)?;
                return Err(passing("it is shorter than what is there"));
            }
        };
        *self.version = answer.version;
        part.keep(start).map_err(Broken::Disk)?;
        let total = rest.map_or(0, |rest| start.saturating_add(rest));
        self.bound(total)?;
        let done = self.copy(body, &mut part.file, start, total)?;
        match rest {
            Some(_) if done < total => Err(passing("it was cut off")),
            _ => Ok(()),
        }
    }

    fn copy(
        &mut self,
        mut body: Box<dyn Read>,
        out: &mut File,
        start: u64,
        total: u64,
    ) -> Result<u64, Broken> {
        let mut done = start;
        let mut buffer = vec![0; 1 << 16];
        loop {
            let count = match body.read(&mut buffer) {
                Ok(0) => return Ok(done),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if is_end(&error) => return Err(passing("it was cut off")),
                Err(error) => return Err(passing(error.to_string())),
            };
            done += count as u64;
            self.bound(done)?;
            out.write_all(&buffer[..count]).map_err(Broken::Disk)?;
            (self.progress)(done, total);
        }
    }

    fn bound(&self, bytes: u64) -> Result<(), Broken> {
        let most = self.wanted.most;
        match bytes > most {
            true => Err(Broken::Refused(Refusal::Final(format!(
                "it is larger than {most} bytes, which is the most that is taken"
            )))),
            false => Ok(()),
        }
    }
}

/// Whether the other side has gone.
fn is_end(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, UnexpectedEof};
    [ConnectionAborted, ConnectionReset, UnexpectedEof].contains(&error.kind())
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FetchError {
    let path = path.to_owned();
    move |source| FetchError::File {
        action,
        path,
        source,
    }
}
