//! The reserved space of an image: where every setting lives, how it is stored, and which commands change it.
//!
//! What exists is declared in `schema/reserved.yaml`. This crate holds the runtime that is written once by hand; the
//! declaration becomes tables (`RegionDecl`, `ActionDecl`) that the runtime ranges over, and types for those who read
//! the settings.

pub mod active;
pub mod decl;
pub mod effect;
pub mod expand;
pub mod value;

pub use active::{Active, active};
pub use decl::{BitDecl, BitsDecl, ChoiceDecl, Encoding, Field, FieldKind, GroupDecl, RegionDecl};
pub use effect::{Access, AccessDecl, Condition, Effect, Missing, Namespace};
pub use expand::{Expansion, expand};
pub use value::{FieldValue, Record, Value};
