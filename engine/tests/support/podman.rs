//! Containers of another program around the image.

use std::fs;
use std::process::Command;

use nix::unistd::getuid;

use super::{ORDINARY, Place, Who};

/// What podman keeps beside its storage goes into memory, and crun finds control groups that it understands, whatever the host has.
const PREPARED: &str = "mount -t tmpfs none /run && { [ ! -e /sys/fs/cgroup/unified ] || mount -t cgroup2 none /sys/fs/cgroup; }";

/// What podman keeps, and the root of its containers. Apart from what is shown in them: a mount that is seen twice is not
/// hidden by what is mounted over one of the two.
pub struct Podman(tempfile::TempDir);

impl Podman {
    /// With nothing in it.
    pub fn new() -> Podman {
        let directory = tempfile::Builder::new()
            .prefix("flatimage-podman-")
            .tempdir();
        let directory = directory.unwrap();
        for name in [
            "root",
            "run",
            "tree/tmp",
            "tree/proc",
            "tree/dev",
            "tree/sys",
            "tree/run",
            "tree/etc",
        ] {
            fs::create_dir_all(directory.path().join(name)).unwrap();
        }
        Podman(directory)
    }

    /// Runs the image with arguments in a container as podman makes it without options, with `options` beside. The place is in it
    /// under its own name, and there is no `/dev/fuse`.
    pub fn image(&self, place: &Place, options: &[&str], arguments: &[&str]) -> Command {
        let mut command = self.container();
        if place.who == Who::Ordinary {
            command.arg(format!("--user={ORDINARY}:{ORDINARY}"));
        }
        command
            .arg(format!("--volume={0}:{0}", place.path().display()))
            .arg(format!("--env=HOME={}", place.home().display()))
            .args(options)
            .arg("--rootfs")
            .arg(self.0.path().join("tree"))
            .arg(&place.image)
            .args(arguments);
        command
    }

    fn container(&self) -> Command {
        let root = self.0.path();
        // In a mount namespace of its own, which takes all its mounts along.
        let mut command = Command::new("unshare");
        command.env_clear();
        if !getuid().is_root() {
            // Root of a namespace with one id, which podman need not make.
            command
                .arg("-UrC")
                .env("_CONTAINERS_USERNS_CONFIGURED", "done")
                .env("_CONTAINERS_ROOTLESS_UID", "0");
        }
        command
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", root)
            .args([
                "-m",
                "sh",
                "-c",
                &format!("{PREPARED} && exec podman \"$@\""),
                "podman",
            ])
            .arg("--root")
            .arg(root.join("root"))
            .arg("--runroot")
            .arg(root.join("run"))
            .args([
                "--storage-driver=vfs",
                "--events-backend=none",
                "--cgroup-manager=cgroupfs",
            ])
            .args([
                "run",
                "--rm",
                "--network=none",
                "--cgroups=disabled",
                "--security-opt=label=disable",
            ])
            // Those that podman would set are more than a test may have.
            .args(["--ulimit=nofile=1024:1024", "--ulimit=nproc=4096:4096"]);
        command
    }
}
