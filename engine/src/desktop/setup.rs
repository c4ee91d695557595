//! What somebody wants the desktop to know of the image: a JSON object, and what can be wrong with it.

use flatimage_reserved::declared::{self, Integrations};
use flatimage_reserved::{BitDecl, Encoding, nearest};
use serde_json::Value;

use super::category;

/// The members of the object.
const KEYS: [&str; 4] = ["name", "icon", "categories", "integrations"];

/// The longest name in bytes, which is more than any menu shows.
const LONGEST_NAME: usize = 255;

/// The most categories: the specification knows hardly any application with more than a few.
const MOST_CATEGORIES: usize = 24;

/// A description that is beyond doubt, but for the icon, which is still to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setup {
    /// Name of the application.
    pub name: String,
    /// Path or URL of its icon.
    pub icon: Option<String>,
    /// Where menus show it: names of the Desktop Menu Specification.
    pub categories: Vec<String>,
    /// What is to be installed.
    pub integrations: Integrations,
}

/// Why a description is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    /// It is no object.
    #[error("it is no JSON object with `name`, `icon`, `categories` and `integrations`")]
    NoObject,
    /// A member that nobody knows.
    #[error("unknown key `{key}`; {mend}")]
    UnknownKey {
        /// As given.
        key: String,
        /// The nearest one, or all.
        mend: String,
    },
    /// A member that is another kind of value.
    #[error("`{key}` is not {expected}")]
    Form {
        /// The member.
        key: &'static str,
        /// What it has to be.
        expected: &'static str,
    },
    /// There is no name.
    #[error("`name` is missing; give the name of the application")]
    Unnamed,
    /// The name cannot be shown.
    #[error("`name` {0}")]
    Name(&'static str),
    /// A category or integration that nobody knows.
    #[error("unknown {kind} `{name}`; {mend}")]
    Unknown {
        /// `category` or `integration`.
        kind: &'static str,
        /// As given.
        name: String,
        /// The nearest one, or all.
        mend: String,
    },
    /// There are more categories than there is room for.
    #[error("`categories` has {0} names; at most {MOST_CATEGORIES} fit")]
    TooMany(usize),
    /// The icon is to be installed, and there is none.
    #[error("the integration ICON needs an `icon`")]
    NoIcon,
}

impl Setup {
    /// Reads a description.
    ///
    /// # Errors
    /// The first mistake, by its name.
    pub fn parse(given: &Value) -> Result<Setup, SetupError> {
        let members = given.as_object().ok_or(SetupError::NoObject)?;
        if let Some(key) = members.keys().find(|key| !KEYS.contains(&key.as_str())) {
            return Err(SetupError::UnknownKey {
                key: key.clone(),
                mend: mend(key, &KEYS),
            });
        }
        let text = |key: &'static str| match members.get(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(SetupError::Form {
                key,
                expected: "a text",
            }),
        };
        let name = text("name")?.ok_or(SetupError::Unnamed)?;
        showable(&name).map_err(SetupError::Name)?;
        let icon = text("icon")?;
        let integrations = match texts(members.get("integrations"), "integrations")? {
            Some(names) => self::integrations(names.iter().map(String::as_str))?,
            None => every(icon.is_some()),
        };
        if integrations.contains(Integrations::ICON) && icon.is_none() {
            return Err(SetupError::NoIcon);
        }
        Ok(Setup {
            categories: categories(texts(members.get("categories"), "categories")?)?,
            name,
            icon,
            integrations,
        })
    }
}

/// The set that these names mean, in any case.
///
/// # Errors
/// The first unknown name.
pub fn integrations<'a>(names: impl Iterator<Item = &'a str>) -> Result<Integrations, SetupError> {
    let set = names.into_iter().try_fold(0, |set, name| {
        let lower = name.to_ascii_lowercase();
        let found = declared_bits().iter().find(|bit| bit.name == lower);
        let unknown = || {
            let known: Vec<&str> = declared_bits().iter().map(|bit| bit.name).collect();
            SetupError::Unknown {
                kind: "integration",
                name: name.to_owned(),
                mend: mend(&lower, &known),
            }
        };
        Ok(set | 1 << found.ok_or_else(unknown)?.number)
    });
    set.map(Integrations)
}

/// All that can be.
fn every(with_icon: bool) -> Integrations {
    let all = declared_bits()
        .iter()
        .fold(0, |set, bit| set | 1 << bit.number);
    match with_icon {
        true => Integrations(all),
        false => Integrations(all & !Integrations::ICON.0),
    }
}

fn declared_bits() -> &'static [BitDecl] {
    match declared::INTEGRATIONS.encoding {
        Encoding::Bits(decl) => decl.bits,
        _ => &[],
    }
}

fn categories(given: Option<Vec<String>>) -> Result<Vec<String>, SetupError> {
    let mut known = Vec::new();
    for name in given.unwrap_or_default() {
        if !category::is_one(&name) {
            return Err(SetupError::Unknown {
                kind: "category",
                mend: match nearest(&name, category::REGISTERED.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => "use one of the Desktop Menu Specification, or `X-` and a name".into(),
                },
                name,
            });
        }
        if !known.contains(&name) {
            known.push(name);
        }
    }
    match known.len() {
        count if count > MOST_CATEGORIES => Err(SetupError::TooMany(count)),
        _ => Ok(known),
    }
}

fn texts(given: Option<&Value>, key: &'static str) -> Result<Option<Vec<String>>, SetupError> {
    let wrong = || SetupError::Form {
        key,
        expected: "a list of names",
    };
    let Some(given) = given else { return Ok(None) };
    let items = given.as_array().ok_or_else(wrong)?.iter();
    let names = items.map(|item| item.as_str().map(str::to_owned).ok_or_else(wrong));
    names.collect::<Result<_, _>>().map(Some)
}

/// Why a name cannot be shown, as it follows "the name".
fn showable(name: &str) -> Result<(), &'static str> {
    // No XML can hold these, and no menu shows them.
    let is_bad = |letter: char| {
        letter.is_control() && !matches!(letter, '\n' | '\t')
            || matches!(letter, '\u{fffe}' | '\u{ffff}')
    };
    match name {
        _ if name.trim().is_empty() => Err("is empty"),
        _ if name.len() > LONGEST_NAME => Err("is longer than 255 bytes"),
        _ if name.contains(is_bad) => Err("has a control character"),
        _ => Ok(()),
    }
}

fn mend(typed: &str, known: &[&str]) -> String {
    match nearest(typed, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("known: {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_left_out_is_nothing_or_all_that_can_be() {
        let given = Setup::parse(&json!({"name": "A"})).unwrap();
        assert_eq!((given.icon, given.categories), (None, Vec::new()));
        assert_eq!(
            given.integrations,
            Integrations(Integrations::ENTRY.0 | Integrations::MIMETYPE.0)
        );
        let given = Setup::parse(&json!({"name": "A", "icon": "a.png"})).unwrap();
        assert_eq!(given.integrations.0, 0b111);
        let chosen = json!({"name": "A", "integrations": ["ENTRY", "mimetype", "ENTRY"]});
        assert_eq!(Setup::parse(&chosen).unwrap().integrations.0, 0b011);
        let none = json!({"name": "A", "icon": "a", "integrations": []});
        assert_eq!(Setup::parse(&none).unwrap().integrations.0, 0);
    }

    #[test]
    fn mistakes_are_named() {
        for (given, expected) in [
            (json!(["name"]), "it is no JSON object"),
            (
                json!({"name": "A", "icno": "x"}),
                "unknown key `icno`; did you mean `icon`?",
            ),
            (
                json!({"name": "A", "zebra": 1}),
                "unknown key `zebra`; known: name, icon, categories, integrations",
            ),
            (json!({}), "`name` is missing"),
            (json!({"name": 7}), "`name` is not a text"),
            (json!({"name": " \n"}), "`name` is empty"),
            (json!({"name": "a\u{7}"}), "`name` has a control character"),
            (
                json!({"name": "x".repeat(256)}),
                "`name` is longer than 255",
            ),
            (json!({"name": "A", "icon": null}), "`icon` is not a text"),
            (
                json!({"name": "A", "categories": "Game"}),
                "`categories` is not a list of names",
            ),
            (
                json!({"name": "A", "categories": ["Gmae"]}),
                "unknown category `Gmae`; did you mean `Game`?",
            ),
            (
                json!({"name": "A", "categories": ["Game;Evil"]}),
                "unknown category `Game;Evil`",
            ),
            (
                json!({"name": "A", "integrations": ["ENTYR"]}),
                "unknown integration `ENTYR`; did you mean `entry`?",
            ),
            (
                json!({"name": "A", "integrations": ["ICON"]}),
                "the integration ICON needs an `icon`",
            ),
        ] {
            let error = Setup::parse(&given).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{given}: {error}");
        }
    }
}
