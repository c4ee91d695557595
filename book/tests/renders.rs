//! The book as it is renders: every chapter is there, and no link leads nowhere.

use std::fs;
use std::path::Path;

use book::Book;

#[test]
fn the_book_renders_with_every_link_alive() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let book = Book::read(&src).unwrap_or_else(|error| panic!("{error}"));
    let out = tempfile::tempdir().unwrap();
    book.write(out.path()).unwrap();
    let index = fs::read_to_string(out.path().join("index.html")).unwrap();
    assert!(index.contains("what-it-is.html"), "{index}");
    let page = fs::read_to_string(out.path().join("reference/commands.html")).unwrap();
    assert!(page.contains("<h2 id=\"fim-perms\">"));
    assert!(page.contains("href=\"../book.css\""));
}

#[test]
fn a_chapter_that_is_not_there_is_named() {
    let src = tempfile::tempdir().unwrap();
    fs::write(src.path().join("SUMMARY.md"), "[A](a.md)\n").unwrap();
    let error = Book::read(src.path())
        .expect_err("no such page")
        .to_string();
    assert!(error.contains("a.md"), "{error}");
}
