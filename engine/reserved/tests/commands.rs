//! Command lines as people type them.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;

use flatimage_reserved::Verb;
use flatimage_reserved::declared::arguments::{Exec, Help, Layer, Plan, Version};
use flatimage_reserved::declared::{
    ACTIONS, Action, BINDINGS, BOOT, ENVIRONMENT, Invocation, REGIONS, cli, help, parse,
};

fn words(line: &str) -> Vec<OsString> {
    line.split(' ').map(OsString::from).collect()
}

fn parsed(line: &str) -> Invocation {
    parse(&words(line)).unwrap_or_else(|error| panic!("{line}: {error}"))
}

fn refused(line: &str) -> String {
    let error = parse(&words(line)).expect_err(line).to_string();
    assert!(!error.contains('\n'), "{line}: {error}");
    error
}

fn texts(line: &str) -> Vec<String> {
    line.split(' ').map(str::to_owned).collect()
}

#[test]
fn a_verb_on_a_region_is_understood() {
    for (line, decl, verb) in [
        (
            "fim-env add A=1 B=-2",
            ENVIRONMENT,
            Verb::Add(texts("A=1 B=-2")),
        ),
        ("fim-env list", ENVIRONMENT, Verb::List),
        ("fim-env del -- -A", ENVIRONMENT, Verb::Del(texts("-A"))),
        (
            "fim-bind add ro /a /b",
            BINDINGS,
            Verb::Add(texts("ro /a /b")),
        ),
        ("fim-bind del 0", BINDINGS, Verb::Del(texts("0"))),
        (
            "fim-boot set ls -l --help -- x",
            BOOT,
            Verb::Set(texts("ls -l --help -- x")),
        ),
        ("fim-boot clear", BOOT, Verb::Clear),
    ] {
        assert_eq!(parsed(line), Invocation::Region { decl, verb }, "{line}");
    }
}

#[test]
fn programs_get_their_arguments_untouched() {
    for line in ["ls", "ls --help", "sh -c a -- -- b", "x --json -h fim-exec"] {
        let command = words(line);
        let exec = Action::Exec(Exec {
            command: command.clone(),
        });
        assert_eq!(
            parsed(&format!("fim-exec {line}")),
            Invocation::Action(exec),
            "{line}"
        );
        let plan = Action::Plan(Plan {
            json: true,
            command,
        });
        assert_eq!(
            parsed(&format!("fim-plan --json {line}")),
            Invocation::Action(plan),
            "{line}"
        );
    }
    let bytes = OsString::from_vec(vec![0xff]);
    let exec = Action::Exec(Exec {
        command: vec!["x".into(), bytes.clone()],
    });
    assert_eq!(
        parse(&["fim-exec".into(), "x".into(), bytes.clone()]),
        Ok(Invocation::Action(exec))
    );
    let error = parse(&["fim-env".into(), "add".into(), bytes])
        .expect_err("refused")
        .to_string();
    assert!(error.contains("is not UTF-8"), "{error}");
}

#[test]
fn actions_have_typed_arguments() {
    let create = Layer::Create {
        dir: "/d".into(),
        file: "f".into(),
    };
    assert_eq!(
        parsed("fim-layer create /d f"),
        Invocation::Action(Action::Layer(create))
    );
    assert_eq!(
        parsed("fim-layer list"),
        Invocation::Action(Action::Layer(Layer::List))
    );
    assert_eq!(
        parsed("fim-version deps"),
        Invocation::Action(Action::Version(Version::Deps))
    );
    assert_eq!(
        parsed("fim-help"),
        Invocation::Action(Action::Help(Help { command: None }))
    );
    let env = Help {
        command: Some("env".to_owned()),
    };
    assert_eq!(
        parsed("fim-help env"),
        Invocation::Action(Action::Help(env))
    );
    assert_eq!(
        parsed("fim-plan"),
        Invocation::Action(Action::Plan(Plan {
            json: false,
            command: vec![]
        }))
    );
}

#[test]
fn mistakes_are_answered_in_one_line() {
    for (line, answer) in [
        (
            "fim-evn list",
            "unknown command `fim-evn`; did you mean `fim-env`?",
        ),
        (
            "fim-quite-other",
            "unknown command `fim-quite-other`; `fim-help` lists the commands",
        ),
        (
            "fim-env",
            "`fim-env` needs a verb: `add`, `set`, `del`, `list`, `clear`",
        ),
        (
            "fim-env lst",
            "`fim-env` has no verb `lst`; did you mean `list`?",
        ),
        (
            "fim-env list x",
            "`x` is one argument too many; usage: fim-env list",
        ),
        (
            "fim-env add",
            "an argument is missing; usage: fim-env add <key=value>…",
        ),
        (
            "fim-bind add",
            "an argument is missing; usage: fim-bind add <ro|rw|dev> <src> <dst>",
        ),
        (
            "fim-bind del 1 2",
            "`2` is one argument too many; usage: fim-bind del <index>",
        ),
        (
            "fim-boot set",
            "an argument is missing; usage: fim-boot set <program> [args…]",
        ),
        (
            "fim-exec",
            "an argument is missing; usage: fim-exec <program> [args…]",
        ),
        (
            "fim-layer create d",
            "an argument is missing; usage: fim-layer create <dir> <file>",
        ),
        (
            "fim-layer creat d f",
            "`fim-layer` has no verb `creat`; did you mean `create`?",
        ),
        (
            "fim-version",
            "`fim-version` needs a verb: `short`, `full`, `deps`",
        ),
        (
            "fim-plan --jsn",
            "`--jsn` is neither an option nor a program; write options before the program",
        ),
    ] {
        assert_eq!(refused(line), answer, "{line}");
    }
}

#[test]
fn every_command_has_help_and_every_name_is_in_it() {
    let overview = help(None).expect("the overview");
    let commands = REGIONS.iter().filter_map(|region| region.command);
    for command in commands.chain(ACTIONS.iter().map(|action| action.name)) {
        assert!(overview.contains(&format!("  fim-{command} ")), "{command}");
        let text = help(Some(command)).expect(command);
        assert_eq!(
            parsed(&format!("fim-{command} --help")),
            Invocation::Help(text.clone()),
            "{command}"
        );
        assert_eq!(help(Some(&format!("fim-{command}"))).as_ref(), Ok(&text));
    }
    assert!(
        help(Some("perms"))
            .expect("help")
            .contains("  dbus_user_raw  the session's message bus, unfiltered")
    );
    assert!(help(Some("nothing-like-it")).is_err());
}

#[test]
fn the_whole_command_line_is_sound() {
    cli().debug_assert();
}
