//! What this program was built from.

/// Version of the project.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Commit it was built from, or `unknown`.
pub const COMMIT: &str = env!("FIM_COMMIT");
/// Distribution of the image, in lower case.
pub const DISTRIBUTION: &str = env!("FIM_DIST");
/// When it was built, as whoever built it wrote it.
pub const TIMESTAMP: &str = env!("FIM_TIMESTAMP");
/// Metadata of the tools: version, licence, source and sha256 of each, as JSON.
pub const TOOLS_METADATA: &str = include_str!(concat!(env!("OUT_DIR"), "/meta.json"));
/// The tools that follow the program in the image, as JSON; see [`crate::tools`].
pub const TOOLS_TABLE: &str = include_str!(concat!(env!("OUT_DIR"), "/tools.json"));
