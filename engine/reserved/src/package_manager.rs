//! The programs that install packages in a container.

/// A program that installs packages, and how it is asked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackageManagerDecl {
    /// Its name in the container's `PATH`.
    pub program: &'static str,
    /// One line: whose it is.
    pub summary: &'static str,
    /// The distributions whose images have it.
    pub distributions: &'static [&'static str],
    /// What is run first, program and arguments.
    pub refresh: &'static [&'static str],
    /// What is run then, with the packages behind it.
    pub install: &'static [&'static str],
}
