//! The page around a chapter: contents, search, what is before and after, what is on the page.

use crate::chapter::Chapter;
use crate::summary::Item;

const TITLE: &str = "FlatImage";

/// The whole page of the chapter at `place`.
pub fn page(items: &[Item], chapters: &[Chapter], place: usize) -> String {
    let chapter = &chapters[place];
    let root = "../".repeat(chapter.path.matches('/').count());
    let title = escaped(&chapter.title);
    let contents = contents(items, chapter, &root);
    let neighbours = neighbours(chapters, place, &root);
    let on_this_page = on_this_page(chapter);
    let body = &chapter.html;
    format!(
        "<!doctype html>
<html lang=\"en\">
<head>
<meta charset=\"utf-8\">
<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">
<meta name=\"color-scheme\" content=\"light dark\">
<title>{title} – {TITLE}</title>
<link rel=\"stylesheet\" href=\"{root}book.css\">
<script>document.documentElement.dataset.theme = localStorage.getItem('theme') || '';</script>
</head>
<body data-root=\"{root}\">
<a class=\"skip\" href=\"#content\">Skip to the text</a>
<header>
<button id=\"menu\" aria-label=\"Contents\" aria-controls=\"contents\" aria-expanded=\"false\">☰</button>
<a class=\"brand\" href=\"{root}index.html\">{TITLE}</a>
<div class=\"search\">
<input id=\"search\" type=\"search\" placeholder=\"Search  ( / )\" aria-label=\"Search the book\" autocomplete=\"off\">
<ol id=\"results\" hidden></ol>
</div>
<button id=\"theme\" aria-label=\"Dark or light\">◐</button>
</header>
<div class=\"columns\">
<nav id=\"contents\" aria-label=\"Contents\">
{contents}</nav>
<main id=\"content\">
{body}{neighbours}</main>
{on_this_page}</div>
<script src=\"{root}search-index.js\" defer></script>
<script src=\"{root}book.js\" defer></script>
</body>
</html>
"
    )
}

fn contents(items: &[Item], here: &Chapter, root: &str) -> String {
    let mut html = String::from("<ul>\n");
    for item in items {
        match item {
            Item::Part(title) => {
                html.push_str(&format!("<li class=\"part\">{}</li>\n", escaped(title)))
            }
            Item::Chapter { title, path, depth } => {
                let current = if *path == here.path {
                    " aria-current=\"page\""
                } else {
                    ""
                };
                let page = path.strip_suffix(".md").unwrap_or(path);
                let title = code(title);
                html.push_str(&format!(
                    "<li class=\"depth-{depth}\"><a href=\"{root}{page}.html\"{current}>{title}</a></li>\n"
                ));
            }
        }
    }
    html.push_str("</ul>\n");
    html
}

fn neighbours(chapters: &[Chapter], place: usize, root: &str) -> String {
    let link = |chapter: &Chapter, class: &str, label: &str| {
        let (page, title) = (chapter.html_path(), code(&chapter.title));
        format!(
            "<a class=\"{class}\" rel=\"{class}\" href=\"{root}{page}\"><small>{label}</small>{title}</a>\n"
        )
    };
    let before = place.checked_sub(1).and_then(|place| chapters.get(place));
    let before = before
        .map(|chapter| link(chapter, "prev", "before"))
        .unwrap_or_default();
    let after = chapters.get(place + 1);
    let after = after
        .map(|chapter| link(chapter, "next", "after"))
        .unwrap_or_default();
    format!("<nav class=\"neighbours\" aria-label=\"Chapters\">\n{before}{after}</nav>\n")
}

/// The headings of the page, when there are some.
fn on_this_page(chapter: &Chapter) -> String {
    let below = chapter
        .headings
        .iter()
        .filter(|heading| (2..=3).contains(&heading.level));
    let links: Vec<String> = below
        .map(|heading| {
            let (level, anchor, text) = (heading.level, &heading.anchor, escaped(&heading.text));
            format!("<li class=\"level-{level}\"><a href=\"#{anchor}\">{text}</a></li>\n")
        })
        .collect();
    if links.len() < 2 {
        return "<aside></aside>\n".to_owned();
    }
    let links = links.concat();
    format!("<aside aria-label=\"On this page\"><ul>\n{links}</ul></aside>\n")
}

/// Text for HTML, with what is between backticks as code.
fn code(text: &str) -> String {
    let parts = text
        .split('`')
        .enumerate()
        .map(|(place, part)| match place % 2 {
            1 => format!("<code>{}</code>", escaped(part)),
            _ => escaped(part),
        });
    parts.collect()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('`', "")
}
