//! Programs of the host for programs in the container.
//!
//! There is a socket in the container, made while it is built and only then when a setting asks for it; its other side
//! is the [supervisor's](Portal). Whoever in the container runs `fim_portal`, which is this very program under another
//! name, [asks](ask) there. The host looks whether the program is listed, and an [agent], a process for this request alone, runs it
//! with the descriptors that came along: what flows through them is between the two programs.
//!
//! The supervisor itself only ever takes whole packets that are there, and hands a request that is complete to an agent. So
//! whoever says nothing, too much, or nonsense costs one connection, and a connection has an end: with its agent, or when there are
//! too many that have not said what they want.

mod agent;
mod ask;
mod host;
mod wire;

pub use ask::{ask, asker};
pub use host::Portal;
