//! Refused command lines in one line each.

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::{CliError, PREFIX, Target, command};
use crate::nearest;

/// What is wrong with a command line and how to mend it.
pub fn explain(target: Target, error: &clap::Error) -> CliError {
    let name = format!("{PREFIX}{}", target.command());
    let command = command::of(target);
    let verbs: Vec<&str> = command
        .get_subcommands()
        .map(clap::Command::get_name)
        .collect();
    let message = match error.kind() {
        ErrorKind::InvalidSubcommand => {
            let verb = context(error, ContextKind::InvalidSubcommand);
            format!(
                "`{name}` has no verb `{verb}`; {}",
                nearest::hint(&verb, verbs.iter().copied())
            )
        }
        ErrorKind::MissingSubcommand | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let verbs: Vec<String> = verbs.iter().map(|verb| format!("`{verb}`")).collect();
            format!("`{name}` needs a verb: {}", verbs.join(", "))
        }
        ErrorKind::UnknownArgument
            if !verbs.is_empty() && usage(error).is_none_or(|usage| usage.contains('\n')) =>
        {
            let verb = context(error, ContextKind::InvalidArg);
            format!(
                "`{name}` has no verb `{verb}`; {}",
                nearest::hint(&verb, verbs.iter().copied())
            )
        }
        ErrorKind::UnknownArgument | ErrorKind::TooManyValues => {
            let argument = context(error, ContextKind::InvalidArg);
            format!(
                "`{argument}` is one argument too many; usage: {}",
                used(error, &name)
            )
        }
        ErrorKind::MissingRequiredArgument | ErrorKind::TooFewValues => {
            format!("an argument is missing; usage: {}", used(error, &name))
        }
        _ => {
            let text = error.to_string();
            let line = text.lines().next().unwrap_or_default();
            format!(
                "{}; see `{name} --help`",
                line.strip_prefix("error: ").unwrap_or(line)
            )
        }
    };
    CliError::new(message)
}

fn context(error: &clap::Error, kind: ContextKind) -> String {
    match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        Some(ContextValue::Strings(texts)) => texts.join(" "),
        _ => String::new(),
    }
}

/// The usage line that `clap` attached.
fn usage(error: &clap::Error) -> Option<String> {
    let text = match error.get(ContextKind::Usage)? {
        ContextValue::StyledStr(text) => text.to_string(),
        ContextValue::String(text) => text.clone(),
        _ => return None,
    };
    let text = text.trim();
    Some(
        text.strip_prefix("Usage:")
            .unwrap_or(text)
            .trim()
            .to_owned(),
    )
}

fn used(error: &clap::Error, name: &str) -> String {
    let line = usage(error).filter(|usage| !usage.contains('\n'));
    line.unwrap_or_else(|| format!("see `{name} --help`"))
}
