//! The command line, from the tables of regions and actions.
//!
//! A start builds the one command that was typed and no other: building all of them costs more than the rest of a
//! configuration command.

mod command;
mod failure;
mod parsed;

use std::ffi::OsString;

use crate::action::ActionDecl;
use crate::decl::RegionDecl;
use crate::nearest;
use crate::verb::Verb;

pub use parsed::Parsed;

/// What every command starts with.
pub const PREFIX: &str = "fim-";

/// Why a command line is refused, in one line that says how to mend it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CliError {
    message: String,
}

impl CliError {
    fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
        }
    }
}

/// What a command line asks for; `A` is the type of an action with its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Invocation<A> {
    /// A verb on a setting.
    Region {
        /// The setting.
        decl: &'static RegionDecl,
        /// What to do with it.
        verb: Verb,
    },
    /// A command that is not a setting.
    Action(A),
    /// `--help`: the text for stdout.
    Help(String),
}

/// Everything that can be typed.
#[derive(Debug, Clone, Copy)]
pub struct Program {
    /// The settings.
    pub regions: &'static [RegionDecl],
    /// The other commands.
    pub actions: &'static [ActionDecl],
}

/// A command by its name.
#[derive(Clone, Copy)]
enum Target {
    Region(&'static RegionDecl),
    Action(&'static ActionDecl),
}

impl Program {
    /// All commands, for completions and manual pages.
    #[must_use]
    pub fn command(&self) -> clap::Command {
        let commands = self.targets().map(|(_, target)| command::of(target));
        clap::Command::new("flatimage")
            .disable_help_subcommand(true)
            .subcommands(commands)
    }

    /// Understands a command line whose first word starts with `fim-`.
    ///
    /// # Errors
    /// Unknown commands and verbs, answered with the nearest known one; arguments too few, too many or not UTF-8.
    pub fn parse(
        &self,
        arguments: &[OsString],
    ) -> Result<Invocation<(&'static ActionDecl, Parsed)>, CliError> {
        let typed = arguments
            .first()
            .map(|first| first.to_string_lossy())
            .unwrap_or_default();
        let target = self.find(&typed)?;
        if let Target::Action(action) = target
            && let Some(parsed) = Parsed::of_program(action, arguments)
        {
            return Ok(Invocation::Action((action, parsed)));
        }
        let matches = match command::of(target).try_get_matches_from(arguments) {
            Ok(matches) => matches,
            Err(error) if error.kind() == clap::error::ErrorKind::DisplayHelp => {
                return Ok(Invocation::Help(error.to_string()));
            }
            Err(error) => return Err(failure::explain(target, &error)),
        };
        let parsed = Parsed::new(target, &matches)?;
        Ok(match target {
            Target::Region(decl) => Invocation::Region {
                decl,
                verb: parsed.verb_of_region(decl)?,
            },
            Target::Action(action) => Invocation::Action((action, parsed)),
        })
    }

    /// As [`Program::parse`], with the type that the declaration generates for actions.
    ///
    /// # Errors
    /// As [`Program::parse`].
    pub fn parse_with<A>(
        &self,
        arguments: &[OsString],
        action: impl FnOnce(&str, &Parsed) -> Option<A>,
    ) -> Result<Invocation<A>, CliError> {
        Ok(match self.parse(arguments)? {
            Invocation::Region { decl, verb } => Invocation::Region { decl, verb },
            Invocation::Help(text) => Invocation::Help(text),
            Invocation::Action((decl, parsed)) => {
                let unknown = || {
                    CliError::new(format!(
                        "`{PREFIX}{}` is declared in another program",
                        decl.name
                    ))
                };
                Invocation::Action(action(decl.name, &parsed).ok_or_else(unknown)?)
            }
        })
    }

    /// The help: of all commands, or of the one named with or without `fim-`.
    ///
    /// # Errors
    /// An unknown command.
    pub fn help(&self, name: Option<&str>) -> Result<String, CliError> {
        match name {
            Some(name) => Ok(command::of(self.find(name)?).render_long_help().to_string()),
            None => Ok(self.overview()),
        }
    }

    /// Every command with its summary.
    fn overview(&self) -> String {
        let commands: Vec<(&str, Target)> = self.targets().collect();
        let width = commands
            .iter()
            .map(|(name, _)| name.len())
            .max()
            .unwrap_or(0);
        let mut text = String::from(
            "Usage: <image> [arguments…]                 run the boot command\n       \
             <image> fim-<command> [arguments…]   run one of these\n\nCommands:\n",
        );
        for (name, target) in commands {
            text.push_str(&format!("  {PREFIX}{name:width$}  {}\n", target.summary()));
        }
        text.push_str("\n`fim-help <command>` says more.\n");
        text
    }

    fn find(&self, typed: &str) -> Result<Target, CliError> {
        let name = typed.strip_prefix(PREFIX).unwrap_or(typed);
        let found = self.targets().find(|(command, _)| *command == name);
        found.map(|(_, target)| target).ok_or_else(|| {
            let names = self.targets().map(|(command, _)| command);
            let mend = match nearest::nearest(name, names) {
                Some(command) => format!("did you mean `{PREFIX}{command}`?"),
                None => format!("`{PREFIX}help` lists the commands"),
            };
            CliError::new(format!("unknown command `{PREFIX}{name}`; {mend}"))
        })
    }

    fn targets(&self) -> impl Iterator<Item = (&'static str, Target)> {
        let regions = self
            .regions
            .iter()
            .filter_map(|region| Some((region.command?, Target::Region(region))));
        let mut all: Vec<_> = regions.collect();
        all.extend(
            self.actions
                .iter()
                .map(|action| (action.name, Target::Action(action))),
        );
        all.sort_unstable_by_key(|(name, _)| *name);
        all.into_iter()
    }
}

impl Target {
    fn command(self) -> &'static str {
        match self {
            Self::Region(region) => region.command.unwrap_or(region.name),
            Self::Action(action) => action.name,
        }
    }

    fn summary(self) -> &'static str {
        match self {
            Self::Region(region) => region.summary,
            Self::Action(action) => action.summary,
        }
    }

    fn docs(self) -> &'static str {
        match self {
            Self::Region(region) => region.docs,
            Self::Action(action) => action.docs,
        }
    }
}
