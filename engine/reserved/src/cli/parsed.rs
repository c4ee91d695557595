//! The arguments of one command, by the names in its declaration.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::ArgMatches;

use super::{CliError, PREFIX, Target, command};
use crate::action::{ActionDecl, Argument, ArgumentKind, Shape};
use crate::decl::RegionDecl;
use crate::verb::Verb;

/// Arguments that have been told apart.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Parsed {
    verb: Option<String>,
    values: Vec<(&'static str, Vec<OsString>)>,
    switches: Vec<&'static str>,
}

impl Parsed {
    pub(super) fn new(target: Target, matches: &ArgMatches) -> Result<Self, CliError> {
        let mut parsed = Self::default();
        let (verb, matches) = match matches.subcommand() {
            Some((verb, matches)) => (Some(verb), matches),
            None => (None, matches),
        };
        parsed.verb = verb.map(str::to_owned);
        match target {
            Target::Region(_) => {
                let values = matches
                    .try_get_many::<OsString>(command::VALUES)
                    .ok()
                    .flatten();
                parsed.values.push((
                    command::VALUES,
                    values.into_iter().flatten().cloned().collect(),
                ));
            }
            Target::Action(action) => parsed.take(arguments(&action.shape, verb), matches)?,
        }
        Ok(parsed)
    }

    /// What a command line says that has a program and its arguments and nothing else, when that is all its command takes. Those
    /// start containers, and making a parser takes longer than parts of that.
    pub(super) fn of_program(action: &ActionDecl, arguments: &[OsString]) -> Option<Self> {
        let Shape::Arguments([argument]) = action.shape else {
            return None;
        };
        let words = arguments.get(1..)?;
        let only = argument.kind == ArgumentKind::Command;
        (only && !words.is_empty() && unknown_option(words).is_none()).then(|| Parsed {
            values: vec![(argument.name, words.to_vec())],
            ..Parsed::default()
        })
    }

    fn take(
        &mut self,
        arguments: &'static [Argument],
        matches: &ArgMatches,
    ) -> Result<(), CliError> {
        for argument in arguments {
            if argument.kind == ArgumentKind::Switch {
                if matches.get_flag(argument.name) {
                    self.switches.push(argument.name);
                }
                continue;
            }
            let values = matches.get_many::<OsString>(argument.name);
            let values: Vec<OsString> = values.into_iter().flatten().cloned().collect();
            if argument.kind == ArgumentKind::Text {
                values.iter().try_for_each(|value| utf8(value).map(drop))?;
            }
            if let (ArgumentKind::Command, Some(option)) = (argument.kind, unknown_option(&values))
            {
                let what = format!(
                    "`{option}` is neither an option nor a program; write options before the program"
                );
                return Err(CliError::new(what));
            }
            self.values.push((argument.name, values));
        }
        Ok(())
    }

    pub(super) fn verb_of_region(&self, decl: &RegionDecl) -> Result<Verb, CliError> {
        let name = self.verb().unwrap_or_default();
        let values = self.command(command::VALUES);
        let values = values.iter().map(utf8).collect::<Result<_, _>>()?;
        let unknown = || CliError::new(format!("`{PREFIX}{}` has no verb `{name}`", decl.name));
        Verb::named(name, values).ok_or_else(unknown)
    }

    /// The verb, when the command has verbs.
    #[must_use]
    pub fn verb(&self) -> Option<&str> {
        self.verb.as_deref()
    }

    /// Whether `--name` was given.
    #[must_use]
    pub fn switch(&self, name: &str) -> bool {
        self.switches.contains(&name)
    }

    /// The text of that name, when it was given.
    #[must_use]
    pub fn text_if_given(&self, name: &str) -> Option<String> {
        self.command(name)
            .first()
            .map(|value| value.to_string_lossy().into_owned())
    }

    /// The text of that name; empty when it was not given, which the parser has refused.
    #[must_use]
    pub fn text(&self, name: &str) -> String {
        self.text_if_given(name).unwrap_or_default()
    }

    /// The path of that name, when it was given.
    #[must_use]
    pub fn path_if_given(&self, name: &str) -> Option<PathBuf> {
        self.command(name).into_iter().next().map(PathBuf::from)
    }

    /// The path of that name; empty when it was not given, which the parser has refused.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.path_if_given(name).unwrap_or_default()
    }

    /// The program of that name and its arguments; empty when none was given.
    #[must_use]
    pub fn command(&self, name: &str) -> Vec<OsString> {
        let found = self.values.iter().find(|(known, _)| *known == name);
        found.map(|(_, values)| values.clone()).unwrap_or_default()
    }
}

fn arguments(shape: &Shape, verb: Option<&str>) -> &'static [Argument] {
    match shape {
        Shape::Arguments(arguments) => arguments,
        Shape::Verbs(verbs) => {
            let found = verbs.iter().find(|known| Some(known.name) == verb);
            found.map_or(&[], |found| found.arguments)
        }
    }
}

/// The first word, when it looks like an option: a program takes all that follows it, so a misspelt option would end
/// up as its name.
fn unknown_option(words: &[OsString]) -> Option<String> {
    let first = words.first()?.to_string_lossy();
    first.starts_with('-').then(|| first.into_owned())
}

fn utf8(value: &OsString) -> Result<String, CliError> {
    let text = value.to_str().map(str::to_owned);
    text.ok_or_else(|| {
        CliError::new(format!(
            "`{}` is not UTF-8; settings hold UTF-8 only",
            value.display()
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARGUMENTS: [Argument; 2] = [
        Argument {
            name: "command",
            kind: ArgumentKind::Command,
            optional: false,
            summary: "",
        },
        Argument {
            name: "other",
            kind: ArgumentKind::Switch,
            optional: true,
            summary: "",
        },
    ];

    const fn action(arguments: &'static [Argument]) -> ActionDecl {
        ActionDecl {
            name: "it",
            summary: "",
            docs: "",
            shape: Shape::Arguments(arguments),
        }
    }

    static ALONE: ActionDecl = action(ARGUMENTS.split_at(1).0);
    static BOTH: ActionDecl = action(&ARGUMENTS);

    fn words(line: &str) -> Vec<OsString> {
        line.split('|').map(OsString::from).collect()
    }

    #[test]
    fn a_program_alone_is_told_apart_as_the_parser_does_it() {
        for line in [
            "fim-it|ls",
            "fim-it|ls|-l|--help",
            "fim-it|",
            "fim-it|a b|--|x",
            "fim-it|x|--other|-h",
        ] {
            let arguments = words(line);
            let target = Target::Action(&ALONE);
            let matches = command::of(target).try_get_matches_from(&arguments);
            let parsed = Parsed::new(target, &matches.unwrap()).unwrap();
            assert_eq!(Parsed::of_program(&ALONE, &arguments), Some(parsed));
        }
    }

    #[test]
    fn everything_else_is_for_the_parser() {
        for line in ["fim-it", "fim-it|--help", "fim-it|-h|ls", "fim-it|--|ls"] {
            assert_eq!(Parsed::of_program(&ALONE, &words(line)), None, "{line}");
        }
        assert_eq!(Parsed::of_program(&BOTH, &words("fim-it|ls")), None);
    }
}
