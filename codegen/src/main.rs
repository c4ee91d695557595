//! Writes the files that follow from the declaration, or finds those that are stale.

use std::path::Path;
use std::process::ExitCode;

use flatimage_codegen::generated;

fn main() -> ExitCode {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mode = std::env::args().nth(1);
    match mode.as_deref() {
        Some("write") => write(&root),
        Some("--check") => check(&root),
        _ => {
            eprintln!("usage: cargo run -p flatimage-codegen -- <write|--check>");
            ExitCode::from(2)
        }
    }
}

fn write(root: &Path) -> ExitCode {
    for file in generated() {
        if let Err(error) = file.write(root) {
            eprintln!("error: cannot write `{}`: {error}", file.path.display());
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn check(root: &Path) -> ExitCode {
    let stale: Vec<_> = generated()
        .iter()
        .filter_map(|file| file.check(root))
        .collect();
    for file in &stale {
        eprintln!(
            "`{}` is stale; run `cargo run -p flatimage-codegen -- write`",
            file.path.display()
        );
    }
    if stale.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
