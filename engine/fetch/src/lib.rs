//! Files that are fetched by HTTP and HTTPS: whole, checked, and resumed where they were cut off.
//!
//! Whoever builds images uses this as a library. Every image carries the program `fim-fetch` that is made of it (`main.rs`):
//! code for HTTPS is large and rarely needed, and the program that starts must be small.

mod client;
mod download;
mod names;
mod part;

pub use client::{Client, PATIENCE};
pub use download::{FetchError, Wanted, fetch};
pub use part::forget;

/// A SHA-256 sum.
pub type Sum = [u8; 32];

/// The sum that 64 hexadecimal digits are.
#[must_use]
pub fn sum(hex: &str) -> Option<Sum> {
    let mut sum = Sum::default();
    let is_hex = hex.len() == 2 * sum.len() && hex.bytes().all(|digit| digit.is_ascii_hexdigit());
    for (byte, place) in sum.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(hex.get(place..place + 2).filter(|_| is_hex)?, 16).ok()?;
    }
    Some(sum)
}

/// A sum as 64 lower-case hexadecimal digits.
#[must_use]
pub fn hex(sum: &Sum) -> String {
    sum.iter().map(|byte| format!("{byte:02x}")).collect()
}
