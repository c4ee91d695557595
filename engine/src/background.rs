//! Work in processes of its own: [apart], or in the background, where nobody waits for it.
//!
//! What is in the background holds nothing of the process that it was forked from: whoever waits for the end of that one's output, or for its locks,
//! does not wait for this. And it has an end, whatever it waits for.

use std::process::exit;

use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::alarm;

use crate::sandbox::{fall_silent, let_go};
use crate::sys::{Fork, fork};
use crate::trace::{is_traced, trace};

/// Does `work` in the background, for at most `seconds`; what it starts has what is left of them. Where no process can be
/// made, it is not done. The caller must have one thread only.
pub fn in_background(seconds: u32, work: impl FnOnce()) {
    match fork() {
        Ok(Fork::Parent(child)) => drop(waitpid(child, None)),
        Ok(Fork::Child) => {
            // Twice, so that it is a child of nobody here who would have to wait for it.
            if let Ok(Fork::Child) = fork() {
                let_go(None);
                if !is_traced() {
                    fall_silent();
                }
                alarm::set(seconds);
                work();
            }
            exit(0);
        }
        Err(error) => trace(|| format!("nothing is done in the background: {error}")),
    }
}

/// Does `work` in a process of its own and waits for it, for at most `seconds`: it may fail in any way, and take any memory, and
/// the caller goes on. False when it did not come to its end. The caller must have one thread only.
pub fn apart(seconds: u32, work: impl FnOnce()) -> bool {
    match fork() {
        Ok(Fork::Parent(child)) => !matches!(waitpid(child, None), Ok(WaitStatus::Signaled(..))),
        Ok(Fork::Child) => {
            alarm::set(seconds);
            work();
            exit(0);
        }
        Err(_) => false,
    }
}
