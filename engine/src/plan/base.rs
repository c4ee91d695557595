//! What every container has, whatever its settings: `/dev`, `/proc`, private `/tmp` and `/run`.

use std::path::{Path, PathBuf};

use flatimage_reserved::effect::{Access, Missing};

use super::{Action, Step};

/// Cause of the steps that no setting asked for.
pub const DEFAULT: &str = "default";

/// Where the tools of the image appear; below `/run`, which is never part of a layer.
pub const TOOLS: &str = "/run/flatimage";

/// Whether a path is below a directory that is empty at every start, in which directories can be made.
pub fn is_in_memory(path: &Path) -> bool {
    let below = |directory: &str| path != Path::new(directory) && path.starts_with(directory);
    ["/tmp", "/run", "/dev/shm"].into_iter().any(below) && !path.starts_with(TOOLS)
}

/// Device nodes that programs take for granted (the same eight as other runtimes', less the
/// two that the container's own devpts provides).
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

/// Links in `/dev` that shells and the C library rely on.
const DEVICE_LINKS: [(&str, &str); 6] = [
    ("/dev/ptmx", "pts/ptmx"),
    ("/dev/core", "/proc/kcore"),
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
];

/// Parts of `/proc` that tell of the host or its hardware and are nobody's business inside.
const MASKED: [&str; 9] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/kcore",
    "/proc/keys",
    "/proc/key-users",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
];

/// Parts of `/proc` that programs read and that must not be written.
const READ_ONLY: [&str; 5] = [
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
];

fn step(action: Action) -> Step {
    Step {
        action,
        cause: DEFAULT.to_owned(),
    }
}

fn tmpfs(target: &str, mode: u32) -> Step {
    step(Action::Tmpfs {
        target: target.into(),
        mode,
    })
}

/// The processes: the container's own, or the host's with the cause of that. The kernel allows a new `/proc` only for a
/// namespace of processes that is one's own.
fn processes(shared: Option<&String>) -> Step {
    let target = PathBuf::from("/proc");
    match shared {
        None => step(Action::Proc { target }),
        Some(cause) => Step {
            action: Action::Bind {
                source: target.clone(),
                target,
                access: Access::Rw,
                missing: Missing::Fail,
            },
            cause: cause.clone(),
        },
    }
}

/// The steps before those that settings cause: the filesystems that hide the layers' own. `shared` says why the
/// processes are the host's, if they are.
pub fn filesystems(shared: Option<&String>) -> Vec<Step> {
    let mut steps = vec![
        processes(shared),
        tmpfs("/dev", 0o755),
        tmpfs("/tmp", 0o1777),
        tmpfs("/run", 0o755),
    ];
    steps.extend(DEVICES.iter().map(|name| {
        let path = Path::new("/dev").join(name);
        step(Action::Bind {
            source: path.clone(),
            target: path,
            access: Access::Dev,
            missing: Missing::Skip,
        })
    }));
    steps.push(step(Action::Devpts {
        target: "/dev/pts".into(),
    }));
    steps.push(tmpfs("/dev/shm", 0o1777));
    steps.extend(DEVICE_LINKS.iter().map(|(link, target)| {
        step(Action::Symlink {
            link: PathBuf::from(link),
            target: PathBuf::from(target),
        })
    }));
    steps
}

/// The steps after those that settings cause: what is hidden or read-only. A path that a
/// setting brought (`kept`) stays as the setting made it, and what is below one of `unmasked` as it is.
pub fn restrictions(kept: &[PathBuf], unmasked: &[PathBuf]) -> Vec<Step> {
    let free = |path: &&&str| {
        let path = Path::new(path);
        !kept.iter().any(|target| target == path)
            && !unmasked.iter().any(|target| path.starts_with(target))
    };
    let masked = MASKED.iter().filter(free).map(|path| Action::Mask {
        target: path.into(),
    });
    let read_only = READ_ONLY.iter().filter(free).map(|path| Action::ReadOnly {
        target: path.into(),
    });
    masked.chain(read_only).map(step).collect()
}
