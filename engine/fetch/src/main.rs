//! `fim-fetch`: what an image fetches files with. The program that starts runs it; people do not.
//!
//! It reads its request from standard input, because arguments can be read by every user of the host and an address may be
//! nobody else's business: address, file, most bytes, seconds of silence and SHA-256 (or nothing), each ended by a NUL. When
//! standard input ends, whoever wanted the file has gone, and it ends too. Standard output tells how far it is, a line `<bytes>
//! <all, or 0>` now and then. It ends with 0, or with one line on standard error and 1; with 3 when the server says that it has
//! no such file.

use std::error::Error;
use std::ffi::OsStr;
use std::io::{BufRead, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use flatimage_fetch::{Client, FetchError, Wanted, fetch, forget, sum};

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
    let [url, file, most, seconds, expected] = request()?;
    let text = |field| std::str::from_utf8(field);
    let expected = match text(&expected)? {
        "" => None,
        hex => Some(sum(hex).ok_or("no SHA-256")?),
    };
    let file = PathBuf::from(OsStr::from_bytes(&file));
    // What is there when nobody waits any more is kept for the next try, if that can tell what it is.
    let of_no_use = expected.is_none().then(|| file.clone());
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        if let Some(file) = of_no_use {
            forget(&file);
        }
        std::process::exit(1);
    });
    let wanted = Wanted {
        url: text(&url)?,
        sum: expected.as_ref(),
        most: text(&most)?.parse()?,
    };
    let client = Client::alone(Duration::from_secs(text(&seconds)?.parse()?));
    let mut told: Option<Instant> = None;
    let mut tell = |done: u64, all: u64| {
        if done == all || told.is_none_or(|told| told.elapsed() >= PAUSE) {
            told = Some(Instant::now());
            // Nobody may listen any more.
            let _ = writeln!(std::io::stdout(), "{done} {all}");
        }
    };
    Ok(fetch(&file, &wanted, &client, &mut tell)?)
}

/// The fields of the request.
fn request() -> Result<[Vec<u8>; 5], Box<dyn Error>> {
    let mut fields = <[Vec<u8>; 5]>::default();
    let mut stdin = std::io::stdin().lock();
    for field in &mut fields {
        stdin.read_until(0, field)?;
        if field.pop() != Some(0) {
            return Err("this is run by an image, which says what to fetch".into());
        }
    }
    Ok(fields)
}
