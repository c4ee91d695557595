//! The file type of an image, as the Shared MIME-info Database specification wants it.

use super::entry::Subject;
use super::names::{Names, mark};

/// The package that declares the type. The type is that of an executable file, known by the very name of the image.
pub fn package(subject: Subject<'_>) -> String {
    let names = Names::of(subject.application);
    let file = subject.image.rsplit('/').next().unwrap_or_default();
    let icon = match subject.has_icon {
        true => format!("    <icon name=\"{}\"/>\n", names.stem()),
        false => String::new(),
    };
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <!-- {mark} -->\n\
         <mime-info xmlns=\"http://www.freedesktop.org/standards/shared-mime-info\">\n  \
         <mime-type type=\"{file_type}\">\n    \
         <comment>{name}</comment>\n    \
         <sub-class-of type=\"application/x-executable\"/>\n{icon}    \
         <glob pattern=\"{pattern}\" weight=\"60\" case-sensitive=\"true\"/>\n  \
         </mime-type>\n\
         </mime-info>\n",
        mark = mark(&subject.application.id),
        file_type = names.file_type(),
        name = escaped(&subject.application.name.replace(['\n', '\t'], " ")),
        pattern = escaped(&pattern(file)),
    )
}

/// A pattern that is matched by the name. Whatever means something in a pattern, or would end a field or a line of the
/// database that is made of it, stands as "any one character".
fn pattern(name: &str) -> String {
    let is_special = |letter: char| {
        letter.is_control()
            || matches!(letter, '*' | '?' | '[' | ']' | '\\' | ':')
            || matches!(letter, '\u{fffe}' | '\u{ffff}')
    };
    name.replace(is_special, "?")
}

fn escaped(text: &str) -> String {
    text.chars()
        .map(|letter| match letter {
            '&' => "&amp;".to_owned(),
            '<' => "&lt;".to_owned(),
            '>' => "&gt;".to_owned(),
            '"' => "&quot;".to_owned(),
            plain => plain.to_string(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use flatimage_reserved::declared::Desktop;

    #[test]
    fn text_is_escaped_and_a_name_cannot_add_lines_to_the_database() {
        let application = Desktop {
            id: "app-0123abcd".into(),
            name: "<b> & \"Ü\"\nx".into(),
            icon: String::new(),
            categories: Vec::new(),
        };
        let text = package(Subject {
            application: &application,
            image: "/d/a\n50:text/plain:[*]&\"é.flatimage",
            has_icon: true,
        });
        assert!(text.contains("<comment>&lt;b&gt; &amp; &quot;Ü&quot; x</comment>"));
        assert!(text.contains("<icon name=\"flatimage-app-0123abcd\"/>"));
        // Of a path only the last component counts, as everywhere.
        assert!(
            text.contains("pattern=\"plain????&amp;&quot;é.flatimage\""),
            "{text}"
        );
        assert_eq!(pattern("a\n50:b\\"), "a?50?b?");
        roxmltree::Document::parse(&text).unwrap();
    }
}
