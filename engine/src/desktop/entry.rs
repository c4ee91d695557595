//! Desktop entries, as the Desktop Entry Specification 1.5 wants them.
//!
//! There are two. One is for menus. The other, hidden, opens the file of the image in a file manager: the first one would be
//! given the image as a document, because a file manager adds what it opens even where the entry has no place for it.

use flatimage_reserved::declared::Desktop;

use super::names::{Names, mark};

/// For a shell: runs the program that it is given first, without what follows.
const ALONE: &str = "exec \"$0\"";

/// For a shell: runs the program that it is given first, with what follows.
const WITH_FILES: &str = "exec \"$0\" \"$@\"";

/// What an entry is made of.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The application.
    pub application: &'a Desktop,
    /// Absolute path of the image.
    pub image: &'a str,
    /// Whether its icon is installed.
    pub has_icon: bool,
}

/// The entry for menus: it starts the image with the files that it is given.
pub fn for_menus(subject: Subject<'_>) -> String {
    let image = quoted(subject.image);
    // Of a program's path the specification allows no `=`, and GLib looks for one with `%%` under that very name.
    let exec = match subject.image.contains(['%', '=']) {
        true => format!("sh -c {} {image} %F", quoted(WITH_FILES)),
        false => format!("{image} %F"),
    };
    let mut text = common(subject, &exec);
    let categories = subject.application.categories.iter();
    let categories: String = categories
        .map(|name| format!("{};", escaped(name)))
        .collect();
    if !categories.is_empty() {
        text.push_str(&format!("Categories={categories}\n"));
    }
    text
}

/// The entry for the file type of the image: it starts the image without a file.
pub fn for_file(subject: Subject<'_>) -> String {
    let exec = format!("sh -c {} {} %f", quoted(ALONE), quoted(subject.image));
    let names = Names::of(subject.application);
    let mut text = common(subject, &exec);
    text.push_str(&format!(
        "NoDisplay=true\nMimeType={};\n",
        names.file_type()
    ));
    text
}

fn common(subject: Subject<'_>, exec: &str) -> String {
    let Subject {
        application,
        image,
        has_icon,
    } = subject;
    let icon = match has_icon {
        true => format!("Icon={}\n", Names::of(application).stem()),
        false => String::new(),
    };
    format!(
        "[Desktop Entry]\nType=Application\nVersion=1.0\nName={name}\nExec={exec}\nTryExec={image}\n{icon}\
         Terminal=false\nX-FlatImage={mark}\n",
        name = escaped(&application.name),
        exec = escaped(exec),
        image = escaped(image),
        mark = mark(&application.id),
    )
}

/// A value of type string.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for (place, letter) in text.chars().enumerate() {
        match letter {
            // A reader drops those before a value.
            ' ' if place == 0 => escaped.push_str("\\s"),
            '\n' => escaped.push_str("\\n"),
            '\t' => escaped.push_str("\\t"),
            '\r' => escaped.push_str("\\r"),
            '\\' => escaped.push_str("\\\\"),
            plain => escaped.push(plain),
        }
    }
    escaped
}

/// One argument of `Exec`, before it becomes a value: what is special within quotes has a backslash, and `%` is doubled.
fn quoted(argument: &str) -> String {
    let mut quoted = String::from("\"");
    for letter in argument.chars() {
        match letter {
            '"' | '`' | '$' | '\\' => quoted.extend(['\\', letter]),
            '%' => quoted.push_str("%%"),
            plain => quoted.push(plain),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn application(name: &str) -> Desktop {
        Desktop {
            id: "app-0123abcd".into(),
            name: name.into(),
            icon: String::new(),
            categories: vec!["Game".into(), "X-Own".into()],
        }
    }

    fn line<'a>(entry: &'a str, key: &str) -> &'a str {
        let found = entry.lines().find_map(|line| line.strip_prefix(key));
        found.and_then(|rest| rest.strip_prefix('=')).unwrap()
    }

    #[test]
    fn values_are_escaped_as_the_specification_says() {
        let application = application(" Tic \"Tac\";\\Toe\n100 % Ü");
        let subject = Subject {
            application: &application,
            image: "/a b/\"q\"$x`\\100%;é\n.flatimage",
            has_icon: true,
        };
        let entry = for_menus(subject);
        assert_eq!(line(&entry, "Name"), r#"\sTic "Tac";\\Toe\n100 % Ü"#);
        assert_eq!(
            line(&entry, "Exec"),
            r#"sh -c "exec \\"\\$0\\" \\"\\$@\\"" "/a b/\\"q\\"\\$x\\`\\\\100%%;é\n.flatimage" %F"#
        );
        assert_eq!(
            line(&entry, "TryExec"),
            r#"/a b/"q"$x`\\100%;é\n.flatimage"#
        );
        assert_eq!(line(&entry, "Icon"), "flatimage-app-0123abcd");
        assert_eq!(line(&entry, "Categories"), "Game;X-Own;");
        let file = for_file(Subject {
            image: "/a",
            has_icon: false,
            ..subject
        });
        let plain = for_menus(Subject {
            image: "/a $b",
            ..subject
        });
        assert_eq!(line(&plain, "Exec"), r#""/a \\$b" %F"#);
        assert_eq!(line(&file, "Exec"), r#"sh -c "exec \\"\\$0\\"" "/a" %f"#);
        assert!(!file.contains("Icon="));
    }
}
