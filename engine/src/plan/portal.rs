//! The portal: where in the container programs of the host are asked for, and which of them may be run.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use flatimage_reserved::effect::{Access, Missing};
use serde::Serialize;

use super::build::Request;
use super::{Action, Step};
use crate::host::{Host, wildcard};

/// Where everything of the portal is in the container.
pub const PLACE: &str = "/run/flatimage-portal";
/// The name of the program that asks.
pub const ASKER: &str = "fim_portal";
/// The name of the socket.
pub const ADDRESS: &str = "socket";
/// What programs call to open a file or an address. It is asked for under its own name.
const OPENER: &str = "xdg-open";
/// What stands for every program.
const ANY: &str = "*";

/// The programs of the host that may be run for the container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Admitted(Vec<String>);

impl Admitted {
    /// From the list as it is stored. A path that has no wildcard, or begins with a directory that has none, is also compared
    /// without links; a name becomes the path that the caller's `PATH` has for it.
    pub fn new(listed: &[String], host: &Host) -> Admitted {
        let mut patterns = Vec::new();
        for pattern in listed {
            match pattern.contains('/') {
                true => {
                    patterns.extend(without_links(pattern, host).filter(|other| other != pattern));
                    patterns.push(pattern.clone());
                }
                false if pattern == ANY => patterns.push(pattern.clone()),
                false => patterns.extend(host.program(pattern).map(|path| text(&path))),
            }
        }
        patterns.sort();
        patterns.dedup();
        Admitted(patterns)
    }

    /// Whether a program may be run; `path` is without links.
    pub fn admits(&self, path: &Path) -> bool {
        self.0
            .iter()
            .any(|pattern| pattern == ANY || fits(pattern, path))
    }

    /// The list, as it is compared.
    pub fn patterns(&self) -> &[String] {
        &self.0
    }
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn without_links(pattern: &str, host: &Host) -> Option<String> {
    let wild = pattern.find(['*', '?']);
    let Some(wild) = wild else {
        return host
            .files
            .resolve(Path::new(pattern))
            .map(|(path, _)| text(&path));
    };
    let (directory, rest) = pattern.split_at(pattern[..wild].rfind('/')? + 1);
    let (directory, _) = host.files.resolve(Path::new(directory))?;
    Some(text(&directory.join(rest)))
}

/// Whether a path fits a pattern, component by component.
fn fits(pattern: &str, path: &Path) -> bool {
    let mut components = path.components();
    if components.next() != Some(Component::RootDir) {
        return false;
    }
    let Some(pattern) = pattern.strip_prefix('/') else {
        return false;
    };
    let mut parts = pattern.split('/').filter(|part| !part.is_empty());
    loop {
        match (parts.next(), components.next()) {
            (None, None) => return true,
            (Some(part), Some(Component::Normal(name))) => {
                if !wildcard(part.as_bytes(), name.as_encoded_bytes()) {
                    return false;
                }
            }
            _ => return false,
        }
    }
}

/// The programs of the portal come before the container's own.
pub fn find_first(environment: &mut BTreeMap<String, String>) {
    if let Some(path) = environment.get_mut("PATH") {
        *path = format!("{PLACE}:{path}");
    }
}

/// What makes the portal.
pub fn steps(host: &Host, request: &Request, admitted: &Admitted, cause: &str) -> Vec<Step> {
    let place = Path::new(PLACE);
    let asker = place.join(ASKER);
    let mut actions = vec![
        Action::Directory {
            target: place.to_owned(),
            mode: 0o755,
            owner: (0, 0),
        },
        match &request.program {
            Some(program) => Action::Bind {
                source: program.clone(),
                target: asker,
                access: Access::Ro,
                missing: Missing::Fail,
            },
            None => Action::CopyProgram { target: asker },
        },
        Action::Portal {
            target: place.join(ADDRESS),
        },
    ];
    // Where it would be refused the container's own is of more use.
    if host
        .program(OPENER)
        .is_some_and(|path| admitted.admits(&path))
    {
        actions.push(Action::Symlink {
            link: place.join(OPENER),
            target: ASKER.into(),
        });
    }
    let step = |action| Step {
        action,
        cause: cause.to_owned(),
    };
    actions.into_iter().map(step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_and_question_marks_stay_within_a_component() {
        for (pattern, path, expected) in [
            ("/usr/bin/true", "/usr/bin/true", true),
            ("/usr/bin/true", "/usr/bin/true2", false),
            ("/usr/bin/*", "/usr/bin/true", true),
            ("/usr/bin/*", "/usr/bin/x/true", false),
            ("/usr/*", "/usr/bin/true", false),
            ("/usr/*/tru?", "/usr/bin/true", true),
            ("/usr/bin/*a*a*b", "/usr/bin/xaaaaaaaaaab", true),
            ("/usr/bin/*a*a*b", "/usr/bin/xaaaaaaaaaac", false),
            ("//usr/bin/", "/usr/bin", true),
            ("usr/bin/true", "/usr/bin/true", false),
            ("", "/", false),
            ("/usr/bin/true", "usr/bin/true", false),
        ] {
            assert_eq!(fits(pattern, Path::new(path)), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn an_empty_list_admits_nothing_and_a_star_everything() {
        let path = Path::new("/usr/bin/true");
        assert!(!Admitted::default().admits(path));
        assert!(Admitted(vec!["*".into()]).admits(path));
        assert!(!Admitted(vec!["/*".into()]).admits(path));
    }
}
