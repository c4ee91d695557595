//! Which sources an image was built from, and when they were written.
//!
//! Not when it was built: that would make every image differ. `SOURCE_DATE_EPOCH` overrides the time, as everywhere where
//! builds are to be reproduced.

use std::env;
use std::path::Path;
use std::process::{Command, Stdio};

/// What `fim-version` shows of the sources.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Revision {
    /// The commit, with `-dirty` behind it when files differ from it; `unknown` outside a repository.
    pub(crate) commit: String,
    /// RFC 3339, in UTC.
    pub(crate) timestamp: String,
}

/// The revision of the sources in `workspace`.
pub(crate) fn revision(workspace: &Path) -> Revision {
    let git = |arguments: &[&str]| -> Option<String> {
        let output = Command::new("git")
            .arg("-C")
            .arg(workspace)
            .args(arguments)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .output()
            .ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.trim().to_owned())
    };
    let commit = git(&["rev-parse", "--short=12", "HEAD"]).map(|commit| {
        let changed = git(&["status", "--porcelain", "--untracked-files=no"]);
        let dirty = changed.is_some_and(|changed| !changed.is_empty());
        if dirty {
            format!("{commit}-dirty")
        } else {
            commit
        }
    });
    let given = env::var("SOURCE_DATE_EPOCH").ok();
    let seconds_given = given.or_else(|| git(&["log", "-1", "--format=%ct"]));
    Revision {
        commit: commit.unwrap_or_else(|| "unknown".to_owned()),
        timestamp: rfc3339(seconds_given.and_then(|text| seconds(&text)).unwrap_or(0)),
    }
}

/// The time that `SOURCE_DATE_EPOCH` says, in seconds since 1970. Files that were changed later are said to have been
/// changed then (reproducible-builds.org).
pub(crate) fn given() -> Option<u64> {
    seconds(&env::var("SOURCE_DATE_EPOCH").ok()?)
}

fn seconds(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

/// Seconds since 1970 as `YYYY-MM-DDThh:mm:ssZ`.
fn rfc3339(seconds: u64) -> String {
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = date(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Year, month and day of the month of a day counted from 1970-01-01.
fn date(days: u64) -> (u64, usize, u64) {
    // Whole cycles of the calendar first, so that no input makes the loop long.
    const CYCLE: u64 = 146_097;
    let mut year = 1970 + days / CYCLE * 400;
    let mut left = days % CYCLE;
    let leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    while left >= 365 + u64::from(leap(year)) {
        left -= 365 + u64::from(leap(year));
        year += 1;
    }
    let february = 28 + u64::from(leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if left < length {
            break;
        }
        left -= length;
        month += 1;
    }
    (year, month, left + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_become_dates() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(rfc3339(seconds), text);
        }
    }

    #[test]
    fn sources_outside_a_repository_have_no_commit() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(revision(dir.path()).commit, "unknown");
    }
}
