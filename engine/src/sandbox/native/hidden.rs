//! What the container does not see of its own root, or cannot change.

use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use super::{NOTHING, Native};
use crate::sandbox::place;
use crate::sys::{MountAttributes, create_filesystem, move_mount};

impl Native {
    /// Hides what is at a path, if anything is.
    pub(super) fn mask(&self, target: &Path) -> io::Result<()> {
        let root = self.place()?;
        let place = match place::find(root, target) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            found => found?,
        };
        if place::is_directory(&place)? {
            let empty = create_filesystem(c"tmpfs", &[], NOTHING)?;
            move_mount(empty.as_fd(), place.as_fd())
        } else {
            match self.sources.get(Path::new("/dev/null")) {
                Some(null) => self.attach_copy(
                    null,
                    target,
                    MountAttributes {
                        read_only: true,
                        no_devices: false,
                        no_exec: true,
                    },
                ),
                None => Err(io::ErrorKind::NotFound.into()),
            }
        }
    }

    /// Mounts what is at a path on itself, if anything is.
    pub(super) fn remount(&self, target: &Path, attributes: MountAttributes) -> io::Result<()> {
        let root = self.place()?;
        match place::find(root, target) {
            // What all rights of the container do not reach cannot be written either: it is in a directory that is closed to
            // the ids of the container.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound
                        | io::ErrorKind::NotADirectory
                        | io::ErrorKind::PermissionDenied
                ) =>
            {
                Ok(())
            }
            Err(error) => Err(error),
            Ok(place) => self.attach_copy(&place, target, attributes),
        }
    }
}
