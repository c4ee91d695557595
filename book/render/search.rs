//! What the search on the pages looks through: a script, because pages from the disk may not fetch files.

use std::fmt::Write as _;

use crate::chapter::Chapter;

/// A script that sets `searchIndex` to `[page, chapter, heading, text]` for every section.
pub fn index(chapters: &[Chapter]) -> String {
    let mut script = String::from("window.searchIndex = [\n");
    for chapter in chapters {
        let sections = chapter.headings.iter().zip(chapter.texts.iter().skip(1));
        for (heading, text) in sections {
            let page = format!("{}#{}", chapter.html_path(), heading.anchor);
            let title = chapter.title.replace('`', "");
            let fields = [&page, &title, &heading.text, text].map(|field| quoted(field));
            script.push_str(&format!("[{}],\n", fields.join(",")));
        }
    }
    script.push_str("];\n");
    script
}

/// A string of JavaScript, with blanks run together.
fn quoted(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let mut quoted = String::from("\"");
    for letter in words.join(" ").chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            '<' | '\u{2028}' | '\u{2029}' => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(letter));
            }
            plain => quoted.push(plain),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::index;
    use crate::chapter::Chapter;

    #[test]
    fn sections_can_be_found() {
        let chapter = Chapter::render("T", "a.md", "# One\n\nsome\n`\"code\"` <b>\n");
        assert_eq!(
            index(&[chapter]),
            "window.searchIndex = [\n[\"a.html#one\",\"T\",\"One\",\"One some \\\"code\\\"\"],\n];\n"
        );
    }
}
