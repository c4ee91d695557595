//! Attributes in the shapes of both sides.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::time::{Duration, SystemTime};

use fuser::{FileAttr, FileType as Kind, INodeNo, TimeOrNow};
use rustix::fs::{
    AtFlags, CWD, Dev, FileType, Gid, Mode, Stat, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, Uid,
    chmodat, chownat, fchmod, ftruncate, major, makedev, minor, utimensat,
};
use rustix::io::{Errno, Result};

use crate::tree::through;

/// What is to be changed.
#[derive(Default)]
pub(super) struct Changes {
    pub(super) mode: Option<u32>,
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
    pub(super) size: Option<u64>,
    pub(super) accessed: Option<TimeOrNow>,
    pub(super) modified: Option<TimeOrNow>,
}

impl Changes {
    /// Makes them, on the file that `fd` stands for; `opened` is the same one when the program changes it through a
    /// descriptor of its own.
    pub(super) fn make(&self, fd: &OwnedFd, opened: Option<&File>) -> Result<()> {
        if self.uid.is_some() || self.gid.is_some() {
            let (uid, gid) = (self.uid.map(Uid::from_raw), self.gid.map(Gid::from_raw));
            chownat(fd, "", uid, gid, AtFlags::EMPTY_PATH)?;
        }
        // After the owner, whose change takes bits off.
        if let Some(mode) = self.mode {
            let mode = Mode::from_raw_mode(mode & 0o7777);
            match opened {
                Some(file) => fchmod(file, mode)?,
                None => chmodat(CWD, through(fd), mode, AtFlags::empty())?,
            }
        }
        if let Some(size) = self.size {
            match opened {
                Some(file) => ftruncate(file, size)?,
                None => truncate(fd, size)?,
            }
        }
        if self.accessed.is_some() || self.modified.is_some() {
            let times = Timestamps {
                last_access: timespec(self.accessed),
                last_modification: timespec(self.modified),
            };
            utimensat(fd, "", &times, AtFlags::EMPTY_PATH)?;
        }
        Ok(())
    }
}

fn truncate(fd: &OwnedFd, size: u64) -> Result<()> {
    let file = File::options()
        .write(true)
        .open(through(fd))
        .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    ftruncate(file, size)
}

fn timespec(time: Option<TimeOrNow>) -> Timespec {
    let special = |tv_nsec| Timespec { tv_sec: 0, tv_nsec };
    match time {
        None => special(UTIME_OMIT),
        Some(TimeOrNow::Now) => special(UTIME_NOW),
        Some(TimeOrNow::SpecificTime(time)) => {
            let (seconds, nanoseconds) = match time.duration_since(SystemTime::UNIX_EPOCH) {
                Ok(after) => (after.as_secs() as i64, after.subsec_nanos()),
                Err(before) => {
                    let before = before.duration();
                    let part = before.subsec_nanos();
                    let whole = -(before.as_secs() as i64) - i64::from(part > 0);
                    (whole, (1_000_000_000 - part) % 1_000_000_000)
                }
            };
            Timespec {
                tv_sec: seconds,
                tv_nsec: nanoseconds.into(),
            }
        }
    }
}

/// What the kernel is told of a node.
#[allow(
    clippy::unnecessary_cast,
    reason = "the types differ between architectures"
)]
pub(super) fn attributes(id: u64, stat: &Stat) -> FileAttr {
    FileAttr {
        ino: INodeNo(id),
        size: stat.st_size as u64,
        blocks: stat.st_blocks as u64,
        atime: system_time(stat.st_atime as i64, stat.st_atime_nsec as u32),
        mtime: system_time(stat.st_mtime as i64, stat.st_mtime_nsec as u32),
        ctime: system_time(stat.st_ctime as i64, stat.st_ctime_nsec as u32),
        crtime: SystemTime::UNIX_EPOCH,
        kind: kind(FileType::from_raw_mode(stat.st_mode)),
        perm: (stat.st_mode & 0o7777) as u16,
        nlink: stat.st_nlink as u32,
        uid: stat.st_uid,
        gid: stat.st_gid,
        rdev: encode(stat.st_rdev as Dev),
        blksize: stat.st_blksize as u32,
        flags: 0,
    }
}

fn system_time(seconds: i64, nanoseconds: u32) -> SystemTime {
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let time = match seconds < 0 {
        true => SystemTime::UNIX_EPOCH.checked_sub(whole),
        false => SystemTime::UNIX_EPOCH.checked_add(whole),
    };
    time.and_then(|time| time.checked_add(Duration::new(0, nanoseconds)))
        .unwrap_or(SystemTime::UNIX_EPOCH)
}

/// The kind of a file; what the filesystem below does not tell is said to be a file, as in fuse's own `d_type`.
pub(super) fn kind(kind: FileType) -> Kind {
    match kind {
        FileType::Directory => Kind::Directory,
        FileType::Symlink => Kind::Symlink,
        FileType::Fifo => Kind::NamedPipe,
        FileType::Socket => Kind::Socket,
        FileType::CharacterDevice => Kind::CharDevice,
        FileType::BlockDevice => Kind::BlockDevice,
        FileType::RegularFile | FileType::Unknown => Kind::RegularFile,
    }
}

/// The kernel's 32 bits for a device number (`new_encode_dev` in `linux/kdev_t.h`).
fn encode(device: Dev) -> u32 {
    let (major, minor) = (major(device), minor(device));
    (minor & 0xff) | (major << 8) | ((minor & !0xff) << 12)
}

/// The opposite.
pub(super) fn decode(device: u32) -> Dev {
    makedev(
        (device & 0xf_ff00) >> 8,
        (device & 0xff) | ((device >> 12) & 0xf_ff00),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_numbers_survive() {
        for (major, minor) in [(0, 0), (1, 3), (8, 0x12345), (0xfff, 0xf_ffff)] {
            assert_eq!(decode(encode(makedev(major, minor))), makedev(major, minor));
        }
    }

    #[test]
    fn times_before_1970_survive() {
        for (seconds, nanoseconds) in [
            (0, 0),
            (-1, 0),
            (-1, 999_999_999),
            (-5, 1),
            (1_700_000_000, 5),
        ] {
            let time = system_time(seconds, nanoseconds);
            let is = timespec(Some(TimeOrNow::SpecificTime(time)));
            assert_eq!((is.tv_sec, is.tv_nsec), (seconds, nanoseconds.into()));
        }
    }
}
