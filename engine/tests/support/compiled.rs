//! Programs in C that run in a container.
#![allow(dead_code, reason = "not every test program uses it")]

use std::fs::{Permissions, set_permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Place, Ran};

/// Compiles a program of `tests/` without any library to be found at run time.
pub fn compiled(place: &Place, source: &str, flags: &[&str]) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join(source);
    let name = source.file_stem().unwrap_or_default();
    let program = place.path().join(name);
    let mut compiler = Command::new("gcc");
    compiler
        .args(["-static", "-O1", "-o"])
        .arg(&program)
        .args(flags)
        .arg(source);
    let ran = Ran::of(compiler);
    assert_eq!(ran.code, 0, "{}", ran.err);
    set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    program
}
