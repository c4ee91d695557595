//! Digests: of files for checksums, and of a stage's inputs to know whether the stage must run again.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Read};
use std::path::PathBuf;

use sha2::{Digest as _, Sha256};

use crate::file::{self, FileError};

/// A SHA-256 sum.
pub(crate) type Sum = [u8; 32];

/// The sum of bytes in memory.
pub(crate) fn of(bytes: &[u8]) -> Sum {
    Sha256::digest(bytes).into()
}

/// The sum of everything a reader yields, read in pieces.
pub(crate) fn of_reader(reader: &mut impl Read) -> io::Result<Sum> {
    let mut hash = Sha256::new();
    let mut piece = vec![0; 1 << 20];
    loop {
        match reader.read(&mut piece) {
            Ok(0) => return Ok(hash.finalize().into()),
            Ok(count) => hash.update(&piece[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// A sum as 64 lower-case hexadecimal digits.
pub(crate) fn hex(sum: &Sum) -> String {
    sum.iter()
        .fold(String::with_capacity(64), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// Collects what a stage's result depends on. Every part is framed by its length, so that no two lists of parts collide.
pub(crate) struct Inputs(Sha256);

impl Inputs {
    /// `stage` keeps the inputs of one stage from passing for those of another.
    pub(crate) fn of_stage(stage: &str) -> Inputs {
        let mut inputs = Inputs(Sha256::new());
        inputs.add(stage);
        inputs
    }

    /// Adds one part.
    pub(crate) fn add(&mut self, part: impl AsRef<[u8]>) {
        let part = part.as_ref();
        self.0.update((part.len() as u64).to_le_bytes());
        self.0.update(part);
    }

    /// Adds the running program: another deploy may make another result of the same inputs.
    pub(crate) fn add_this_program(&mut self) -> Result<(), FileError> {
        self.add(of(&file::read("/proc/self/exe".as_ref())?));
        Ok(())
    }

    /// The sum of all parts.
    pub(crate) fn finish(self) -> Sum {
        self.0.finalize().into()
    }
}

/// The record of the inputs from which a stage's outputs were made.
///
/// It is cleared before the outputs are touched and set when they are complete, so an interrupted stage is never taken for a
/// finished one.
pub(crate) struct Stamp {
    path: PathBuf,
}

impl Stamp {
    /// A record kept in `path`.
    pub(crate) fn at(path: PathBuf) -> Stamp {
        Stamp { path }
    }

    /// Whether the outputs were made from exactly these inputs.
    pub(crate) fn says(&self, inputs: &Sum) -> bool {
        fs::read_to_string(&self.path).is_ok_and(|held| held == hex(inputs))
    }

    /// Forgets; to be called before outputs change.
    pub(crate) fn clear(&self) -> Result<(), FileError> {
        file::remove(&self.path)
    }

    /// Records that the outputs are complete.
    pub(crate) fn set(&self, inputs: &Sum) -> Result<(), FileError> {
        file::write_changed(&self.path, hex(inputs).as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(parts: &[&str]) -> Sum {
        let mut inputs = Inputs::of_stage("test");
        parts.iter().for_each(|part| inputs.add(part));
        inputs.finish()
    }

    #[test]
    fn parts_do_not_run_together() {
        assert_ne!(sum(&["ab", "c"]), sum(&["a", "bc"]));
        assert_ne!(sum(&["a"]), sum(&["a", ""]));
        assert_eq!(sum(&["a", "b"]), sum(&["a", "b"]));
    }

    #[test]
    fn a_reader_has_the_sum_of_its_bytes() {
        let bytes = vec![7; (1 << 20) + 13];
        assert_eq!(of_reader(&mut &bytes[..]).unwrap(), of(&bytes));
        assert!(hex(&of(b"")).starts_with("e3b0c442"));
    }

    #[test]
    fn a_cleared_stamp_says_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let stamp = Stamp::at(dir.path().join("stamp"));
        stamp.clear().unwrap();
        assert!(!stamp.says(&sum(&[])));
        stamp.set(&sum(&[])).unwrap();
        assert!(stamp.says(&sum(&[])) && !stamp.says(&sum(&["a"])));
        stamp.clear().unwrap();
        assert!(!stamp.says(&sum(&[])));
    }
}
