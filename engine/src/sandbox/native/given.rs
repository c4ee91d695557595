//! The first process of a container that [somebody else](crate::sandbox::boxed) has built.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use nix::sys::prctl;
use nix::sys::stat::{Mode, umask};

use super::Native;
use crate::plan::{Exec, Wanted};
use crate::sandbox::channel::Channel;
use crate::sandbox::failure::{Attempt, Failure};
use crate::sandbox::kernel::Kernel;
use crate::sandbox::mapped::Mapped;
use crate::sandbox::{die_with_parent, place};
use crate::sys::join_new_session_keyring;

impl Native {
    /// For the first process of a container that somebody else has built.
    pub fn given(channel: Channel, image: File) -> Native {
        Native::new(channel, image, 0, None, Mapped::new())
    }

    /// In such a container: makes the sockets of the portal and of message buses.
    ///
    /// # Errors
    /// When there is no place for one.
    pub fn furnish(&mut self, portal: Option<&Path>, buses: &[PathBuf]) -> Result<(), Failure> {
        die_with_parent()?;
        umask(Mode::from_bits_truncate(0o022));
        let root = place::stage(Path::new("/")).attempting(|| "open the root".into())?;
        self.root = Some(root);
        let portals = portal.into_iter().map(|target| self.open_portal(target));
        let buses = buses.iter().map(|target| self.open_bus(target));
        portals
            .chain(buses)
            .collect::<io::Result<()>>()
            .attempting(|| "make a socket".into())?;
        let terminals = place::stage(Path::new("/dev/pts"));
        self.terminals = Some(terminals.attempting(|| "open the terminals".into())?);
        self.root = None;
        Ok(())
    }

    /// In such a container, whose first process has no capability: gives up what it may not have and filters what it may not call.
    ///
    /// # Errors
    /// When the kernel refuses it, or the supervisor is gone.
    pub fn restrict_given(&mut self, rules: &[String], wanted: Vec<Wanted>) -> Result<(), Failure> {
        let _ = join_new_session_keyring();
        prctl::set_no_new_privs()
            .and_then(|()| prctl::set_dumpable(false))
            .attempting(|| "give up privileges".into())?;
        self.expect_supervisor()?;
        self.wanted = wanted;
        self.install_filter(|rule| rules.iter().any(|name| name == rule))
    }

    /// As [`Kernel::execute`], with the caller's mask.
    ///
    /// # Errors
    /// As there.
    pub fn execute_given(&mut self, exec: &Exec, mask: Mode) -> Result<u8, Failure> {
        self.umask = mask;
        self.execute(exec)
    }
}
