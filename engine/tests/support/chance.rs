//! Chance that is the same in every run.
#![allow(dead_code, reason = "every test program uses a part of this")]

/// Numbers that look like chance and are the same in every run.
pub struct Chance(pub u64);

impl Chance {
    /// A number from 0 up to, not including, `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) % limit
    }
}
