//! Patterns over the host's paths, as declared bind sources use them.

use std::fs;
use std::path::{Path, PathBuf};

/// The existing paths that match `pattern`, sorted. `*` stands for any run of characters and
/// `?` for one, within a component; a leading dot is matched by a literal dot only.
pub fn matches(pattern: &str) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::from("/")];
    for component in pattern.split('/').filter(|component| !component.is_empty()) {
        found = found
            .iter()
            .flat_map(|directory| step(directory, component))
            .collect();
    }
    found.sort();
    found
}

fn step(directory: &Path, component: &str) -> Vec<PathBuf> {
    if !component.contains(['*', '?']) {
        let path = directory.join(component);
        return if path.exists() {
            vec![path]
        } else {
            Vec::new()
        };
    }
    let Ok(entries) = fs::read_dir(directory) else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| component.starts_with('.') || !name.starts_with('.'))
        .filter(|name| wildcard(component.as_bytes(), name.as_bytes()))
        .map(|name| directory.join(name))
        .collect()
}

/// Whether `name` fits `pattern`: `*` is any run of bytes and `?` one. Goes back to the last `*` only, so that the time is the product of the lengths at most.
pub fn wildcard(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut seen, mut star) = (0, 0, None);
    while seen < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, seen));
                at += 1;
            }
            Some(byte) if *byte == b'?' || *byte == name[seen] => {
                at += 1;
                seen += 1;
            }
            _ => match star {
                Some((place, from)) => {
                    star = Some((place, from + 1));
                    at = place + 1;
                    seen = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_and_question_marks_match_within_a_component() {
        for (pattern, name, expected) in [
            ("nvidia*", "nvidia0", true),
            ("nvidia*", "nvidia", true),
            ("sr?", "sr0", true),
            ("sr?", "sr10", false),
            ("*a*b", "xaxxb", true),
            ("*a*b", "xaxx", false),
        ] {
            assert_eq!(
                wildcard(pattern.as_bytes(), name.as_bytes()),
                expected,
                "{pattern} {name}"
            );
        }
        let long = "a".repeat(200);
        let many = "*a".repeat(100) + "b";
        assert!(!wildcard(many.as_bytes(), long.as_bytes()));
    }

    #[test]
    fn matches_are_existing_paths_in_order() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["b1", "a1", ".hidden1", "c2"] {
            fs::write(directory.path().join(name), "").unwrap();
        }
        let found = matches(&format!("{}/*1", directory.path().display()));
        assert_eq!(
            found,
            [directory.path().join("a1"), directory.path().join("b1")]
        );
        assert!(matches("/nowhere/*").is_empty());
    }
}
