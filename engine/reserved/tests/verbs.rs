//! What the commands promise, on the declared regions.

use flatimage_reserved::declared::{BINDINGS, BOOT, ENVIRONMENT, PERMISSIONS, UNSHARE};
use flatimage_reserved::{RegionDecl, Value, Verb, VerbError, verb::apply};

fn texts(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn write(decl: &RegionDecl, current: &Value, verb: Verb) -> Value {
    apply(decl, current, &verb)
        .expect("accepted")
        .write
        .expect("written")
}

fn printed(decl: &RegionDecl, value: &Value, verb: Verb) -> String {
    apply(decl, value, &verb).expect("accepted").output
}

fn refused(decl: &RegionDecl, value: &Value, verb: Verb) -> String {
    apply(decl, value, &verb).expect_err("refused").to_string()
}

#[test]
fn permissions_are_added_deleted_and_listed_sorted() {
    let none = PERMISSIONS.default_value();
    assert_eq!(printed(PERMISSIONS, &none, Verb::List), "");
    let some = write(PERMISSIONS, &none, Verb::Add(texts(&["network,home"])));
    let more = write(PERMISSIONS, &some, Verb::Add(texts(&["gpu"])));
    assert_eq!(
        printed(PERMISSIONS, &more, Verb::List),
        "gpu\nhome\nnetwork\n"
    );
    let less = write(PERMISSIONS, &more, Verb::Del(texts(&["home,gpu"])));
    assert_eq!(printed(PERMISSIONS, &less, Verb::List), "network\n");
    let replaced = write(PERMISSIONS, &less, Verb::Set(texts(&["usb"])));
    assert_eq!(printed(PERMISSIONS, &replaced, Verb::List), "usb\n");
    assert_eq!(write(PERMISSIONS, &replaced, Verb::Clear), Value::Bits(0));
}

#[test]
fn what_has_to_stay_cannot_be_taken_away() {
    let all = UNSHARE.default_value();
    assert_eq!(
        printed(UNSHARE, &all, Verb::List),
        "cgroup\nipc\nnet\npid\nuser\nuts\n"
    );
    for verb in [
        Verb::Del(texts(&["user"])),
        Verb::Del(texts(&["net,user"])),
        Verb::Set(texts(&["net"])),
    ] {
        let reason = refused(UNSHARE, &all, verb);
        assert!(reason.starts_with("`user` has to stay: "), "{reason}");
    }
    let less = write(UNSHARE, &all, Verb::Del(texts(&["pid"])));
    assert_eq!(write(UNSHARE, &less, Verb::Clear), all);
}

#[test]
fn all_permissions_stand_alone() {
    let none = Value::Bits(0);
    let all = write(PERMISSIONS, &none, Verb::Set(texts(&["all"])));
    assert_eq!(all, Value::Bits(0x7fff));
    let error = apply(PERMISSIONS, &none, &Verb::Add(texts(&["all,home"]))).expect_err("refused");
    assert_eq!(
        error,
        VerbError::NotAlone {
            name: "all".to_owned()
        }
    );
}

#[test]
fn one_mistake_among_several_arguments_refuses_all() {
    let home = Value::Bits(1);
    let unknown = refused(PERMISSIONS, &home, Verb::Add(texts(&["gpu,netwrok"])));
    assert_eq!(unknown, "unknown name `netwrok`; did you mean `network`?");
    let absent = refused(PERMISSIONS, &home, Verb::Del(texts(&["home,gpu"])));
    assert_eq!(absent, "`gpu` is not there; `list` prints what is");
    assert!(apply(PERMISSIONS, &home, &Verb::Add(texts(&["gpu,,usb"]))).is_err());
    let empty = ENVIRONMENT.default_value();
    let pair = refused(ENVIRONMENT, &empty, Verb::Add(texts(&["A=1", "B"])));
    assert_eq!(
        pair,
        "`B` is no `key=value`; write the name, `=` and the value as one argument"
    );
    assert!(apply(ENVIRONMENT, &empty, &Verb::Add(texts(&["=1"]))).is_err());
}

#[test]
fn variables_are_stored_as_typed() {
    let empty = ENVIRONMENT.default_value();
    let stored = write(
        ENVIRONMENT,
        &empty,
        Verb::Add(texts(&["B=$HOME/x=y", "A=$(id)", "C="])),
    );
    assert_eq!(
        printed(ENVIRONMENT, &stored, Verb::List),
        "A=$(id)\nB=$HOME/x=y\nC=\n"
    );
    let over = write(ENVIRONMENT, &stored, Verb::Add(texts(&["A=2"])));
    let less = write(ENVIRONMENT, &over, Verb::Del(texts(&["B", "C"])));
    assert_eq!(printed(ENVIRONMENT, &less, Verb::List), "A=2\n");
    assert!(apply(ENVIRONMENT, &less, &Verb::Del(texts(&["A", "B"]))).is_err());
    let set = write(ENVIRONMENT, &less, Verb::Set(texts(&["Z=1"])));
    assert_eq!(printed(ENVIRONMENT, &set, Verb::List), "Z=1\n");
}

#[test]
fn bindings_are_numbered_anew() {
    let none = BINDINGS.default_value();
    assert_eq!(printed(BINDINGS, &none, Verb::List), "{}\n");
    let one = write(BINDINGS, &none, Verb::Add(texts(&["ro", "/a", "/b"])));
    let two = write(
        BINDINGS,
        &one,
        Verb::Add(texts(&["dev", "$HOME/\"c", "/d"])),
    );
    assert_eq!(
        printed(BINDINGS, &two, Verb::List),
        concat!(
            "{\n  \"0\": {\"dst\":\"/b\",\"src\":\"/a\",\"type\":\"ro\"},\n",
            "  \"1\": {\"dst\":\"/d\",\"src\":\"$HOME/\\\"c\",\"type\":\"dev\"}\n}\n"
        )
    );
    let left = write(BINDINGS, &two, Verb::Del(texts(&["0"])));
    assert!(printed(BINDINGS, &left, Verb::List).starts_with("{\n  \"0\": {\"dst\":\"/d\""));
    for index in ["1", "-1", "x", ""] {
        assert!(
            apply(BINDINGS, &left, &Verb::Del(texts(&[index]))).is_err(),
            "{index}"
        );
    }
    let access = refused(BINDINGS, &none, Verb::Add(texts(&["wr", "/a", "/b"])));
    assert_eq!(access, "unknown name `wr`; known: `ro`, `rw`, `dev`");
    let few = refused(BINDINGS, &none, Verb::Add(texts(&["ro", "/a"])));
    assert_eq!(
        few,
        "2 arguments where the usage is `<ro|rw|dev> <src> <dst>`"
    );
}

#[test]
fn the_boot_command_is_a_shell_until_it_is_set() {
    let unset = BOOT.default_value();
    assert_eq!(
        printed(BOOT, &unset, Verb::Show),
        "{\"args\":[],\"program\":\"bash\"}\n"
    );
    let set = write(
        BOOT,
        &unset,
        Verb::Set(texts(&["ls", "-l", "--color=auto"])),
    );
    assert_eq!(
        printed(BOOT, &set, Verb::Show),
        "{\"args\":[\"-l\",\"--color=auto\"],\"program\":\"ls\"}\n"
    );
    assert_eq!(write(BOOT, &set, Verb::Clear), unset);
}

#[test]
fn only_declared_verbs_are_understood() {
    assert!(apply(BOOT, &BOOT.default_value(), &Verb::On).is_err());
    assert!(
        apply(
            PERMISSIONS,
            &Value::Flag(true),
            &Verb::Add(texts(&["home"]))
        )
        .is_err()
    );
}
