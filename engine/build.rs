//! Hands the build-time inputs to the program.
//!
//! `FIM_FILE_TOOLS` and `FIM_FILE_META` name files that are compiled in; without them (a plain
//! `cargo build`, the tests) the program knows no tools. The other variables have defaults.

use std::{env, fs, path::PathBuf};

fn main() {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    embed("FIM_FILE_TOOLS", &out.join("tools.json"), r#"{"tools":[]}"#);
    embed("FIM_FILE_META", &out.join("meta.json"), "{}");
    for (name, default) in [
        ("FIM_DIST", "none"),
        ("FIM_COMMIT", "unknown"),
        ("FIM_TIMESTAMP", "0"),
    ] {
        println!("cargo::rerun-if-env-changed={name}");
        println!(
            "cargo::rustc-env={name}={}",
            env::var(name).unwrap_or_else(|_| default.into())
        );
    }
}

fn embed(variable: &str, to: &PathBuf, default: &str) {
    println!("cargo::rerun-if-env-changed={variable}");
    let contents = match env::var_os(variable) {
        None => default.to_owned(),
        Some(path) => {
            println!("cargo::rerun-if-changed={}", path.display());
            fs::read_to_string(&path).unwrap_or_else(|error| {
                panic!("{variable}: cannot read {}: {error}", path.display())
            })
        }
    };
    fs::write(to, contents).expect("OUT_DIR is writable");
}
