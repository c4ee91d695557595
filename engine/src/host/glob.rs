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
        .filter(|name| fits(component.as_bytes(), name.as_bytes()))
        .map(|name| directory.join(name))
        .collect()
}

fn fits(pattern: &[u8], name: &[u8]) -> bool {
    match pattern.split_first() {
        None => name.is_empty(),
        Some((b'*', rest)) => (0..=name.len()).any(|skipped| fits(rest, &name[skipped..])),
        Some((b'?', rest)) => !name.is_empty() && fits(rest, &name[1..]),
        Some((literal, rest)) => name.first() == Some(literal) && fits(rest, &name[1..]),
    }
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
                fits(pattern.as_bytes(), name.as_bytes()),
                expected,
                "{pattern} {name}"
            );
        }
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
