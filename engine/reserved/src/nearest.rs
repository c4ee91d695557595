//! Which known name somebody probably meant.

/// The name among `known` that is nearest to `typed`, when one is near enough to be meant.
#[must_use]
pub fn nearest<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let distances = known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(typed, name), name));
    let (distance, name) = distances.min()?;
    (distance <= typed.len().max(name.len()) / 3).then_some(name)
}

/// How to mend an unknown name: the nearest known one, or all of them.
pub(crate) fn hint<'a>(typed: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> String {
    match nearest(typed, known.clone()) {
        Some(name) => format!("did you mean `{name}`?"),
        None => {
            let known: Vec<String> = known.into_iter().map(|name| format!("`{name}`")).collect();
            format!("known: {}", known.join(", "))
        }
    }
}
