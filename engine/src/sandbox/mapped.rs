//! Bindings of real root's containers, whose ids are others on the host.
//!
//! Uid 0 of such a container is the host's 524288, which may not even enter root's home directory. A mount can have a map of its own
//! (mount_setattr(2), `MOUNT_ATTR_IDMAP`): through it the container sees the ids that the files have, and what it
//! writes has those. So what is bound is to the program what it is to the caller, as for an ordinary user. Only who has the rights of
//! the filesystem's own user namespace may make such a mount, which is the supervisor, before anything is entered; and not every
//! filesystem allows it.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use flatimage_reserved::effect::Access;
use nix::sys::stat::fstat;

use super::place;
use crate::plan::{Action, DEFAULT, IdMap, Plan};
use crate::sys::{MountAttributes, clone_tree, map_ids, set_attributes};

/// Detached mounts by target.
pub type Mapped = HashMap<PathBuf, OwnedFd>;

/// Those of the bindings that settings asked for. `user` is the user namespace of the root.
pub fn mounts(plan: &Plan, user: &OwnedFd, warn: &dyn Fn(&str)) -> Mapped {
    let mut mapped = Mapped::new();
    if !matches!(plan.identity.map, IdMap::Range { .. }) {
        return mapped;
    }
    for step in plan.steps.iter().filter(|step| step.cause != DEFAULT) {
        let Action::Bind {
            source,
            target,
            access,
            ..
        } = &step.action
        else {
            continue;
        };
        let Ok(opened) = place::stage(source) else {
            // Whether that is an error is decided where it is bound.
            continue;
        };
        match mount(&opened, *access, user) {
            Ok(mount) => drop(mapped.insert(target.clone(), mount)),
            // The kernel's own have no owners that would matter.
            Err(_) if *access != Access::Rw || is_interface(source) => {}
            Err(_) => warn(&format!(
                "{}: the filesystem of {} ({}) shows no ids but its own; in the container nothing there can be written but what everybody may write",
                step.cause,
                source.display(),
                filesystem(&opened),
            )),
        }
    }
    mapped
}

fn mount(source: &OwnedFd, access: Access, user: &OwnedFd) -> io::Result<OwnedFd> {
    let mount = clone_tree(source.as_fd())?;
    map_ids(mount.as_fd(), user.as_fd())?;
    set_attributes(mount.as_fd(), MountAttributes::of(access))?;
    Ok(mount)
}

fn is_interface(path: &Path) -> bool {
    path.starts_with("/proc") || path.starts_with("/sys")
}

/// The name of the filesystem that something is on, as far as it is known.
fn filesystem(place: &OwnedFd) -> String {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let device = fstat(place).map_or(0, |found| found.st_dev);
    let device = format!("{}:{}", libc::major(device), libc::minor(device));
    named(&mounts, &device).unwrap_or("unknown").to_owned()
}

/// Fields as proc_pid_mountinfo(5) has them.
fn named<'a>(mounts: &'a str, device: &str) -> Option<&'a str> {
    let line = mounts
        .lines()
        .find(|line| line.split(' ').nth(2) == Some(device))?;
    line.split_once(" - ")?.1.split(' ').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filesystem_is_named_by_its_device() {
        let mounts = "22 1 0:20 / /proc rw - proc proc rw\n23 1 8:1 / /srv rw shared:1 - nfs4 host:/srv rw\n";
        assert_eq!(named(mounts, "8:1"), Some("nfs4"));
        assert_eq!(named(mounts, "8:2"), None);
    }
}
