//! One verb on one value. Pure: what would be written and printed, or why not. A mistake in one of several arguments
//! changes nothing, since nothing is written before all of them are understood.

use std::collections::BTreeMap;

use crate::decl::{ChoiceDecl, Encoding, Field, RegionDecl};
use crate::nearest;
use crate::value::Value;
use crate::verb::{Verb, address, bits, fields, paths, print};

/// What a verb comes to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outcome {
    /// The new value, when the verb changes it.
    pub write: Option<Value>,
    /// What goes to stdout, each line ended by a line feed.
    pub output: String,
}

/// Why a verb is refused. Each message says how to mend it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerbError {
    /// The encoding has no such verb.
    #[error("`{region}` has no such verb")]
    NoSuchVerb {
        /// Name of the region.
        region: &'static str,
    },
    /// A name that is not declared.
    #[error("unknown name `{name}`; {hint}")]
    Unknown {
        /// As typed.
        name: String,
        /// The nearest known one, or all.
        hint: String,
    },
    /// A group beside other names.
    #[error("`{name}` stands alone; give it without other names")]
    NotAlone {
        /// Name of the group.
        name: String,
    },
    /// `del` of what is not there.
    #[error("`{name}` is not there; `list` prints what is")]
    Absent {
        /// As typed.
        name: String,
    },
    /// A bit that has to stay.
    #[error("`{name}` has to stay: {reason}")]
    Required {
        /// Name of the bit.
        name: &'static str,
        /// Why.
        reason: &'static str,
    },
    /// An argument without `=`, or without a name before it.
    #[error("`{argument}` is no `key=value`; write the name, `=` and the value as one argument")]
    NotAPair {
        /// As typed.
        argument: String,
    },
    /// A number that is none.
    #[error("`{argument}` is no {what}; give a number from 0 on")]
    NotANumber {
        /// As typed.
        argument: String,
        /// What it stands for.
        what: &'static str,
    },
    /// An argument that is empty where something has to stand.
    #[error("`{what}` is empty; give a value")]
    Empty {
        /// What it stands for.
        what: &'static str,
    },
    /// A text that is no such address or path, or none that should be stored.
    #[error("{what}; {mend}")]
    Wrong {
        /// What is wrong.
        what: String,
        /// How to mend it.
        mend: String,
    },
    /// Too few or too many arguments.
    #[error("{given} arguments where the usage is `{usage}`")]
    Count {
        /// How many there are.
        given: usize,
        /// What there should be.
        usage: String,
    },
}

/// What `verb` does to the region `decl` whose value is `current`.
///
/// # Errors
/// Names that are not declared, entries that are not there, arguments of the wrong shape.
pub fn apply(decl: &RegionDecl, current: &Value, verb: &Verb) -> Result<Outcome, VerbError> {
    let write = match (&decl.encoding, current, verb) {
        (_, value, Verb::Show | Verb::List) => {
            let output = print::value(&decl.encoding, value);
            return Ok(Outcome {
                write: None,
                output,
            });
        }
        (Encoding::Flag, _, Verb::On) => Value::Flag(true),
        (Encoding::Flag, _, Verb::Off) => Value::Flag(false),
        (Encoding::Choice(choices), _, Verb::Set(arguments)) => {
            choose(choices, one(arguments, "name")?)?
        }
        (Encoding::Bits(decl), Value::Bits(set), Verb::Add(names)) => {
            Value::Bits(set | bits::named(decl, names)?)
        }
        (Encoding::Bits(decl), _, Verb::Set(names)) => {
            Value::Bits(bits::complete(decl, bits::named(decl, names)?)?)
        }
        (Encoding::Bits(decl), Value::Bits(set), Verb::Del(names)) => {
            Value::Bits(bits::complete(decl, bits::without(decl, *set, names)?)?)
        }
        (Encoding::Text { schemes, path, .. }, _, Verb::Set(arguments)) => {
            let text = one(arguments, "value")?;
            if let Some(side) = path {
                paths::check(text, *side)?;
            }
            if !schemes.is_empty() {
                address::check(text, schemes)?;
            }
            Value::Text(Some(text.to_owned()))
        }
        (Encoding::Text { .. }, _, Verb::Clear) => Value::Text(None),
        (Encoding::Map, Value::Map(map), Verb::Add(arguments)) => {
            let mut map = map.clone();
            map.extend(pairs(arguments)?);
            Value::Map(map)
        }
        (Encoding::Map, _, Verb::Set(arguments)) => Value::Map(pairs(arguments)?),
        (Encoding::Map, Value::Map(map), Verb::Del(keys)) => Value::Map(without(map, keys)?),
        (Encoding::Map, _, Verb::Clear) => Value::Map(BTreeMap::new()),
        (Encoding::List(fields), Value::List(records), Verb::Add(arguments)) => {
            let mut records = records.clone();
            records.push(fields::record(fields, arguments)?);
            Value::List(records)
        }
        (Encoding::List(_), Value::List(records), Verb::Del(arguments)) => {
            let mut records = records.clone();
            records.remove(index(one(arguments, "index")?, records.len())?);
            Value::List(records)
        }
        (Encoding::List(_), _, Verb::Clear) => Value::List(Vec::new()),
        (Encoding::Record(fields), _, Verb::Set(arguments)) => {
            Value::Record(Some(fields::record(fields, arguments)?))
        }
        (Encoding::Record(_), _, Verb::Clear) => Value::Record(None),
        (Encoding::Bits(_) | Encoding::Choice(_), _, Verb::Clear) => decl.default_value(),
        _ => return Err(VerbError::NoSuchVerb { region: decl.name }),
    };
    Ok(Outcome {
        write: Some(write),
        output: String::new(),
    })
}

fn choose(choices: &[ChoiceDecl], name: &str) -> Result<Value, VerbError> {
    // What `show` prints can be given too.
    let is_it = |choice: &&ChoiceDecl| {
        let names = [choice.name, choice.output];
        names.iter().any(|known| known.eq_ignore_ascii_case(name))
    };
    if let Some(choice) = choices.iter().find(is_it) {
        return Ok(Value::Choice(choice.name.to_owned()));
    }
    Err(VerbError::Unknown {
        name: name.to_owned(),
        hint: nearest::hint(name, choices.iter().map(|choice| choice.name)),
    })
}

fn one<'a>(arguments: &'a [String], name: &'static str) -> Result<&'a str, VerbError> {
    match arguments {
        [argument] => Ok(argument),
        _ => Err(VerbError::Count {
            given: arguments.len(),
            usage: format!("<{name}>"),
        }),
    }
}

fn pairs(arguments: &[String]) -> Result<BTreeMap<String, String>, VerbError> {
    let pair = |argument: &String| match argument.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(VerbError::NotAPair {
            argument: argument.clone(),
        }),
    };
    if arguments.is_empty() {
        return Err(VerbError::Count {
            given: 0,
            usage: "<key=value>…".to_owned(),
        });
    }
    arguments.iter().map(pair).collect()
}

fn without(
    map: &BTreeMap<String, String>,
    keys: &[String],
) -> Result<BTreeMap<String, String>, VerbError> {
    let mut map = map.clone();
    for key in keys {
        map.remove(key)
            .ok_or_else(|| VerbError::Absent { name: key.clone() })?;
    }
    Ok(map)
}

fn index(argument: &str, length: usize) -> Result<usize, VerbError> {
    let not_a_number = |_| VerbError::NotANumber {
        argument: argument.to_owned(),
        what: "index",
    };
    let index: usize = argument.parse().map_err(not_a_number)?;
    if index < length {
        return Ok(index);
    }
    Err(VerbError::Absent {
        name: argument.to_owned(),
    })
}

/// The arguments of a usage line.
pub(super) fn count(given: usize, fields: &'static [Field]) -> VerbError {
    let usage = super::Takes::Fields(fields).usage().trim_start().to_owned();
    VerbError::Count { given, usage }
}
