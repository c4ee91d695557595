//! How the changes say what was deleted, and that every overlay understands it.
//!
//! The kernel and fuse-overlayfs mark a deleted file with a character device 0:0. That a directory hides what is below it the kernel
//! marks with the attribute `user.overlay.opaque`, which fuse-overlayfs reads, and does not write: it has an attribute and
//! files of names of its own, which the kernel would show. So `<data>/overlay` records that it may have written some,
//! before it does, and before the kernel stacks the changes, or they are packed, its marks are made the kernel's.
//! Whenever that is cut off it is done again: a directory has the new mark before the old ones go, and the record goes
//! last.
//!
//! unionfs-fuse knows none of these marks and has its own elsewhere: [`unionfs`].

pub mod unionfs;

use std::ffi::OsStr;
use std::fs::{self, DirEntry, File, FileTimes, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use flatimage_reserved::effect::Stacker;
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use nix::unistd::fchdir;
use rustix::fs::{XattrFlags, lgetxattr, lremovexattr, lsetxattr};
use rustix::io::Errno;

use super::{DataError, Directory};
use crate::commit::inside;
use crate::plan::IdMap;
use crate::sandbox::plain;

/// The name of the record in the data directory.
pub const NAME: &str = "overlay";
/// That name while it is written.
pub const UNFINISHED: &str = "overlay.new";
/// Where unionfs-fuse has its marks, in the data directory: the names of version 1 and of later ones, of which the second is
/// a link to the first.
pub const UNIONFS_MARKS: [&str; 2] = [".unionfs-fuse", ".unionfs"];

/// What fuse-overlayfs puts before the name of what it hides, where it makes no device.
const HIDES: &[u8] = b".wh.";
/// What it puts into a directory that hides what is below.
const OPAQUE: [&str; 2] = [".wh..wh..opq", ".wh..opq"];
/// Its attribute of such a directory, and that of one which was copied up.
const OPAQUE_ATTRIBUTE: &str = "user.fuseoverlayfs.opaque";
const ORIGIN_ATTRIBUTE: &str = "user.fuseoverlayfs.origin";
/// The kernel's attribute of such a directory (Documentation/filesystems/overlayfs.rst).
const KERNEL_ATTRIBUTE: &str = "user.overlay.opaque";

impl Directory {
    /// Makes the marks in the changes such as `stacker` reads. Nobody may have them mounted.
    ///
    /// # Errors
    /// When they cannot be read or written; they are then marked in both ways.
    pub fn mark_for(&self, stacker: Stacker, map: &IdMap) -> Result<(), DataError> {
        let record = self.path.join(NAME);
        let recorded = recorded(&record);
        let translate = || {
            self.translate(map)?;
            fs::remove_file(&record).map_err(|error| plain(&error))
        };
        let done = match (stacker, recorded) {
            // Whoever builds the root does it, because it takes the layers: see there.
            (_, Recorded::Unionfs | Recorded::UnionfsBegun) => Ok(()),
            (Stacker::Kernel | Stacker::UnionfsFuse, Recorded::FuseOverlayfs) => translate(),
            (Stacker::FuseOverlayfs, Recorded::Nobody) => {
                write(&record, Recorded::FuseOverlayfs).map_err(|error| plain(&error))
            }
            _ => Ok(()),
        };
        done.map_err(|reason| DataError::Marks {
            path: self.path.clone(),
            reason,
        })
    }

    /// Whether there are marks of unionfs-fuse, which only a start can make the kernel's.
    pub fn has_marks_of_unionfs(&self) -> bool {
        are_of_unionfs(&self.path)
    }

    fn translate(&self, map: &IdMap) -> Result<(), String> {
        let mut options = OpenOptions::new();
        // Whatever its mode: only the process in there has to enter it.
        options
            .read(true)
            .custom_flags(libc::O_PATH | libc::O_DIRECTORY | libc::O_NOFOLLOW);
        let root = match options.open(self.path.join("root")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            root => root.map_err(|error| plain(&error))?,
        };
        inside(map, || {
            fchdir(root.as_fd()).map_err(|error| plain(&error.into()))?;
            translate_here().map(|()| String::new())
        })
        .map(drop)
    }
}

/// Whether there are marks of unionfs-fuse in the data directory `data`.
pub fn are_of_unionfs(data: &Path) -> bool {
    matches!(
        recorded(&data.join(NAME)),
        Recorded::Unionfs | Recorded::UnionfsBegun
    )
}

/// Whose marks there may be, beside the kernel's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Recorded {
    Nobody,
    FuseOverlayfs,
    /// Some are the kernel's still, or again.
    UnionfsBegun,
    Unionfs,
}

impl Recorded {
    const ALL: [(Recorded, &str); 3] = [
        (Recorded::FuseOverlayfs, "fuse-overlayfs\n"),
        (Recorded::UnionfsBegun, "unionfs-fuse begun\n"),
        (Recorded::Unionfs, "unionfs-fuse\n"),
    ];
}

/// What the record says. One that nobody can read was left by a program that knew fuse-overlayfs only.
fn recorded(record: &Path) -> Recorded {
    let found = match fs::symlink_metadata(record) {
        Err(_) => return Recorded::Nobody,
        Ok(_) => fs::read(record).unwrap_or_default(),
    };
    let mut all = Recorded::ALL.into_iter();
    let known = all.find(|(_, text)| found == text.as_bytes());
    known.map_or(Recorded::FuseOverlayfs, |(recorded, _)| recorded)
}

/// Writes the record, in one step and before anything that it speaks of.
fn write(record: &Path, what: Recorded) -> io::Result<()> {
    let text = Recorded::ALL.into_iter().find(|(one, _)| *one == what);
    let unfinished = record.with_extension("new");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    options.mode(0o600).custom_flags(libc::O_NOFOLLOW);
    let mut file = options.open(&unfinished)?;
    file.write_all(text.map_or("", |(_, text)| text).as_bytes())?;
    // A crash must not leave marks without the record.
    file.sync_all()?;
    fs::rename(&unfinished, record)?;
    let directory = record.parent().filter(|path| !path.as_os_str().is_empty());
    File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
}

/// Translates everything below the working directory.
fn translate_here() -> Result<(), String> {
    let mut open = vec![PathBuf::from(".")];
    while let Some(directory) = open.pop() {
        let words = |error: io::Error| format!("{}: {}", directory.display(), plain(&error));
        open.extend(translate(&directory).map_err(words)?);
    }
    Ok(())
}

/// Translates one directory. Answers those in it.
fn translate(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let found = fs::symlink_metadata(directory)?;
    let times = FileTimes::new()
        .set_accessed(found.accessed()?)
        .set_modified(found.modified()?);
    let mut below = Vec::new();
    let mut marks = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            below.push(entry.path());
        } else if is_mark(&entry)? {
            marks.push(entry.file_name());
        } else if kind.is_file() {
            remove_attribute(&entry.path(), ORIGIN_ATTRIBUTE)?;
        }
    }
    let is_opaque = marks.iter().any(|mark| mark == OPAQUE[0]);
    if is_opaque || lgetxattr(directory, OPAQUE_ATTRIBUTE, &mut [0; 1]) == Ok(1) {
        lsetxattr(directory, KERNEL_ATTRIBUTE, b"y", XattrFlags::empty())?;
    }
    for mark in &marks {
        replace(directory, mark)?;
    }
    remove_attribute(directory, OPAQUE_ATTRIBUTE)?;
    remove_attribute(directory, ORIGIN_ATTRIBUTE)?;
    if !marks.is_empty() {
        File::open(directory)?.set_times(times)?;
    }
    Ok(below)
}

/// Whether an entry is a mark: an empty file of mode 0700, which is how they are made where there can be no devices, or the
/// device that comes with an opaque directory. A program's own file of such a name is none: under the kernel it may have any.
fn is_mark(entry: &DirEntry) -> io::Result<bool> {
    let name = entry.file_name();
    if !name.as_bytes().starts_with(HIDES) {
        return Ok(false);
    }
    let found = entry.metadata()?;
    let kind = found.file_type();
    let is_file = kind.is_file() && found.len() == 0 && found.mode() & 0o7777 == 0o700;
    let is_device = kind.is_char_device() && found.rdev() == 0 && name == OPAQUE[1];
    Ok(is_file || is_device)
}

/// Puts the kernel's mark for a deleted file in the place of another.
fn replace(directory: &Path, mark: &OsStr) -> io::Result<()> {
    let hidden = directory.join(OsStr::from_bytes(&mark.as_bytes()[HIDES.len()..]));
    let is_for_all = OPAQUE.iter().any(|name| mark == *name);
    if !is_for_all && fs::symlink_metadata(&hidden).is_err() {
        mknod(&hidden, SFlag::S_IFCHR, Mode::empty(), makedev(0, 0))?;
    }
    fs::remove_file(directory.join(mark))
}

fn remove_attribute(path: &Path, name: &str) -> io::Result<()> {
    match lremovexattr(path, name) {
        Err(error) if ![Errno::NODATA, Errno::OPNOTSUPP].contains(&error) => Err(error.into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_marks_of_fuse_overlayfs_become_those_of_the_kernel() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        fs::create_dir(at("new")).unwrap();
        for name in [
            "new/.wh..wh..opq",
            "new/.wh.gone",
            "new/.wh.own",
            "new/kept",
            "kept",
        ] {
            fs::write(at(name), "").unwrap();
        }
        for mark in ["new/.wh..wh..opq", "new/.wh.gone"] {
            fs::set_permissions(at(mark), Permissions::from_mode(0o700)).unwrap();
        }
        let attribute = |name| lsetxattr(at(name), ORIGIN_ATTRIBUTE, b"x", XattrFlags::empty());
        attribute("new/kept").unwrap();
        let before = fs::metadata(at("new")).unwrap().modified().unwrap();
        let below = translate(place.path()).unwrap();
        assert_eq!(below, [at("new")]);
        translate(&at("new")).unwrap();
        let mut value = [0; 1];
        assert_eq!(lgetxattr(at("new"), KERNEL_ATTRIBUTE, &mut value), Ok(1));
        assert!(lgetxattr(at("new/kept"), ORIGIN_ATTRIBUTE, &mut value).is_err());
        let mut names: Vec<_> = fs::read_dir(at("new"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        assert_eq!(names, [".wh.own", "gone", "kept"]);
        assert_eq!(fs::metadata(at("new")).unwrap().modified().unwrap(), before);
    }
}
