//! File types that a distribution adds, as the Shared MIME-info Database specification wants them.
//!
//! A package declares them, and the list of patterns that `update-mime-database` would make of it is there already: nothing
//! of the root filesystem is run to build an image. Both are in a directory of their own, which programs look at before that
//! of the distribution, so that what its packages bring stays as it is.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::distribution::FileType;

/// Where the package is.
pub(super) const PACKAGE: &str = "/usr/local/share/mime/packages/flatimage.xml";

/// Where the list of patterns is.
pub(super) const PATTERNS: &str = "/usr/local/share/mime/globs2";

/// The weight of a pattern that says nothing of it.
const WEIGHT: u32 = 50;

/// The package.
pub(super) fn package(types: &BTreeMap<String, FileType>) -> String {
    let mut text = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
                    <mime-info xmlns=\"http://www.freedesktop.org/standards/shared-mime-info\">\n"
        .to_owned();
    for (name, kind) in types {
        let _ = writeln!(text, "  <mime-type type=\"{}\">", escaped(name));
        let _ = writeln!(text, "    <comment>{}</comment>", escaped(&kind.comment));
        for pattern in &kind.patterns {
            let _ = writeln!(text, "    <glob pattern=\"{}\"/>", escaped(pattern));
        }
        text.push_str("  </mime-type>\n");
    }
    text.push_str("</mime-info>\n");
    text
}

/// The list of patterns.
pub(super) fn patterns(types: &BTreeMap<String, FileType>) -> String {
    let lines = types.iter().flat_map(|(name, kind)| {
        let patterns = kind.patterns.iter();
        patterns.map(move |pattern| format!("{WEIGHT}:{name}:{pattern}\n"))
    });
    lines.collect()
}

/// In words, what cannot be a file type.
pub(crate) fn check(types: &BTreeMap<String, FileType>) -> Result<(), String> {
    for (name, kind) in types {
        let plain = |letter: char| letter.is_ascii_alphanumeric() || "!#$&-^_.+".contains(letter);
        let sound = |part: &str| !part.is_empty() && part.chars().all(plain);
        let parts: Vec<&str> = name.split('/').collect();
        if parts.len() != 2 || !parts.into_iter().all(sound) {
            return Err(format!(
                "`{name}` is no file type; give one such as `application/x-thing`"
            ));
        }
        let odd = |pattern: &&String| {
            pattern.is_empty() || pattern.contains(':') || pattern.contains(char::is_control)
        };
        if let Some(pattern) = kind.patterns.iter().find(odd) {
            return Err(format!(
                "`{}` of `{name}` is no pattern; give one such as `*.thing`",
                pattern.escape_debug()
            ));
        }
        if kind.comment.contains(char::is_control) {
            return Err(format!("the comment of `{name}` is not one line"));
        }
    }
    Ok(())
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::process::Command;

    fn types(name: &str, comment: &str, pattern: &str) -> BTreeMap<String, FileType> {
        let kind = FileType {
            comment: comment.to_owned(),
            patterns: vec![pattern.to_owned(), "*.other".to_owned()],
        };
        [(name.to_owned(), kind)].into()
    }

    #[test]
    fn programs_know_the_type_and_the_database_tool_takes_the_package() {
        let dir = tempfile::tempdir().unwrap();
        let types = types("application/x-thing", "a <thing> & \"more\"", "*.thing");
        check(&types).unwrap();
        let mime = dir.path().join("mime");
        fs::create_dir_all(mime.join("packages")).unwrap();
        fs::write(mime.join("packages/flatimage.xml"), package(&types)).unwrap();
        fs::write(mime.join("globs2"), patterns(&types)).unwrap();
        let file = dir.path().join("a.thing");
        fs::write(&file, "text").unwrap();
        let known = || {
            let mut gio = Command::new("gio");
            gio.args(["info", "--attributes", "standard::content-type"]);
            gio.arg(&file).env("XDG_DATA_DIRS", dir.path());
            let output = gio.env("XDG_DATA_HOME", "/none").output().unwrap();
            String::from_utf8(output.stdout).unwrap()
        };
        assert!(known().contains("content-type: application/x-thing"));
        let mut update = Command::new("update-mime-database");
        update.arg(&mime).env("XDG_DATA_DIRS", dir.path());
        let updated = update.output().unwrap();
        assert!(
            updated.status.success() && updated.stderr.is_empty(),
            "{updated:?}"
        );
        let made = fs::read_to_string(mime.join("globs2")).unwrap();
        let sorted = |text: &str| {
            let lines = text.lines().filter(|line| !line.starts_with('#'));
            let mut lines: Vec<String> = lines.map(str::to_owned).collect();
            lines.sort();
            lines
        };
        assert_eq!(sorted(&made), sorted(&patterns(&types)));
        assert!(known().contains("content-type: application/x-thing"));
    }

    #[test]
    fn what_is_no_type_and_no_pattern_is_refused() {
        for (name, comment, pattern) in [
            ("thing", "", "*"),
            ("a/b/c", "", "*"),
            ("a/", "", "*"),
            ("a/b c", "", "*"),
            ("a/b", "one\ntwo", "*"),
            ("a/b", "", "*:x"),
            ("a/b", "", ""),
            ("a/b", "", "*\n50:text/plain:*"),
        ] {
            let reason = check(&types(name, comment, pattern)).unwrap_err();
            assert!(!reason.contains('\n'), "{reason}");
        }
    }
}
