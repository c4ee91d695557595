//! Writes the files that follow from the declaration, or finds those that are stale; writes completions and manual pages
//! for an image.

use std::path::Path;
use std::process::ExitCode;

use flatimage_codegen::{companions, generated};

fn main() -> ExitCode {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["write"] => write(&root),
        ["--check"] => check(&root),
        ["companions", image, directory] => accompany(image, Path::new(directory)),
        _ => {
            eprintln!(
                "usage: cargo run -p flatimage-codegen -- <write | --check | companions NAME DIR>"
            );
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

/// Completions and manual pages for an image called `image`.
fn accompany(image: &str, directory: &Path) -> ExitCode {
    let written = companions(image).and_then(|files| {
        std::fs::create_dir_all(directory)?;
        files
            .iter()
            .try_for_each(|file| std::fs::write(directory.join(&file.file), &file.text))
    });
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!(
                "error: cannot write below `{}`: {error}",
                directory.display()
            );
            ExitCode::FAILURE
        }
    }
}
