//! Variables of the host in stored values and declared paths.
//!
//! A small part of what a shell does, without ever running anything: `$NAME`, `${NAME}`, a default `${NAME:-word}`,
//! and the two cuts `${NAME#*c}` (what follows the first `c`) and `${NAME%c*}` (what precedes the last `c`). A cut may be
//! followed by another one: `${DISPLAY#*:%.*}` is the number of the display. `$(…)` stays literal.

/// A text whose variables have been replaced.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Expansion {
    /// The text; a variable that is not set became nothing.
    pub text: String,
    /// Names of the variables that are not set and have no default, in order of appearance.
    pub unset: Vec<String>,
}

/// Replaces the variables in `template` by what `variable` answers. Values are not expanded again.
#[must_use]
pub fn expand(template: &str, variable: &dyn Fn(&str) -> Option<String>) -> Expansion {
    let mut expansion = Expansion::default();
    let mut rest = template;
    while let Some(dollar) = rest.find('$') {
        expansion.text.push_str(&rest[..dollar]);
        rest = &rest[dollar..];
        let taken = braced(rest, variable, &mut expansion)
            .or_else(|| plain(rest, variable, &mut expansion));
        let taken = taken.unwrap_or_else(|| {
            let literal = command(rest).unwrap_or(1);
            expansion.text.push_str(&rest[..literal]);
            literal
        });
        rest = &rest[taken..];
    }
    expansion.text.push_str(rest);
    expansion
}

/// `$NAME` at the start of `text`: how many bytes it takes.
fn plain(
    text: &str,
    variable: &dyn Fn(&str) -> Option<String>,
    into: &mut Expansion,
) -> Option<usize> {
    let name = &text[1..1 + name_length(&text[1..])];
    if name.is_empty() {
        return None;
    }
    put(name, variable(name), into);
    Some(1 + name.len())
}

/// `${NAME…}` at the start of `text`: how many bytes it takes. Anything malformed is left as it is.
fn braced(
    text: &str,
    variable: &dyn Fn(&str) -> Option<String>,
    into: &mut Expansion,
) -> Option<usize> {
    let inside = text.strip_prefix("${")?;
    let close = closing(inside, b'{', b'}')?;
    let inside = &inside[..close];
    let (name, operation) = inside.split_at(name_length(inside));
    if name.is_empty() {
        return None;
    }
    if let Some(default) = operation.strip_prefix(":-") {
        match variable(name).filter(|value| !value.is_empty()) {
            Some(value) => into.text.push_str(&value),
            None => {
                let default = expand(default, variable);
                into.text.push_str(&default.text);
                into.unset.extend(default.unset);
            }
        }
    } else {
        let cuts = cuts(operation)?;
        let value =
            variable(name).map(|value| cuts.iter().fold(value, |value, cut| cut.apply(value)));
        put(name, value, into);
    }
    Some(close + 3)
}

/// Bytes of the `$(…)` at the start of `text`.
fn command(text: &str) -> Option<usize> {
    Some(closing(text.strip_prefix("$(")?, b'(', b')')? + 3)
}

/// The place of the bracket that closes the one before `inside`.
fn closing(inside: &str, open: u8, close: u8) -> Option<usize> {
    let mut depth = 0_usize;
    for (place, byte) in inside.bytes().enumerate() {
        if byte == open {
            depth += 1;
        } else if byte == close {
            match depth.checked_sub(1) {
                Some(outer) => depth = outer,
                None => return Some(place),
            }
        }
    }
    None
}

fn put(name: &str, value: Option<String>, into: &mut Expansion) {
    match value {
        Some(value) => into.text.push_str(&value),
        None => into.unset.push(name.to_owned()),
    }
}

fn name_length(text: &str) -> usize {
    if text.starts_with(|first: char| first.is_ascii_digit()) {
        return 0;
    }
    text.bytes()
        .take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
        .count()
}

/// A part of a value that is cut off.
enum Cut {
    /// Up to and including the first of these.
    Through(char),
    /// From the last of these on.
    From(char),
}

impl Cut {
    fn apply(&self, value: String) -> String {
        let kept = match self {
            Self::Through(mark) => value.split_once(*mark).map(|(_, kept)| kept),
            Self::From(mark) => value.rsplit_once(*mark).map(|(kept, _)| kept),
        };
        kept.map(str::to_owned).unwrap_or(value)
    }
}

/// `#*c` and `%c*`, any number of them; `None` when `operation` is something else.
fn cuts(operation: &str) -> Option<Vec<Cut>> {
    let mut cuts = Vec::new();
    let mut characters = operation.chars();
    while let Some(kind) = characters.next() {
        let (first, second) = (characters.next()?, characters.next()?);
        cuts.push(match (kind, first, second) {
            ('#', '*', mark) => Cut::Through(mark),
            ('%', mark, '*') => Cut::From(mark),
            _ => return None,
        });
    }
    Some(cuts)
}

#[cfg(test)]
mod tests {
    use super::expand;

    fn host(name: &str) -> Option<String> {
        let value = match name {
            "HOME" => "/home/me",
            "DISPLAY" => "unix:10.1",
            "EMPTY" => "",
            "LOOP" => "$HOME",
            _ => return None,
        };
        Some(value.to_owned())
    }

    #[test]
    fn variables_become_the_hosts_values() {
        for (template, text) in [
            ("", ""),
            ("$HOME/x", "/home/me/x"),
            ("${HOME}x", "/home/mex"),
            ("a$HOME$HOME", "a/home/me/home/me"),
            ("$LOOP", "$HOME"),
            ("$(id) $ $1 ${} ${", "$(id) $ $1 ${} ${"),
            ("$(echo $HOME (x))$HOME", "$(echo $HOME (x))/home/me"),
            ("${HOME!}", "${HOME!}"),
            ("X${DISPLAY#*:%.*}", "X10"),
            ("${HOME#*:}", "/home/me"),
            ("${NONE:-${HOME}/y}", "/home/me/y"),
            ("${EMPTY:-z}", "z"),
            ("é$HOME", "é/home/me"),
        ] {
            let expansion = expand(template, &host);
            assert_eq!(expansion.text, text, "{template}");
            assert!(expansion.unset.is_empty(), "{template}");
        }
    }

    #[test]
    fn a_variable_that_is_not_set_is_nothing_and_is_named() {
        let expansion = expand("a$NONE-${OTHER#*:}b${THIRD:-$FOURTH}", &host);
        assert_eq!(expansion.text, "a-b");
        assert_eq!(expansion.unset, ["NONE", "OTHER", "FOURTH"]);
    }
}
