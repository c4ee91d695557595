//! The filter of system calls.

use std::io;

use flatimage_reserved::Instruction;

use super::check;

/// Denies this process and whatever it starts what `program` denies, for good (seccomp(2)).
///
/// # Errors
/// `EINVAL` where the kernel was built without filters or the program is none, `EACCES` without `no_new_privs`.
pub fn filter_calls(program: &[Instruction]) -> io::Result<()> {
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
    let (operation, flags) = (libc::SECCOMP_SET_MODE_FILTER, 0);
    // SAFETY: the kernel copies `len` instructions, which live until the end of this function.
    check(unsafe { libc::syscall(libc::SYS_seccomp, operation, flags, &raw const program) })?;
    Ok(())
}
