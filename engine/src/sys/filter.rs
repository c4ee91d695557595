//! The filter of system calls, and the calls that it asks about (Documentation/userspace-api/seccomp_filter.rst).

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use flatimage_reserved::Instruction;
use libc::c_ulong;
use nix::errno::Errno;
use nix::unistd::Pid;

use super::check;

/// Denies this process and whatever it starts what `program` denies, for good (seccomp(2)).
///
/// Answers where the calls arrive that the program wants answered by somebody; `None` where a filter outside of this
/// one has that place already (`EBUSY`). `alone` is installed then; what it wants answered ends with `ENOSYS`.
///
/// # Errors
/// `EINVAL` where the kernel was built without filters or the program is none, `EACCES` without `no_new_privs`.
pub fn filter_calls(
    program: &[Instruction],
    alone: &dyn Fn() -> Vec<Instruction>,
) -> io::Result<Option<Questions>> {
    let questions = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
    // From Linux 5.19 on only a signal that kills ends the wait for an answer, so that none is half given.
    let patient = questions | libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
    match install(program, patient) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {}
        Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {
            return install(&alone(), 0).map(|_| None);
        }
        result => return result.map(|fd| Some(listener(fd))),
    }
    install(program, questions).map(|fd| Some(listener(fd)))
}

fn install(program: &[Instruction], flags: c_ulong) -> io::Result<RawFd> {
    let mut program: Vec<libc::sock_filter> = program
        .iter()
        .map(|instruction| libc::sock_filter {
            code: instruction.code,
            jt: instruction.if_true,
            jf: instruction.if_false,
            k: instruction.value,
        })
        .collect();
    let len = u16::try_from(program.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let program = libc::sock_fprog {
        len,
        filter: program.as_mut_ptr(),
    };
    let operation = libc::SECCOMP_SET_MODE_FILTER;
    // SAFETY: the kernel copies `len` instructions, which live until this returns.
    let fd =
        check(unsafe { libc::syscall(libc::SYS_seccomp, operation, flags, &raw const program) })?;
    Ok(fd as RawFd)
}

fn listener(fd: RawFd) -> Questions {
    // SAFETY: the kernel has just returned it to us and nobody else knows it.
    Questions(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Where the calls arrive that a filter asks about; readable when there is one (seccomp_unotify(2)). Closed at `execve`.
#[derive(Debug)]
pub struct Questions(OwnedFd);

/// A call that waits for an answer.
#[derive(Clone, Copy, Debug)]
pub struct Question {
    id: u64,
    /// Who makes it: a thread, in the asked process's pid namespace.
    pub caller: Pid,
    /// Its number.
    pub number: u32,
    /// `AUDIT_ARCH_*` of the machine whose number that is.
    pub machine: u32,
    /// Its arguments.
    pub arguments: [u64; 6],
}

impl AsFd for Questions {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Questions {
    /// The next call. Waits for one unless the descriptor is readable.
    ///
    /// # Errors
    /// `ENOENT` when whoever made it was interrupted meanwhile.
    pub fn next(&self) -> io::Result<Question> {
        // SAFETY: plain integers, for which zero is a value; the kernel demands zeros.
        let mut asked: libc::seccomp_notif = unsafe { std::mem::zeroed() };
        self.control(libc::SECCOMP_IOCTL_NOTIF_RECV, &raw mut asked)?;
        Ok(Question {
            id: asked.id,
            caller: Pid::from_raw(asked.pid as i32),
            number: asked.data.nr as u32,
            machine: asked.data.arch,
            arguments: asked.data.args,
        })
    }

    /// Whether the call still waits: what was found out about its caller before was about that process and no other.
    #[must_use]
    pub fn still(&self, question: &Question) -> bool {
        let mut id = question.id;
        self.control(libc::SECCOMP_IOCTL_NOTIF_ID_VALID, &raw mut id)
            .is_ok()
    }

    /// Gives the caller a copy of a descriptor; answers its number there.
    ///
    /// # Errors
    /// `ENOENT` when the call waits no more, `EMFILE` when the caller has too many.
    pub fn give(
        &self,
        question: &Question,
        descriptor: BorrowedFd<'_>,
        close_on_exec: bool,
    ) -> io::Result<i32> {
        let mut given = libc::seccomp_notif_addfd {
            id: question.id,
            flags: 0,
            srcfd: descriptor.as_raw_fd() as u32,
            newfd: 0,
            newfd_flags: if close_on_exec {
                libc::O_CLOEXEC as u32
            } else {
                0
            },
        };
        self.control(libc::SECCOMP_IOCTL_NOTIF_ADDFD, &raw mut given)
    }

    /// Ends the call with a result or an error.
    ///
    /// # Errors
    /// `ENOENT` when the call waits no more.
    pub fn answer(&self, question: &Question, result: Result<i32, Errno>) -> io::Result<()> {
        let mut answer = libc::seccomp_notif_resp {
            id: question.id,
            val: result.unwrap_or(0).into(),
            error: result.err().map_or(0, |error| -(error as i32)),
            flags: 0,
        };
        self.control(libc::SECCOMP_IOCTL_NOTIF_SEND, &raw mut answer)
            .map(drop)
    }

    fn control<T>(&self, request: libc::Ioctl, argument: *mut T) -> io::Result<i32> {
        // SAFETY: each caller passes the structure that belongs to its request, alive and its own.
        let result = check(unsafe { libc::ioctl(self.0.as_raw_fd(), request, argument) }.into())?;
        Ok(result as i32)
    }
}
