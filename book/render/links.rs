//! Links that lead nowhere. Found when the book is rendered, and therefore by its tests.

use crate::chapter::Chapter;

/// One line for each link that leads nowhere and each page that is not in the summary.
pub fn mistakes(chapters: &[Chapter], pages: &[String]) -> Vec<String> {
    let listed = |page: &String| chapters.iter().any(|chapter| chapter.path == *page);
    let unlisted = pages
        .iter()
        .filter(|page| !listed(page))
        .map(|page| format!("`{page}` is not in SUMMARY.md; add it or delete it"));
    let dead = chapters
        .iter()
        .flat_map(|chapter| chapter.links.iter().map(move |link| (chapter, link)))
        .filter(|(chapter, link)| !leads_somewhere(chapters, chapter, link))
        .map(|(chapter, link)| format!("`{}`: the link `{link}` leads nowhere", chapter.path));
    unlisted.chain(dead).collect()
}

fn leads_somewhere(chapters: &[Chapter], from: &Chapter, link: &str) -> bool {
    if link.contains("://") {
        return true;
    }
    let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
    let path = if path.is_empty() {
        from.path.clone()
    } else {
        joined(&from.path, path)
    };
    let target = chapters.iter().find(|chapter| chapter.path == path);
    target.is_some_and(|chapter| {
        anchor.is_empty()
            || chapter
                .headings
                .iter()
                .any(|heading| heading.anchor == anchor)
    })
}

/// `path` as seen from the file `from`, without `.` and `..`.
fn joined(from: &str, path: &str) -> String {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in path.split('/') {
        match part {
            "." => {}
            ".." => {
                parts.pop();
            }
            name => parts.push(name),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::mistakes;
    use crate::chapter::Chapter;

    #[test]
    fn dead_links_and_lost_pages_are_named() {
        let a = Chapter::render(
            "A",
            "d/a.md",
            "# A\n\n[1](../b.md#b) [2](#a) [3](b.md) [4](../b.md#c) [5](https://x)",
        );
        let b = Chapter::render("B", "b.md", "# B\n");
        let found = mistakes(&[a, b], &["d/a.md".into(), "b.md".into(), "c.md".into()]);
        assert_eq!(
            found,
            [
                "`c.md` is not in SUMMARY.md; add it or delete it",
                "`d/a.md`: the link `b.md` leads nowhere",
                "`d/a.md`: the link `../b.md#c` leads nowhere",
            ]
        );
    }
}
