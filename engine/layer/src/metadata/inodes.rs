//! What is stored about every inode: mode, owner, times.

use crate::error::ReadError;
use crate::frozen::{Bits, Column, View};

use super::{TABLE, is_set};

/// The table of inodes, and those of the values that its numbers refer to.
#[derive(Debug)]
pub(super) struct Inodes {
    mode: Column,
    owner: Column,
    group: Column,
    atime: Column,
    mtime: Column,
    ctime: Column,
    modes: Column,
    uids: Column,
    gids: Column,
    times: Times,
}

/// What stored times count from and in.
#[derive(Debug)]
struct Times {
    /// In units of the resolution, since 1970.
    base: u64,
    /// Seconds.
    resolution: u64,
    mtime_only: bool,
}

/// Mode, owner and times of an inode; times in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) atime: u64,
    pub(crate) mtime: u64,
    pub(crate) ctime: u64,
}

impl Inodes {
    /// Reads the tables.
    pub(super) fn read(root: View, options: Option<View>) -> Result<Inodes, ReadError> {
        let list = |id| root.field(id).list().ok_or(TABLE);
        let inodes = list(3)?;
        Ok(Inodes {
            mode: inodes.field(2),
            owner: inodes.field(4),
            group: inodes.field(5),
            atime: inodes.field(6),
            mtime: inodes.field(7),
            ctime: inodes.field(8),
            modes: list(9)?.column(),
            uids: list(7)?.column(),
            gids: list(8)?.column(),
            times: Times::read(root, options),
        })
    }

    /// The number of inodes.
    pub(super) fn len(&self) -> u32 {
        self.mode.len()
    }

    /// What is stored about an inode.
    pub(super) fn get(&self, bits: &Bits, inode: u32) -> Option<Stored> {
        let number = |column: &Column| column.get32(bits, inode);
        let time = |column| Some(self.times.seconds(number(column)?));
        let mtime = time(&self.mtime)?;
        let (atime, ctime) = match self.times.mtime_only {
            true => (mtime, mtime),
            false => (time(&self.atime)?, time(&self.ctime)?),
        };
        Some(Stored {
            mode: self.modes.get32(bits, number(&self.mode)?)?,
            uid: self.uids.get32(bits, number(&self.owner)?)?,
            gid: self.gids.get32(bits, number(&self.group)?)?,
            atime,
            mtime,
            ctime,
        })
    }
}

impl Times {
    fn read(root: View, options: Option<View>) -> Times {
        let resolution = options.and_then(|options| options.field(2).optional());
        Times {
            base: root.field(12).number(),
            resolution: resolution.map_or(1, View::number),
            mtime_only: is_set(options, 1),
        }
    }

    fn seconds(&self, offset: u32) -> u64 {
        let units = self.base.saturating_add(offset.into());
        units.saturating_mul(self.resolution)
    }
}
