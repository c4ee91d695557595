//! The sum of a tool, taken while it is unpacked.

use std::io;

use sha2::{Digest as _, Sha256};

use super::Tool;
use crate::marker;

/// Sums what is written to it, and writes it on.
pub(super) struct Summed<W> {
    sum: Sha256,
    to: W,
}

impl<W> Summed<W> {
    pub(super) fn new(to: W) -> Self {
        let sum = Sha256::new();
        Summed { sum, to }
    }

    /// Whether that was this tool.
    pub(super) fn is(self, tool: &Tool) -> bool {
        marker::hex(&self.sum.finalize()) == tool.sha256
    }
}

impl<W: io::Write> io::Write for Summed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.sum.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}
