//! What distinguishes one root from another, so that a start knows whether it can join.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::plan::{IdMap, LayerSource, Plan};
use crate::sandbox::{Context, Failure};

/// Version of what supervisors say to each other.
const PROTOCOL: u32 = 3;

/// Which of the choices of a root the caller made for this start alone, by a `FIM_*` variable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Explicit {
    /// The layers.
    pub layers: bool,
    /// Whether names are found in any case.
    pub casefold: bool,
    /// Who stacks the layers.
    pub overlay: bool,
}

/// The choices of a root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    protocol: u32,
    /// Digest of which layers there are, in their order.
    layers: String,
    /// Which ids of the host the ids of the root are.
    ids: String,
    /// Whether names are found in any case.
    #[serde(default)]
    casefold: bool,
    /// Who stacks the layers.
    #[serde(default)]
    overlay: String,
    /// Whether the user namespace is one that was [lent](crate::sandbox::lent).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    lent: bool,
    /// Whether there is no root but a copy of the layers, in which everybody makes a sandbox.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    copied: bool,
    /// Whether the root is mounted outside of namespaces, and everybody makes a sandbox around it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    outside: bool,
}

/// How a running root differs from what is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// It is the very same.
    None,
    /// In something that is stored and was changed meanwhile: what it is, for a sentence.
    Stored(String),
    /// In something that this start asks for by itself.
    Explicit(&'static str),
    /// So much that nothing can be shared.
    Foreign(&'static str),
}

impl Key {
    /// The key of the root of a plan.
    pub fn of(plan: &Plan) -> Key {
        Key {
            protocol: PROTOCOL,
            layers: digest(&plan.layers),
            ids: match &plan.identity.map {
                IdMap::Single { uid, .. } => format!("the one of uid {uid}"),
                IdMap::Range { first, .. } => format!("those from {first} on"),
                IdMap::Subordinate { .. } => "the caller's and the subordinate ones".to_owned(),
            },
            casefold: plan.is_folded(),
            overlay: plan
                .stack()
                .map_or("", |stack| stack.with.name())
                .to_owned(),
            lent: false,
            copied: false,
            outside: false,
        }
    }

    /// The same key, of the root that was made, for `plan` on its rung.
    pub fn on(self, plan: Option<&Plan>) -> Key {
        Key {
            copied: plan.is_some_and(Plan::is_copied),
            outside: plan.is_some_and(Plan::is_outside),
            ..self
        }
    }

    /// Whether the root is mounted outside of namespaces.
    pub fn is_outside(&self) -> bool {
        self.outside
    }

    /// Whether there is no root but a copy of the layers.
    pub fn is_copied(&self) -> bool {
        self.copied
    }

    /// What stands for the layers.
    pub fn layers(&self) -> &str {
        &self.layers
    }

    /// The same key, of a root whose user namespace was or was not lent.
    pub fn lent(self, lent: bool) -> Key {
        Key { lent, ..self }
    }

    /// Whether the user namespace is one that was lent, so that a nested one must be too.
    pub fn is_lent(&self) -> bool {
        self.lent
    }

    /// A key for tests.
    #[cfg(test)]
    pub fn test(layers: &str) -> Key {
        Key {
            protocol: PROTOCOL,
            layers: layers.into(),
            ids: "x".into(),
            casefold: false,
            overlay: "kernel".into(),
            lent: false,
            copied: false,
            outside: false,
        }
    }

    /// Compares what is asked for with what runs.
    pub fn differs_from(&self, running: &Key, explicit: Explicit) -> Difference {
        if self.protocol != running.protocol {
            return Difference::Foreign("another version of the program");
        }
        if self.ids != running.ids {
            return Difference::Foreign("other ids");
        }
        let choices = [
            (
                "other layers",
                self.layers == running.layers,
                explicit.layers,
            ),
            (
                "another case folding",
                self.casefold == running.casefold,
                explicit.casefold,
            ),
            (
                "another overlay",
                self.overlay == running.overlay,
                explicit.overlay,
            ),
        ];
        let differing = || choices.iter().filter(|(_, same, _)| !same);
        if let Some((what, ..)) = differing().find(|(.., explicit)| *explicit) {
            return Difference::Explicit(what);
        }
        let stored: Vec<&str> = differing().map(|(what, ..)| *what).collect();
        match stored.as_slice() {
            [] => Difference::None,
            names => Difference::Stored(names.join(" and ")),
        }
    }

    /// Whether a start that wants this one will do with what process `pid` runs, with a warning where that was made with settings of
    /// before.
    ///
    /// # Errors
    /// When it will not, or asks for something else by itself.
    pub fn share(&self, running: &Key, pid: u32, context: &Context<'_>) -> Result<(), Failure> {
        match self.differs_from(running, context.explicit) {
            Difference::None => Ok(()),
            Difference::Stored(what) => {
                (context.warn)(&format!(
                    "the running container (process {pid}) has {what}, which this start shares; the \
                     next one after its end has what is set now"
                ));
                Ok(())
            }
            Difference::Explicit(what) => Err(Failure::ours(format!(
                "process {pid} runs a container with {what} than this start asks for; wait for its end or \
                 choose another data directory with FIM_DIR_DATA"
            ))),
            Difference::Foreign(what) => Err(Failure::ours(format!(
                "process {pid} runs a container of this data directory with {what}; wait for its end or choose \
                 another data directory with FIM_DIR_DATA"
            ))),
        }
    }
}

/// A layer is the same when it is the same bytes of the same file, whatever the file is called by now.
fn digest(layers: &[LayerSource]) -> String {
    let mut files: HashMap<&Path, (u64, u64)> = HashMap::new();
    let mut hash = Sha256::new();
    for layer in layers {
        let (device, inode) = *files.entry(&layer.path).or_insert_with(|| {
            fs::metadata(&layer.path).map_or((0, 0), |found| (found.dev(), found.ino()))
        });
        for number in [device, inode, layer.offset, layer.size] {
            hash.update(number.to_le_bytes());
        }
    }
    let digest = hash.finalize();
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folded(layers: &str) -> Key {
        Key {
            casefold: true,
            ..Key::test(layers)
        }
    }

    #[test]
    fn what_differs_is_named_with_who_asked_for_it() {
        let asked = Explicit {
            layers: true,
            ..Explicit::default()
        };
        let stored = Explicit::default();
        assert_eq!(
            Key::test("a").differs_from(&Key::test("a"), asked),
            Difference::None
        );
        assert_eq!(
            Key::test("a").differs_from(&Key::test("b"), asked),
            Difference::Explicit("other layers")
        );
        assert_eq!(
            Key::test("a").differs_from(&Key::test("b"), stored),
            Difference::Stored("other layers".into())
        );
        assert_eq!(
            Key::test("a").differs_from(&folded("b"), stored),
            Difference::Stored("other layers and another case folding".into())
        );
        assert_eq!(
            folded("a").differs_from(&Key::test("a"), asked),
            Difference::Stored("another case folding".into())
        );
        let folding = Explicit {
            casefold: true,
            ..Explicit::default()
        };
        assert_eq!(
            Key::test("b").differs_from(&folded("a"), folding),
            Difference::Explicit("another case folding"),
            "what is asked for comes before what is stored"
        );
        assert_eq!(
            Key::test("b").differs_from(&Key::test("a"), folding),
            Difference::Stored("other layers".into())
        );
        let newer = Key {
            protocol: PROTOCOL + 1,
            ..Key::test("a")
        };
        assert!(matches!(
            Key::test("a").differs_from(&newer, stored),
            Difference::Foreign(_)
        ));
    }

    #[test]
    fn a_file_that_was_renamed_has_the_same_layers() {
        let place = tempfile::tempdir().unwrap();
        let layer = |name: &str| LayerSource {
            path: place.path().join(name),
            offset: 8,
            size: 9,
        };
        fs::write(place.path().join("a"), "x").unwrap();
        let before = digest(&[layer("a")]);
        fs::rename(place.path().join("a"), place.path().join("b")).unwrap();
        assert_eq!(digest(&[layer("b")]), before);
        let further = LayerSource {
            offset: 9,
            ..layer("b")
        };
        assert_ne!(digest(&[further]), before);
    }
}
