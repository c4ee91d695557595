//! What can be seen of a host that refuses namespaces.

use std::fs;
use std::path::Path;

use nix::unistd::geteuid;

/// A program that starts containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outer {
    /// Docker.
    Docker,
    /// Podman.
    Podman,
}

/// Everything that can be a cause.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Whether the caller is real root, or root of a container.
    pub is_root: bool,
    /// Whether the kernel has user namespaces at all.
    pub has_user_namespaces: bool,
    /// A kind of namespace of which there may be none (namespaces(7), "The /proc/sys/user directory").
    pub forbidden: Option<&'static str>,
    /// Whether `kernel.unprivileged_userns_clone`, which some distributions' kernels have, is 0.
    pub switched_off: bool,
    /// Whether AppArmor keeps them from programs that it does not confine (`kernel.apparmor_restrict_unprivileged_userns`).
    pub restricted: bool,
    /// The AppArmor profile that confines the caller.
    pub profile: Option<String>,
    /// Whether the root is none of a mount namespace: the kernel then refuses (clone(2), EPERM).
    pub is_chrooted: bool,
    /// Whether somebody filters the caller's system calls (seccomp(2)).
    pub is_filtered: bool,
    /// Whose container this is in.
    pub outer: Option<Outer>,
}

const KINDS: [&str; 7] = ["user", "mnt", "pid", "ipc", "uts", "cgroup", "net"];

impl Facts {
    /// Reads them from the filesystem whose root is `root`, which is `/` but in tests.
    pub fn read(root: &Path) -> Facts {
        let text = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_default();
        let is = |path: &str, value: &str| text(path).trim() == value;
        let exists = |path: &str| root.join(path).exists();
        let status = text("proc/self/status");
        let filters = status
            .lines()
            .find_map(|line| line.strip_prefix("Seccomp:"));
        Facts {
            is_root: geteuid().is_root(),
            has_user_namespaces: exists("proc/self/ns/user"),
            forbidden: KINDS
                .into_iter()
                .find(|kind| is(&format!("proc/sys/user/max_{kind}_namespaces"), "0")),
            switched_off: is("proc/sys/kernel/unprivileged_userns_clone", "0"),
            restricted: is("proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1"),
            profile: profile(&text("proc/self/attr/apparmor/current")),
            is_chrooted: is_chrooted(&text("proc/self/mountinfo")),
            is_filtered: filters.is_some_and(|mode| mode.trim() != "0"),
            outer: match (exists("run/.containerenv"), exists(".dockerenv")) {
                (true, _) => Some(Outer::Podman),
                (_, true) => Some(Outer::Docker),
                _ => None,
            },
        }
    }
}

/// The name of a profile that is in force. `unconfined` stands alone, and in the place of the mode of a profile that confines nothing.
fn profile(label: &str) -> Option<String> {
    let label = label.trim_matches(['\n', '\0', ' ']);
    let (name, mode) = label.rsplit_once(" (").unwrap_or((label, ""));
    let confines = !name.is_empty() && name != "unconfined" && mode != "unconfined)";
    confines.then(|| name.to_owned())
}

/// A root that nothing is mounted on is none of a mount namespace. The fifth field is where a mount is, as the caller sees it
/// (proc_pid_mountinfo(5)).
fn is_chrooted(mounts: &str) -> bool {
    let mut targets = mounts.lines().filter_map(|line| line.split(' ').nth(4));
    !mounts.is_empty() && !targets.any(|target| target == "/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_read_where_the_kernel_has_them() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let nothing = Facts {
            is_root: geteuid().is_root(),
            ..Facts::default()
        };
        assert_eq!(Facts::read(root.path()), nothing);
        write("proc/self/ns/user", "");
        write("proc/sys/user/max_net_namespaces", "0\n");
        write("proc/sys/user/max_user_namespaces", "10\n");
        write("proc/sys/kernel/unprivileged_userns_clone", "0\n");
        write(
            "proc/sys/kernel/apparmor_restrict_unprivileged_userns",
            "1\n",
        );
        write(
            "proc/self/attr/apparmor/current",
            "docker-default (enforce)\n",
        );
        write(
            "proc/self/mountinfo",
            "67 65 0:21 / /proc rw - proc proc rw\n",
        );
        write(
            "proc/self/status",
            "NoNewPrivs:\t0\nSeccomp:\t2\nSeccomp_filters:\t1\n",
        );
        write(".dockerenv", "");
        let everything = Facts {
            has_user_namespaces: true,
            forbidden: Some("net"),
            switched_off: true,
            restricted: true,
            profile: Some("docker-default".into()),
            is_chrooted: true,
            is_filtered: true,
            outer: Some(Outer::Docker),
            ..nothing
        };
        assert_eq!(Facts::read(root.path()), everything);
    }

    #[test]
    fn a_profile_that_confines_nothing_is_none() {
        for label in ["", "unconfined\n", "bwrap (unconfined)\n"] {
            assert_eq!(profile(label), None);
        }
        assert_eq!(profile("a b (enforce)"), Some("a b".into()));
    }
}
