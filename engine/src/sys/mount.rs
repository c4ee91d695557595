//! The mount calls that work on descriptors (Linux 5.2 and later, `mount_setattr` 5.12).
//!
//! A mount is built detached, given its attributes, and only then attached to a target
//! that is a descriptor too: there is no moment at which a read-only bind is writable, and
//! no path that could change its meaning between two calls.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use flatimage_reserved::effect::Access;

use super::check;

/// What a mount forbids, beside what the mounted filesystem itself forbids.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MountAttributes {
    /// No writes.
    pub read_only: bool,
    /// Device nodes cannot be opened.
    pub no_devices: bool,
    /// Programs cannot be executed.
    pub no_exec: bool,
}

impl MountAttributes {
    /// Those of what a container may access in this way.
    pub fn of(access: Access) -> MountAttributes {
        MountAttributes {
            read_only: access == Access::Ro,
            no_devices: access != Access::Dev,
            no_exec: false,
        }
    }

    /// Set-user-id bits never count on a mount of ours.
    fn bits(self) -> u64 {
        let flag = |on: bool, bit: u64| if on { bit } else { 0 };
        libc::MOUNT_ATTR_NOSUID
            | flag(self.read_only, libc::MOUNT_ATTR_RDONLY)
            | flag(self.no_devices, libc::MOUNT_ATTR_NODEV)
            | flag(self.no_exec, libc::MOUNT_ATTR_NOEXEC)
    }
}

/// How far a path may lead, see openat2(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolve {
    /// The directory is treated as the root: `..` and absolute links stay below it.
    InRoot,
    /// No symbolic link is followed at all.
    NoSymlinks,
    /// As [`Resolve::NoSymlinks`], and no mount is entered, not even one of the same filesystem.
    SameMount,
}

fn path_string(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes())
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "a path holds a NUL byte"))
}

fn owned(fd: libc::c_long) -> OwnedFd {
    // SAFETY: every caller passes a descriptor that the kernel has just returned to it.
    unsafe { OwnedFd::from_raw_fd(fd as RawFd) }
}

/// Opens `path` below `directory` with `flags` (`O_*`), confined as `resolve` says.
///
/// # Errors
/// As openat2(2); `EXDEV` or `ELOOP` for what `resolve` forbids.
pub fn open_in(
    directory: BorrowedFd<'_>,
    path: &Path,
    flags: libc::c_int,
    resolve: Resolve,
) -> io::Result<OwnedFd> {
    let path = path_string(path)?;
    // SAFETY: `open_how` is plain old data, for which all zeros is a valid value.
    let mut how: libc::open_how = unsafe { std::mem::zeroed() };
    how.flags = (flags | libc::O_CLOEXEC) as u64;
    how.resolve = libc::RESOLVE_NO_MAGICLINKS
        | match resolve {
            Resolve::InRoot => libc::RESOLVE_IN_ROOT,
            Resolve::NoSymlinks => libc::RESOLVE_BENEATH | libc::RESOLVE_NO_SYMLINKS,
            Resolve::SameMount => {
                libc::RESOLVE_BENEATH | libc::RESOLVE_NO_SYMLINKS | libc::RESOLVE_NO_XDEV
            }
        };
    // SAFETY: path and `how` live until the call returns; the size is that of `how`.
    check(unsafe {
        libc::syscall(
            libc::SYS_openat2,
            directory.as_raw_fd(),
            path.as_ptr(),
            &raw const how,
            size_of::<libc::open_how>(),
        )
    })
    .map(owned)
}

/// A detached copy of the mounts at `source`, with those below it.
///
/// # Errors
/// As open_tree(2); `EINVAL` when `source` belongs to another mount namespace.
pub fn clone_tree(source: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let flags = libc::OPEN_TREE_CLONE
        | libc::OPEN_TREE_CLOEXEC
        | libc::AT_EMPTY_PATH as libc::c_uint
        | libc::AT_RECURSIVE as libc::c_uint;
    // SAFETY: the empty path is a constant; with AT_EMPTY_PATH the descriptor is what counts.
    check(unsafe { libc::syscall(libc::SYS_open_tree, source.as_raw_fd(), c"".as_ptr(), flags) })
        .map(owned)
}

/// Adds `attributes` to a detached mount and to those below it.
///
/// # Errors
/// As mount_setattr(2); `ENOSYS` before Linux 5.12.
pub fn set_attributes(mount: BorrowedFd<'_>, attributes: MountAttributes) -> io::Result<()> {
    // SAFETY: `mount_attr` is plain old data, for which all zeros is a valid value.
    let mut change: libc::mount_attr = unsafe { std::mem::zeroed() };
    change.attr_set = attributes.bits();
    change_mount(mount, &change)
}

fn change_mount(mount: BorrowedFd<'_>, change: &libc::mount_attr) -> io::Result<()> {
    // SAFETY: path and `change` live until the call returns; the size is that of `change`.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | libc::AT_RECURSIVE,
            std::ptr::from_ref(change),
            size_of::<libc::mount_attr>(),
        )
    })
    .map(drop)
}

/// Has a detached mount, and those below it, show and store the ids that are those of the user namespace `user` instead of the host's
/// (mount_setattr(2), `MOUNT_ATTR_IDMAP`).
///
/// # Errors
/// `EINVAL` when one of the filesystems does not allow it, `EPERM` without the rights of the user namespace that it was mounted in.
pub fn map_ids(mount: BorrowedFd<'_>, user: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: `mount_attr` is plain old data, for which all zeros is a valid value.
    let mut change: libc::mount_attr = unsafe { std::mem::zeroed() };
    change.attr_set = libc::MOUNT_ATTR_IDMAP;
    change.userns_fd = user.as_raw_fd() as u64;
    change_mount(mount, &change)
}

/// Attaches a detached mount on top of `target`.
///
/// # Errors
/// As move_mount(2).
pub fn move_mount(mount: BorrowedFd<'_>, target: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: both paths are the empty constant; with the EMPTY_PATH flags only the
    // descriptors count.
    check(unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            mount.as_raw_fd(),
            c"".as_ptr(),
            target.as_raw_fd(),
            c"".as_ptr(),
            libc::MOVE_MOUNT_F_EMPTY_PATH | libc::MOVE_MOUNT_T_EMPTY_PATH,
        )
    })
    .map(drop)
}

const FSCONFIG_SET_FLAG: libc::c_uint = 0;
const FSCONFIG_SET_STRING: libc::c_uint = 1;
const FSCONFIG_CMD_CREATE: libc::c_uint = 6;

fn configure(
    context: BorrowedFd<'_>,
    command: libc::c_uint,
    key: Option<&CStr>,
    value: Option<&CStr>,
) -> io::Result<()> {
    let pointer = |text: Option<&CStr>| text.map_or(std::ptr::null(), CStr::as_ptr);
    // SAFETY: both strings live until the call returns; null is what the commands without
    // a key or value ask for.
    check(unsafe {
        libc::syscall(
            libc::SYS_fsconfig,
            context.as_raw_fd(),
            command,
            pointer(key),
            pointer(value),
            0,
        )
    })
    .map(drop)
}

/// A new, detached filesystem of `kind` with `options`: a flag when the value is empty, a
/// string otherwise (at most 255 bytes, which is fsconfig(2)'s limit).
///
/// # Errors
/// As fsopen(2), fsconfig(2) and fsmount(2).
pub fn create_filesystem(
    kind: &CStr,
    options: &[(&CStr, &CStr)],
    attributes: MountAttributes,
) -> io::Result<OwnedFd> {
    const FSOPEN_CLOEXEC: libc::c_uint = 1;
    const FSMOUNT_CLOEXEC: libc::c_uint = 1;
    // SAFETY: `kind` lives until the call returns.
    let context = check(unsafe { libc::syscall(libc::SYS_fsopen, kind.as_ptr(), FSOPEN_CLOEXEC) })
        .map(owned)?;
    for (key, value) in options {
        if value.is_empty() {
            configure(context.as_fd(), FSCONFIG_SET_FLAG, Some(key), None)?;
        } else {
            configure(context.as_fd(), FSCONFIG_SET_STRING, Some(key), Some(value))?;
        }
    }
    configure(context.as_fd(), FSCONFIG_CMD_CREATE, None, None)?;
    // SAFETY: descriptor and integers only.
    check(unsafe {
        libc::syscall(
            libc::SYS_fsmount,
            context.as_raw_fd(),
            FSMOUNT_CLOEXEC,
            attributes.bits(),
        )
    })
    .map(owned)
}
