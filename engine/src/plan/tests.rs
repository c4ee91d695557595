use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use flatimage_reserved::decl::{BitDecl, BitsDecl, Encoding, RegionDecl};
use flatimage_reserved::effect::{
    Access, AccessDecl, Condition, Effect, Missing, Namespace, Stacker,
};
use flatimage_reserved::value::Value;

use super::*;
use crate::host::{Account, Class, Files, Host, Kind, Library};
use crate::image::Image;
use crate::tools::Tools;

/// A host whose files are a table.
#[derive(Default)]
struct Table(HashMap<PathBuf, (PathBuf, Kind)>);

impl Files for Table {
    fn resolve(&self, path: &Path) -> Option<(PathBuf, Kind)> {
        self.0.get(path).cloned()
    }

    fn libraries(&self) -> Vec<Library> {
        let library = |(name, path, class): (&str, &str, Class)| Library {
            name: name.into(),
            path: path.into(),
            class,
        };
        let known = [
            ("libcuda.so.1", "/opt/driver/libcuda.so.1", Class::Native),
            ("libcuda.so.1", "/opt/older/libcuda.so.1", Class::Native),
            ("libcuda.so.1", "/opt/driver32/libcuda.so.1", Class::Compat),
            (
                "libGLX_nvidia.so.0",
                "/opt/gone/libGLX_nvidia.so.0",
                Class::Native,
            ),
            ("libc.so.6", "/opt/driver/libc.so.6", Class::Native),
        ];
        known.map(library).into()
    }

    fn matches(&self, pattern: &str) -> Vec<PathBuf> {
        let (start, end) = pattern.split_once('*').unwrap_or((pattern, ""));
        let mut found: Vec<PathBuf> = self
            .0
            .keys()
            .filter(|path| {
                let path = path.to_string_lossy();
                path.starts_with(start) && path.ends_with(end)
            })
            .cloned()
            .collect();
        found.sort();
        found
    }
}

fn host(files: &[(&str, &str, Kind)], variables: &[(&str, &str)]) -> Host {
    let entry =
        |(path, real, kind): &(&str, &str, Kind)| (PathBuf::from(path), (real.into(), *kind));
    Host {
        environment: variables
            .iter()
            .map(|(k, v)| (k.to_string(), v.to_string()))
            .collect(),
        uid: 1000,
        gid: 100,
        account: Account {
            name: "ana".into(),
            home: "/home/ana".into(),
        },
        working_directory: Some("/work".into()),
        machine_id: Some("0123456789abcdef0123456789abcdef\n".into()),
        no_fuse: None,
        terminal: Vec::new(),
        files: Box::new(Table(files.iter().map(entry).collect())),
    }
}

fn request(command: &[&str]) -> Request {
    Request {
        image: Image {
            path: "/apps/my app.flatimage".into(),
            layers_offset: 4096,
        },
        data: "/apps/.my app.flatimage.data".into(),
        private: vec!["/home/ana/.cache/flatimage".into()],
        upper: Upper::Directory("/apps/.my app.flatimage.data".into()),
        layers: vec![LayerSource {
            path: "/apps/my app.flatimage".into(),
            offset: 4104,
            size: 9,
        }],
        tools: Tools::Directory("/cache/tools".into()),
        program: Some("/cache/runtime".into()),
        programs: vec!["fuse-overlayfs".into()],
        command: command.iter().map(Into::into).collect(),
        as_root: false,
        pid: 77,
    }
}

const fn region(encoding: Encoding, effects: &'static [Effect]) -> RegionDecl {
    RegionDecl {
        name: "setting",
        command: None,
        offset: 0,
        size: 0,
        encoding,
        default: &[],
        summary: "",
        docs: "",
        variable: None,
        effects,
    }
}

const fn bind(source: &'static str, missing: Missing, glob: bool) -> Effect {
    let access = AccessDecl::Is(Access::Rw);
    Effect::Bind {
        source,
        target: source,
        access,
        missing,
        glob,
    }
}

/// The plan of one text region with `effects`, set to `value`.
fn plan_of(
    effects: &'static [Effect],
    value: &str,
    host: &Host,
    request: &Request,
) -> Result<Plan, PlanError> {
    let decl: &'static RegionDecl = Box::leak(Box::new(region(
        Encoding::Text {
            max: 256,
            schemes: &[],
        },
        effects,
    )));
    build(&[(decl, Value::Text(Some(value.into())))], host, request)
}

fn binds(plan: &Plan, cause: &str) -> Vec<(PathBuf, PathBuf)> {
    let caused = plan.steps.iter().filter(|step| step.cause == cause);
    caused
        .filter_map(|step| match &step.action {
            Action::Bind { source, target, .. } => Some((source.clone(), target.clone())),
            _ => None,
        })
        .collect()
}

fn position(plan: &Plan, wanted: impl Fn(&Action) -> bool) -> usize {
    plan.steps
        .iter()
        .position(|step| wanted(&step.action))
        .expect("the step is there")
}

#[test]
fn without_settings_nothing_of_the_host_is_bound_but_devices_and_tools() {
    let plan = build(
        &[],
        &host(&[], &[("SECRET", "x"), ("TERM", "xterm")]),
        &request(&[]),
    )
    .unwrap();
    for (source, target) in binds(&plan, "default") {
        let device = source == target && source.starts_with("/dev");
        assert!(
            device || source == Path::new("/cache/tools"),
            "{}",
            source.display()
        );
    }
    assert_eq!(
        plan.namespaces,
        ["user", "mnt", "pid", "ipc", "uts", "cgroup", "net"]
    );
    assert!(!plan.exec.environment.contains_key("SECRET"));
    assert_eq!(plan.exec.environment["TERM"], "xterm");
    assert_eq!(plan.exec.program, "bash");
    assert!(plan.exec.capabilities.is_empty());
}

#[test]
fn the_tools_are_last_in_path() {
    let plan = build(&[], &host(&[], &[]), &request(&[])).unwrap();
    let environment = &plan.exec.environment;
    let end = format!(
        ":{}:{}",
        environment["FIM_DIR_APP_BIN"], environment["FIM_DIR_APP_SBIN"]
    );
    assert!(
        environment["PATH"].ends_with(&end),
        "{}",
        environment["PATH"]
    );
}

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
        "setting: the host has no `/x/socket`; create it or remove the setting"
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
fn parents_are_mounted_before_what_is_below_them() {
    static EFFECTS: [Effect; 1] = [bind("/dev", Missing::Skip, false)];
    let host = host(&[("/dev", "/dev", Kind::Directory)], &[]);
    let plan = plan_of(&EFFECTS, "v", &host, &request(&[])).unwrap();
    let whole = position(
        &plan,
        |action| matches!(action, Action::Bind { target, .. } if target == Path::new("/dev")),
    );
    let pts = position(&plan, |action| matches!(action, Action::Devpts { .. }));
    assert!(whole < pts, "the container's terminals hide the host's");
    let links = plan
        .steps
        .iter()
        .filter(|step| matches!(step.action, Action::Symlink { .. }));
    assert_eq!(
        links.count(),
        0,
        "no link is written into the host's directory"
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
fn a_shared_namespace_is_not_made_new_nor_set_up() {
    static EFFECTS: [Effect; 1] = [Effect::Share {
        namespace: Namespace::Net,
    }];
    let plan = plan_of(&EFFECTS, "v", &host(&[], &[]), &request(&[])).unwrap();
    assert!(!plan.namespaces.contains(&"net"));
    assert!(
        !plan
            .steps
            .iter()
            .any(|step| step.action == Action::Loopback)
    );
}

#[test]
fn folding_is_the_last_step_of_the_root_and_never_left_out_in_silence() {
    static EFFECTS: [Effect; 1] = [Effect::Fold];
    let plan = plan_of(&EFFECTS, "v", &host(&[], &[]), &request(&[])).unwrap();
    let last = plan.root.last().unwrap();
    assert_eq!(
        (&last.action, last.cause.as_str()),
        (&RootAction::Fold, "setting")
    );
    assert!(plan.is_folded());
    let without_fuse = Host {
        no_fuse: Some("/dev/fuse is away".into()),
        ..host(&[], &[])
    };
    let error = plan_of(&EFFECTS, "v", &without_fuse, &request(&[])).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("needs FUSE, and /dev/fuse is away;"),
        "{error}"
    );
}

#[test]
fn who_cannot_stack_is_replaced_with_a_reason_as_often_as_there_is_somebody() {
    static EFFECTS: [Effect; 1] = [Effect::Stack {
        with: Stacker::FuseOverlayfs,
    }];
    let stack = |host: &Host, request: &Request| {
        let plan = plan_of(&EFFECTS, "v", host, request).unwrap();
        (plan.stack().unwrap().clone(), plan)
    };
    let (able, plan) = stack(&host(&[], &[]), &request(&[]));
    assert_eq!((able.with, &able.instead), (Stacker::FuseOverlayfs, &None));
    let next = plan.restacked("it ended").unwrap();
    let expected = "it ended; the kernel's overlayfs stacks the layers instead";
    let found = next.stack().unwrap();
    assert_eq!(
        (found.with, found.instead.as_deref()),
        (Stacker::Kernel, Some(expected))
    );
    assert_eq!(next.restacked("again"), None);

    let without_fuse = Host {
        no_fuse: Some("/dev/fuse is away".into()),
        ..host(&[], &[])
    };
    let without_program = Request {
        programs: Vec::new(),
        ..request(&[])
    };
    for (host, request, reason) in [
        (without_fuse, request(&[]), "/dev/fuse is away"),
        (
            host(&[], &[]),
            without_program,
            "the image brings no `fuse-overlayfs` along",
        ),
    ] {
        let (replaced, plan) = stack(&host, &request);
        assert_eq!(replaced.with, Stacker::Kernel);
        assert!(replaced.instead.unwrap().contains(reason));
        assert_eq!(plan.restacked("it refuses"), None);
    }
}

#[test]
fn a_bit_is_named_as_the_cause() {
    static BITS: [BitDecl; 1] = [BitDecl {
        number: 63,
        name: "last",
        summary: "",
        docs: "",
        required: None,
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
fn the_hosts_processes_are_shown_as_they_are() {
    static EFFECTS: [Effect; 1] = [Effect::Share {
        namespace: Namespace::Pid,
    }];
    let plan = plan_of(&EFFECTS, "v", &host(&[], &[]), &request(&[])).unwrap();
    assert!(!plan.namespaces.contains(&"pid"));
    let about_proc = |step: &&Step| matches!(&step.action, Action::Proc { target } | Action::Bind { target, .. } if target == Path::new("/proc"));
    let steps: Vec<&Step> = plan.steps.iter().filter(about_proc).collect();
    let [step] = steps.as_slice() else {
        panic!("{steps:?}")
    };
    assert!(matches!(&step.action, Action::Bind { source, .. } if source == Path::new("/proc")));
    assert_eq!(step.cause, "setting");
}

#[test]
fn what_belongs_to_the_image_is_read_only_wherever_it_is_shown() {
    static EFFECTS: [Effect; 4] = [
        bind("/apps", Missing::Skip, false),
        Effect::Bind {
            source: "/home/ana",
            target: "/host",
            access: AccessDecl::Is(Access::Dev),
            missing: Missing::Skip,
            glob: false,
        },
        Effect::Bind {
            source: "/apps",
            target: "/looked/at",
            access: AccessDecl::Is(Access::Ro),
            missing: Missing::Skip,
            glob: false,
        },
        bind("/other", Missing::Skip, false),
    ];
    let host = host(
        &[
            ("/apps", "/apps", Kind::Directory),
            ("/home/ana", "/home/ana", Kind::Directory),
            ("/other", "/other", Kind::Directory),
        ],
        &[],
    );
    let plan = plan_of(&EFFECTS, "v", &host, &request(&[])).unwrap();
    let read_only: Vec<&str> = plan
        .steps
        .iter()
        .filter(|step| step.cause == "setting")
        .filter_map(|step| match &step.action {
            Action::ReadOnly { target } => target.to_str(),
            _ => None,
        })
        .collect();
    let expected = [
        "/apps/my app.flatimage",
        "/apps/.my app.flatimage.data",
        "/host/.cache/flatimage",
    ];
    assert_eq!(read_only, expected);
    let held = |action: &Action| matches!(action, Action::Hold { target } if target == Path::new("/host/.cache"));
    assert!(position(&plan, held) > 0);
}

#[test]
fn who_one_is_inside_is_the_caller_root_or_what_is_set() {
    let host = host(&[], &[]);
    let identity = |as_root, set: &[(&str, &str)]| {
        static EFFECTS: [Effect; 1] = [Effect::ForEach {
            effects: &[Effect::Setenv {
                name: "{key}",
                value: "{value}",
            }],
        }];
        static REGION: RegionDecl = region(Encoding::Map, &EFFECTS);
        let map: BTreeMap<String, String> = set
            .iter()
            .map(|(key, value)| (key.to_string(), value.to_string()))
            .collect();
        let request = Request {
            as_root,
            ..request(&[])
        };
        let plan = build(&[(&REGION, Value::Map(map))], &host, &request).unwrap();
        let (identity, environment) = (plan.identity, plan.exec.environment);
        (
            identity.uid,
            identity.gid,
            environment["HOME"].clone(),
            environment["USER"].clone(),
        )
    };
    assert_eq!(
        identity(false, &[]),
        (1000, 100, "/home/ana".into(), "ana".into())
    );
    assert_eq!(identity(true, &[]), (0, 0, "/root".into(), "root".into()));
    let set = [("UID", "5"), ("GID", "no"), ("HOME", "/h"), ("USER", "bo")];
    assert_eq!(identity(false, &set), (5, 100, "/h".into(), "bo".into()));
}

#[test]
fn real_root_gets_ids_of_its_own_and_no_others() {
    let host = Host {
        uid: 0,
        gid: 0,
        ..host(&[], &[])
    };
    let plan = build(&[], &host, &request(&[])).unwrap();
    assert_eq!(
        plan.identity.map,
        IdMap::Range {
            first: 524_288,
            count: 65_536
        }
    );
    assert_eq!((plan.identity.uid, plan.identity.gid), (0, 0));
    assert!(plan.exec.capabilities.is_empty());
    let high = Host {
        gid: 70_000,
        ..host
    };
    let error = build(&[], &high, &request(&[])).unwrap_err().to_string();
    assert!(
        error.contains("the id 70000 is outside of 0 to 65535"),
        "{error}"
    );
}

#[test]
fn a_target_outside_of_the_container_is_refused() {
    for target in ["relative", "/a/../b", "/", ""] {
        let error = effects::inside(target, "bindings").unwrap_err().to_string();
        assert!(error.starts_with("bindings: `"), "{error}");
    }
    assert_eq!(
        effects::inside("/a//b/./c/", "").unwrap(),
        Path::new("/a/b/c")
    );
}

#[test]
fn an_image_without_entries_has_no_layers_to_mount() {
    let empty = Request {
        layers: Vec::new(),
        ..request(&[])
    };
    let plan = build(&[], &host(&[], &[]), &empty).unwrap();
    assert!(
        !plan
            .root
            .iter()
            .any(|step| matches!(step.action, RootAction::Layers { .. }))
    );
    let plan = build(&[], &host(&[], &[]), &request(&[])).unwrap();
    assert_eq!(
        plan.root[0].action,
        RootAction::Layers {
            count: 1,
            way: Way::Fuse
        }
    );
}

#[test]
fn without_fuse_layers_are_unpacked_and_the_plan_says_why() {
    let host = Host {
        no_fuse: Some("/dev/fuse is away".into()),
        ..host(&[], &[])
    };
    let plan = build(&[], &host, &request(&[])).unwrap();
    assert_eq!(
        plan.root[0].to_string(),
        "layers     1 unpacked in the cache, because /dev/fuse is away  # default"
    );
}

#[test]
fn the_streams_that_are_a_terminal_are_one_of_the_containers_own() {
    let at_a_terminal = Host {
        terminal: vec![Stream::Output, Stream::Error],
        ..host(&[], &[])
    };
    let plan = build(&[], &at_a_terminal, &request(&[])).unwrap();
    assert_eq!(plan.exec.terminal, [Stream::Output, Stream::Error]);
    let text = plan.to_string();
    assert!(
        text.contains("\nterminal   a new one as output error\n"),
        "{text}"
    );
    let without = build(&[], &host(&[], &[]), &request(&[])).unwrap();
    assert!(!without.to_string().contains("\nterminal "));
}

#[test]
fn every_place_that_is_mounted_on_is_in_the_skeleton_or_on_a_mount() {
    static EFFECTS: [Effect; 2] = [
        bind("/etc/hosts", Missing::Skip, false),
        bind("/srv/a b", Missing::Skip, false),
    ];
    let files = [
        ("/etc/hosts", "/etc/hosts", Kind::Other),
        ("/srv/a b", "/srv/a b", Kind::Directory),
    ];
    let plan = plan_of(&EFFECTS, "v", &host(&files, &[]), &request(&[])).unwrap();
    let RootAction::Skeleton {
        directories, files, ..
    } = &plan.root[1].action
    else {
        panic!("the skeleton follows the layers")
    };
    assert!(files.contains_key(Path::new("/etc/hosts")));
    for place in [
        "/etc",
        "/srv",
        "/srv/a b",
        "/proc",
        "/dev",
        "/home/ana",
        "/tmp",
        "/run",
    ] {
        assert!(directories.contains(&PathBuf::from(place)), "{place}");
    }
}

#[test]
fn the_portal_is_there_when_it_is_asked_for_and_admits_what_is_listed() {
    static OPEN: [Effect; 2] = [Effect::Portal, Effect::Admit { program: "{value}" }];
    let other = Kind::Other;
    let host = host(
        &[
            ("/bin", "/usr/bin", Kind::Directory),
            ("/bin/", "/usr/bin", Kind::Directory),
            ("/bin/git", "/usr/bin/git", other),
            ("/opt/bin/xdg-open", "/opt/tools/open", other),
        ],
        &[("PATH", "relative:/opt/bin:/bin"), ("TOOLS", "/opt/tools")],
    );
    let patterns = |listed: &str| {
        let plan = plan_of(&OPEN, listed, &host, &request(&[])).unwrap();
        plan.admitted.unwrap().patterns().join(" ")
    };
    assert_eq!(patterns("*"), "*");
    assert_eq!(patterns("git"), "/usr/bin/git");
    assert_eq!(patterns("nowhere"), "");
    assert_eq!(patterns("/bin/git"), "/bin/git /usr/bin/git");
    assert_eq!(patterns("/bin/g?t"), "/bin/g?t /usr/bin/g?t");
    assert_eq!(patterns("$TOOLS/*"), "/opt/tools/*");

    let opens = |listed: &str| {
        let plan = plan_of(&OPEN, listed, &host, &request(&[])).unwrap();
        plan.to_string().contains("/run/flatimage-portal/xdg-open")
    };
    assert!(opens("*") && opens("xdg-open") && opens("/opt/tools/*"));
    assert!(!opens("git") && !opens("/opt/bin/*"));

    static CLOSED: [Effect; 1] = [Effect::Admit { program: "{value}" }];
    let plan = plan_of(&CLOSED, "*", &host, &request(&[])).unwrap();
    assert_eq!(plan.admitted, None);
    assert!(!plan.to_string().contains("portal"));
}
