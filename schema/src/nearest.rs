//! Which known name somebody probably meant.

/// The name among `known` that is nearest to `typed`, when one is near enough to be meant.
pub fn nearest<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let near = known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(typed, name), name));
    let (distance, name) = near.min()?;
    (distance <= typed.len().max(name.len()) / 3).then_some(name)
}

/// A hint for an unknown name: the nearest known one, or all of them.
pub fn hint(typed: &str, known: &[&str]) -> String {
    match nearest(typed, known.iter().copied()) {
        Some(name) => format!("did you mean `{name}`?"),
        None => format!(
            "known: {}",
            known
                .iter()
                .map(|name| format!("`{name}`"))
                .collect::<Vec<_>>()
                .join(", ")
        ),
    }
}
