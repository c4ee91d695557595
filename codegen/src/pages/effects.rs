//! Effects in words.

use flatimage_reserved::effect::{Access, AccessDecl, Condition, Effect, Missing};

use super::code;

/// The effects as a list, each line indented by `depth` levels.
pub fn list(effects: &[Effect], depth: usize) -> String {
    effects.iter().map(|effect| item(effect, depth)).collect()
}

fn item(effect: &Effect, depth: usize) -> String {
    let (text, inner): (String, &[Effect]) = match effect {
        Effect::Bind {
            source,
            target,
            access,
            missing,
            glob,
        } => (bind([source, target], *access, *missing, *glob), &[]),
        Effect::Setenv { name, value } => (format!("sets {} to {}", code(name), code(value)), &[]),
        Effect::Tmpfs { target } => (
            format!("an empty filesystem in memory at {}", code(target)),
            &[],
        ),
        Effect::Symlink { link, target } => {
            (format!("a link {} to {}", code(link), code(target)), &[])
        }
        Effect::Share { namespace } => (
            format!(
                "the host's {} namespace instead of one of its own",
                code(namespace.name())
            ),
            &[],
        ),
        Effect::Libraries { names, target } => (
            format!(
                "libraries of the host's loader, read-only in {} and {}: {}",
                code(&format!("{target}/lib")),
                code(&format!("{target}/lib32")),
                self::names(names),
            ),
            &[],
        ),
        Effect::Allow { rules } => (
            format!("system calls that are denied otherwise: {}", links(rules)),
            &[],
        ),
        Effect::Emulate { rules } => (
            format!(
                "system calls that are answered as if they had been done: {}",
                links(rules)
            ),
            &[],
        ),
        Effect::File { target, text } => (
            format!("a file {} with {}", code(target), code(text.trim_end())),
            &[],
        ),
        Effect::Unmask { target } => (
            format!("nothing below {} is hidden or made read-only", code(target)),
            &[],
        ),
        Effect::Enter { directory } => (format!("programs start in {}", code(directory)), &[]),
        Effect::Fold => ("names of files are found in any case".to_owned(), &[]),
        Effect::Subordinate => (
            "the caller's subordinate ids besides the caller's own".to_owned(),
            &[],
        ),
        Effect::Stack { with } => (
            format!("layers and changes are stacked with {}", code(with.name())),
            &[],
        ),
        Effect::Portal => (
            "programs of the host can be run from the container, as far as they are listed"
                .to_owned(),
            &[],
        ),
        Effect::Admit { program } => (
            format!("the host's program {} is listed", code(program)),
            &[],
        ),
        Effect::Bus {
            address,
            target,
            talk,
            own,
        } => (
            format!(
                "the message bus {} at {}, through the host's `xdg-dbus-proxy`: calls to {}; names to own: {}",
                code(address),
                code(target),
                names(talk),
                names(own),
            ),
            &[],
        ),
        Effect::ForEach { effects } => ("for every entry:".to_owned(), effects),
        Effect::When {
            conditions,
            effects,
        } => {
            let all: Vec<String> = conditions.iter().map(condition).collect();
            (format!("when {}:", all.join(" and ")), effects)
        }
    };
    let indent = "  ".repeat(depth);
    format!("{indent}- {text}\n{}", list(inner, depth + 1))
}

fn links(rules: &[&str]) -> String {
    let links = rules
        .iter()
        .map(|rule| format!("[`{rule}`](filter.md#{rule})"));
    links.collect::<Vec<_>>().join(", ")
}

fn names(names: &[&str]) -> String {
    match names {
        [] => "none".to_owned(),
        names => names
            .iter()
            .map(|name| code(name))
            .collect::<Vec<_>>()
            .join(", "),
    }
}

fn bind([source, target]: [&str; 2], access: AccessDecl, missing: Missing, glob: bool) -> String {
    let what = if glob {
        format!("every path {}", code(source))
    } else {
        code(source)
    };
    let place = match (source == target, glob) {
        (true, _) => String::new(),
        (false, true) => format!(" in {}", code(target)),
        (false, false) => format!(" at {}", code(target)),
    };
    let access = match access {
        AccessDecl::Is(Access::Ro) => "read-only".to_owned(),
        AccessDecl::Is(Access::Rw) => "read and write".to_owned(),
        AccessDecl::Is(Access::Dev) => "read and write, devices included".to_owned(),
        AccessDecl::Field(field) => format!("as the entry's {} says", code(field)),
    };
    let missing = match missing {
        Missing::Skip => "",
        Missing::Fail => "; without it there is no start",
    };
    format!("{what}{place}, {access}{missing}")
}

fn condition(condition: &Condition) -> String {
    match condition {
        Condition::Env(name) => format!("{} is set on the host", code(name)),
        Condition::Exists(path) => format!("the host has {}", code(path)),
        Condition::Root(true) => "the program is root inside".to_owned(),
        Condition::Root(false) => "the program is not root inside".to_owned(),
        Condition::Privileged(true) => "the caller is root on the host".to_owned(),
        Condition::Privileged(false) => "the caller is not root on the host".to_owned(),
        Condition::Is(value) => format!("the value is {}", code(value)),
    }
}
