//! Every command: what it is for, what can be typed, and what the words mean.

use flatimage_reserved::clap::{Arg, Command};
use flatimage_reserved::declared::{REGIONS, cli};
use flatimage_reserved::{Encoding, RegionDecl};

use super::{code, page, table};

const INTRODUCTION: &str = "
Every command of an image starts with `fim-`; whatever else is typed goes to the program that the image runs.
`fim-help` lists the commands, `fim-help <command>` prints what is below.
Data goes to standard output, everything else to standard error. A command that is refused ends with 125 and one line
that says what is wrong and how to mend it.
";

/// The page of all commands.
pub fn commands() -> String {
    let commands: Vec<Command> = cli().get_subcommands().cloned().collect();
    let overview = commands.iter().map(|command| {
        let name = command.get_name();
        [format!("[`{name}`](#{name})"), about(command)]
    });
    let sections: String = commands.iter().map(section).collect();
    page(
        "Commands",
        INTRODUCTION,
        &format!("{}{sections}", table(["command", ""], overview)),
    )
}

fn section(command: &Command) -> String {
    let (name, docs) = (command.get_name(), command.get_long_about());
    let docs = docs.map(ToString::to_string).unwrap_or_default();
    let usage = command.clone().render_usage().to_string();
    let usage: String = usage
        .trim_start_matches("Usage:")
        .lines()
        .map(|line| format!("{}\n", line.trim()))
        .collect();
    let verbs = command.get_subcommands().map(|verb| {
        let told = arguments(verb)
            .map(|argument| format!("{} {}", code(&name_of(argument)), help(argument)));
        let parts: Vec<String> = std::iter::once(about(verb)).chain(told).collect();
        [code(verb.get_name()), parts.join("; ")]
    });
    let words = arguments(command).map(|argument| [code(&name_of(argument)), help(argument)]);
    let region = REGIONS.iter().find(|region| {
        region
            .command
            .map(|command| format!("fim-{command}"))
            .as_deref()
            == Some(name)
    });
    let mut text = format!("## {name}\n\n{}\n\n```text\n{usage}```\n\n", docs.trim());
    for (head, rows) in [
        ("verb", verbs.collect::<Vec<_>>()),
        ("argument", words.collect()),
    ] {
        if !rows.is_empty() {
            text.push_str(&table([head, ""], rows));
        }
    }
    text.push_str(&region.map(names).unwrap_or_default());
    if let Some(variable) = region.and_then(|region| region.variable) {
        text.push_str(&format!(
            "For one start, the variable {} counts instead of what is stored.\n\n",
            code(variable)
        ));
    }
    text
}

/// The names that the encoding of a setting knows.
fn names(region: &RegionDecl) -> String {
    let rows: Vec<[String; 2]> = match &region.encoding {
        Encoding::Bits(decl) => {
            let groups = decl.groups.iter().map(|group| (group.name, group.summary));
            let bits = decl.bits.iter().map(|bit| (bit.name, bit.summary));
            bits.chain(groups).map(row).collect()
        }
        Encoding::Choice(choices) => choices
            .iter()
            .map(|choice| row((choice.name, choice.summary)))
            .collect(),
        Encoding::List(fields) | Encoding::Record(fields) => fields
            .iter()
            .map(|field| row((field.output, field.summary)))
            .collect(),
        _ => Vec::new(),
    };
    if rows.is_empty() {
        String::new()
    } else {
        table(["name", ""], rows)
    }
}

fn row((name, summary): (&str, &str)) -> [String; 2] {
    [code(name), summary.to_owned()]
}

fn about(command: &Command) -> String {
    command
        .get_about()
        .map(ToString::to_string)
        .unwrap_or_default()
}

/// What a person types, without `--help` and without what the usage says already.
fn arguments(command: &Command) -> impl Iterator<Item = &Arg> {
    command
        .get_arguments()
        .filter(|argument| argument.get_id() != "help" && !argument.is_hide_set())
}

fn name_of(argument: &Arg) -> String {
    match argument.get_long() {
        Some(long) => format!("--{long}"),
        None => argument.get_id().to_string(),
    }
}

fn help(argument: &Arg) -> String {
    argument
        .get_help()
        .map(ToString::to_string)
        .unwrap_or_default()
}
