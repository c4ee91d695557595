//! Which program this is. What differs between images of one program is in [`crate::marker`].

/// Version of the project.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
