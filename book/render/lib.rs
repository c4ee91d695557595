//! Renders the book: Markdown in the layout of mdBook to pages that open from the disk, with no server and no network.
//!
//! A renderer of our own, because it is a few hundred lines on a Markdown parser, builds in seconds and links to no
//! page that is not there: a link, an anchor or a chapter that leads nowhere is an error.

mod chapter;
mod links;
mod page;
mod search;
mod summary;

use std::path::{Path, PathBuf};
use std::{fs, io};

use chapter::Chapter;
use summary::Item;

const STYLE: &str = include_str!("book.css");
const SCRIPT: &str = include_str!("book.js");

/// Why there is no book.
#[derive(Debug, thiserror::Error)]
pub enum BookError {
    /// A file cannot be read or written.
    #[error("`{}`: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A line of the summary is none.
    #[error("SUMMARY.md:{line}: `{text}` is no entry; write `- [Title](page.md)` or `# Part`")]
    Summary {
        /// From 1.
        line: usize,
        /// As written.
        text: String,
    },
    /// Links that lead nowhere, and pages that the summary does not name.
    #[error("{}", .0.join("\n       "))]
    Links(Vec<String>),
}

/// The book, rendered and checked.
#[derive(Debug)]
pub struct Book {
    items: Vec<Item>,
    chapters: Vec<Chapter>,
}

impl Book {
    /// Reads and renders the pages that `SUMMARY.md` in `src` names.
    ///
    /// # Errors
    /// Files that cannot be read, a malformed summary, links that lead nowhere, pages that are not in the summary.
    pub fn read(src: &Path) -> Result<Self, BookError> {
        let items = summary::parse(&read(&src.join("SUMMARY.md"))?)?;
        let mut chapters = Vec::new();
        for (title, path) in items.iter().filter_map(Item::chapter) {
            chapters.push(Chapter::render(title, path, &read(&src.join(path))?));
        }
        let mistakes = links::mistakes(&chapters, &pages_below(src, src)?);
        match mistakes.as_slice() {
            [] => Ok(Self { items, chapters }),
            _ => Err(BookError::Links(mistakes)),
        }
    }

    /// Writes the pages below `out`. The first chapter is `index.html`, too.
    ///
    /// # Errors
    /// Files that cannot be written.
    pub fn write(&self, out: &Path) -> Result<(), BookError> {
        for (place, chapter) in self.chapters.iter().enumerate() {
            let html = page::page(&self.items, &self.chapters, place);
            write(&out.join(chapter.html_path()), &html)?;
        }
        if let Some(first) = self.chapters.first() {
            let target = first.html_path();
            let html = format!(
                "<!doctype html>\n<meta http-equiv=\"refresh\" content=\"0; url={target}\">\n"
            );
            write(&out.join("index.html"), &html)?;
        }
        write(&out.join("book.css"), STYLE)?;
        write(&out.join("book.js"), SCRIPT)?;
        write(&out.join("search-index.js"), &search::index(&self.chapters))
    }
}

fn read(path: &Path) -> Result<String, BookError> {
    fs::read_to_string(path).map_err(|source| file(path, source))
}

fn write(path: &Path, text: &str) -> Result<(), BookError> {
    let written = path
        .parent()
        .map_or(Ok(()), fs::create_dir_all)
        .and_then(|()| fs::write(path, text));
    written.map_err(|source| file(path, source))
}

fn file(path: &Path, source: io::Error) -> BookError {
    BookError::File {
        path: path.to_owned(),
        source,
    }
}

/// Every Markdown file below `directory` but the summary, by its path from `src`.
fn pages_below(directory: &Path, src: &Path) -> Result<Vec<String>, BookError> {
    let mut pages = Vec::new();
    for entry in fs::read_dir(directory).map_err(|source| file(directory, source))? {
        let path = entry.map_err(|source| file(directory, source))?.path();
        if path.is_dir() {
            pages.extend(pages_below(&path, src)?);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            let page = path
                .strip_prefix(src)
                .unwrap_or(&path)
                .to_string_lossy()
                .into_owned();
            pages.push(page);
        }
    }
    pages.retain(|page| page != "SUMMARY.md");
    pages.sort();
    Ok(pages)
}
