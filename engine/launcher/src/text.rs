//! Texts of a bounded length, without memory of their own.

use core::ffi::CStr;

/// Up to `N - 1` bytes, and the zero byte that ends them for the kernel.
pub struct Text<const N: usize> {
    bytes: [u8; N],
    length: usize,
    fits: bool,
}

impl<const N: usize> Text<N> {
    pub fn new() -> Self {
        Text {
            bytes: [0; N],
            length: 0,
            fits: true,
        }
    }

    /// Appends bytes; what does not fit makes the whole text none.
    pub fn push(&mut self, bytes: &[u8]) {
        let end = self.length + bytes.len();
        match self.bytes.get_mut(self.length..end) {
            Some(place) if end < N => {
                place.copy_from_slice(bytes);
                self.length = end;
            }
            _ => self.fits = false,
        }
    }

    /// Appends a number in decimal.
    pub fn push_number(&mut self, number: u32) {
        if number >= 10 {
            self.push_number(number / 10);
        }
        self.push(&[b'0' + (number % 10) as u8]);
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// For the kernel; `None` when something did not fit, or there is a zero byte in it.
    pub fn c_str(&self) -> Option<&CStr> {
        let ended = self.bytes.get(..=self.length)?;
        CStr::from_bytes_with_nul(ended).ok().filter(|_| self.fits)
    }
}
