//! What a start would do: of an image without settings, and what each permission changes. The host is written by hand and
//! has everything that can be asked for.

use std::path::{Path, PathBuf};

use flatimage::host::{Account, Class, Files, Host, Kind, Library};
use flatimage::image::Image;
use flatimage::plan::{self, LayerSource, Request, Upper};
use flatimage::tools::Tools;
use flatimage_reserved::declared::REGIONS;
use flatimage_reserved::{BitsDecl, Encoding, RegionDecl, Value};

/// A host that has every path, and one match for every pattern.
struct Everything;

/// What is no directory, as far as the declaration names it.
const FILES: [&str; 6] = [
    "/etc/",
    "/dev/",
    "/tmp/.X11-unix/",
    "/run/user/1000/",
    "/usr/",
    "/home/ana/.",
];

/// Directories among them.
const DIRECTORIES: [&str; 6] = [
    "/dev/snd",
    "/dev/dri",
    "/dev/shm",
    "/dev/input",
    "/dev/usb",
    "/dev/bus/usb",
];

impl Files for Everything {
    fn resolve(&self, path: &Path) -> Option<(PathBuf, Kind)> {
        let text = path.to_string_lossy();
        let is_file =
            FILES.iter().any(|start| text.starts_with(start)) && !DIRECTORIES.contains(&&*text);
        let kind = if is_file {
            Kind::Other
        } else {
            Kind::Directory
        };
        Some((path.to_owned(), kind))
    }

    fn libraries(&self) -> Vec<Library> {
        let library = |class| Library {
            name: "libcuda.so.1".into(),
            path: "/usr/lib/libcuda.so.1".into(),
            class,
        };
        [Class::Native, Class::Compat].map(library).into()
    }

    fn read(&self, path: &Path) -> Option<String> {
        let ids = path.starts_with("/etc/subuid") || path.starts_with("/etc/subgid");
        ids.then(|| "ana:100000:65536\n".to_owned())
    }

    fn matches(&self, pattern: &str) -> Vec<PathBuf> {
        vec![pattern.replace('*', "0").into()]
    }
}

fn host() -> Host {
    let variables = [
        (
            "DBUS_SESSION_BUS_ADDRESS",
            "unix:path=/run/user/1000/bus,guid=0",
        ),
        ("DISPLAY", ":1.0"),
        ("HOME", "/home/ana"),
        ("SECRET", "not for the container"),
        ("TERM", "xterm"),
        ("WAYLAND_DISPLAY", "wayland-0"),
        ("XDG_RUNTIME_DIR", "/run/user/1000"),
    ];
    Host {
        environment: variables
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        uid: 1000,
        gid: 100,
        account: Account {
            name: "ana".into(),
            home: "/home/ana".into(),
        },
        working_directory: Some("/work".into()),
        machine_id: Some("0123456789abcdef0123456789abcdef".into()),
        no_fuse: None,
        terminal: Vec::new(),
        files: Box::new(Everything),
    }
}

fn request() -> Request {
    let data = PathBuf::from("/apps/.app.flatimage.data");
    Request {
        hints: true,
        image: Image {
            path: "/apps/app.flatimage".into(),
            layers_offset: 4096,
        },
        private: vec!["/home/ana/.cache/flatimage".into()],
        upper: Upper::Directory(data.clone()),
        data,
        layers: vec![LayerSource {
            path: "/apps/app.flatimage".into(),
            offset: 4104,
            size: 9,
        }],
        tools: Tools::Directory("/cache/tools".into()),
        program: Some("/cache/runtime".into()),
        programs: vec!["fuse-overlayfs".into()],
        command: vec!["true".into()],
        as_root: false,
        pid: 77,
    }
}

/// The plan with every setting at its default but one, without the lines that tell of the build.
fn lines(changed: Option<(&RegionDecl, Value)>, request: &Request) -> Vec<String> {
    let settings = REGIONS.iter().map(|region| match &changed {
        Some((other, value)) if other.name == region.name => (region, value.clone()),
        _ => (region, region.default_value()),
    });
    let settings: Vec<_> = settings.collect();
    let plan = plan::build(&settings, &host(), request).expect("a plan");
    let of_the_build = ["FIM_COMMIT=", "FIM_DIST=", "FIM_TIMESTAMP=", "FIM_VERSION="];
    plan.to_string()
        .lines()
        .filter(|line| !of_the_build.iter().any(|name| line.contains(name)))
        .map(str::to_owned)
        .collect()
}

/// The lines that are gone, then those that are new.
fn difference(before: &[String], after: &[String]) -> String {
    let gone = before
        .iter()
        .filter(|line| !after.contains(line))
        .map(|line| format!("-{line}\n"));
    let new = after
        .iter()
        .filter(|line| !before.contains(line))
        .map(|line| format!("+{line}\n"));
    gone.chain(new).collect()
}

/// Every setting that is a set of bits.
fn sets() -> impl Iterator<Item = (&'static RegionDecl, &'static BitsDecl)> {
    let all = REGIONS.iter().filter_map(|region| match region.encoding {
        Encoding::Bits(bits) => Some((region, bits)),
        _ => None,
    });
    // A set that declares no effect at all is about something else than the container.
    all.filter(|(_, bits)| {
        let mut bits = bits.bits.iter();
        bits.any(|bit| !bit.effects.is_empty() || !bit.otherwise.is_empty())
    })
}

#[test]
fn without_settings_a_start_does_this() {
    insta::assert_snapshot!(lines(None, &request()).join("\n"));
}

#[test]
fn as_root_a_start_differs_in_this() {
    let root = Request {
        as_root: true,
        ..request()
    };
    insta::assert_snapshot!(difference(&lines(None, &request()), &lines(None, &root)));
}

#[test]
fn each_permission_alone_changes_this() {
    let none = lines(None, &request());
    for (region, bits) in sets() {
        let mut text = String::new();
        for bit in bits.bits {
            let plan = lines(Some((region, Value::Bits(1 << bit.number))), &request());
            text.push_str(&format!("{}\n{}\n", bit.name, difference(&none, &plan)));
        }
        insta::assert_snapshot!(format!("each_of_{}", region.name), text);
    }
}

#[test]
fn each_switch_changes_this() {
    let none = lines(None, &request());
    for region in REGIONS {
        if region.encoding == Encoding::Flag && !region.effects.is_empty() {
            let other = Value::Flag(region.default_value() != Value::Flag(true));
            let plan = lines(Some((region, other)), &request());
            assert_ne!(plan, none, "{}", region.name);
            insta::assert_snapshot!(
                format!("switch_of_{}", region.name),
                difference(&none, &plan)
            );
        }
    }
}

#[test]
fn all_permissions_together_change_this() {
    let none = lines(None, &request());
    for (region, bits) in sets() {
        let every = bits.bits.iter().fold(0, |set, bit| set | 1 << bit.number);
        let all = lines(Some((region, Value::Bits(every))), &request());
        insta::assert_snapshot!(format!("all_of_{}", region.name), difference(&none, &all));
        for group in bits.groups {
            let plan = lines(Some((region, Value::Bits(group.mask))), &request());
            let left = difference(&all, &plan);
            insta::assert_snapshot!(
                format!("{}_{}_but_not_every_bit", region.name, group.name),
                left
            );
        }
    }
}

#[test]
fn every_permission_changes_the_plan() {
    let none = lines(None, &request());
    for (region, bits) in sets() {
        for bit in bits.bits {
            let plan = lines(Some((region, Value::Bits(1 << bit.number))), &request());
            assert_ne!(plan, none, "{}", bit.name);
        }
    }
}
