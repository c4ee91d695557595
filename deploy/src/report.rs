//! What a build tells about itself while it runs.

use std::fmt;
use std::io::{IsTerminal, Write};
use std::time::Instant;

/// A part of a build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Gathering the tools that every image carries.
    Tools,
    /// Compiling the runtime.
    Compile,
    /// Making the root filesystem.
    Root,
    /// Packing the root filesystem into a layer.
    Compress,
    /// Joining everything to an image.
    Assemble,
    /// Writing the image's checksum.
    Checksum,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Stage::Tools => "tools",
            Stage::Compile => "compile",
            Stage::Root => "root filesystem",
            Stage::Compress => "compress",
            Stage::Assemble => "assemble",
            Stage::Checksum => "checksum",
        })
    }
}

/// Is told how a build goes on. The unit type listens to nothing.
pub trait Report {
    /// A stage begins.
    fn begins(&mut self, _stage: Stage) {}
    /// A stage has done a part of its work, in bytes.
    fn progress(&mut self, _stage: Stage, _done: u64, _total: u64) {}
    /// Something is not as one might expect, and the build goes on.
    fn warns(&mut self, _warning: &str) {}
    /// A stage is done. `unchanged`: it found its work done already.
    fn ends(&mut self, _stage: Stage, _summary: &str, _unchanged: bool) {}
}

impl Report for () {}

/// Reports on standard error: one line a stage, and on a terminal how far the current one is.
pub struct Lines {
    terminal: bool,
    began: Instant,
    percent: u64,
}

impl Lines {
    /// Reports from now on.
    pub fn new() -> Lines {
        Lines {
            terminal: std::io::stderr().is_terminal(),
            began: Instant::now(),
            percent: 0,
        }
    }

    /// Replaces the line under the cursor. Whoever started the build may have closed standard error; it goes on unseen.
    fn transient(&self, text: fmt::Arguments) {
        if self.terminal {
            let mut stderr = std::io::stderr().lock();
            let _ = write!(stderr, "\r\x1b[K{text}");
            let _ = stderr.flush();
        }
    }
}

impl Default for Lines {
    fn default() -> Lines {
        Lines::new()
    }
}

impl Report for Lines {
    fn begins(&mut self, stage: Stage) {
        self.began = Instant::now();
        self.percent = 0;
        // Cargo draws its own progress.
        if stage != Stage::Compile {
            self.transient(format_args!("{stage:<17}…"));
        }
    }

    fn progress(&mut self, stage: Stage, done: u64, total: u64) {
        let percent = done.min(total) * 100 / total.max(1);
        if percent != self.percent {
            self.percent = percent;
            let bar = "#".repeat(percent as usize / 4);
            self.transient(format_args!("{stage:<17}[{bar:<25}] {percent:>3} %"));
        }
    }

    fn warns(&mut self, warning: &str) {
        self.transient(format_args!(""));
        let _ = writeln!(std::io::stderr().lock(), "warning: {warning}");
    }

    fn ends(&mut self, stage: Stage, summary: &str, unchanged: bool) {
        self.transient(format_args!(""));
        let took = self.began.elapsed().as_secs_f64();
        let mut stderr = std::io::stderr().lock();
        let _ = if unchanged {
            writeln!(stderr, "{stage:<17}{summary}: unchanged")
        } else {
            writeln!(stderr, "{stage:<17}{summary} ({took:.1} s)")
        };
    }
}

/// A size for people: `12.3 MB`.
pub(crate) fn bytes(size: u64) -> String {
    match size {
        0..1_000 => format!("{size} B"),
        1_000..1_000_000 => format!("{:.1} kB", size as f64 / 1e3),
        _ => format!("{:.1} MB", size as f64 / 1e6),
    }
}
