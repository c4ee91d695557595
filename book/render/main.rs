//! `cargo run -p book`: renders the book to `target/book` and says where.

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let book = Path::new(env!("CARGO_MANIFEST_DIR"));
    let out = book.join("../target/book");
    let rendered = book::Book::read(&book.join("src")).and_then(|book| book.write(&out));
    match rendered {
        Ok(()) => {
            let index = out.join("index.html");
            println!("{}", index.canonicalize().unwrap_or(index).display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
