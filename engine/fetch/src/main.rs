//! `fim-fetch`: what an image fetches files with. The program that starts runs it; people do not.
//!
//! It reads its request from standard input, because arguments can be read by every user of the host and an address may be
//! nobody else's business: address, file, most bytes, seconds of silence and SHA-256 (or nothing), each ended by a NUL. Standard
//! output tells how far it is, a line `<bytes> <all, or 0>` now and then. It ends with 0, or with one line on standard error
//! and 1; with 3 when the server says that it has no such file.

use std::error::Error;
use std::ffi::OsStr;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use flatimage_fetch::{Client, FetchError, Wanted, fetch, sum};

/// Between two lines of progress.
const PAUSE: Duration = Duration::from_millis(100);

fn main() -> ExitCode {
    let error = match run() {
        Ok(()) => return ExitCode::SUCCESS,
        Err(error) => error,
    };
    let cause = error.source().map(|cause| format!(": {cause}"));
    let line = format!("{error}{}", cause.unwrap_or_default());
    // Nobody may listen any more.
    let _ = writeln!(std::io::stderr(), "{}", line.replace('\n', "\\n"));
    match error.downcast_ref() {
        Some(FetchError::Missing { .. }) => ExitCode::from(3),
        _ => ExitCode::FAILURE,
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let mut input = Vec::new();
    std::io::stdin().read_to_end(&mut input)?;
    let fields: Vec<&[u8]> = input.split(|byte| *byte == 0).collect();
    let [url, file, most, seconds, expected, _] = fields[..] else {
        return Err("this is run by an image, which says what to fetch".into());
    };
    let text = std::str::from_utf8;
    let expected = match text(expected)? {
        "" => None,
        hex => Some(sum(hex).ok_or("no SHA-256")?),
    };
    let wanted = Wanted {
        url: text(url)?,
        sum: expected.as_ref(),
        most: text(most)?.parse()?,
    };
    let client = Client::alone(Duration::from_secs(text(seconds)?.parse()?));
    let mut told: Option<Instant> = None;
    let mut tell = |done: u64, all: u64| {
        if done == all || told.is_none_or(|told| told.elapsed() >= PAUSE) {
            told = Some(Instant::now());
            if writeln!(std::io::stdout(), "{done} {all}").is_err() {
                // Whoever wanted the file has gone. What is there is kept for the next try.
                std::process::exit(1);
            }
        }
    };
    Ok(fetch(
        Path::new(OsStr::from_bytes(file)),
        &wanted,
        &client,
        &mut tell,
    )?)
}
