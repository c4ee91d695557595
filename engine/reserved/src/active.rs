//! Which effects a value switches on, with the placeholders filled in.
//!
//! Placeholders are filled in one pass, so a stored value that contains braces is never taken for a placeholder.
//! `$NAME` stays as it is: the host's variables are the business of whoever starts the container.

use crate::decl::{Encoding, Field, RegionDecl};
use crate::effect::{Access, AccessDecl, Condition, Effect, Missing, Namespace, Stacker};
use crate::value::{Record, Value};

/// An effect of a region's present value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Active {
    /// A path of the host appears in the container.
    Bind {
        /// Path on the host; may hold `$NAME`.
        source: String,
        /// Path in the container; may hold `$NAME`.
        target: String,
        /// What the container may do with it.
        access: Access,
        /// What happens when the host has no such path, or a variable in `source` is not set.
        missing: Missing,
        /// `source` is a pattern; every path that matches is bound at its own path, or in `target` where that is another.
        glob: bool,
    },
    /// Shared libraries of the host appear, read-only.
    Libraries {
        /// Patterns of the names that programs ask for.
        names: &'static [&'static str],
        /// Directory in the container, may hold `$NAME`; they are in `lib` and `lib32` below it.
        target: String,
    },
    /// A variable is set in the container.
    Setenv {
        /// Name of the variable.
        name: String,
        /// Its value; may hold `$NAME`.
        value: String,
    },
    /// An empty filesystem in memory.
    Tmpfs {
        /// Path in the container; may hold `$NAME`.
        target: String,
    },
    /// A symbolic link.
    Symlink {
        /// Path of the link in the container; may hold `$NAME`.
        link: String,
        /// What it points to; may hold `$NAME`.
        target: String,
    },
    /// A namespace of the host is kept.
    Share {
        /// Which one.
        namespace: Namespace,
    },
    /// Names of files in the root are found in any case.
    Fold,
    /// The container has the caller's subordinate ids besides the caller's own.
    Subordinate,
    /// Rules of the filter of system calls do not hold.
    Allow {
        /// Their names.
        rules: &'static [&'static str],
    },
    /// Rules of the filter of system calls hold that answer calls as if they had been done.
    Emulate {
        /// Their names.
        rules: &'static [&'static str],
    },
    /// A file in memory.
    File {
        /// Path in the container; may hold `$NAME`.
        target: String,
        /// What it holds.
        text: &'static str,
    },
    /// What is hidden or read-only by default at a path and below it stays as it is.
    Unmask {
        /// Path in the container; may hold `$NAME`.
        target: String,
    },
    /// Programs start in a directory.
    Enter {
        /// Path in the container; may hold `$NAME`.
        directory: String,
    },
    /// The layers and the changes are stacked by this.
    Stack {
        /// Who does it.
        with: Stacker,
    },
    /// Programs in the container can ask for programs of the host to be run.
    Portal,
    /// A program of the host that may be run for the container.
    Admit {
        /// A path with `*` and `?`, a name, or `*`; may hold `$NAME`.
        program: String,
    },
    /// A message bus of the host appears as a socket, filtered.
    Bus {
        /// Its address on the host; may hold `$NAME`.
        address: String,
        /// Path of the socket in the container; may hold `$NAME`.
        target: String,
        /// Names that can be called; `.*` at the end stands for every name below.
        talk: &'static [&'static str],
        /// Names that can be owned.
        own: &'static [&'static str],
    },
    /// The effects, when all conditions on the host hold. `Condition::Is` never occurs: it is already decided.
    When {
        /// All of these must hold.
        conditions: Vec<Condition>,
        /// What happens then.
        effects: Vec<Active>,
    },
}

/// An effect and what switched it on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caused {
    /// The region, or the region and the name of the bit or choice: `environment`, `permissions network`.
    pub cause: String,
    /// The effect.
    pub effect: Active,
}

/// The effects that `value` of the region `decl` switches on, in declared order.
///
/// A flag has effects while it is on (those `when` it `is: off`, while it is off), a bit while it is set (its `otherwise` while not), a choice those of the chosen
/// name, everything else while it is not empty. A value of another encoding has none.
#[must_use]
pub fn active(decl: &RegionDecl, value: &Value) -> Vec<Caused> {
    let scope = Scope {
        value,
        encoding: &decl.encoding,
        entry: None,
    };
    let mut found = Vec::new();
    let mut collect = |effects: &[Effect], name: Option<&str>| {
        let mut active = Vec::new();
        scope.collect(effects, &mut active);
        found.extend(active.into_iter().map(|effect| Caused {
            cause: match name {
                Some(name) => format!("{} {name}", decl.name),
                None => decl.name.to_owned(),
            },
            effect,
        }));
    };
    let off = *value == Value::Flag(false);
    for effect in decl
        .effects
        .iter()
        .filter(|effect| is_present(value) || off && is_for_off(effect))
    {
        collect(std::slice::from_ref(effect), None);
    }
    match (&decl.encoding, value) {
        (Encoding::Bits(bits), Value::Bits(set)) => {
            for bit in bits.bits {
                let is_set = set >> bit.number & 1 == 1;
                collect(
                    if is_set { bit.effects } else { bit.otherwise },
                    Some(bit.name),
                );
            }
        }
        (Encoding::Choice(choices), Value::Choice(name)) => {
            for choice in choices.iter().filter(|choice| choice.name == name) {
                collect(choice.effects, Some(choice.name));
            }
        }
        _ => {}
    }
    found
}

/// Whether the effect asks for a flag that is off.
fn is_for_off(effect: &Effect) -> bool {
    matches!(effect, Effect::When { conditions, .. } if conditions.contains(&Condition::Is("off")))
}

fn is_present(value: &Value) -> bool {
    match value {
        Value::Flag(on) => *on,
        Value::Choice(_) => true,
        Value::Bits(set) => *set != 0,
        Value::Text(text) => text.is_some(),
        Value::Map(map) => !map.is_empty(),
        Value::List(list) => !list.is_empty(),
        Value::Record(record) => record.is_some(),
        Value::Blob(bytes) => !bytes.is_empty(),
    }
}

/// What the placeholders of a template mean.
#[derive(Clone, Copy)]
struct Scope<'a> {
    value: &'a Value,
    encoding: &'a Encoding,
    entry: Option<Entry<'a>>,
}

/// The entry of a map or list that a `for-each` is at.
#[derive(Clone, Copy)]
enum Entry<'a> {
    Pair(&'a str, &'a str),
    Record(&'a Record),
}

impl<'a> Scope<'a> {
    fn collect(self, effects: &[Effect], found: &mut Vec<Active>) {
        for effect in effects {
            match effect {
                Effect::ForEach { effects } => self.each(effects, found),
                Effect::When {
                    conditions,
                    effects,
                } => self.when(conditions, effects, found),
                simple => found.extend(self.simple(simple)),
            }
        }
    }

    fn simple(self, effect: &Effect) -> Option<Active> {
        Some(match *effect {
            Effect::Bind {
                source,
                target,
                access,
                missing,
                glob,
            } => Active::Bind {
                source: self.fill(source),
                target: self.fill(target),
                access: match access {
                    AccessDecl::Is(access) => access,
                    AccessDecl::Field(field) => Access::from_name(&self.placeholder(field)?)?,
                },
                missing,
                glob,
            },
            Effect::Libraries { names, target } => Active::Libraries {
                names,
                target: self.fill(target),
            },
            Effect::Setenv { name, value } => Active::Setenv {
                name: self.fill(name),
                value: self.fill(value),
            },
            Effect::Tmpfs { target } => Active::Tmpfs {
                target: self.fill(target),
            },
            Effect::Symlink { link, target } => Active::Symlink {
                link: self.fill(link),
                target: self.fill(target),
            },
            Effect::Share { namespace } => Active::Share { namespace },
            Effect::Fold => Active::Fold,
            Effect::Subordinate => Active::Subordinate,
            Effect::Allow { rules } => Active::Allow { rules },
            Effect::Emulate { rules } => Active::Emulate { rules },
            Effect::File { target, text } => Active::File {
                target: self.fill(target),
                text,
            },
            Effect::Unmask { target } => Active::Unmask {
                target: self.fill(target),
            },
            Effect::Enter { directory } => Active::Enter {
                directory: self.fill(directory),
            },
            Effect::Stack { with } => Active::Stack { with },
            Effect::Portal => Active::Portal,
            Effect::Admit { program } => Active::Admit {
                program: self.fill(program),
            },
            Effect::Bus {
                address,
                target,
                talk,
                own,
            } => Active::Bus {
                address: self.fill(address),
                target: self.fill(target),
                talk,
                own,
            },
            Effect::ForEach { .. } | Effect::When { .. } => return None,
        })
    }

    fn each(self, effects: &[Effect], found: &mut Vec<Active>) {
        match self.value {
            Value::Map(map) => {
                for (key, value) in map {
                    Scope {
                        entry: Some(Entry::Pair(key, value)),
                        ..self
                    }
                    .collect(effects, found);
                }
            }
            Value::List(records) => {
                for record in records {
                    Scope {
                        entry: Some(Entry::Record(record)),
                        ..self
                    }
                    .collect(effects, found);
                }
            }
            _ => {}
        }
    }

    fn when(self, conditions: &[Condition], effects: &[Effect], found: &mut Vec<Active>) {
        let mut open = Vec::new();
        for condition in conditions {
            match condition {
                Condition::Is(name) if !self.is(name) => return,
                Condition::Is(_) => {}
                host => open.push(*host),
            }
        }
        let mut inner = Vec::new();
        self.collect(effects, &mut inner);
        if open.is_empty() {
            found.extend(inner);
        } else if !inner.is_empty() {
            found.push(Active::When {
                conditions: open,
                effects: inner,
            });
        }
    }

    fn is(self, name: &str) -> bool {
        match self.value {
            Value::Flag(on) => name == if *on { "on" } else { "off" },
            Value::Choice(chosen) => chosen == name,
            _ => false,
        }
    }

    /// Replaces every `{name}` that means something here; anything else stays as it is.
    fn fill(self, template: &str) -> String {
        let mut filled = String::with_capacity(template.len());
        let mut rest = template;
        while let Some(open) = rest.find('{') {
            let (before, tail) = rest.split_at(open);
            filled.push_str(before);
            let inside = tail
                .find('}')
                .map(|close| (&tail[1..close], &tail[close + 1..]));
            // `${NAME}` is a variable of the host, not a placeholder.
            let known = if before.ends_with('$') { None } else { inside };
            match known.and_then(|(name, after)| Some((self.placeholder(name)?, after))) {
                Some((text, after)) => {
                    filled.push_str(&text);
                    rest = after;
                }
                None => {
                    filled.push('{');
                    rest = &tail[1..];
                }
            }
        }
        filled.push_str(rest);
        filled
    }

    fn placeholder(self, name: &str) -> Option<String> {
        match (self.entry, self.value, self.encoding) {
            (Some(Entry::Pair(key, _)), ..) if name == "key" => Some(key.to_owned()),
            (Some(Entry::Pair(_, value)), ..) if name == "value" => Some(value.to_owned()),
            (Some(Entry::Record(record)), _, Encoding::List(fields)) => {
                field_text(record, fields, name)
            }
            (None, Value::Record(Some(record)), Encoding::Record(fields)) => {
                field_text(record, fields, name)
            }
            (None, Value::Text(Some(text)), _) if name == "value" => Some(text.clone()),
            (None, Value::Choice(chosen), _) if name == "value" => Some(chosen.clone()),
            (None, Value::Flag(on), _) if name == "value" => {
                Some(if *on { "on" } else { "off" }.to_owned())
            }
            _ => None,
        }
    }
}

fn field_text(record: &Record, fields: &[Field], name: &str) -> Option<String> {
    record
        .get(fields, name)
        .map(crate::value::FieldValue::to_text)
}
