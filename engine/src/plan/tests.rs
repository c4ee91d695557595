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

mod effects;
mod person;
mod root;
mod rung;

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

    fn read(&self, path: &Path) -> Option<String> {
        let ids = path.starts_with("/etc/subuid") || path.starts_with("/etc/subgid");
        ids.then(|| "ana:100000:65536\n".to_owned())
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
        hints: false,
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
            path: None,
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
