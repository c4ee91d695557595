//! One declared command as a `clap` command.

use clap::{Arg, ArgAction, Command, value_parser};
use std::ffi::OsString;

use super::{PREFIX, Target};
use crate::action::{ActionDecl, Argument, ArgumentKind, Shape};
use crate::decl::{Encoding, Field, FieldKind, RegionDecl};
use crate::verb::{Takes, VerbDecl, verbs};

/// Id of the positional argument that holds everything a verb of a region takes.
pub const VALUES: &str = "values";

/// The command of a region or an action.
pub fn of(target: Target) -> Command {
    let name = format!("{PREFIX}{}", target.command());
    let command = Command::new(name.clone())
        .disable_help_subcommand(true)
        .disable_help_flag(true)
        .arg(help())
        .about(target.summary())
        .long_about(target.docs().trim_end());
    match target {
        Target::Region(region) => of_region(command, &name, region),
        Target::Action(action) => of_action(command, &name, action),
    }
}

fn of_region(command: Command, name: &str, region: &RegionDecl) -> Command {
    let verbs = verbs(&region.encoding);
    let usages = verbs
        .iter()
        .map(|verb| format!("{name} {}{}", verb.name, verb.takes.usage()));
    let command = command.override_usage(usages.collect::<Vec<_>>().join("\n       "));
    let verbs = verbs.iter().map(|decl| verb(name, decl));
    with_verbs(command, verbs.collect()).after_help(after(region))
}

fn of_action(command: Command, name: &str, action: &'static ActionDecl) -> Command {
    match action.shape {
        Shape::Arguments(arguments) => {
            with_arguments(command.override_usage(usage(name, arguments)), arguments)
        }
        Shape::Verbs(verbs) => {
            let usages = verbs
                .iter()
                .map(|verb| usage(&format!("{name} {}", verb.name), verb.arguments));
            let usages: Vec<String> = usages.collect();
            let command = command.override_usage(usages.join("\n       "));
            let verbs = verbs.iter().zip(usages).map(|(verb, usage)| {
                with_arguments(
                    plain(verb.name, verb.summary).override_usage(usage),
                    verb.arguments,
                )
            });
            with_verbs(command, verbs.collect())
        }
    }
}

/// `--help`, which always says all there is to say.
fn help() -> Arg {
    Arg::new("help")
        .short('h')
        .long("help")
        .action(ArgAction::HelpLong)
        .help("print this")
}

fn plain(name: &'static str, summary: &'static str) -> Command {
    Command::new(name)
        .about(summary)
        .disable_help_subcommand(true)
        .disable_help_flag(true)
        .arg(help())
}

fn with_verbs(command: Command, verbs: Vec<Command>) -> Command {
    command
        .subcommand_required(true)
        .subcommand_value_name("VERB")
        .subcommand_help_heading("Verbs")
        .subcommands(verbs)
}

/// A verb of a region. Its arguments are taken as one list: the encoding says what they mean, not the parser.
fn verb(command: &str, decl: &VerbDecl) -> Command {
    let verb = plain(decl.name, decl.summary).override_usage(format!(
        "{command} {}{}",
        decl.name,
        decl.takes.usage()
    ));
    let trailing = |least: usize| {
        let values = Arg::new(VALUES)
            .value_parser(value_parser!(OsString))
            .num_args(least..)
            .required(least > 0);
        values.hide(true)
    };
    match decl.takes {
        Takes::Nothing => verb,
        Takes::One(_) => verb.arg(
            Arg::new(VALUES)
                .value_parser(value_parser!(OsString))
                .required(true)
                .hide(true),
        ),
        Takes::Many(_) => verb.arg(trailing(1)),
        Takes::Fields(fields) => {
            let open = fields.iter().any(|field| field.kind == FieldKind::Texts);
            let values = trailing(1);
            let values = if open {
                values.trailing_var_arg(true).allow_hyphen_values(true)
            } else {
                values
            };
            verb.arg(values).after_help(fields_help(fields))
        }
    }
}

fn fields_help(fields: &[Field]) -> String {
    let width = fields
        .iter()
        .map(|field| field.output.len())
        .max()
        .unwrap_or(0);
    let lines = fields
        .iter()
        .map(|field| format!("  {:width$}  {}\n", field.output, field.summary));
    format!("Arguments:\n{}", lines.collect::<String>().trim_end())
}

fn with_arguments(command: Command, arguments: &'static [Argument]) -> Command {
    arguments.iter().fold(command, |command, argument| {
        command.arg(self::argument(argument))
    })
}

fn argument(argument: &'static Argument) -> Arg {
    let arg = Arg::new(argument.name).help(argument.summary);
    match argument.kind {
        ArgumentKind::Switch => arg.long(argument.name).action(ArgAction::SetTrue),
        ArgumentKind::Text | ArgumentKind::Path => arg
            .value_parser(value_parser!(OsString))
            .value_name(argument.name)
            .required(!argument.optional),
        ArgumentKind::Command => arg
            .value_parser(value_parser!(OsString))
            .value_name("program [args…]")
            .num_args(usize::from(!argument.optional)..)
            .required(!argument.optional)
            .trailing_var_arg(true)
            .allow_hyphen_values(true),
    }
}

/// The usage line of an action: `fim-plan [--json] [program args…]`.
fn usage(command: &str, arguments: &[Argument]) -> String {
    let words = arguments
        .iter()
        .map(|argument| match (argument.kind, argument.optional) {
            (ArgumentKind::Switch, _) => format!(" [--{}]", argument.name),
            (ArgumentKind::Command, false) => " <program> [args…]".to_owned(),
            (ArgumentKind::Command, true) => " [program args…]".to_owned(),
            (_, false) => format!(" <{}>", argument.name),
            (_, true) => format!(" [{}]", argument.name),
        });
    format!("{command}{}", words.collect::<String>())
}

/// The end of the help: the names that can be typed, and the variable that counts instead of what is stored.
fn after(region: &RegionDecl) -> String {
    let variable = region.variable.map(|variable| {
        format!("Environment:\n  {variable}  counts instead of what is stored, for one start")
    });
    let names = Some(names(&region.encoding)).filter(|names| !names.is_empty());
    let parts: Vec<String> = names.into_iter().chain(variable).collect();
    parts.join("\n\n")
}

/// The names that an encoding knows.
fn names(encoding: &Encoding) -> String {
    let names: Vec<(&str, &str)> = match encoding {
        Encoding::Bits(decl) => {
            let groups = decl.groups.iter().map(|group| (group.name, group.summary));
            decl.bits
                .iter()
                .map(|bit| (bit.name, bit.summary))
                .chain(groups)
                .collect()
        }
        Encoding::Choice(choices) => choices
            .iter()
            .map(|choice| (choice.name, choice.summary))
            .collect(),
        Encoding::List(fields) | Encoding::Record(fields) => return fields_help(fields),
        _ => return String::new(),
    };
    let width = names.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let lines = names
        .iter()
        .map(|(name, summary)| format!("  {name:width$}  {summary}\n"));
    format!("Names:\n{}", lines.collect::<String>().trim_end())
}
