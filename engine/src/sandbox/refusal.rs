//! Why a host refuses what a container needs, and the one thing that mends it.

use std::fs;
use std::io;

use nix::errno::Errno;

use super::failure::{Failure, plain};

/// A setting of the host that refuses user namespaces.
struct Gate {
    path: &'static str,
    refuses: &'static str,
    reason: &'static str,
    mend: &'static str,
}

const GATES: [Gate; 3] = [
    Gate {
        path: "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
        refuses: "1",
        reason: "AppArmor restricts user namespaces",
        mend: "allow them for this file with an AppArmor profile that has `userns,`",
    },
    Gate {
        path: "/proc/sys/kernel/unprivileged_userns_clone",
        refuses: "0",
        reason: "the sysctl kernel.unprivileged_userns_clone is 0",
        mend: "ask an administrator to set it to 1",
    },
    Gate {
        path: "/proc/sys/user/max_user_namespaces",
        refuses: "0",
        reason: "the sysctl user.max_user_namespaces is 0",
        mend: "ask an administrator to raise it",
    },
];

/// Explains that the namespaces could not be made.
pub fn explain(error: &io::Error) -> Failure {
    let closed = GATES
        .iter()
        .find(|gate| fs::read_to_string(gate.path).is_ok_and(|value| value.trim() == gate.refuses));
    let reason = plain(error);
    Failure::ours(match closed {
        Some(Gate {
            reason: gate, mend, ..
        }) => {
            format!("this host gives no namespaces ({reason}): {gate}; {mend}")
        }
        None => format!(
            "this host gives no namespaces ({reason}); inside another container, allow it to \
             nest user namespaces"
        ),
    })
}

/// Explains that a filesystem cannot be served; `who_needs` it begins the sentence.
pub fn explain_fuse(who_needs: &str, error: Errno) -> Failure {
    let mend = match error {
        Errno::ENOENT | Errno::ENODEV | Errno::ENXIO => "load the kernel's module `fuse`",
        Errno::EACCES | Errno::EPERM => "open it to everybody (mode 0666), as distributions do",
        _ => "see what the kernel's log says of it",
    };
    let reason = plain(&error.into());
    Failure::ours(format!(
        "{who_needs} /dev/fuse, which cannot be opened ({reason}); {mend}"
    ))
}
