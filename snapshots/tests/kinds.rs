//! A declaration with every encoding and every effect, expanded and used: whatever can be declared works without a line
//! of Rust that knows it.

use flatimage_reserved::{
    Access, Active, Condition, Missing, Namespace, RegionDecl, Value, Verb, active, variable, verb,
};

mod small {
    flatimage_macros::reserved!("tests/small.yaml");
}

use small::{Config, MOUNTS, NETS, OWNER, POWERS, QUIET, REGIONS, THEME};

/// What `verb` with these words makes of the default.
fn after(region: &RegionDecl, verb: &str, line: &str) -> Value {
    let words = line.split(' ').map(str::to_owned).collect();
    let verb = Verb::named(verb, words).expect("a verb");
    verb::apply(region, &region.default_value(), &verb)
        .expect("accepted")
        .write
        .expect("written")
}

fn shown(region: &RegionDecl, value: &Value) -> String {
    verb::apply(region, value, &Verb::Show)
        .expect("accepted")
        .output
}

fn effects(region: &RegionDecl, value: &Value) -> Vec<Active> {
    active(region, value)
        .into_iter()
        .map(|caused| caused.effect)
        .collect()
}

fn setenv(name: &str, value: &str) -> Active {
    Active::Setenv {
        name: name.to_owned(),
        value: value.to_owned(),
    }
}

fn tmpfs(target: &str) -> Active {
    Active::Tmpfs {
        target: target.to_owned(),
    }
}

#[test]
fn a_flag_acts_while_it_is_on() {
    let on = QUIET.default_value();
    let quiet = Active::When {
        conditions: vec![Condition::Env("DISPLAY")],
        effects: vec![setenv("QUIET", "on")],
    };
    assert_eq!(effects(QUIET, &on), [tmpfs("/dev/snd"), quiet]);
    assert_eq!(
        effects(QUIET, &after(QUIET, "off", "")),
        [setenv("LOUD", "1")]
    );
    assert_eq!(shown(QUIET, &on), "on\n");
}

#[test]
fn a_choice_acts_as_chosen() {
    let bright = after(THEME, "set", "bright");
    let link = Active::Symlink {
        link: "/theme".to_owned(),
        target: "/usr/share/bright".to_owned(),
    };
    let conditions = vec![
        Condition::Exists("/usr/share/bright"),
        Condition::Root(false),
    ];
    assert_eq!(
        effects(THEME, &bright),
        [Active::When {
            conditions,
            effects: vec![link]
        }]
    );
    assert_eq!(effects(THEME, &THEME.default_value()), []);
    assert_eq!(shown(THEME, &bright), "BRIGHT\n");
    assert_eq!(shown(THEME, &after(THEME, "clear", "")), "dark\n");
}

#[test]
fn a_variable_counts_instead_of_what_is_stored() {
    let asks =
        |text: &str| variable::value(THEME, |name| (name == "FIM_THEME").then(|| text.into()));
    assert_eq!(asks("bright"), Ok(Some(Value::Choice("bright".into()))));
    assert_eq!(asks(""), Ok(None));
    assert_eq!(variable::value(POWERS, |_| Some("net".into())), Ok(None));
    let error = asks("brihgt").expect_err("unknown").to_string();
    assert_eq!(
        error,
        "the variable FIM_THEME: unknown name `brihgt`; did you mean `bright`?"
    );
    assert!(
        small::help(Some("theme"))
            .expect("help")
            .contains("  FIM_THEME  counts")
    );
}

#[test]
fn bits_act_while_they_are_set_or_while_they_are_not() {
    let net = after(POWERS, "add", "net");
    assert_eq!(
        effects(POWERS, &net),
        [
            Active::Share {
                namespace: Namespace::Net
            },
            tmpfs("/dev/shm")
        ]
    );
    let all = after(POWERS, "add", "all");
    assert_eq!(all, Value::Bits(1 | 1 << 63));
    assert_eq!(
        effects(POWERS, &all),
        [
            Active::Share {
                namespace: Namespace::Net
            },
            Active::Fold
        ]
    );
    assert!(POWERS.folds() && !THEME.folds());
}

#[test]
fn entries_and_fields_fill_the_placeholders_once() {
    let nets = after(NETS, "set", "A={key} B=");
    assert_eq!(
        effects(NETS, &nets),
        [setenv("X_A", "{key}"), setenv("X_B", "")]
    );
    let mounts = after(MOUNTS, "add", "rw {type}");
    let bind = |path: &str, access, missing| Active::Bind {
        source: path.to_owned(),
        target: path.to_owned(),
        access,
        missing,
        glob: false,
    };
    assert_eq!(
        effects(MOUNTS, &mounts),
        [bind("{type}", Access::Rw, Missing::Fail)]
    );
    let owner = after(OWNER, "set", "you 8");
    assert_eq!(
        effects(OWNER, &owner),
        [bind("/home/you", Access::Rw, Missing::Skip)]
    );
    assert_eq!(shown(OWNER, &owner), "{\"type\":8,\"who\":\"you\"}\n");
    assert_eq!(
        shown(OWNER, &Value::Record(None)),
        "{\"type\":null,\"who\":\"nobody\"}\n"
    );
}

#[test]
fn the_typed_configuration_has_every_kind() {
    let values: Vec<Value> = REGIONS.iter().map(RegionDecl::default_value).collect();
    let config = Config::of(&values).expect("in the order of the table");
    assert_eq!(config.theme, small::Theme::Dark);
    assert_eq!(
        config.owner,
        Some(small::Owner {
            who: "me".to_owned(),
            r#type: 7
        })
    );
    assert_eq!(config.nets["ONE"], "$HOME/1");
    assert!(config.quiet && config.picture.is_empty() && config.mounts.is_empty());
    assert!(!config.powers.contains(small::Powers::SHM));
    assert_eq!(
        (config.greeting, small::MountType::named("rw")),
        (None, Some(small::MountType::Rw))
    );
}

#[test]
fn every_command_parses_and_has_help() {
    small::cli().debug_assert();
    let open = small::parse(&["fim-open".into(), "file".into()]).expect("understood");
    let file = small::arguments::Open::File { path: None };
    assert_eq!(open, small::Invocation::Action(small::Action::Open(file)));
    assert!(
        small::help(Some("theme"))
            .expect("help")
            .contains("  bright  dark on light")
    );
    assert!(small::help(Some("picture")).is_err());
}
