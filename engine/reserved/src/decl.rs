//! What a declared region looks like to the program: plain tables with the lifetime of the program.
//!
//! The tables are generated; everything that ranges over regions (store, verbs, commands, effects) reads them and
//! knows no region by name.

use crate::effect::Effect;
use crate::hint::HintDecl;
use crate::slot::HEADER;
use crate::value::Value;
use crate::wire;

/// One region of the reserved space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RegionDecl {
    /// Name, in lower case with underscores; unique.
    pub name: &'static str,
    /// The command is `fim-<command>`; `None` for a region that only the program itself changes.
    pub command: Option<&'static str>,
    /// First byte, counted from the start of the reserved space.
    pub offset: u64,
    /// Bytes of the region: two equal slots.
    pub size: u64,
    /// How a value becomes bytes, and with it which verbs the command has.
    pub encoding: Encoding,
    /// The encoded value of a fresh image, and of a region that is newer than the image.
    pub default: &'static [u8],
    /// One line for lists of commands.
    pub summary: &'static str,
    /// What `--help` prints.
    pub docs: &'static str,
    /// The variable of the host whose value counts instead of the stored one for one start.
    pub variable: Option<&'static str>,
    /// What the value does to the container when it starts. Effects of one bit or choice live there.
    pub effects: &'static [Effect],
}

/// How the value of a region becomes bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// On or off: one byte, 1 or 0.
    Flag,
    /// One of the declared names, stored as its UTF-8 bytes.
    Choice(&'static [ChoiceDecl]),
    /// A set of named bits, stored as a u64, little endian.
    Bits(&'static BitsDecl),
    /// An optional text: nothing when unset, else the byte 1 and at most `max` bytes of UTF-8.
    Text {
        /// The longest text in bytes.
        max: u32,
        /// What it begins with, if it is the address of a directory.
        schemes: &'static [&'static str],
        /// Where it is an absolute path, if it is one.
        path: Option<Side>,
    },
    /// Texts by name: repeated (u32 length, key, u32 length, value), little endian, sorted by key.
    Map,
    /// Records in the order in which they were added: repeated (u32 length, record).
    List(&'static [Field]),
    /// An optional record: nothing when unset, else each field as (u32 length, bytes), in declared order.
    Record(&'static [Field]),
    /// Bytes as they are.
    Blob,
}

/// One name that a choice can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChoiceDecl {
    /// What is typed and stored.
    pub name: &'static str,
    /// What `show` prints.
    pub output: &'static str,
    /// One line of help.
    pub summary: &'static str,
    /// What choosing it does to the container.
    pub effects: &'static [Effect],
}

/// The bits of a `bits` region.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BitsDecl {
    /// The bits, by number.
    pub bits: &'static [BitDecl],
    /// Names for several bits at once.
    pub groups: &'static [GroupDecl],
}

/// One named bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BitDecl {
    /// Place in the u64, 0 to 63.
    pub number: u8,
    /// What is typed and listed.
    pub name: &'static str,
    /// One line of help.
    pub summary: &'static str,
    /// What the book and the help say of it.
    pub docs: &'static str,
    /// Why the bit cannot be taken away, for one that cannot.
    pub required: Option<&'static str>,
    /// What is said after a failure for want of the bit.
    pub hint: Option<HintDecl>,
    /// What the container gets when the bit is set.
    pub effects: &'static [Effect],
    /// What the container gets when the bit is not set.
    pub otherwise: &'static [Effect],
}

/// A name for several bits, which stands alone: it cannot be combined with other names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupDecl {
    /// What is typed.
    pub name: &'static str,
    /// The bits that it means.
    pub mask: u64,
    /// One line of help.
    pub summary: &'static str,
}

/// One field of a record. Declared order is the order of the bytes and of the arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// Name of the field, of its placeholder and of its argument.
    pub name: &'static str,
    /// Key in what `list` and `show` print.
    pub output: &'static str,
    /// What it holds.
    pub kind: FieldKind,
    /// What `show` prints while the record is unset.
    pub unset: Option<&'static str>,
    /// One line of help.
    pub summary: &'static str,
}

/// What a field of a record holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldKind {
    /// UTF-8 without NUL.
    Text,
    /// An absolute path, stored as a text.
    Path(Side),
    /// One of the names.
    Choice(&'static [&'static str]),
    /// A u64, little endian.
    Number,
    /// Any number of texts: repeated (u32 length, UTF-8). Takes the remaining arguments.
    Texts,
}

/// Where a path is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// On the host.
    Host,
    /// In the container.
    Container,
}

impl RegionDecl {
    /// Bytes of one of the two slots.
    #[must_use]
    pub const fn slot_size(&self) -> u64 {
        self.size / 2
    }

    /// Bytes of the longest encoded value.
    #[must_use]
    pub const fn room(&self) -> u64 {
        self.slot_size() - HEADER as u64
    }

    /// The declared default.
    ///
    /// # Panics
    /// Never: a declaration whose default does not decode is not compiled.
    #[must_use]
    pub fn default_value(&self) -> Value {
        wire::decode(&self.encoding, self.default)
            .expect("defaults are checked when they are declared")
    }

    /// Whether some value of the region folds the case of names.
    #[must_use]
    pub fn folds(&self) -> bool {
        self.has(&|effect| *effect == Effect::Fold)
    }

    /// Whether some value of the region says what stacks the layers.
    #[must_use]
    pub fn stacks(&self) -> bool {
        self.has(&|effect| matches!(effect, Effect::Stack { .. }))
    }

    /// Whether the region lists programs of the host that may be run for the container.
    #[must_use]
    pub fn admits(&self) -> bool {
        self.has(&|effect| matches!(effect, Effect::Admit { .. }))
    }

    fn has(&self, wanted: &dyn Fn(&Effect) -> bool) -> bool {
        let parts: Vec<&[Effect]> = match self.encoding {
            Encoding::Bits(decl) => decl
                .bits
                .iter()
                .flat_map(|bit| [bit.effects, bit.otherwise])
                .collect(),
            Encoding::Choice(choices) => choices.iter().map(|choice| choice.effects).collect(),
            _ => Vec::new(),
        };
        let within = |effects| contain(effects, wanted);
        within(self.effects) || parts.into_iter().any(within)
    }

    /// The first byte after the region, counted from the start of the reserved space.
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.offset + self.size
    }
}

fn contain(effects: &[Effect], wanted: &dyn Fn(&Effect) -> bool) -> bool {
    effects.iter().any(|effect| match effect {
        Effect::ForEach { effects } | Effect::When { effects, .. } => contain(effects, wanted),
        effect => wanted(effect),
    })
}

impl BitsDecl {
    /// The bit of that name, in any case.
    #[must_use]
    pub fn bit(&self, name: &str) -> Option<&'static BitDecl> {
        self.bits
            .iter()
            .find(|bit| bit.name.eq_ignore_ascii_case(name))
    }

    /// The group of that name, in any case.
    #[must_use]
    pub fn group(&self, name: &str) -> Option<&'static GroupDecl> {
        self.groups
            .iter()
            .find(|group| group.name.eq_ignore_ascii_case(name))
    }
}
