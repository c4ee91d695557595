//! Processes: forks into new namespaces, descriptors, the session keyring.

use std::ffi::c_ulong;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::sched::CloneFlags;
use nix::sys::signal::{SigHandler, Signal, signal};
use nix::sys::socket::SockFlag;
use nix::unistd::Pid;

use super::check;

/// Which side of a fork the caller is on.
pub enum Fork {
    /// The process that called; the id of the new process as the caller sees it.
    Parent(Pid),
    /// The new process.
    Child,
}

/// Forks; the child starts in new `namespaces` (`CLONE_NEW*` flags).
///
/// With `CLONE_NEWUSER` among them the child has every capability in the new
/// user namespace, which also owns the other new namespaces (clone(2)).
///
/// The caller must have one thread only: the child of a process with several
/// may allocate while a thread that no longer exists holds the allocator's lock.
///
/// # Errors
/// Whatever clone(2) reports; `ENOSPC` and `EPERM` where user namespaces are limited or refused.
pub fn fork_into(namespaces: CloneFlags) -> io::Result<Fork> {
    let flags = namespaces.bits() as c_ulong | libc::SIGCHLD as c_ulong;
    // SAFETY: a null stack makes clone(2) behave as fork(2): the child runs on a copy of
    // this stack. No flag shares memory, so nothing of the parent's can be changed. The
    // argument order of the first two is the same on x86_64 and aarch64; the others are 0.
    let pid = check(unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) })?;
    Ok(if pid == 0 {
        Fork::Child
    } else {
        Fork::Parent(Pid::from_raw(pid as i32))
    })
}

/// Forks in the same namespaces; as [`fork_into`] with none.
///
/// # Errors
/// Whatever fork(2) reports.
pub fn fork() -> io::Result<Fork> {
    fork_into(CloneFlags::empty())
}

/// Forks; the child's parent is the caller's parent, which is told of its end and whose end it is told of.
///
/// For a process that enters namespaces for somebody else: a new pid namespace is that of children only, so
/// there must be a fork after it was made, and the process that waits must not be in any of them. As with
/// [`fork_into`], the caller must have one thread only.
///
/// # Errors
/// Whatever clone(2) reports; `EINVAL` for the first process of a pid namespace.
pub fn fork_sibling() -> io::Result<Fork> {
    // The signal at the end is the caller's own in any case (clone(2), CLONE_PARENT).
    fork_into(CloneFlags::CLONE_PARENT)
}

/// A descriptor of the process `pid` that is readable once the process has ended (pidfd_open(2)).
///
/// # Errors
/// `ESRCH` when there is no such process; `ENOSYS` before Linux 5.3.
pub fn open_process(pid: Pid) -> io::Result<OwnedFd> {
    // SAFETY: integers only.
    let fd = check(unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0) })?;
    // SAFETY: the kernel has just returned it to us and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// Closes every descriptor from `first` on but those to `keep`, for a process that outlives the one it was forked
/// from. Whatever owned the descriptors must not be used or dropped any more: the caller does not return.
///
/// # Errors
/// `ENOSYS` before Linux 5.9; then the descriptors stay open.
pub fn close_all_but(first: RawFd, keep: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut keep: Vec<RawFd> = keep.iter().map(AsRawFd::as_raw_fd).collect();
    keep.retain(|kept| *kept >= first);
    keep.sort_unstable();
    let mut from = first;
    for kept in keep {
        close_range(from, kept - 1)?;
        from = kept + 1;
    }
    close_range(from, RawFd::MAX)
}

fn close_range(from: RawFd, to: RawFd) -> io::Result<()> {
    if from <= to {
        // SAFETY: integers only. That nothing uses the closed descriptors is the promise of who calls `close_all_but`.
        check(unsafe { libc::syscall(libc::SYS_close_range, from, to, 0) })?;
    }
    Ok(())
}

/// Closes a descriptor in a process that was forked from the one that owns it. As with [`close_all_but`], its owner must
/// not be used or dropped any more.
pub fn close_copy(descriptor: BorrowedFd<'_>) {
    // SAFETY: an integer only. That nothing uses the closed descriptor is the caller's promise.
    unsafe { libc::close(descriptor.as_raw_fd()) };
}

/// The descriptor `number`, which this process was started with, close-on-exec from now on; `None` when there is none. Only for a
/// process that owns nothing yet, and once for each number.
pub fn take_inherited(number: RawFd) -> Option<OwnedFd> {
    if number <= 2 {
        return None;
    }
    // SAFETY: integers only; a descriptor that is not there gives EBADF.
    let marked = unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) };
    // SAFETY: it is open, none of the standard streams, and nothing of this process owns it, as the caller promises.
    (marked == 0).then(|| unsafe { OwnedFd::from_raw_fd(number) })
}

/// Marks every descriptor from `first` on close-on-exec, so that nothing the caller
/// leaked to us reaches the program.
///
/// # Errors
/// `ENOSYS` before Linux 5.9; then each open descriptor is marked one by one.
pub fn close_on_exec_from(first: RawFd) -> io::Result<()> {
    // SAFETY: only descriptor flags change; no memory is passed.
    let done = check(unsafe {
        libc::syscall(
            libc::SYS_close_range,
            first,
            u32::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        )
    });
    match done {
        Ok(_) => Ok(()),
        Err(_) => mark_each_from(first),
    }
}

fn mark_each_from(first: RawFd) -> io::Result<()> {
    for entry in std::fs::read_dir("/proc/self/fd")? {
        let Some(fd) = entry?
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<RawFd>().ok())
        else {
            continue;
        };
        if fd >= first {
            // SAFETY: `fcntl` with F_SETFD takes an integer; a descriptor that is gone gives EBADF.
            unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
        }
    }
    Ok(())
}

/// Replaces the session keyring by a new, empty one: a session keyring is inherited
/// through every namespace (keyrings(7)), so the caller's keys would be readable inside.
///
/// # Errors
/// `ENOSYS` where the kernel has no keyrings; `EDQUOT` when the user has too many.
pub fn join_new_session_keyring() -> io::Result<()> {
    const KEYCTL_JOIN_SESSION_KEYRING: libc::c_int = 1;
    // SAFETY: a null name asks for an anonymous keyring; nothing is dereferenced.
    check(unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, 0) }).map(drop)
}

/// Brings the loopback interface of the current network namespace up.
///
/// # Errors
/// `EPERM` when the caller's user namespace does not own the network namespace.
pub fn bring_loopback_up() -> io::Result<()> {
    // SAFETY: plain integers; the descriptor returned is ours alone.
    let socket = check(i64::from(unsafe {
        libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0)
    }))?;
    // SAFETY: `socket` was just opened and nobody else owns it.
    let socket = unsafe { OwnedFd::from_raw_fd(socket as RawFd) };
    // SAFETY: `ifreq` is plain old data, for which all zeros is a valid value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = *from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: SIOCSIFFLAGS reads one `ifreq`, which lives until the call returns.
    check(i64::from(unsafe {
        libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &request)
    }))
    .map(drop)
}

/// Takes one connection of a listening socket, close-on-exec.
///
/// # Errors
/// As accept(2); `EAGAIN` when there is none and the socket does not wait.
pub fn accept(socket: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let fd = nix::sys::socket::accept4(socket.as_raw_fd(), SockFlag::SOCK_CLOEXEC)?;
    // SAFETY: the kernel has just returned it to us and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The most descriptors that the kernel lets one packet have (`SCM_MAX_FD`): none that a sender adds gets lost half received.
const MOST_DESCRIPTORS: u32 = 253;
/// Bytes for them and their header.
// SAFETY: arithmetic only.
const CONTROL: usize =
    unsafe { libc::CMSG_SPACE(MOST_DESCRIPTORS * size_of::<RawFd>() as u32) } as usize;

/// What the kernel writes descriptors into.
#[repr(C, align(8))]
struct Control([u8; CONTROL]);

/// Waits for one packet on `socket`: its length in bytes (0 when the other end is gone) and the descriptors
/// that came with it, close-on-exec. They are closed when the packet is refused.
///
/// # Errors
/// As recvmsg(2); `EMSGSIZE` for a packet that is longer than `bytes`, which is gone then.
pub fn receive_with_descriptors(
    socket: BorrowedFd<'_>,
    bytes: &mut [u8],
) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut control = Control([0; CONTROL]);
    let mut data = libc::iovec {
        iov_base: bytes.as_mut_ptr().cast(),
        iov_len: bytes.len(),
    };
    // SAFETY: `msghdr` is plain old data, for which all zeros is a valid value.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_iov = &raw mut data;
    header.msg_iovlen = 1;
    header.msg_control = control.0.as_mut_ptr().cast();
    header.msg_controllen = CONTROL as _;
    // SAFETY: the header's buffers and lengths belong together, and live until the call returns.
    let length =
        check(
            unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, libc::MSG_CMSG_CLOEXEC) }
                as libc::c_long,
        )?;
    let owned = descriptors(&header);
    match header.msg_flags & libc::MSG_TRUNC {
        0 => Ok((length as usize, owned)),
        _ => Err(io::Error::from_raw_os_error(libc::EMSGSIZE)),
    }
}

/// Every descriptor that came with a header, also when there were more than could be taken.
fn descriptors(header: &libc::msghdr) -> Vec<OwnedFd> {
    let mut owned = Vec::new();
    // SAFETY: the kernel has filled the header, and its control buffer is still there.
    let mut at = unsafe { libc::CMSG_FIRSTHDR(header) };
    while !at.is_null() {
        // SAFETY: CMSG_FIRSTHDR and CMSG_NXTHDR answer null or a whole header within the buffer.
        let message = unsafe { &*at };
        if (message.cmsg_level, message.cmsg_type) == (libc::SOL_SOCKET, libc::SCM_RIGHTS) {
            // SAFETY: arithmetic on pointers within the buffer.
            let (empty, data) = unsafe { (libc::CMSG_LEN(0) as usize, libc::CMSG_DATA(at)) };
            let count = (message.cmsg_len as usize - empty) / size_of::<RawFd>();
            for index in 0..count {
                // SAFETY: there are `count` descriptors from `data` on, which the kernel has just made for us and nobody
                // else knows.
                owned.push(unsafe {
                    OwnedFd::from_raw_fd(data.cast::<RawFd>().add(index).read_unaligned())
                });
            }
        }
        // SAFETY: as with CMSG_FIRSTHDR.
        at = unsafe { libc::CMSG_NXTHDR(header, at) };
    }
    owned
}

/// Does something while signals are ignored, which what is executed meanwhile goes on with (execve(2)).
///
/// # Errors
/// `EINVAL` for a signal that cannot be ignored.
pub fn while_ignoring<T>(numbers: &[Signal], act: impl FnOnce() -> T) -> nix::Result<T> {
    let mut before = Vec::new();
    for number in numbers {
        // SAFETY: an ignored signal runs no code of ours.
        before.push((*number, unsafe { signal(*number, SigHandler::SigIgn) }?));
    }
    let done = act();
    for (number, handler) in before {
        // SAFETY: it is the handler that was there before.
        unsafe { signal(number, handler) }?;
    }
    Ok(done)
}

/// Gives `number` its default disposition.
///
/// # Errors
/// `EINVAL` for a signal whose disposition cannot change.
pub fn reset_signal(number: Signal) -> nix::Result<()> {
    // SAFETY: the default disposition runs no code of ours.
    unsafe { signal(number, SigHandler::SigDfl) }.map(drop)
}
