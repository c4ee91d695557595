//! What a caller can say about packing.

use std::path::PathBuf;

use super::PackError;

/// Smallest and largest block sizes, as base-2 logarithms of bytes.
const BLOCK_SIZES: std::ops::RangeInclusive<u32> = 12..=26;

/// How to pack.
#[derive(Clone, Debug)]
pub struct PackOptions {
    /// From 0, which is fast, to 9, which is small.
    pub level: u8,
    /// Base-2 logarithm of the block size in bytes, from 12 to 26. Reading any byte decompresses its block.
    pub block_size_log2: u32,
    /// Threads that compress.
    pub threads: usize,
    /// Which owners are recorded.
    pub owners: Owners,
    /// What is left out, with everything below it: paths from the directory that is packed, without a leading `/`.
    pub exclude: Vec<PathBuf>,
    /// The latest time of change that is recorded, in seconds since 1970; later ones become this.
    pub latest_mtime: Option<u64>,
}

/// The owners that are recorded. They count for files, for the entries of access control lists and for whom file
/// capabilities belong to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Owners {
    /// Those of the files on disk.
    #[default]
    AsFound,
    /// Those that the ids on disk are mapped to. What is in none of the ranges becomes 0, so no range at all gives
    /// everything to root.
    Mapped {
        /// For owners.
        uids: Vec<IdRange>,
        /// For groups.
        gids: Vec<IdRange>,
    },
}

/// A range of ids, mapped like a line of `/proc/<pid>/uid_map` (`user_namespaces(7)`), seen from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdRange {
    /// The first id on disk.
    pub found: u32,
    /// What it is recorded as.
    pub recorded: u32,
    /// The number of ids.
    pub count: u32,
}

impl Owners {
    /// What the owner `found` is recorded as.
    pub(super) fn uid(&self, found: u32) -> u32 {
        match self {
            Owners::AsFound => found,
            Owners::Mapped { uids, .. } => map(uids, found),
        }
    }

    /// What the group `found` is recorded as.
    pub(super) fn gid(&self, found: u32) -> u32 {
        match self {
            Owners::AsFound => found,
            Owners::Mapped { gids, .. } => map(gids, found),
        }
    }
}

fn map(ranges: &[IdRange], found: u32) -> u32 {
    let mapped = ranges.iter().find_map(|range| {
        let distance = found.checked_sub(range.found)?;
        (distance < range.count).then(|| range.recorded.saturating_add(distance))
    });
    mapped.unwrap_or(0)
}

impl Default for PackOptions {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, |count| count.get());
        PackOptions {
            level: 7,
            block_size_log2: 17,
            threads,
            owners: Owners::AsFound,
            exclude: Vec::new(),
            latest_mtime: None,
        }
    }
}

impl PackOptions {
    /// Refuses what is out of range.
    pub(super) fn check(&self) -> Result<(), PackError> {
        if self.level > 9 {
            return Err(PackError::Options("the compression level is from 0 to 9"));
        }
        if !BLOCK_SIZES.contains(&self.block_size_log2) {
            return Err(PackError::Options(
                "the block size is from 2^12 to 2^26 bytes",
            ));
        }
        Ok(())
    }

    /// The level of zstd that a level stands for. A Debian tree in blocks of 128 KiB takes at 14 as many bytes as squashfs
    /// does at 19, and a third of the time.
    pub(super) fn zstd_level(&self) -> i32 {
        const LEVELS: [i32; 10] = [1, 2, 3, 5, 7, 9, 11, 14, 19, 22];
        LEVELS[usize::from(self.level.min(9))]
    }

    /// What a time of change is recorded as.
    pub(super) fn mtime(&self, found: u64) -> u64 {
        self.latest_mtime.map_or(found, |latest| found.min(latest))
    }

    /// Bytes.
    pub(super) fn block_size(&self) -> usize {
        1 << self
            .block_size_log2
            .clamp(*BLOCK_SIZES.start(), *BLOCK_SIZES.end())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_mapped_by_the_range_they_are_in() {
        let range = |found, recorded, count| IdRange {
            found,
            recorded,
            count,
        };
        let owners = Owners::Mapped {
            uids: vec![range(1000, 0, 1), range(100_000, 1, 65_536)],
            gids: vec![range(u32::MAX, 7, 9)],
        };
        let pairs = [(1000, 0), (100_000, 1), (165_535, 65_536), (165_536, 0)];
        for (found, recorded) in pairs {
            assert_eq!(owners.uid(found), recorded, "{found}");
        }
        assert_eq!(owners.gid(u32::MAX), 7);
        assert_eq!(owners.gid(5), 0);
        assert_eq!(Owners::AsFound.uid(5), 5);
    }
}
