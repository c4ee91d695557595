//! What is said when a program has failed for want of a bit.

/// A hint that is declared with a bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HintDecl {
    /// What was seen, as the beginning of a sentence.
    pub text: &'static str,
    /// By what it is seen.
    pub sign: Sign,
    /// Whether what the bit opens takes a map of the program's ids, which user id 0 can have with `SETFCAP` only.
    pub maps_ids: bool,
}

/// By what it is seen that a bit was wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// One of these system calls was denied.
    Calls(&'static [&'static str]),
    /// Something was sent where no way leads, or to a port of the container that nobody listens at.
    Unreachable,
    /// The program needs one of these libraries, and the caller has a display.
    Windows {
        /// The variable of the host that names the display.
        variable: &'static str,
        /// Patterns for names of libraries.
        libraries: &'static [&'static str],
    },
}

impl Sign {
    /// How sure a sign is; the lowest is the surest.
    #[must_use]
    pub const fn rank(&self) -> u8 {
        match self {
            Sign::Calls(_) => 0,
            Sign::Unreachable => 1,
            Sign::Windows { .. } => 2,
        }
    }
}
