//! From the effects that the settings switch on to steps.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use flatimage_reserved::active::Active;
use flatimage_reserved::effect::{Access, Condition, Missing, Stacker};
use flatimage_reserved::expand::expand;

use super::bus::Bus;
use super::error::PlanError;
use super::{Action, Step};
use crate::host::{Class, Host, Kind, Library, wildcard};

/// What the effects of all settings add up to.
#[derive(Default)]
pub struct Effects {
    /// Mounts and links, in the order in which the settings name them.
    pub steps: Vec<Step>,
    /// Variables, later ones overwrite earlier ones.
    pub environment: BTreeMap<String, String>,
    /// Namespaces of the host that the container keeps, by name, and what asks for that.
    pub shared: BTreeMap<&'static str, String>,
    /// What asks for names to be found in any case, if anything does.
    pub folded: Option<String>,
    /// Rules of the filter of system calls that do not hold, and what asks for that.
    pub allowed: BTreeMap<&'static str, String>,
    /// Rules of the filter that emulate, and what asks for that.
    pub emulated: BTreeMap<&'static str, String>,
    /// Where nothing is hidden or made read-only.
    pub unmasked: Vec<PathBuf>,
    /// Where programs start, if something says so.
    pub directory: Option<PathBuf>,
    /// Who is to stack the layers, and what says so.
    pub stacker: Option<(Stacker, String)>,
    /// What opens the portal, if anything does.
    pub portal: Option<String>,
    /// Programs of the host that may be run, as they are listed.
    pub admitted: Vec<String>,
}

/// Turns active effects into steps, with the host's variables expanded.
pub struct Interpreter<'a> {
    /// The host.
    pub host: &'a Host,
    /// Whether the program runs as root inside.
    pub as_root: bool,
}

impl Interpreter<'_> {
    /// Adds what `effect` brings; `cause` is the region or permission to blame.
    pub fn interpret(
        &self,
        effect: Active,
        cause: &str,
        effects: &mut Effects,
    ) -> Result<(), PlanError> {
        match effect {
            Active::Bind {
                source,
                target,
                access,
                missing,
                glob,
            } => {
                let bind = Bind {
                    source,
                    target,
                    access,
                    missing,
                    cause,
                };
                let steps = if glob {
                    self.matches(&bind)?
                } else {
                    self.bind(&bind)?
                };
                effects.steps.extend(steps);
            }
            Active::Libraries { names, target } => {
                let target = inside(&self.text(&target), cause)?;
                effects.steps.extend(self.libraries(names, &target, cause));
            }
            Active::Setenv { name, value } => {
                effects
                    .environment
                    .insert(self.text(&name), self.text(&value));
            }
            Active::Tmpfs { target } => {
                let target = inside(&self.text(&target), cause)?;
                effects.steps.push(step(
                    Action::Tmpfs {
                        target,
                        mode: 0o755,
                    },
                    cause,
                ));
            }
            Active::Symlink { link, target } => {
                let link = inside(&self.text(&link), cause)?;
                let target = PathBuf::from(self.text(&target));
                effects
                    .steps
                    .push(step(Action::Symlink { link, target }, cause));
            }
            Active::Share { namespace } => {
                let shared = effects.shared.entry(namespace.name());
                shared.or_insert_with(|| cause.to_owned());
            }
            Active::Fold => self.fold(cause, effects)?,
            // Whose the container is was decided before.
            Active::Subordinate => {}
            Active::Allow { rules } => name(&mut effects.allowed, rules, cause),
            Active::Emulate { rules } => name(&mut effects.emulated, rules, cause),
            Active::File { target, text } => {
                let target = inside(&self.text(&target), cause)?;
                let text = text.to_owned();
                effects
                    .steps
                    .push(step(Action::File { target, text }, cause));
            }
            Active::Unmask { target } => {
                effects.unmasked.push(inside(&self.text(&target), cause)?);
            }
            Active::Enter { directory } => {
                // The root is no place for a mount, and one to be in.
                effects.directory = Some(match self.text(&directory) {
                    root if root == "/" => root.into(),
                    path => inside(&path, cause)?,
                });
            }
            Active::Portal => {
                effects.portal.get_or_insert_with(|| cause.to_owned());
            }
            Active::Admit { program } => effects.admitted.push(self.text(&program)),
            Active::Bus {
                address,
                target,
                talk,
                own,
            } => {
                let target = inside(&self.text(&target), cause)?;
                let bus = Bus::new(&address, [talk, own], self.host, cause)?;
                let steps = bus.map(|bus| step(Action::Bus { target, bus }, cause));
                effects.steps.extend(steps);
            }
            Active::Stack { with } => effects.stacker = Some((with, cause.to_owned())),
            Active::When {
                conditions,
                effects: inner,
            } => {
                if conditions.iter().all(|condition| self.holds(condition)) {
                    for effect in inner {
                        self.interpret(effect, cause, effects)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// There is no other way than FUSE: a start that cannot fold says so and does not go on without.
    fn fold(&self, cause: &str, effects: &mut Effects) -> Result<(), PlanError> {
        if let Some(reason) = &self.host.no_fuse {
            return Err(PlanError::NoFuse {
                reason: reason.clone(),
                cause: cause.to_owned(),
            });
        }
        effects.folded.get_or_insert_with(|| cause.to_owned());
        Ok(())
    }

    fn text(&self, template: &str) -> String {
        expand(template, &|name| self.host.variable(name)).text
    }

    fn holds(&self, condition: &Condition) -> bool {
        match condition {
            Condition::Env(name) => self.host.environment.contains_key(*name),
            // What is not absolute would depend on where the caller is.
            Condition::Exists(path) => {
                let path = PathBuf::from(self.text(path));
                path.is_absolute() && self.host.files.resolve(&path).is_some()
            }
            Condition::Root(expected) => *expected == self.as_root,
            Condition::Privileged(expected) => *expected == (self.host.uid == 0),
            // Decided where the value is known, before the effect got here.
            Condition::Is(_) => true,
        }
    }

    fn bind(&self, bind: &Bind<'_>) -> Result<Vec<Step>, PlanError> {
        let source = expand(&bind.source, &|name| self.host.variable(name));
        let found = match source.unset.first() {
            Some(variable) if bind.missing == Missing::Fail => {
                return Err(PlanError::UnsetVariable {
                    variable: variable.clone(),
                    source_path: bind.source.clone(),
                    cause: bind.cause.to_owned(),
                });
            }
            Some(_) => None,
            None => self.host.files.resolve(Path::new(&source.text)),
        };
        match found {
            Some((path, _)) => {
                let target = inside(&self.text(&bind.target), bind.cause)?;
                Ok(vec![bind.step(path, target)])
            }
            None if bind.missing == Missing::Skip => Ok(Vec::new()),
            None => Err(PlanError::MissingSource {
                source_path: source.text.into(),
                cause: bind.cause.to_owned(),
            }),
        }
    }

    /// The libraries whose names fit, each once: the loader takes the first of a name.
    fn libraries(&self, names: &[&str], target: &Path, cause: &str) -> Vec<Step> {
        let mut places = BTreeMap::new();
        for Library { name, path, class } in self.host.files.libraries() {
            let fits = |pattern: &&str| wildcard(pattern.as_bytes(), name.as_bytes());
            let directory = match class {
                Class::Native => "lib",
                Class::Compat => "lib32",
            };
            if names.iter().any(fits)
                && let Some((source, Kind::Other)) = self.host.files.resolve(&path)
            {
                let place = target.join(directory).join(name);
                places.entry(place).or_insert(source);
            }
        }
        let bind = Bind {
            source: String::new(),
            target: String::new(),
            access: Access::Ro,
            missing: Missing::Skip,
            cause,
        };
        let step = |(target, source)| bind.step(source, target);
        places.into_iter().map(step).collect()
    }

    /// Every match of a pattern, at its own path or in the directory of the target.
    fn matches(&self, bind: &Bind<'_>) -> Result<Vec<Step>, PlanError> {
        let matches = self.host.files.matches(&self.text(&bind.source));
        if matches.is_empty() && bind.missing == Missing::Fail {
            return Err(PlanError::MissingSource {
                source_path: bind.source.clone().into(),
                cause: bind.cause.to_owned(),
            });
        }
        let directory = match bind.target == bind.source {
            true => None,
            false => Some(inside(&self.text(&bind.target), bind.cause)?),
        };
        let place = |path: PathBuf| match &directory {
            None => Some(path),
            Some(directory) => Some(directory.join(path.file_name()?)),
        };
        Ok(matches
            .into_iter()
            .filter_map(|path| {
                let (source, _) = self.host.files.resolve(&path)?;
                Some(bind.step(source, place(path)?))
            })
            .collect())
    }
}

/// Names rules, each with the first that asks.
fn name(named: &mut BTreeMap<&'static str, String>, rules: &[&'static str], cause: &str) {
    for rule in rules {
        named.entry(rule).or_insert_with(|| cause.to_owned());
    }
}

struct Bind<'a> {
    source: String,
    target: String,
    access: Access,
    missing: Missing,
    cause: &'a str,
}

impl Bind<'_> {
    fn step(&self, source: PathBuf, target: PathBuf) -> Step {
        let Bind {
            access,
            missing,
            cause,
            ..
        } = *self;
        step(
            Action::Bind {
                source,
                target,
                access,
                missing,
            },
            cause,
        )
    }
}

fn step(action: Action, cause: &str) -> Step {
    Step {
        action,
        cause: cause.to_owned(),
    }
}

/// A path of the container: absolute and without `..`.
pub fn inside(path: &str, cause: &str) -> Result<PathBuf, PlanError> {
    let path = PathBuf::from(path);
    let plain = path
        .components()
        .all(|component| matches!(component, Component::RootDir | Component::Normal(_)));
    if path.is_absolute() && plain && path != Path::new("/") {
        // Collected anew, because `a//b` and `a/./b` are the same place.
        return Ok(path.components().collect());
    }
    Err(PlanError::Target {
        path,
        cause: cause.to_owned(),
    })
}
