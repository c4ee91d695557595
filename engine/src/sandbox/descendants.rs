//! Ending what was started where no pid namespace ends it.
//!
//! An instance that shares the host's processes has two that watch each other: its first process and the supervisor. Either
//! takes over the processes whose parents have ended (`PR_SET_CHILD_SUBREAPER` of prctl(2)), and ends them when the
//! other one is gone.

use std::fs;

use nix::sys::prctl;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;

/// From now on every descendant whose parent has ended is a child of this process.
///
/// # Errors
/// As prctl(2).
pub fn adopt() -> nix::Result<()> {
    prctl::set_child_subreaper(true)
}

/// The children of this process that have not been waited for.
pub fn children() -> Vec<Pid> {
    let own = Pid::this().as_raw();
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| {
            let pid = entry.ok()?.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            (parent(&stat)? == own).then(|| Pid::from_raw(pid))
        })
        .collect()
}

/// The parent in a line of `/proc/<pid>/stat`: the second field behind the name, which may hold anything (proc_pid_stat(5)).
fn parent(stat: &str) -> Option<i32> {
    let (_, behind) = stat.rsplit_once(')')?;
    behind.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// Ends every descendant but the children that are `spared`. Whoever is left without a parent by that becomes a child, and
/// is ended next.
pub fn end(spared: &[Pid]) {
    loop {
        let mut others = children();
        others.retain(|child| !spared.contains(child));
        if others.is_empty() {
            return;
        }
        for child in &others {
            let _ = kill(*child, Signal::SIGKILL);
        }
        for child in others {
            let _ = waitpid(child, None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parent_stands_behind_a_name_of_any_kind() {
        assert_eq!(parent("12 (sh) S 7 12 12 0"), Some(7));
        assert_eq!(parent("12 (a) S 1 (b) R 8 1"), Some(8));
        assert_eq!(parent("12"), None);
    }
}
