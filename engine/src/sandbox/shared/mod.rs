//! The root that all instances of a data directory share.
//!
//! It is two namespaces: the user namespace that owns the mounts, and a mount namespace in which layers and overlay are
//! mounted. Nobody is in them. Every supervisor holds a descriptor of each, and that is what keeps them: no process has
//! the duty to end the root, and none can forget to.
//!
//! A start that finds other instances asks one of their supervisors for the descriptors ([`listen`]); one that finds
//! none builds the root. Which of the two it is, is decided while holding the gate of the data directory
//! ([`crate::data::instances`]), so that it is never both.

use std::os::fd::{AsFd, OwnedFd};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

mod key;
pub mod listen;
mod obtain;

pub use key::{Explicit, Key};
pub use obtain::{Obtained, Ready, obtain};

/// A root that lives as long as this, or a copy of its descriptors, does.
#[derive(Debug)]
pub struct SharedRoot {
    /// The user namespace that owns the mounts.
    pub user: OwnedFd,
    /// The mount namespace.
    pub mounts: OwnedFd,
    /// The processes without which the root is of no use, each readable once it has ended.
    pub servers: Vec<OwnedFd>,
    /// What keeps unpacked layers from being removed, or what is mounted [outside](super::outside) from being unmounted.
    pub lease: Option<OwnedFd>,
}

impl SharedRoot {
    /// Whether every server still runs.
    pub fn is_served(&self) -> bool {
        let mut waited: Vec<_> = self
            .servers
            .iter()
            .map(|server| PollFd::new(server.as_fd(), PollFlags::POLLIN))
            .collect();
        // Nothing is readable: nobody has ended.
        poll(&mut waited, PollTimeout::ZERO) == Ok(0)
    }
}
