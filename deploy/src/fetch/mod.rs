//! Files that are downloaded: once, whole, and checked before anybody uses them.
//!
//! What was downloaded is kept under the name of its sum, so that nothing else can be in its place. A download that was cut
//! off, by the network or by whoever interrupted the build, goes on where it ended.

mod client;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

pub(crate) use client::Client;
use client::{Answer, Refusal};

use crate::digest::{self, Sum};
use crate::file::{self, FileError, failed};

/// How often a download that is cut off is taken up again without having got any further.
const TRIES: u32 = 3;

/// No root filesystem has more bytes; a server that never ends does not fill the disk.
const MOST: u64 = 16 << 30;

/// A file to be downloaded.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub(crate) url: &'a str,
    pub(crate) sum: &'a Sum,
}

/// Why there is no file.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The server cannot be reached, or does not have it.
    #[error(
        "cannot fetch `{url}`: {reason}; give another `--mirror`, or get `{name}` in another way and give it with `--from`"
    )]
    Refused {
        /// Where it was looked for.
        url: String,
        /// Its name.
        name: String,
        /// What went wrong.
        reason: String,
    },
    /// The server gave another file.
    #[error(
        "`{url}` has the SHA-256 {found} and not {expected}; give another `--mirror`, or get `{name}` in another way and give it with `--from`"
    )]
    Sum {
        /// Where it was.
        url: String,
        /// Its name.
        name: String,
        /// What was expected, in hexadecimal.
        expected: String,
        /// What it has.
        found: String,
    },
}

/// The file, from `kept` or from its server. `progress` is told bytes and, where the server says it, how many there are.
pub(crate) fn fetch(
    kept: &Path,
    wanted: Wanted,
    client: &Client,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<PathBuf, FetchError> {
    file::create_dir(kept)?;
    let path = kept.join(digest::hex(wanted.sum));
    if path.is_file() {
        // Whoever uses it sums it again.
        return Ok(path);
    }
    let part = file::beside(&path);
    let resumed = fs::metadata(&part).is_ok_and(|found| found.len() > 0);
    let mut found = download(&part, wanted, client, progress)?;
    if found != *wanted.sum && resumed {
        // What an earlier build left may be of another file.
        file::remove(&part)?;
        found = download(&part, wanted, client, progress)?;
    }
    if found != *wanted.sum {
        file::remove(&part)?;
        return Err(FetchError::Sum {
            url: wanted.url.to_owned(),
            name: name(wanted.url),
            expected: digest::hex(wanted.sum),
            found: digest::hex(&found),
        });
    }
    File::open(&part)
        .and_then(|file| file.sync_all())
        .map_err(failed("sync", &part))?;
    fs::rename(&part, &path).map_err(failed("rename to", &path))?;
    Ok(path)
}

/// The last part of an address.
pub(crate) fn name(url: &str) -> String {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    path.rsplit('/').next().unwrap_or_default().to_owned()
}

/// Downloads what is missing of a file, and answers its sum.
fn download(
    part: &Path,
    wanted: Wanted,
    client: &Client,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Sum, FetchError> {
    let mut out = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(part)
        .map_err(failed("create", part))?;
    let refused = |reason| FetchError::Refused {
        url: wanted.url.to_owned(),
        name: name(wanted.url),
        reason,
    };
    let mut tries = 0;
    loop {
        let length = out.seek(SeekFrom::End(0)).map_err(failed("read", part))?;
        let reason = match piece(&mut out, length, wanted.url, client, progress) {
            Ok(()) => break,
            Err(Broken::Disk(error)) => return Err(failed("write", part)(error).into()),
            Err(Broken::Final(reason)) => return Err(refused(reason)),
            Err(Broken::Again(reason)) => reason,
        };
        let got = out.seek(SeekFrom::End(0)).map_err(failed("read", part))?;
        // As long as it gets on there is no reason to give up.
        tries = if got > length { 0 } else { tries + 1 };
        if tries >= TRIES {
            return Err(refused(reason));
        }
    }
    out.rewind().map_err(failed("read", part))?;
    Ok(digest::of_reader(&mut out).map_err(failed("read", part))?)
}

/// Why a request did not bring the rest of a file.
enum Broken {
    /// Another one may.
    Again(String),
    /// No other one will.
    Final(String),
    Disk(io::Error),
}

/// Asks for everything from `length` on and writes what comes.
fn piece(
    out: &mut File,
    length: u64,
    url: &str,
    client: &Client,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(), Broken> {
    let answer = client.get(url, length).map_err(|refusal| match refusal {
        Refusal::Passing(reason) => Broken::Again(reason),
        Refusal::Final(reason) => Broken::Final(reason),
    })?;
    let (mut body, start, rest) = match answer {
        Answer::Rest { body, length: rest } => (body, length, rest),
        Answer::Whole { body, length } => (body, 0, length),
        // There is nothing behind what is there, or what is there is longer than the file.
        Answer::Beyond { length: Some(all) } if all == length => return Ok(()),
        Answer::Beyond { .. } => {
            out.set_len(0).map_err(Broken::Disk)?;
            return Err(Broken::Again("it is shorter than what is there".to_owned()));
        }
    };
    out.set_len(start).map_err(Broken::Disk)?;
    out.seek(SeekFrom::Start(start)).map_err(Broken::Disk)?;
    let total = rest.map_or(0, |rest| start.saturating_add(rest));
    let mut done = start;
    let mut buffer = vec![0; 1 << 16];
    loop {
        let count = match body.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Broken::Again(error.to_string())),
        };
        out.write_all(&buffer[..count]).map_err(Broken::Disk)?;
        done += count as u64;
        if done > MOST {
            return Err(Broken::Final("it does not end".to_owned()));
        }
        progress(done, total);
    }
    match rest {
        Some(_) if done < total => Err(Broken::Again("it was cut off".to_owned())),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
