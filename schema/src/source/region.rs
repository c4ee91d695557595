//! Regions and encodings as typed.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Effect, Hint};

/// One setting: a place in the reserved space, an encoding, a command and what it does to the container.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Region {
    /// Unique name, in lower case.
    pub name: String,
    /// The command is `fim-<command>`. Without it only the program itself changes the region.
    #[serde(default)]
    pub command: Option<String>,
    /// First byte, counted from the start of the reserved space.
    pub offset: u64,
    /// Bytes of the region. It is kept twice, so half of it, less 32 bytes of header, is what a value can take.
    pub size: u64,
    /// How the value is stored, and with it which verbs the command has.
    pub encoding: Encoding,
    /// The value of a fresh image; empty, off or unset when it is left out.
    #[serde(default)]
    #[schemars(with = "Option<serde_json::Value>")]
    pub default: Option<serde_json::Value>,
    /// One line for lists of commands.
    pub summary: String,
    /// What the command's help and the book say.
    pub docs: String,
    /// A variable of the host, starting with `FIM_`, whose value counts instead of the stored one for one start: `on`, `1`,
    /// `off` or `0` of a flag, the name of a choice, names of bits separated by commas, a text.
    #[serde(default)]
    pub variable: Option<String>,
    /// What the value does to the container when it starts.
    #[serde(default)]
    pub effects: Vec<Effect>,
}

/// How a value is stored.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Encoding {
    /// On or off. Verbs: on, off, show.
    Flag,
    /// One of the names. Verbs: set, show, clear.
    Choice(Vec<Choice>),
    /// A set of named bits. Verbs: add, del, set, list, clear.
    Bits(Bits),
    /// A text or nothing. Verbs: set, show, clear.
    Text(Text),
    /// Texts by name. Verbs: add, set, del, list, clear.
    Map,
    /// Records in order. Verbs: add, del, list, clear.
    List(Fields),
    /// One record or nothing. Verbs: set, show, clear.
    Record(Fields),
    /// Bytes that only the program itself reads and writes.
    Blob,
}

/// A text.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Text {
    /// The longest text, in bytes.
    pub max: u32,
    /// The text is the address of a directory that begins with one of these, such as `https`. Any text when it is left out.
    #[serde(default)]
    pub schemes: Vec<String>,
    /// The text is an absolute path there. Any text when it is left out.
    #[serde(default)]
    pub path: Option<Side>,
}

/// Where a path is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// On the host: absolute, or it begins with a variable.
    Host,
    /// In the container: the same, and without `..`.
    Container,
}

/// One name that a choice can have.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Choice {
    /// What is typed and stored.
    pub name: String,
    /// What `show` prints; the name when it is left out.
    #[serde(default)]
    pub output: Option<String>,
    /// One line of help.
    pub summary: String,
    /// What choosing it does to the container.
    #[serde(default)]
    pub effects: Vec<Effect>,
}

/// Named bits of one 64-bit integer.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Bits {
    /// The bits.
    pub bits: Vec<Bit>,
    /// Names for several bits at once. Such a name stands alone.
    #[serde(default)]
    pub groups: Vec<Group>,
}

/// One bit.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Bit {
    /// Place in the integer, 0 to 63. Never give the number of a bit to another one.
    pub number: u8,
    /// What is typed and listed.
    pub name: String,
    /// One line of help.
    pub summary: String,
    /// What the help and the book say.
    pub docs: String,
    /// Why the bit cannot be taken away, for one that cannot.
    #[serde(default)]
    pub required: Option<String>,
    /// What is said after a failure for want of the bit.
    #[serde(default)]
    pub hint: Option<Hint>,
    /// What the container gets while the bit is set.
    #[serde(default)]
    pub effects: Vec<Effect>,
    /// What the container gets while the bit is not set.
    #[serde(default)]
    pub otherwise: Vec<Effect>,
}

/// A name for several bits.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// What is typed.
    pub name: String,
    /// The names of the bits.
    pub bits: Vec<String>,
    /// One line of help.
    pub summary: String,
}

/// The fields of a record, in the order in which they are stored and typed.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fields {
    /// The fields. `texts` can only be the last one.
    pub fields: Vec<Field>,
}

/// One field of a record.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Field {
    /// Name of the field, of its argument and of its placeholder in effects.
    pub name: String,
    /// Key in the JSON that `list` and `show` print; the name when it is left out.
    #[serde(default)]
    pub output: Option<String>,
    /// What it holds.
    pub kind: FieldKind,
    /// What `show` prints while the record is unset.
    #[serde(default)]
    pub unset: Option<String>,
    /// One line of help.
    pub summary: String,
}

/// What a field holds.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FieldKind {
    /// A text.
    Text,
    /// An absolute path there.
    Path(Side),
    /// A number from 0 to 2^64-1.
    Number,
    /// All remaining arguments.
    Texts,
    /// One of the names.
    Choice(Vec<String>),
}
