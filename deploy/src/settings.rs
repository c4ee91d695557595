//! Settings that a fresh image has beside the defaults.
//!
//! They are given by the names of `schema/reserved.yaml`, in the form that their encoding suggests, and take the way that
//! the commands of an image take: what `fim-env set` would refuse is refused here in the same words.

use flatimage_reserved::verb::apply;
use flatimage_reserved::{Encoding, Field, RegionDecl, Value, Verb, VerbError, declared, nearest};
use serde_yaml::{Mapping, Value as Yaml};

use crate::oci::{Execution, User};

/// Settings in the order in which they were given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Settings(Vec<(&'static RegionDecl, Value)>);

/// Why something is no setting.
#[derive(Debug, thiserror::Error)]
pub enum SettingError {
    /// No region has this name.
    #[error("unknown setting `{name}`; {hint}")]
    Unknown {
        /// As given.
        name: String,
        /// The nearest known one, or all.
        hint: String,
    },
    /// The value has another form than the setting.
    #[error("setting `{name}` is {expected}")]
    Form {
        /// Name of the setting.
        name: &'static str,
        /// What it is instead.
        expected: &'static str,
    },
    /// The value is refused.
    #[error("setting `{name}`: {source}")]
    Refused {
        /// Name of the setting.
        name: &'static str,
        /// Why.
        source: VerbError,
    },
}

impl Settings {
    /// Those of a distribution.
    pub(crate) fn of_distribution<'a>(
        given: impl IntoIterator<Item = (&'a String, &'a Yaml)>,
    ) -> Result<Settings, SettingError> {
        let mut settings = Settings::default();
        for (name, value) in given {
            settings.set(region(name)?, value)?;
        }
        Ok(settings)
    }

    /// Gives a setting a value. What the value adds to, a map or a set, keeps what it has.
    pub(crate) fn set(
        &mut self,
        region: &'static RegionDecl,
        value: &Yaml,
    ) -> Result<(), SettingError> {
        let verbs = verbs(region, value)?;
        let place = self.0.iter().position(|(known, _)| *known == region);
        let place = place.unwrap_or_else(|| {
            self.0.push((region, region.default_value()));
            self.0.len() - 1
        });
        for verb in verbs {
            let refused = |source| SettingError::Refused {
                name: region.name,
                source,
            };
            let outcome = apply(region, &self.0[place].1, &verb).map_err(refused)?;
            if let Some(value) = outcome.write {
                self.0[place].1 = value;
            }
        }
        Ok(())
    }

    /// Adds how programs of another container program's image run.
    pub(crate) fn add_execution(
        &mut self,
        execution: &Execution,
        user: Option<&User>,
    ) -> Result<(), SettingError> {
        let mut variables = Mapping::new();
        let mut add = |name: &str, value: String| {
            variables.insert(name.into(), value.into());
        };
        if let Some(user) = user {
            add("UID", user.uid.to_string());
            add("GID", user.gid.to_string());
            add("HOME", user.home.clone());
            if let Some(name) = &user.name {
                add("USER", name.clone());
            }
        }
        for (name, value) in execution.variables() {
            add(&name, value);
        }
        self.set(declared::ENVIRONMENT, &variables.into())?;
        self.set(declared::DIRECTORY, &execution.directory().into())?;
        if let Some(mut words) = execution.command() {
            let args: Vec<Yaml> = words.split_off(1).into_iter().map(Yaml::from).collect();
            let mut boot = Mapping::new();
            boot.insert("program".into(), words.remove(0).into());
            boot.insert("args".into(), args.into());
            self.set(declared::BOOT, &boot.into())?;
        }
        Ok(())
    }

    /// Each setting and its value.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &(&'static RegionDecl, Value)> {
        self.0.iter()
    }
}

fn region(name: &str) -> Result<&'static RegionDecl, SettingError> {
    // Those without a command are the program's own.
    let known = || {
        declared::REGIONS
            .iter()
            .filter(|region| region.command.is_some())
    };
    known()
        .find(|region| region.name == name)
        .ok_or_else(|| SettingError::Unknown {
            name: name.to_owned(),
            hint: match nearest(name, known().map(|region| region.name)) {
                Some(near) => format!("did you mean `{near}`?"),
                None => {
                    let names: Vec<_> = known().map(|region| region.name).collect();
                    format!("there are {}", names.join(", "))
                }
            },
        })
}

/// What has to be done to a setting so that it has a value.
fn verbs(region: &RegionDecl, value: &Yaml) -> Result<Vec<Verb>, SettingError> {
    let form = |expected| SettingError::Form {
        name: region.name,
        expected,
    };
    let one = |value: &Yaml| text(value).ok_or_else(|| form("a text"));
    Ok(match region.encoding {
        Encoding::Flag => match text(value).as_deref() {
            Some("on" | "true") => vec![Verb::On],
            Some("off" | "false") => vec![Verb::Off],
            _ => return Err(form("`on` or `off`")),
        },
        Encoding::Choice(_) | Encoding::Text { .. } => vec![Verb::Set(vec![one(value)?])],
        Encoding::Bits(_) => {
            let names = texts(value).ok_or_else(|| form("a list of names"))?;
            match names.is_empty() {
                true => vec![],
                false => vec![Verb::Add(names)],
            }
        }
        Encoding::Map => {
            let entries = value.as_mapping().ok_or_else(|| form("a map of texts"))?;
            let pair =
                |(key, value): (&Yaml, &Yaml)| Some(format!("{}={}", text(key)?, text(value)?));
            let pairs: Option<Vec<_>> = entries.iter().map(pair).collect();
            let pairs = pairs.ok_or_else(|| form("a map of texts"))?;
            match pairs.is_empty() {
                true => vec![],
                false => vec![Verb::Add(pairs)],
            }
        }
        Encoding::List(fields) => {
            let records = value.as_sequence().map(|records| {
                let record = |record| Some(Verb::Add(arguments(fields, record)?));
                records.iter().map(record).collect::<Option<Vec<_>>>()
            });
            let records = records.flatten();
            records.ok_or_else(|| form("a list of records, each with all its fields"))?
        }
        Encoding::Record(fields) => {
            let arguments = arguments(fields, value);
            vec![Verb::Set(
                arguments.ok_or_else(|| form("a record with all its fields"))?,
            )]
        }
        Encoding::Blob => return Err(form("bytes, which no file of a distribution can hold")),
    })
}

/// The fields of a record in the order of the declaration. Only one of several texts may be missing.
fn arguments(fields: &[Field], value: &Yaml) -> Option<Vec<String>> {
    let given = value.as_mapping()?;
    let known = |key: &Yaml| fields.iter().any(|field| key.as_str() == Some(field.name));
    if !given.keys().all(known) {
        return None;
    }
    let mut all = Vec::new();
    for field in fields {
        match (given.get(field.name), field.kind) {
            (None, flatimage_reserved::FieldKind::Texts) => {}
            (Some(value), flatimage_reserved::FieldKind::Texts) => all.extend(texts(value)?),
            (value, _) => all.push(text(value?)?),
        }
    }
    Some(all)
}

fn texts(value: &Yaml) -> Option<Vec<String>> {
    value.as_sequence()?.iter().map(text).collect()
}

fn text(value: &Yaml) -> Option<String> {
    match value {
        Yaml::String(text) => Some(text.clone()),
        Yaml::Number(number) => Some(number.to_string()),
        Yaml::Bool(on) => Some(on.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(yaml: &str) -> Result<Settings, SettingError> {
        let given: std::collections::BTreeMap<String, Yaml> = serde_yaml::from_str(yaml).unwrap();
        Settings::of_distribution(&given)
    }

    fn shown(yaml: &str) -> String {
        let settings = settings(yaml).unwrap();
        let show = |(region, value): &(&RegionDecl, Value)| {
            apply(region, value, &Verb::Show).unwrap().output
        };
        settings.iter().map(show).collect()
    }

    #[test]
    fn every_encoding_has_a_form() {
        let settings = shown(
            "boot: {program: sh, args: [-c, 'echo 1']}\nenvironment: {A: b, N: 7}\n\
             casefold: on\noverlay: overlayfs\npermissions: [network, home]\n\
             bindings: [{access: ro, source: /a, target: /b}]",
        );
        for part in ["echo 1", "A=b", "N=7", "on", "OVERLAYFS", "network", "/b"] {
            assert!(settings.contains(part), "{part}: {settings}");
        }
    }

    #[test]
    fn what_is_no_setting_is_refused_in_one_line() {
        for (yaml, expected) in [
            (
                "enviroment: {}",
                "unknown setting `enviroment`; did you mean `environment`?",
            ),
            ("layers: {count: 1, end: 2}", "unknown setting `layers`"),
            ("casefold: maybe", "setting `casefold` is `on` or `off`"),
            (
                "permissions: [netwrok]",
                "setting `permissions`: unknown name `netwrok`",
            ),
            (
                "environment: [A]",
                "setting `environment` is a map of texts",
            ),
            (
                "boot: {program: sh, arg: [x]}",
                "setting `boot` is a record",
            ),
            (
                "bindings: [{access: ro, source: /a}]",
                "setting `bindings` is a list",
            ),
        ] {
            let error = settings(yaml).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{yaml}: {error}");
            assert!(!error.contains('\n'), "{error}");
        }
    }
}
