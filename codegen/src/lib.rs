//! Writes what is committed and follows from the declaration: the JSON Schema for editors and the book's reference.
//!
//! The pages are made from the tables that the program itself has, so what they say of verbs, usage and effects is what
//! the program does.

mod companions;
mod generated;
mod pages;

pub use companions::{Companion, companions};
pub use generated::{Generated, Stale, generated};
