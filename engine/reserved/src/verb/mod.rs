//! What can be done to a setting. The verbs follow from the encoding; none knows a region by name.

mod address;
mod apply;
mod bits;
mod fields;
mod paths;
mod print;

use crate::decl::{Encoding, Field, FieldKind};

pub use apply::{Outcome, VerbError, apply};

/// A verb with its arguments as typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verb {
    /// Switches a flag on.
    On,
    /// Switches a flag off.
    Off,
    /// Prints the value.
    Show,
    /// Prints the entries.
    List,
    /// Back to empty.
    Clear,
    /// Replaces the whole value.
    Set(Vec<String>),
    /// Inserts or overwrites.
    Add(Vec<String>),
    /// Takes away what is there.
    Del(Vec<String>),
}

/// A verb as it stands in the help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerbDecl {
    /// What is typed.
    pub name: &'static str,
    /// One line of help.
    pub summary: &'static str,
    /// What it takes.
    pub takes: Takes,
}

/// What a verb takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// Nothing.
    Nothing,
    /// One text of that name.
    One(&'static str),
    /// One or more texts of that name.
    Many(&'static str),
    /// One argument a field, in order.
    Fields(&'static [Field]),
}

impl Verb {
    /// Whether the verb changes the value.
    #[must_use]
    pub const fn writes(&self) -> bool {
        !matches!(self, Self::Show | Self::List)
    }

    /// The verb of that name with these arguments.
    #[must_use]
    pub fn named(name: &str, arguments: Vec<String>) -> Option<Self> {
        Some(match name {
            "on" => Self::On,
            "off" => Self::Off,
            "show" => Self::Show,
            "list" => Self::List,
            "clear" => Self::Clear,
            "set" => Self::Set(arguments),
            "add" => Self::Add(arguments),
            "del" => Self::Del(arguments),
            _ => return None,
        })
    }
}

/// The verbs of an encoding.
#[must_use]
pub fn verbs(encoding: &Encoding) -> Vec<VerbDecl> {
    let verb = |name, summary, takes| VerbDecl {
        name,
        summary,
        takes,
    };
    let show = verb("show", "print the value", Takes::Nothing);
    let list = verb("list", "print all entries", Takes::Nothing);
    match encoding {
        Encoding::Flag => vec![
            verb("on", "switch it on", Takes::Nothing),
            verb("off", "switch it off", Takes::Nothing),
            show,
        ],
        Encoding::Choice(_) => vec![
            verb("set", "choose one", Takes::One("name")),
            show,
            verb("clear", "back to the default", Takes::Nothing),
        ],
        Encoding::Bits(_) => vec![
            verb("add", "add to what is set", Takes::Many("a,b,…")),
            verb("del", "take away what is set", Takes::Many("a,b,…")),
            verb("set", "set these and no others", Takes::Many("a,b,…")),
            list,
            verb("clear", "back to the default", Takes::Nothing),
        ],
        Encoding::Text { .. } => vec![
            verb("set", "store a value", Takes::One("value")),
            show,
            verb("clear", "back to unset", Takes::Nothing),
        ],
        Encoding::Map => vec![
            verb("add", "insert or overwrite", Takes::Many("key=value")),
            verb(
                "set",
                "replace everything by these",
                Takes::Many("key=value"),
            ),
            verb("del", "delete by name", Takes::Many("key")),
            list,
            verb("clear", "delete everything", Takes::Nothing),
        ],
        Encoding::List(fields) => vec![
            verb("add", "append an entry", Takes::Fields(fields)),
            verb(
                "del",
                "delete the entry with that index",
                Takes::One("index"),
            ),
            list,
            verb("clear", "delete everything", Takes::Nothing),
        ],
        Encoding::Record(fields) => vec![
            verb("set", "store a value", Takes::Fields(fields)),
            show,
            verb("clear", "back to unset", Takes::Nothing),
        ],
        Encoding::Blob => Vec::new(),
    }
}

impl Takes {
    /// The arguments as they stand in a usage line, with a blank before each: ` <ro|rw|dev> <src> [args…]`.
    #[must_use]
    pub fn usage(&self) -> String {
        match self {
            Self::Nothing => String::new(),
            Self::One(name) => format!(" <{name}>"),
            Self::Many("a,b,…") => " <a,b,…>".to_owned(),
            Self::Many(name) => format!(" <{name}>…"),
            Self::Fields(fields) => fields.iter().map(field_usage).collect(),
        }
    }
}

fn field_usage(field: &Field) -> String {
    match field.kind {
        FieldKind::Choice(names) => format!(" <{}>", names.join("|")),
        FieldKind::Texts => format!(" [{}…]", field.name),
        FieldKind::Text | FieldKind::Path(_) | FieldKind::Number => format!(" <{}>", field.output),
    }
}
