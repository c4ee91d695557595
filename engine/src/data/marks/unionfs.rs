//! The marks of unionfs-fuse, and how they become the kernel's and the other way round.
//!
//! unionfs-fuse hides a name of lower branches by an entry `<name>_HIDDEN~` in a tree of its own, beside what it shows
//! (unionfs(8), "Meta data"). It is told to show a directory *in* its branch, so that this tree is in the data directory and
//! neither seen in the container nor packed by a commit. Where the upper directory has a directory of a hidden name, that
//! one hides what is below it: the kernel's opaque directory.
//!
//! It marks `a/b` as hidden without having a directory `a` in the changes, which the kernel's mark needs. Such a directory
//! is copied from the layers, and so the one who translates is who has mounted them: the builder of a root. All of this is
//! done in the data directory as the working directory, while nobody else has the changes mounted. What is cut off is done
//! again: a new mark is there before the old one goes, and the record says that both may be there.

use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder, File, FileTimes, Metadata, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use flatimage_reserved::effect::Stacker;
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use rustix::fs::{XattrFlags, lgetxattr, llistxattr, lsetxattr};
use rustix::io::Errno;

use super::{KERNEL_ATTRIBUTE, NAME, Recorded, UNIONFS_MARKS, recorded, remove_attribute, write};

/// The upper directory in the data directory; unionfs-fuse is told to show what is in it.
const SHOWN: &str = "root";

/// What the name of a hidden file gets.
const HIDDEN: &[u8] = b"_HIDDEN~";

/// How the names begin that libfuse gives to files that are removed while they are open, before 16 hexadecimal digits.
const OPEN: &[u8] = b".fuse_hidden";

/// Makes the kernel's marks in the changes those of unionfs-fuse, before it starts. In the data directory.
///
/// # Errors
/// When they cannot be read or written, or a name is too long to be marked in that way.
pub fn begin() -> io::Result<()> {
    let record = Path::new(NAME);
    if recorded(record) == Recorded::Unionfs {
        return Ok(());
    }
    write(record, Recorded::UnionfsBegun)?;
    let [marks, further] = UNIONFS_MARKS;
    create(Path::new(marks))?;
    match symlink(marks, further) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let mut open = vec![PathBuf::new()];
    while let Some(directory) = open.pop() {
        open.extend(hide(&directory)?);
    }
    write(record, Recorded::Unionfs)
}

/// Whether [`end`] has something to do. In the data directory.
pub fn is_recorded() -> bool {
    matches!(
        recorded(Path::new(NAME)),
        Recorded::Unionfs | Recorded::UnionfsBegun
    )
}

/// Makes the marks of unionfs-fuse the kernel's, before `next` stacks the changes. In the data directory; `lower` shows the
/// layers as they are stacked. A mark in a directory that neither the changes nor the layers have stays as it is.
///
/// # Errors
/// When they cannot be read or written.
pub fn end(lower: &Path, next: Stacker) -> io::Result<()> {
    let record = Path::new(NAME);
    write(record, Recorded::UnionfsBegun)?;
    let marks = Path::new(UNIONFS_MARKS[0]).join(SHOWN);
    let stay = reveal(&marks, Path::new(""), lower)?;
    remove_left_open(Path::new(SHOWN))?;
    if stay {
        return Ok(());
    }
    match next {
        Stacker::FuseOverlayfs => write(record, Recorded::FuseOverlayfs),
        _ => fs::remove_file(record),
    }
}

/// The path of the mark for a path in the container.
fn mark_of(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(OsStr::from_bytes(HIDDEN));
    let directory = path.parent().unwrap_or(Path::new(""));
    Path::new(UNIONFS_MARKS[0])
        .join(SHOWN)
        .join(directory)
        .join(name)
}

/// Marks what a directory of the changes hides. Answers the directories in it.
fn hide(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let upper = Path::new(SHOWN).join(directory);
    let times = times(&fs::symlink_metadata(&upper)?)?;
    let (mut below, mut changed) = (Vec::new(), false);
    for entry in fs::read_dir(&upper)? {
        let entry = entry?;
        let path = directory.join(entry.file_name());
        let kind = entry.file_type()?;
        if kind.is_dir() {
            below.push(path);
        } else if kind.is_char_device() && entry.metadata()?.rdev() == 0 {
            let mark = mark_of(&path);
            create(mark.parent().unwrap_or(Path::new("")))?;
            File::create(&mark)?;
            fs::remove_file(entry.path())?;
            changed = true;
        }
    }
    if !directory.as_os_str().is_empty() && is_opaque(&upper)? {
        create(&mark_of(directory))?;
        remove_attribute(&upper, KERNEL_ATTRIBUTE)?;
    }
    if changed {
        File::open(&upper)?.set_times(times)?;
    }
    Ok(below)
}

/// Makes the marks in `marks` and below it the kernel's; they speak of `directory`. Answers whether some stay.
fn reveal(marks: &Path, directory: &Path, lower: &Path) -> io::Result<bool> {
    let entries = match fs::read_dir(marks) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        entries => entries?,
    };
    let names: io::Result<Vec<OsString>> = entries.map(|entry| Ok(entry?.file_name())).collect();
    let names = names?;
    let hidden: Vec<&[u8]> = names.iter().filter_map(|name| hidden_name(name)).collect();
    let mut stay = false;
    for name in &names {
        let mark = marks.join(name);
        match hidden_name(name) {
            Some(hidden) => {
                let path = directory.join(OsStr::from_bytes(hidden));
                match place(&path, lower)? {
                    true => remove_mark(&mark)?,
                    false => stay = true,
                }
            }
            // All that is below a hidden directory is hidden with it.
            None if hidden.contains(&name.as_bytes()) => fs::remove_dir_all(&mark)?,
            None => {
                stay |= reveal(&mark, &directory.join(name), lower)?;
                // One with marks that stay is not empty.
                let _ = fs::remove_dir(&mark);
            }
        }
    }
    Ok(stay)
}

/// The name that a mark hides.
fn hidden_name(name: &OsStr) -> Option<&[u8]> {
    let hidden = name.as_bytes().strip_suffix(HIDDEN)?;
    (!hidden.is_empty()).then_some(hidden)
}

fn remove_mark(mark: &Path) -> io::Result<()> {
    match fs::symlink_metadata(mark)?.is_dir() {
        true => fs::remove_dir_all(mark),
        false => fs::remove_file(mark),
    }
}

/// Puts the kernel's mark for `path` into the changes; `false` when there is no directory to put it into.
fn place(path: &Path, lower: &Path) -> io::Result<bool> {
    let upper = Path::new(SHOWN).join(path);
    match found(&upper)? {
        Some(found) if found.is_dir() => {
            lsetxattr(&upper, KERNEL_ATTRIBUTE, b"y", XattrFlags::empty())?;
            return Ok(true);
        }
        Some(_) => return Ok(true),
        None => {}
    }
    let parent = path.parent().unwrap_or(Path::new(""));
    if !copy_up(parent, lower)? {
        return Ok(false);
    }
    let parent = Path::new(SHOWN).join(parent);
    let times = times(&fs::symlink_metadata(&parent)?)?;
    mknod(&upper, SFlag::S_IFCHR, Mode::empty(), makedev(0, 0))?;
    File::open(&parent)?.set_times(times)?;
    Ok(true)
}

/// Makes sure that the changes have a directory: as the layers have it. `false` when neither has.
fn copy_up(path: &Path, lower: &Path) -> io::Result<bool> {
    let upper = Path::new(SHOWN).join(path);
    if let Some(found) = found(&upper)? {
        return Ok(found.is_dir());
    }
    let below = lower.join(path);
    let Some(of_layers) = found(&below)?.filter(Metadata::is_dir) else {
        return Ok(false);
    };
    let parent = path.parent().unwrap_or(Path::new(""));
    if !copy_up(parent, lower)? {
        return Ok(false);
    }
    let parent = Path::new(SHOWN).join(parent);
    let of_parent = times(&fs::symlink_metadata(&parent)?)?;
    DirBuilder::new().mode(0o700).create(&upper)?;
    dress(&upper, &below, &of_layers)?;
    File::open(&parent)?.set_times(of_parent)?;
    Ok(true)
}

/// Gives a new directory what the one of the layers has.
fn dress(upper: &Path, below: &Path, of_layers: &Metadata) -> io::Result<()> {
    let made = fs::symlink_metadata(upper)?;
    let (uid, gid) = (of_layers.uid(), of_layers.gid());
    if (made.uid(), made.gid()) != (uid, gid) {
        chown(upper, Some(uid), Some(gid))?;
    }
    for name in attributes(below)? {
        if !name.as_bytes().starts_with(b"user.overlay.") {
            let mut value = vec![0; 1 << 16];
            let length = lgetxattr(below, &name, &mut value)?;
            match lsetxattr(upper, &name, &value[..length], XattrFlags::empty()) {
                Err(Errno::OPNOTSUPP | Errno::PERM) | Ok(()) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    fs::set_permissions(upper, Permissions::from_mode(of_layers.mode() & 0o7777))?;
    File::open(upper)?.set_times(times(of_layers)?)
}

fn attributes(path: &Path) -> io::Result<Vec<OsString>> {
    let mut names = vec![0; 1 << 16];
    let length = match llistxattr(path, &mut names) {
        Err(Errno::OPNOTSUPP) => 0,
        listed => listed?,
    };
    let names = names[..length].split(|byte| *byte == 0);
    Ok(names
        .filter(|name| !name.is_empty())
        .map(|name| OsString::from_vec(name.to_vec()))
        .collect())
}

/// Removes files that were removed while they were open, when their server was killed.
fn remove_left_open(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let (name, kind) = (entry.file_name(), entry.file_type()?);
        if kind.is_dir() {
            remove_left_open(&entry.path())?;
        } else if is_left_open(name.as_bytes()) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn is_left_open(name: &[u8]) -> bool {
    let digits = name.strip_prefix(OPEN);
    digits.is_some_and(|digits| digits.len() == 16 && digits.iter().all(u8::is_ascii_hexdigit))
}

fn create(directory: &Path) -> io::Result<()> {
    DirBuilder::new()
        .mode(0o700)
        .recursive(true)
        .create(directory)
}

fn is_opaque(directory: &Path) -> io::Result<bool> {
    let mut value = [0; 8];
    match lgetxattr(directory, KERNEL_ATTRIBUTE, &mut value) {
        Ok(length) => Ok(value[..length] == *b"y"),
        Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::RANGE) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// What is at a path; `None` when nothing is.
fn found(path: &Path) -> io::Result<Option<Metadata>> {
    match fs::symlink_metadata(path) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Ok(None)
        }
        found => found.map(Some),
    }
}

fn times(found: &Metadata) -> io::Result<FileTimes> {
    Ok(FileTimes::new()
        .set_accessed(found.accessed()?)
        .set_modified(found.modified()?))
}
