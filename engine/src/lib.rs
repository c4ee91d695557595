//! FlatImage's engine: the program in every image.
//!
//! It boots the container and changes the image's settings. What it can be told is declared
//! in `schema/reserved.yaml`; what it does at a start is a [`plan`], which is data, run by
//! the [`sandbox`], which is the only part that acts.

mod background;
mod bus;
mod byte_lock;
mod command;
mod commit;
pub mod data;
pub mod desktop;
mod elf;
pub mod host;
pub mod image;
pub mod marker;
pub mod plan;
mod portal;
pub mod private;
pub mod release;
pub mod relocate;
mod remote;
pub mod sandbox;
mod sys;
pub mod tools;
mod trace;
pub mod unpack;

pub use command::main;
