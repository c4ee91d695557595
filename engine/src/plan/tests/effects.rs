//! What effects become in a plan.

use super::*;

#[test]
fn a_value_reaches_the_program_with_the_hosts_variables() {
    static EFFECTS: [Effect; 1] = [Effect::Setenv {
        name: "GREETING",
        value: "{value}",
    }];
    let host = host(&[], &[("WHO", "you"), ("GREETING", "the host's")]);
    let plan = plan_of(&EFFECTS, "hello $WHO", &host, &request(&[])).unwrap();
    assert_eq!(plan.exec.environment["GREETING"], "hello you");
}

#[test]
fn a_missing_source_is_skipped_or_named() {
    static SKIP: [Effect; 1] = [bind("$X/socket", Missing::Skip, false)];
    static FAIL: [Effect; 1] = [bind("$X/socket", Missing::Fail, false)];
    let host = host(&[], &[("X", "/x")]);
    assert!(
        binds(
            &plan_of(&SKIP, "v", &host, &request(&[])).unwrap(),
            "setting"
        )
        .is_empty()
    );
    let error = plan_of(&FAIL, "v", &host, &request(&[]))
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "setting: the host has no `/x/socket`; create it, or do without by removing the setting"
    );
}

#[test]
fn a_source_whose_variable_is_unset_is_not_bound_at_what_is_left_of_it() {
    static SKIP: [Effect; 1] = [bind("$UNSET/dev", Missing::Skip, false)];
    static FAIL: [Effect; 1] = [bind("$UNSET/dev", Missing::Fail, false)];
    let host = host(&[("/dev", "/dev", Kind::Directory)], &[]);
    assert!(
        binds(
            &plan_of(&SKIP, "v", &host, &request(&[])).unwrap(),
            "setting"
        )
        .is_empty()
    );
    let error = plan_of(&FAIL, "v", &host, &request(&[]))
        .unwrap_err()
        .to_string();
    assert!(error.contains("`UNSET`, which is not set"), "{error}");
}

#[test]
fn libraries_are_those_that_the_loader_would_take_and_that_are_there() {
    static EFFECTS: [Effect; 1] = [Effect::Libraries {
        names: &["libcuda.so*", "lib*_nvidia.so*"],
        target: "/run/x",
    }];
    let host = host(
        &[
            (
                "/opt/driver/libcuda.so.1",
                "/opt/driver/libcuda.so.535",
                Kind::Other,
            ),
            (
                "/opt/older/libcuda.so.1",
                "/opt/older/libcuda.so.1",
                Kind::Other,
            ),
            (
                "/opt/driver32/libcuda.so.1",
                "/opt/driver32/libcuda.so.1",
                Kind::Other,
            ),
            (
                "/opt/driver/libc.so.6",
                "/opt/driver/libc.so.6",
                Kind::Other,
            ),
        ],
        &[],
    );
    let plan = plan_of(&EFFECTS, "v", &host, &request(&[])).unwrap();
    let pairs = [
        ("/opt/driver/libcuda.so.535", "/run/x/lib/libcuda.so.1"),
        ("/opt/driver32/libcuda.so.1", "/run/x/lib32/libcuda.so.1"),
    ];
    let expected = pairs.map(|(source, target)| (PathBuf::from(source), PathBuf::from(target)));
    assert_eq!(binds(&plan, "setting"), expected);
}

#[test]
fn matches_keep_their_names_in_the_directory_of_the_target() {
    static EFFECTS: [Effect; 1] = [Effect::Bind {
        source: "/etc/icd.d/nvidia*",
        target: "/run/x/icd.d",
        access: AccessDecl::Is(Access::Ro),
        missing: Missing::Skip,
        glob: true,
    }];
    let host = host(
        &[(
            "/etc/icd.d/nvidia.json",
            "/opt/nvidia_icd.json",
            Kind::Other,
        )],
        &[],
    );
    let plan = plan_of(&EFFECTS, "v", &host, &request(&[])).unwrap();
    let pair = ("/opt/nvidia_icd.json", "/run/x/icd.d/nvidia.json");
    assert_eq!(binds(&plan, "setting"), [(pair.0.into(), pair.1.into())]);
}

#[test]
fn a_source_is_bound_where_its_links_lead() {
    static EFFECTS: [Effect; 1] = [bind("/etc/resolv.conf", Missing::Skip, false)];
    let host = host(
        &[("/etc/resolv.conf", "/run/resolve/stub", Kind::Other)],
        &[],
    );
    let plan = plan_of(&EFFECTS, "v", &host, &request(&[])).unwrap();
    assert_eq!(
        binds(&plan, "setting"),
        [(
            PathBuf::from("/run/resolve/stub"),
            PathBuf::from("/etc/resolv.conf")
        )]
    );
}

#[test]
fn a_pattern_binds_every_match_at_its_own_path() {
    static EFFECTS: [Effect; 1] = [bind("/dev/nvidia*", Missing::Skip, true)];
    let files = ["/dev/nvidia0", "/dev/nvidiactl", "/dev/null"];
    let host = host(&files.map(|path| (path, path, Kind::Other)), &[]);
    let plan = plan_of(&EFFECTS, "v", &host, &request(&[])).unwrap();
    let targets: Vec<_> = binds(&plan, "setting")
        .into_iter()
        .map(|(_, target)| target)
        .collect();
    assert_eq!(
        targets,
        [Path::new("/dev/nvidia0"), Path::new("/dev/nvidiactl")]
    );
}

#[test]
fn conditions_are_asked_of_the_host_and_the_request() {
    static INNER: [Effect; 1] = [Effect::Setenv {
        name: "HIT",
        value: "yes",
    }];
    static EFFECTS: [Effect; 1] = [Effect::When {
        conditions: &[
            Condition::Env("A"),
            Condition::Exists("$A"),
            Condition::Root(false),
        ],
        effects: &INNER,
    }];
    let file = [("/a", "/a", Kind::Other)];
    let hit = |host: &Host, request: &Request| {
        plan_of(&EFFECTS, "v", host, request)
            .unwrap()
            .exec
            .environment
            .contains_key("HIT")
    };
    assert!(hit(&host(&file, &[("A", "/a")]), &request(&[])));
    assert!(!hit(&host(&file, &[]), &request(&[])));
    assert!(!hit(&host(&[], &[("A", "/a")]), &request(&[])));
    let as_root = Request {
        as_root: true,
        ..request(&[])
    };
    assert!(!hit(&host(&file, &[("A", "/a")]), &as_root));
}

#[test]
fn a_bit_is_named_as_the_cause() {
    static BITS: [BitDecl; 1] = [BitDecl {
        number: 63,
        name: "last",
        summary: "",
        docs: "",
        required: None,
        hint: None,
        effects: &[bind("/x", Missing::Skip, false)],
        otherwise: &[],
    }];
    static DECL: BitsDecl = BitsDecl {
        bits: &BITS,
        groups: &[],
    };
    static REGION: RegionDecl = region(Encoding::Bits(&DECL), &[]);
    let host = host(&[("/x", "/x", Kind::Directory)], &[]);
    let plan = |bits| build(&[(&REGION, Value::Bits(bits))], &host, &request(&[])).unwrap();
    assert_eq!(binds(&plan(1 << 63), "setting last").len(), 1);
    assert!(binds(&plan(0), "setting last").is_empty());
}

#[test]
fn a_target_outside_of_the_container_is_refused() {
    for target in ["relative", "/a/../b", "/", ""] {
        let error = crate::plan::effects::inside(target, "bindings")
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("bindings: `"), "{error}");
    }
    assert_eq!(
        crate::plan::effects::inside("/a//b/./c/", "").unwrap(),
        Path::new("/a/b/c")
    );
}
