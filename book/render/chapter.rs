//! One chapter: from Markdown to HTML, with what others want to know of it.

use pulldown_cmark::{CowStr, Event, HeadingLevel, Options, Parser, Tag, TagEnd, html};

/// A rendered chapter.
#[derive(Debug)]
pub struct Chapter {
    /// Title in the table of contents.
    pub title: String,
    /// The Markdown file, from the folder of the summary.
    pub path: String,
    /// The body of the page.
    pub html: String,
    /// Its headings, in order.
    pub headings: Vec<Heading>,
    /// Targets of its links, as written.
    pub links: Vec<String>,
    /// What it says below each heading, for the search; before the first one, for the chapter.
    pub texts: Vec<String>,
}

/// A heading that can be linked to.
#[derive(Debug)]
pub struct Heading {
    /// 1 for the title of the page.
    pub level: usize,
    /// What comes after `#` in a link.
    pub anchor: String,
    /// Without markup.
    pub text: String,
}

impl Chapter {
    /// Renders a chapter.
    pub fn render(title: &str, path: &str, markdown: &str) -> Self {
        let options =
            Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_FOOTNOTES;
        let events: Vec<Event<'_>> = Parser::new_ext(markdown, options).collect();
        let mut chapter = Self {
            title: title.to_owned(),
            path: path.to_owned(),
            html: String::new(),
            headings: headings(&events),
            links: Vec::new(),
            texts: texts(&events),
        };
        let mut anchors = chapter
            .headings
            .iter()
            .map(|heading| heading.anchor.clone());
        let mut links = Vec::new();
        let events = events
            .into_iter()
            .map(|event| place(event, &mut anchors, &mut links));
        let mut body = String::new();
        html::push_html(&mut body, events.collect::<Vec<_>>().into_iter());
        chapter.html = framed(&body);
        chapter.links = links;
        chapter
    }

    /// The page, from the folder of the book.
    pub fn html_path(&self) -> String {
        page_of(&self.path)
    }
}

/// The page of a Markdown file; anything else stays as it is.
fn page_of(path: &str) -> String {
    match path.strip_suffix(".md") {
        Some(stem) => format!("{stem}.html"),
        None => path.to_owned(),
    }
}

/// Gives headings their anchors and leads links to pages.
fn place<'a>(
    event: Event<'a>,
    anchors: &mut impl Iterator<Item = String>,
    links: &mut Vec<String>,
) -> Event<'a> {
    match event {
        Event::Start(Tag::Heading {
            level,
            classes,
            attrs,
            ..
        }) => Event::Start(Tag::Heading {
            level,
            id: anchors.next().map(CowStr::from),
            classes,
            attrs,
        }),
        Event::Start(Tag::Link {
            link_type,
            dest_url,
            title,
            id,
        }) => {
            links.push(dest_url.to_string());
            let dest_url = match dest_url.split_once('#') {
                _ if dest_url.contains("://") => dest_url,
                Some((path, anchor)) => format!("{}#{anchor}", page_of(path)).into(),
                None => page_of(&dest_url).into(),
            };
            Event::Start(Tag::Link {
                link_type,
                dest_url,
                title,
                id,
            })
        }
        other => other,
    }
}

/// Tables and code that are wider than the page scroll by themselves.
fn framed(body: &str) -> String {
    body.replace("<table>", "<div class=\"wide\"><table>")
        .replace("</table>", "</table></div>")
}

fn headings(events: &[Event<'_>]) -> Vec<Heading> {
    let mut headings: Vec<Heading> = Vec::new();
    let mut inside = false;
    for event in events {
        match event {
            Event::Start(Tag::Heading { level, .. }) => {
                inside = true;
                headings.push(Heading {
                    level: depth(*level),
                    anchor: String::new(),
                    text: String::new(),
                });
            }
            Event::End(TagEnd::Heading(_)) => inside = false,
            Event::Text(text) | Event::Code(text) if inside => {
                if let Some(heading) = headings.last_mut() {
                    heading.text.push_str(text);
                }
            }
            _ => {}
        }
    }
    for heading in &mut headings {
        heading.anchor = anchor(&heading.text);
    }
    headings
}

fn depth(level: HeadingLevel) -> usize {
    level as usize
}

/// `From `a` to B!` is `from-a-to-b`, as on the usual forges.
fn anchor(text: &str) -> String {
    let kept = text.chars().filter_map(|letter| match letter {
        ' ' => Some('-'),
        '-' | '_' => Some(letter),
        letter if letter.is_alphanumeric() => Some(letter.to_ascii_lowercase()),
        _ => None,
    });
    kept.collect()
}

/// The words before the first heading, then those below each.
fn texts(events: &[Event<'_>]) -> Vec<String> {
    let mut texts = vec![String::new()];
    for event in events {
        match event {
            Event::Start(Tag::Heading { .. }) => texts.push(String::new()),
            Event::Text(text) | Event::Code(text) => {
                if let Some(last) = texts.last_mut() {
                    last.push_str(text);
                }
            }
            Event::SoftBreak | Event::HardBreak | Event::End(_) => {
                if let Some(last) = texts.last_mut() {
                    last.push(' ');
                }
            }
            _ => {}
        }
    }
    texts
}

#[cfg(test)]
mod tests {
    use super::Chapter;

    #[test]
    fn links_lead_to_pages_and_headings_can_be_linked_to() {
        let text =
            "# From `a` to B!\n\n[x](../y.md#z) [w](https://e.org/a.md)\n\n| a |\n|---|\n| b |\n";
        let chapter = Chapter::render("A", "d/a.md", text);
        assert_eq!(chapter.html_path(), "d/a.html");
        assert_eq!(chapter.headings[0].anchor, "from-a-to-b");
        assert_eq!(chapter.links, ["../y.md#z", "https://e.org/a.md"]);
        for part in [
            "<h1 id=\"from-a-to-b\">",
            "href=\"../y.html#z\"",
            "href=\"https://e.org/a.md\"",
            "<div class=\"wide\"><table>",
        ] {
            assert!(chapter.html.contains(part), "{part}: {}", chapter.html);
        }
    }
}
