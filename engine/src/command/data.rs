//! `fim-data`: where the changes are, and an end to them.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::Path;

use serde::Serialize;

use super::{Session, json, print};
use crate::commit::{disk_usage_here, inside};
use crate::data::{self, Directory, Location, ids};
use crate::sandbox::{self, Failure, plain};

/// What is known of a data directory.
#[derive(Serialize)]
struct Shown {
    path: String,
    /// Why it is there.
    because: &'static str,
    exists: bool,
    /// What its files take on the disk.
    bytes: u64,
    /// Which ids of the host they have, in words.
    ids: Option<String>,
    /// Who uses it.
    pids: Vec<u32>,
}

impl Session {
    /// Prints where the data directory is, how large, and who uses it.
    pub(super) fn show_data(&self, as_json: bool) -> Result<u8, Failure> {
        let shown = shown(&self.location())?;
        print(&match as_json {
            true => format!("{}\n", json(&shown)?),
            false => lines(&shown),
        })
    }

    /// Removes the data directory.
    pub(super) fn purge_data(&self) -> Result<u8, Failure> {
        let location = self.location();
        match data::existing(&location.path)? {
            None => eprintln!("there is no data directory {}", location.path.display()),
            Some(directory) => {
                let alone = directory.exclusive()?;
                sandbox::mend(&alone.directory.path);
                alone.purge()?;
            }
        }
        Ok(0)
    }
}

fn shown(location: &Location) -> Result<Shown, Failure> {
    let directory = data::existing(&location.path)?;
    let (bytes, ids, pids) = match &directory {
        None => (0, None, Vec::new()),
        Some(directory) => (size(directory)?, recorded(directory)?, directory.users()?),
    };
    Ok(Shown {
        path: location.path.display().to_string(),
        because: location.origin.words(),
        exists: directory.is_some(),
        bytes,
        ids,
        pids,
    })
}

fn recorded(directory: &Directory) -> Result<Option<String>, Failure> {
    let line = ids::recorded(&directory.path)
        .map_err(|error| unreadable(&directory.path, &plain(&error)))?;
    Ok(line.map(|line| ids::words(&line)))
}

/// What programs closed to their owner can be read by root of the container only.
fn size(directory: &Directory) -> Result<u64, Failure> {
    let opened =
        File::open(&directory.path).map_err(|error| unreadable(&directory.path, &plain(&error)))?;
    let opened = OwnedFd::from(opened);
    let counted = inside(&directory.map()?, || {
        nix::unistd::fchdir(&opened).map_err(|error| error.desc().to_lowercase())?;
        Ok(disk_usage_here()?.to_string())
    });
    counted
        .and_then(|bytes| bytes.parse().map_err(|_| "no number came back".to_owned()))
        .map_err(|reason| unreadable(&directory.path, &reason))
}

fn unreadable(path: &Path, reason: &str) -> Failure {
    let path = path.display();
    Failure::ours(format!(
        "cannot read the data directory {path}: {reason}; run this as its owner"
    ))
}

fn lines(shown: &Shown) -> String {
    let Shown { path, because, .. } = shown;
    let head = format!("path   {path} ({because})\n");
    if !shown.exists {
        return format!("{head}size   nothing has been changed yet\n");
    }
    let pids: Vec<String> = shown.pids.iter().map(u32::to_string).collect();
    let users = match pids.is_empty() {
        true => "nobody".to_owned(),
        false => format!("process {}", pids.join(", ")),
    };
    let ids = shown.ids.as_deref().unwrap_or("none yet");
    format!(
        "{head}size   {} bytes\nids    {ids}\nusers  {users}\n",
        shown.bytes
    )
}
