//! Capabilities of the calling thread (capabilities(7)).

use std::io;

use super::check;

/// A set of capabilities, one bit each, numbered as in `linux/capability.h`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities(pub u64);

impl Capabilities {
    /// Whether the capability with this number is in the set.
    pub fn contains(self, number: u32) -> bool {
        number < 64 && self.0 & (1 << number) != 0
    }
}

/// The highest number that `PR_CAPBSET_DROP` is tried with; the kernel answers
/// `EINVAL` for the first one that it does not know.
const LAST_POSSIBLE: u32 = 63;

/// Removes every capability that is not in `keep` from the bounding set, so that no
/// later `execve` can give it back, whatever the uid.
///
/// # Errors
/// `EPERM` without `CAP_SETPCAP`.
pub fn drop_bounding_set(keep: Capabilities) -> io::Result<()> {
    for number in (0..=LAST_POSSIBLE).filter(|number| !keep.contains(*number)) {
        // SAFETY: prctl with integers only.
        let result =
            unsafe { libc::prctl(libc::PR_CAPBSET_DROP, number as libc::c_ulong, 0, 0, 0) };
        if result < 0 {
            let error = io::Error::last_os_error();
            if error.raw_os_error() == Some(libc::EINVAL) {
                break;
            }
            return Err(error);
        }
    }
    Ok(())
}

#[repr(C)]
struct Header {
    version: u32,
    pid: libc::c_int,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Data {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// `_LINUX_CAPABILITY_VERSION_3`: two 32-bit words a set.
const VERSION_3: u32 = 0x2008_0522;

/// Makes `set` the thread's effective and permitted set and empties the inheritable one.
///
/// # Errors
/// `EPERM` when `set` has what the permitted set lacks.
pub fn set_capabilities(set: Capabilities) -> io::Result<()> {
    let header = Header {
        version: VERSION_3,
        pid: 0,
    };
    let word = |shift: u32| {
        let bits = (set.0 >> shift) as u32;
        Data {
            effective: bits,
            permitted: bits,
            inheritable: 0,
        }
    };
    let data = [word(0), word(32)];
    // SAFETY: version 3 reads one header and two data elements, both alive during the call.
    check(unsafe { libc::syscall(libc::SYS_capset, &raw const header, data.as_ptr()) }).map(drop)
}
