//! Writes what is committed and follows from the declaration: JSON Schemas for editors and the book's reference. Those of what a
//! remote serves follow from the types that read it.
//!
//! The pages are made from the tables that the program itself has, so what they say of verbs, usage and effects is what
//! the program does.

mod companions;
mod generated;
mod pages;

pub use companions::{Companion, companions};
pub use generated::{Generated, Stale, generated};
