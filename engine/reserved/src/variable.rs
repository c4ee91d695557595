//! Variables of the host that say something of one start.
//!
//! Some count instead of a stored value: what stands in one is what would be typed after `set`, or `on` and `off` of a flag,
//! which may be `1` and `0` too. Others belong to no region and hold one of the words that are declared for them.

use crate::decl::{Encoding, RegionDecl};
use crate::nearest::hint;
use crate::value::Value;
use crate::verb::{self, Verb, VerbError};
use crate::wire::{self, EncodeError};

/// Why a variable does not say a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the variable {variable}: {reason}")]
pub struct VariableError {
    /// Name of the variable.
    pub variable: &'static str,
    /// What is wrong and how to mend it.
    pub reason: Reason,
}

/// What is wrong with the text of a variable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// No word of a flag.
    #[error("`{0}` is neither on nor off; give `1` or `0`, or leave it unset")]
    NoFlag(String),
    /// No word of a variable that has some to choose from.
    #[error("`{text}` is unknown; {hint}")]
    NoChoice {
        /// What stands in it.
        text: String,
        /// What could.
        hint: String,
    },
    /// What the verb `set` would refuse too.
    #[error(transparent)]
    Refused(#[from] VerbError),
    /// What could not be stored either.
    #[error(transparent)]
    Encoded(#[from] EncodeError),
}

/// A variable that belongs to no region.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VariableDecl {
    /// Its name.
    pub name: &'static str,
    /// One line: what it says.
    pub summary: &'static str,
    /// What the book says.
    pub docs: &'static str,
    /// What can stand in it, each with one line; the first counts where it is unset or empty.
    pub choices: &'static [(&'static str, &'static str)],
}

impl VariableDecl {
    /// What the caller chose; `variable` looks one up, `named` makes a type of a word.
    ///
    /// # Errors
    /// A text that is none of the choices.
    pub fn read<T>(
        &self,
        variable: impl Fn(&str) -> Option<String>,
        named: impl Fn(&str) -> Option<T>,
    ) -> Result<T, VariableError> {
        let given = variable(self.name).filter(|text| !text.is_empty());
        let default = self.choices.first().map_or("", |(name, _)| name);
        let text = given.as_deref().unwrap_or(default);
        let mut known = self.choices.iter().map(|(name, _)| *name);
        let name = known.find(|name| name.eq_ignore_ascii_case(text));
        name.and_then(named).ok_or_else(|| VariableError {
            variable: self.name,
            reason: Reason::NoChoice {
                text: text.to_owned(),
                hint: hint(text, self.choices.iter().map(|(name, _)| *name)),
            },
        })
    }
}

/// The value that the variable of the region `decl` asks for; `None` when the region has none, or it is unset or empty.
///
/// `variable` looks one up.
///
/// # Errors
/// A text that is no value of the region.
pub fn value(
    decl: &RegionDecl,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Option<Value>, VariableError> {
    let Some((name, text)) = decl.variable.and_then(|name| Some((name, variable(name)?))) else {
        return Ok(None);
    };
    if text.is_empty() {
        return Ok(None);
    }
    let read = read(decl, text).map_err(|reason| VariableError {
        variable: name,
        reason,
    });
    read.map(Some)
}

fn read(decl: &RegionDecl, text: String) -> Result<Value, Reason> {
    let verb = match (&decl.encoding, text.as_str()) {
        (Encoding::Flag, "on" | "1") => Verb::On,
        (Encoding::Flag, "off" | "0") => Verb::Off,
        (Encoding::Flag, _) => return Err(Reason::NoFlag(text)),
        _ => Verb::Set(vec![text]),
    };
    let outcome = verb::apply(decl, &decl.default_value(), &verb)?;
    let value = outcome
        .write
        .ok_or(VerbError::NoSuchVerb { region: decl.name })?;
    wire::encode(&decl.encoding, &value)?;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flag(text: &str) -> Result<Option<Value>, VariableError> {
        let decl = RegionDecl {
            encoding: Encoding::Flag,
            default: &[0],
            variable: Some("FIM_X"),
            ..*crate::declared::BOOT
        };
        value(&decl, |name| (name == "FIM_X").then(|| text.to_owned()))
    }

    #[test]
    fn a_flag_has_four_words_and_a_mistake_is_named() {
        for (text, on) in [("on", true), ("1", true), ("off", false), ("0", false)] {
            assert_eq!(flag(text), Ok(Some(Value::Flag(on))));
        }
        assert_eq!(flag(""), Ok(None));
        for text in ["yes", "ON", "2", " 1"] {
            let error = flag(text).expect_err("no word of a flag").to_string();
            let expected = format!("the variable FIM_X: `{text}` is neither on nor off;");
            assert!(error.starts_with(&expected), "{error}");
        }
    }

    #[test]
    fn a_choice_is_a_word_or_the_first_and_a_mistake_is_named() {
        use crate::declared::Sandbox;
        let chosen = |text: Option<&str>| Sandbox::chosen(|_| text.map(str::to_owned));
        assert_eq!(chosen(None), Ok(Sandbox::Required));
        assert_eq!(chosen(Some("")), Ok(Sandbox::Required));
        assert_eq!(chosen(Some("best-effort")), Ok(Sandbox::BestEffort));
        assert_eq!(chosen(Some("Best-Effort")), Ok(Sandbox::BestEffort));
        for (text, hint) in [
            ("best-efort", "did you mean `best-effort`?"),
            ("1", "known: `required`, `best-effort`"),
        ] {
            let error = chosen(Some(text)).expect_err("no word of it").to_string();
            let expected = format!("the variable FIM_SANDBOX: `{text}` is unknown; {hint}");
            assert_eq!(error, expected);
        }
    }

    #[test]
    fn a_text_that_could_not_be_stored_is_refused() {
        let decl = RegionDecl {
            encoding: Encoding::Text {
                max: 2,
                schemes: &[],
                path: None,
            },
            default: &[],
            variable: Some("FIM_X"),
            ..*crate::declared::BOOT
        };
        let asks = |text: &str| value(&decl, |_| Some(text.to_owned()));
        assert_eq!(asks("ab"), Ok(Some(Value::Text(Some("ab".into())))));
        let error = asks("abc").expect_err("too long").to_string();
        assert!(error.contains("1 bytes too long"), "{error}");
    }
}
