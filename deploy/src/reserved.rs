//! The contents of a fresh reserved space.

use std::fs;
use std::path::Path;

use flatimage_reserved::{
    FieldValue, Record, RegionDecl, Space, SpaceError, Store, StoreError, Value, declared,
};

use crate::file::{self, FileError, failed};
use crate::settings::Settings;

/// Bytes of a reserved space unless another size is asked for.
pub const DEFAULT_SIZE: u64 = declared::RESERVED_SIZE;

/// The largest reserved space: enough for anything, and small enough to be held in memory.
const MAX_SIZE: u64 = 1 << 30;

/// Why a reserved space cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ReservedError {
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// Smaller than what is declared, or absurdly large.
    #[error(
        "a reserved space cannot have {size} bytes; give {least} to {MAX_SIZE}, a multiple of 4096"
    )]
    Size {
        /// Bytes asked for.
        size: u64,
        /// Bytes that the declared regions need.
        least: u64,
    },
    /// The declaration has no binary form.
    #[error(transparent)]
    Space(#[from] SpaceError),
    /// A setting could not be written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Checks that everything declared fits into `size` bytes.
pub(crate) fn check(size: u64) -> Result<(), ReservedError> {
    let ends = declared::REGIONS.iter().map(|region| region.end());
    let least = ends.max().unwrap_or(0).next_multiple_of(4096);
    if (least..=MAX_SIZE).contains(&size) && size.is_multiple_of(4096) {
        Ok(())
    } else {
        Err(ReservedError::Size { size, least })
    }
}

/// A reserved space of `size` bytes in which every setting but those given has its default, and the region `layers` says that `count` layers
/// take up `length` bytes behind it. It is made in a file of `cache`: only an image's own store writes settings.
pub(crate) fn fresh(
    cache: &Path,
    size: u64,
    (count, length): (u64, u64),
    settings: &Settings,
) -> Result<Vec<u8>, ReservedError> {
    // The fields in declared order.
    let layers = Record(vec![FieldValue::Number(count), FieldValue::Number(length)]);
    let mut values: Vec<(&'static RegionDecl, Value)> =
        vec![(declared::LAYERS, Value::Record(Some(layers)))];
    values.extend(settings.iter().cloned());
    holding(cache, size, &values)
}

/// A reserved space of `size` bytes in which the settings have these values, and all others their defaults. It is made in a
/// file of `cache`.
pub(crate) fn holding(
    cache: &Path,
    size: u64,
    values: &[(&'static RegionDecl, Value)],
) -> Result<Vec<u8>, ReservedError> {
    check(size)?;
    let space = Space {
        size,
        ..declared::SPACE
    };
    let path = cache.join("reserved");
    fs::write(&path, space.blank()?).map_err(failed("write", &path))?;
    let store = Store::open_in(space, &path, 0)?;
    let mut locked = store.lock()?;
    for (region, value) in values {
        if *value != region.default_value() {
            locked.write(region, value)?;
        }
    }
    drop(locked);
    Ok(file::read(&path)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_has_its_default_but_the_layers() {
        let dir = tempfile::tempdir().unwrap();
        let bytes = fresh(dir.path(), DEFAULT_SIZE, (2, 4711), &Settings::default()).unwrap();
        assert_eq!(bytes.len() as u64, DEFAULT_SIZE);
        assert_eq!(
            bytes,
            fresh(dir.path(), DEFAULT_SIZE, (2, 4711), &Settings::default()).unwrap()
        );
        let path = dir.path().join("image");
        fs::write(&path, [&[0; 4096][..], &bytes].concat()).unwrap();
        let store = Store::open(&path, 4096).unwrap();
        let layers = store.config().unwrap().layers.unwrap();
        assert_eq!((layers.count, layers.end), (2, 4711));
        for region in declared::REGIONS
            .iter()
            .filter(|region| region.name != "layers")
        {
            assert_eq!(
                store.value(region).unwrap(),
                region.default_value(),
                "{}",
                region.name
            );
        }
    }

    #[test]
    fn a_size_that_does_not_hold_the_regions_is_refused() {
        for size in [0, 4096, DEFAULT_SIZE + 1, u64::MAX] {
            assert!(
                matches!(check(size), Err(ReservedError::Size { .. })),
                "{size}"
            );
        }
        check(DEFAULT_SIZE).unwrap();
    }
}
