//! The system calls that no safe crate offers.
//!
//! Every `unsafe` block of the engine is in this module, each with its reason.
//! The functions promise what the system call promises and nothing more; the
//! order in which they are called is the business of [`crate::sandbox`].
#![allow(
    unsafe_code,
    reason = "the one module that talks to the kernel directly"
)]

mod capability;
mod filter;
mod mount;
mod process;
mod socket;
mod terminal;

pub use capability::{Capabilities, drop_bounding_set, set_capabilities};
pub use filter::{Question, Questions, filter_calls};
pub use mount::{
    MountAttributes, Resolve, clone_tree, create_filesystem, map_ids, move_mount, open_in,
    set_attributes,
};
pub use process::{
    Fork, accept, bring_loopback_up, close_all_but, close_copy, close_on_exec_from, fork,
    fork_into, fork_sibling, join_new_session_keyring, open_process, receive_with_descriptors,
    reset_signal, take_inherited, while_ignoring,
};
pub use socket::{make_socket, make_socket_pair};
pub use terminal::{control, open_peer, set_window_size, take_pending, window_size};

use std::io;

/// The result of a raw system call: a negative value means `errno` is set.
fn check(result: libc::c_long) -> io::Result<libc::c_long> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}
