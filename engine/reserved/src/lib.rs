//! The reserved space of an image: where every setting lives, how it is stored, and which commands change it.
//!
//! What exists is declared in `schema/reserved.yaml`. This crate holds the runtime that is written once by hand; the
//! declaration becomes tables (`RegionDecl`, `ActionDecl`) that the runtime ranges over, and types for those who read
//! the settings.

// The expansion names this crate by its absolute path, here as in any other crate.
extern crate self as flatimage_reserved;

pub mod action;
pub mod active;
pub mod cli;
pub mod decl;
pub mod effect;
pub mod expand;
pub mod filter;
pub mod hint;
pub mod layout;
mod nearest;
pub mod package_manager;
mod slot;
mod space;
pub mod store;
pub mod typed;
pub mod value;
pub mod variable;
pub mod verb;
pub mod wire;

/// What `schema/reserved.yaml` declares: tables, constants, types and the command line.
pub mod declared {
    flatimage_macros::reserved!("../../schema/reserved.yaml");
}

#[doc(hidden)]
pub use clap;

pub use action::{ActionDecl, ActionVerb, Argument, ArgumentKind, Shape};
pub use active::{Active, Caused, active};
pub use cli::{CliError, Invocation, Parsed, Program};
pub use decl::{
    BitDecl, BitsDecl, ChoiceDecl, Encoding, Field, FieldKind, GroupDecl, RegionDecl, Side,
};
pub use effect::{Access, AccessDecl, Condition, Effect, Missing, Namespace, Stacker};
pub use expand::{Expansion, expand};
pub use filter::{CallDecl, FilterDecl, Instruction, RuleCode, RuleDecl};
pub use hint::{HintDecl, Sign};
pub use nearest::nearest;
pub use package_manager::PackageManagerDecl;
pub use space::{Copies, SUPERBLOCK_SIZE, Space, SpaceError, Superblock, reserved_size};
pub use store::{Check, ImageFile, Locked, Medium, Opened, Source, Store, StoreError};
pub use value::{FieldValue, Record, Value};
pub use variable::{VariableDecl, VariableError};
pub use verb::{Outcome, Verb, VerbError};
