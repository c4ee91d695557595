//! Texts that are a path. What stands in them is expanded at the start; what can be wrong before is said when it is stored.

use crate::decl::Side;
use crate::verb::VerbError;

/// Accepts what can become an absolute path: one, or what begins with a variable.
///
/// # Errors
/// Anything else; in the container also what leads up.
pub fn check(text: &str, side: Side) -> Result<(), VerbError> {
    let whose = match side {
        Side::Host => "the host",
        Side::Container => "the container",
    };
    if !text.starts_with(['/', '$']) {
        return wrong(
            format!("`{text}` is no absolute path of {whose}"),
            "begin it with `/`, or with a variable as in `$HOME/…`",
        );
    }
    if side == Side::Container && text.split('/').any(|part| part == "..") {
        return wrong(
            format!("`{text}` leads up in the container"),
            "give the path that it comes to, without `..`",
        );
    }
    Ok(())
}

/// As [`check`], for something that appears at the path: the container's root is none.
///
/// # Errors
/// As there, and the root.
pub fn check_field(text: &str, side: Side) -> Result<(), VerbError> {
    check(text, side)?;
    if side == Side::Host {
        return Ok(());
    }
    let parts = text
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".");
    let parts: Vec<&str> = parts.collect();
    match parts[..] {
        [] => wrong(
            format!("`{text}` is all of the container"),
            "give a path below it",
        ),
        // Something else there would take away what every container runs with.
        ["proc", ..] | ["dev" | "run"] | ["run", "flatimage", ..] => wrong(
            format!("`{text}` is the container's own"),
            "give another path",
        ),
        _ => Ok(()),
    }
}

fn wrong(what: String, mend: &str) -> Result<(), VerbError> {
    Err(VerbError::Wrong {
        what,
        mend: mend.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absolute_paths_and_variables_are_accepted() {
        for text in ["/", "/a b", "$HOME", "${X:-/y}/z", "/a/..b", "/a//b/./c"] {
            for side in [Side::Host, Side::Container] {
                assert_eq!(check(text, side), Ok(()), "{text}");
            }
        }
        assert_eq!(check("/a/../b", Side::Host), Ok(()));
        assert_eq!(check_field("/", Side::Host), Ok(()));
    }

    #[test]
    fn others_are_named_with_what_mends_them() {
        for (text, side, expected) in [
            (
                "a",
                Side::Host,
                "`a` is no absolute path of the host; begin it with `/`",
            ),
            (
                "./a",
                Side::Container,
                "`./a` is no absolute path of the container; ",
            ),
            ("~/a", Side::Host, "as in `$HOME/…`"),
            ("/a/../b", Side::Container, "without `..`"),
            ("$A/..", Side::Container, "without `..`"),
            ("/", Side::Container, "give a path below it"),
            ("/./", Side::Container, "give a path below it"),
            ("/proc", Side::Container, "give another path"),
            ("//proc/./sys/", Side::Container, "give another path"),
            ("/dev/", Side::Container, "give another path"),
            ("/run", Side::Container, "give another path"),
            ("/run/flatimage/bin", Side::Container, "give another path"),
        ] {
            let line = check_field(text, side).expect_err(text).to_string();
            assert!(line.contains(expected) && !line.contains('\n'), "{line}");
        }
    }
}
