//! Writing a file that others execute.
//!
//! Linux refuses to open a file for writing while a process executes it (`ETXTBSY`). A start of the image lasts well
//! below a millisecond before the program has moved to its private copy, so a writer waits for it.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::StoreError;

const FIRST_PAUSE: Duration = Duration::from_micros(200);
const LONGEST_PAUSE: Duration = Duration::from_millis(5);
const PATIENCE: Duration = Duration::from_secs(5);

/// Opens `path` for writing, waiting up to five seconds for those who execute it.
pub fn open_to_write(path: &Path) -> Result<File, StoreError> {
    let started = Instant::now();
    let mut pause = FIRST_PAUSE;
    loop {
        match OpenOptions::new().write(true).open(path) {
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy => {
                if started.elapsed() > PATIENCE {
                    return Err(StoreError::Busy {
                        path: path.to_owned(),
                        pids: executing(path),
                    });
                }
                thread::sleep(pause);
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            opened => {
                return opened.map_err(|source| StoreError::Write {
                    path: path.to_owned(),
                    source,
                });
            }
        }
    }
}

/// The processes that execute `path`, as far as this user may see them.
fn executing(path: &Path) -> String {
    let Ok(image) = fs::metadata(path) else {
        return String::new();
    };
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = processes.filter_map(|process| {
        let pid = process.file_name().into_string().ok()?;
        let program = fs::metadata(process.path().join("exe")).ok()?;
        ((program.dev(), program.ino()) == (image.dev(), image.ino())).then_some(pid)
    });
    pids.collect::<Vec<_>>().join(", ")
}
