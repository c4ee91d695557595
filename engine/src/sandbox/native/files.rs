//! Files that the container is given: made anew, or in the place of the root's.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use nix::unistd::chdir;

use super::{DATA_ONLY, NOTHING, Native};
use crate::plan::with_account;
use crate::private;
use crate::sandbox::channel::Message;
use crate::sandbox::{peer, place, root};
use crate::sys::MountAttributes;

/// Bytes of a file of accounts beyond which it is left as it is.
const LONGEST_ACCOUNTS: u64 = 1 << 20;

impl Native {
    pub(super) fn copy_program(&self, target: &Path) -> io::Result<()> {
        let name = self.go_beside(target)?;
        let mut copy = File::create(name)?;
        private::copy_program(&mut copy)?;
        copy.set_permissions(Permissions::from_mode(0o555))?;
        drop(copy);
        chdir("/")?;
        let copy = place::find(self.place()?, target)?;
        let attributes = MountAttributes {
            read_only: true,
            ..DATA_ONLY
        };
        self.attach_copy(&copy, target, attributes)
    }

    /// The supervisor listens, and whoever finds the socket may ask.
    pub(super) fn open_portal(&self, target: &Path) -> io::Result<()> {
        let listener = self.listen(target, peer::listen_in_directory)?;
        self.channel.send(&Message::Portal(listener))
    }

    /// As the portal; what passes is up to who answers on the host.
    pub(super) fn open_bus(&self, target: &Path) -> io::Result<()> {
        let listener = self.listen(target, peer::listen_for_streams)?;
        self.channel.send(&Message::Bus {
            listener,
            target: target.to_owned(),
        })
    }

    /// A socket that everybody in the container can connect to.
    fn listen(
        &self,
        target: &Path,
        listen: impl Fn(&Path) -> io::Result<OwnedFd>,
    ) -> io::Result<OwnedFd> {
        let name = self.go_beside(target)?;
        let listener = listen(name)?;
        fs::set_permissions(name, Permissions::from_mode(0o666))?;
        chdir("/")?;
        Ok(listener)
    }

    /// Makes the directory of `target` the working directory, and answers the name in it: a path from `/` would be the stage's.
    fn go_beside<'a>(&self, target: &'a Path) -> io::Result<&'a Path> {
        let (Some(parent), Some(name)) = (target.parent(), target.file_name()) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let parent = place::ensure(self.place()?, parent, place::Missing::Directory)?;
        nix::unistd::fchdir(&parent)?;
        Ok(Path::new(name))
    }

    /// Shows the file with a line more when it has none for the id. A root without the file has
    /// been given one by the skeleton, unless it was deleted: then it stays away.
    pub(super) fn account(&mut self, target: &Path, id: u32, line: &str) -> io::Result<()> {
        let root = self.place()?;
        let Some(contents) = place::read(root, target, LONGEST_ACCOUNTS)? else {
            return Ok(());
        };
        match with_account(&contents, id, line) {
            Some(contents) => self.show(target, &contents, DATA_ONLY),
            None => Ok(()),
        }
    }

    /// Shows a file with these contents in the place of the root's, which stays as it is.
    pub(super) fn show(
        &mut self,
        target: &Path,
        contents: &str,
        attributes: MountAttributes,
    ) -> io::Result<()> {
        if !std::mem::replace(&mut self.has_own_files, true) {
            root::mount_own_files()?;
        }
        // Two places can have one last name.
        let name = target.to_string_lossy().replace('/', "_");
        let file = root::write_own_file(name.as_ref(), contents)?;
        self.attach_copy(&file, target, attributes)
    }

    /// A root without the file has been given one by the skeleton, unless it was deleted: then it stays away.
    pub(super) fn machine(&mut self, target: &Path, id: &str) -> io::Result<()> {
        match place::find(self.place()?, target) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
            Ok(_) => self.show(target, &format!("{id}\n"), NOTHING),
        }
    }
}
