//! Images that `umoci` makes, run by `podman` and, once `deploy oci` has converted them, by themselves: programs find the same.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::compiled::compiled;
use support::{Place, Ran, Who, everybody};

/// What a program said.
#[derive(Debug, Default, PartialEq, Eq)]
struct Report {
    code: i32,
    words: Vec<String>,
    directory: String,
    ids: String,
    variables: BTreeMap<String, String>,
    /// Kind and mode, owners, and the rest, by path.
    entries: BTreeMap<String, [String; 3]>,
}

impl Report {
    fn of(ran: &Ran) -> Report {
        let mut report = Report {
            code: ran.code,
            ..Report::default()
        };
        for line in ran.out.lines() {
            let (kind, rest) = line.split_once(' ').unwrap();
            match kind {
                "word" => report.words.push(rest.to_owned()),
                "directory" => report.directory = rest.to_owned(),
                "ids" => report.ids = rest.to_owned(),
                "variable" => {
                    let (name, value) = rest.split_once('=').unwrap();
                    report.variables.insert(name.to_owned(), value.to_owned());
                }
                "entry" => {
                    let fields: Vec<&str> = rest.splitn(5, ' ').collect();
                    let more = fields.get(4).copied().unwrap_or_default();
                    let entry = [
                        fields[1].to_owned(),
                        format!("{} {}", fields[2], fields[3]),
                        more.to_owned(),
                    ];
                    report.entries.insert(fields[0].to_owned(), entry);
                }
                other => panic!("{other}: {ran:?}"),
            }
        }
        report
    }

    /// Leaves out files that each program puts there for itself.
    fn without(mut self, paths: &[&str]) -> Report {
        self.entries
            .retain(|path, _| !paths.contains(&path.as_str()));
        self
    }
}

/// An image in the making.
struct Making {
    place: Place,
    layout: PathBuf,
    program: PathBuf,
}

impl Making {
    fn new() -> Making {
        let place = Place::blueprint(Who::Caller);
        let layout = place.path().join("layout");
        let program = compiled(&place, "original/report.c", &[]);
        let making = Making {
            place,
            layout,
            program,
        };
        let layout = making.layout.to_string_lossy().into_owned();
        making.done(Command::new("umoci").args(["init", "--layout", &layout]));
        making.umoci("new", &[]);
        making.insert(&making.program, "/report");
        making
    }

    fn done(&self, command: &mut Command) {
        let output = command.output().unwrap();
        assert!(output.status.success(), "{command:?}: {output:?}");
    }

    fn umoci(&self, command: &str, arguments: &[&str]) {
        let image = format!("{}:it", self.layout.display());
        let mut umoci = Command::new("umoci");
        self.done(umoci.args([command, "--image", &image]).args(arguments));
    }

    /// A file or a tree as a layer of its own.
    fn insert(&self, from: &Path, to: &str) {
        self.umoci("insert", &[&from.to_string_lossy(), to]);
    }

    /// A tree of files with their contents; those with `/` at the end are directories.
    fn tree(&self, files: &[(&str, &str, u32)]) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let root = self.place.path().join("tree");
        let _ = fs::remove_dir_all(&root);
        fs::create_dir(&root).unwrap();
        for (name, contents, mode) in files {
            let path = root.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            match name.ends_with('/') {
                true => fs::create_dir_all(&path).unwrap(),
                false => fs::write(&path, contents).unwrap(),
            }
            fs::set_permissions(&path, fs::Permissions::from_mode(*mode)).unwrap();
        }
        root
    }

    /// What the program says under podman, which finds nothing of the host's to write to but the place.
    fn original(&self) -> Report {
        let mounts = ["/sys/fs/cgroup", "/run", "/dev/shm", "/var/lib"];
        let mounts = mounts.map(|path| format!("mount -t tmpfs none {path}"));
        let script = format!("{} && exec \"$@\"", mounts.join(" && "));
        let mut command = self.place.command("unshare");
        command.args(["--mount", "sh", "-c", &script, "sh", "podman"]);
        for (option, name) in [
            ("--root", "storage"),
            ("--runroot", "running"),
            ("--tmpdir", "temporary"),
        ] {
            command.arg(option).arg(self.place.path().join(name));
        }
        command.args([
            "--storage-driver=vfs",
            "--cgroup-manager=cgroupfs",
            "--events-backend=none",
        ]);
        command.args([
            "run",
            "--rm",
            "--quiet",
            "--network=none",
            "--cgroups=disabled",
            "--log-driver=none",
        ]);
        // The limits of whoever runs the tests may be lower than those that it would set.
        command.args(["--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024"]);
        // Relative: podman takes the path for the name of an image, which has no capital letters.
        command.arg("oci:layout:it");
        let ran = Ran::of(command);
        assert_eq!(ran.code, 7, "{ran:?}");
        Report::of(&ran)
    }

    /// The image that deploy makes of it.
    fn converted(&self, name: &str) -> PathBuf {
        let options = deploy::Options {
            source: Some(self.layout.clone()),
            name: Some(name.to_owned()),
            out: self.place.path().join("dist"),
            level: 1,
            ..deploy::Options::new("oci")
        };
        deploy::build(&options, &mut ()).unwrap().image
    }

    /// Demands that programs find the same in both.
    fn compare(&self, name: &str) -> Report {
        let original = self.original().without(&THEIRS);
        let image = self.converted(name);
        for who in everybody() {
            let place = Place::with(who, &image);
            let ran = place.run::<&str>(&[]);
            assert_eq!(ran.err, "", "{ran:?}");
            let mut ours = Report::of(&ran);
            let is_own = |path: &str| OURS.contains(&path) && !original.entries.contains_key(path);
            ours.entries.retain(|path, _| !is_own(path));
            assert_eq!(ours.code, original.code);
            assert_eq!(ours.words, original.words);
            assert_eq!(ours.directory, original.directory);
            assert_eq!(ours.ids, original.ids);
            for (variable, value) in &original.variables {
                if !OF_PODMAN.contains(&variable.as_str()) {
                    let ours = ours.variables.get(variable).map(String::as_str);
                    // Programs of ours come last, where the image says nothing of its own.
                    let ours = ours.map(|ours| ours.strip_suffix(TOOLS).unwrap_or(ours));
                    assert_eq!(ours, Some(value.as_str()), "{variable}");
                }
            }
            let paths = |report: &Report| report.entries.keys().cloned().collect::<Vec<_>>();
            assert_eq!(paths(&ours), paths(&original), "{who:?}");
            for (path, [mode, owners, more]) in &original.entries {
                let [our_mode, our_owners, our_more] = &ours.entries[path];
                assert_eq!((our_mode, our_more), (mode, more), "{path}");
                // An ordinary user has one id for all.
                if who == Who::Caller && nix::unistd::geteuid().is_root() {
                    // A home that its user cannot write is none: the book says so.
                    let owners = match *path == ours.variables["HOME"] {
                        true => &ours.ids,
                        false => owners,
                    };
                    assert_eq!(our_owners, owners, "{path}");
                }
            }
            place.assert_clean();
        }
        original
    }
}

/// Files that podman puts into every container.
const THEIRS: [&str; 5] = [
    "/",
    "/etc/hosts",
    "/etc/hostname",
    "/etc/resolv.conf",
    "/etc/mtab",
];

/// What every container of ours has, whether or not the image does.
const OURS: [&str; 3] = ["/", "/etc/group", "/etc/machine-id"];

/// What the default of `PATH` ends with.
const TOOLS: &str = ":/run/flatimage/bin:/run/flatimage/sbin";

/// Variables that podman sets by itself.
const OF_PODMAN: [&str; 3] = ["HOSTNAME", "TERM", "container"];

#[test]
fn what_layers_hide_is_hidden() {
    let making = Making::new();
    making.insert(
        &making.tree(&[
            ("etc/passwd", "root:x:0:0::/root:/bin/sh\n", 0o644),
            ("root/", "", 0o700),
            ("old/a", "1", 0o644),
            ("old/deep/b", "2", 0o600),
            ("kept/gone", "3", 0o644),
            ("kept/stays", "4", 0o755),
            ("gone/whole/tree", "5", 0o644),
            ("file-then-directory", "6", 0o644),
        ]),
        "/",
    );
    making.umoci("insert", &["--whiteout", "/kept/gone"]);
    making.umoci("insert", &["--whiteout", "/gone/whole"]);
    making.umoci("insert", &["--whiteout", "/file-then-directory"]);
    let new = making.tree(&[("new", "7", 0o4711), ("deep/c", "8", 0o640)]);
    making.umoci("insert", &["--opaque", &new.to_string_lossy(), "/old"]);
    making.insert(&making.tree(&[("x", "9", 0o644)]), "/file-then-directory");
    making.umoci("config", &["--config.entrypoint", "/report"]);
    let report = making.compare("hides");
    let names: Vec<&str> = report.entries.keys().map(String::as_str).collect();
    for expected in [
        "/old/new",
        "/old/deep/c",
        "/kept/stays",
        "/gone",
        "/file-then-directory/x",
    ] {
        assert!(names.contains(&expected), "{expected}: {names:?}");
    }
    for gone in ["/old/a", "/old/deep/b", "/kept/gone", "/gone/whole"] {
        assert!(!names.contains(&gone), "{gone}: {names:?}");
    }
}

#[test]
fn a_user_runs_with_its_ids_home_and_directory() {
    let making = Making::new();
    making.insert(
        &making.tree(&[
            (
                "etc/passwd",
                "root:x:0:0::/root:/bin/sh\nweb:x:33:34::/srv/web:/bin/sh\n",
                0o644,
            ),
            ("etc/group", "root:x:0:\nwww:x:34:\nmore:x:35:web\n", 0o644),
            ("root/", "", 0o700),
            ("srv/web/page", "x", 0o644),
        ]),
        "/",
    );
    let config = ["--config.user", "web", "--config.workingdir", "/srv/web"];
    making.umoci("config", &config);
    making.umoci(
        "config",
        &[
            "--config.entrypoint",
            "/report",
            "--config.env",
            "GREETING=good $HOME",
        ],
    );
    let report = making.compare("user");
    assert_eq!(
        (report.ids.as_str(), report.directory.as_str()),
        ("33 34", "/srv/web")
    );
    assert_eq!(report.variables["HOME"], "/srv/web");
    assert_eq!(report.variables["GREETING"], "good $HOME");
}

#[test]
fn entry_point_and_command_are_one_line_in_a_directory_that_no_layer_has() {
    let making = Making::new();
    making.insert(
        &making.tree(&[
            ("etc/passwd", "root:x:0:0::/root:/bin/sh\n", 0o644),
            ("root/", "", 0o700),
        ]),
        "/",
    );
    let entry = ["/report", "first word", "$HOME"].map(|word| ["--config.entrypoint", word]);
    let words = ["--option", "it's \"quoted\"", "*"].map(|word| ["--config.cmd", word]);
    let config = [
        ["--config.workingdir", "/work/deep"],
        ["--config.env", "PATH=/bin:/own"],
    ];
    making.umoci("config", &[&entry[..], &words, &config].concat().concat());
    let report = making.compare("command");
    assert_eq!(report.directory, "/work/deep");
    let words = [
        "/report",
        "first word",
        "$HOME",
        "--option",
        "it's \"quoted\"",
        "*",
    ];
    assert_eq!(report.words, words);
}
