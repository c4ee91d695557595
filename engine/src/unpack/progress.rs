//! How far unpacking has come, for whoever watches.

use std::io::{IsTerminal, stderr};
use std::sync::atomic::{AtomicU64, Ordering};

/// Characters of the bar.
const WIDTH: usize = 30;

/// A bar on standard error, if that is a terminal.
pub struct Progress {
    total: u64,
    done: AtomicU64,
    shown: AtomicU64,
    is_watched: bool,
}

impl Progress {
    /// Nothing is done of `total` bytes.
    pub fn new(total: u64) -> Progress {
        Progress {
            total,
            done: AtomicU64::new(0),
            shown: AtomicU64::new(0),
            is_watched: stderr().is_terminal(),
        }
    }

    /// So many more bytes are done.
    pub fn add(&self, bytes: u64) {
        let done = self.done.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let percent = (done * 100).checked_div(self.total).unwrap_or(100);
        if self.is_watched && self.shown.fetch_max(percent, Ordering::Relaxed) < percent {
            eprint!("\r{}", bar(percent));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown.load(Ordering::Relaxed) > 0 {
            // The line is the next one's.
            eprint!("\r\x1b[K");
        }
    }
}

fn bar(percent: u64) -> String {
    let full = (percent as usize).min(100) * WIDTH / 100;
    format!(
        "unpacking layer [{:<WIDTH$}] {percent:3} %",
        "=".repeat(full)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_keeps_its_width() {
        assert_eq!(
            bar(0),
            format!("unpacking layer [{}]   0 %", " ".repeat(30))
        );
        assert_eq!(bar(50).len(), bar(100).len());
        assert!(bar(100).contains(&"=".repeat(30)));
    }
}
