//! `SUMMARY.md`: which chapters there are, in which order and under which parts.

use crate::BookError;

/// A line of the table of contents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// A heading above chapters.
    Part(String),
    /// A chapter.
    Chapter {
        /// Its title.
        title: String,
        /// Its file, from the folder of the summary.
        path: String,
        /// 0 for a chapter, 1 for one below it.
        depth: usize,
    },
}

impl Item {
    /// Title and file of a chapter.
    pub fn chapter(&self) -> Option<(&str, &str)> {
        match self {
            Self::Chapter { title, path, .. } => Some((title, path)),
            Self::Part(_) => None,
        }
    }
}

/// The items of a summary, whose own title is left out.
pub fn parse(text: &str) -> Result<Vec<Item>, BookError> {
    let mut items = Vec::new();
    for (place, line) in text.lines().enumerate() {
        if line.trim().is_empty() || line.trim() == "# Summary" {
            continue;
        }
        let item = part(line).or_else(|| chapter(line));
        items.push(item.ok_or_else(|| BookError::Summary {
            line: place + 1,
            text: line.to_owned(),
        })?);
    }
    Ok(items)
}

fn part(line: &str) -> Option<Item> {
    Some(Item::Part(line.strip_prefix("# ")?.trim().to_owned()))
}

fn chapter(line: &str) -> Option<Item> {
    let depth = line.len() - line.trim_start().len();
    let link = line.trim_start().trim_start_matches("- ").trim_end();
    let (title, path) = link
        .strip_prefix('[')?
        .strip_suffix(')')?
        .split_once("](")?;
    Some(Item::Chapter {
        title: title.to_owned(),
        path: path.to_owned(),
        depth: depth / 2,
    })
}

#[cfg(test)]
mod tests {
    use super::{Item, parse};

    #[test]
    fn parts_and_chapters_are_told_apart() {
        let items = parse("# Summary\n\n[A](a.md)\n\n# Part\n\n- [B](b.md)\n  - [C](d/c.md)\n")
            .expect("a summary");
        let chapter = |title: &str, path: &str, depth| Item::Chapter {
            title: title.to_owned(),
            path: path.to_owned(),
            depth,
        };
        let part = Item::Part("Part".to_owned());
        assert_eq!(
            items,
            [
                chapter("A", "a.md", 0),
                part,
                chapter("B", "b.md", 0),
                chapter("C", "d/c.md", 1)
            ]
        );
    }

    #[test]
    fn a_line_that_is_no_entry_is_named() {
        let error = parse("# Summary\n- A (a.md)\n")
            .expect_err("no entry")
            .to_string();
        assert!(error.starts_with("SUMMARY.md:2: `- A (a.md)`"), "{error}");
    }
}
