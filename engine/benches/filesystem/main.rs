//! How fast the filesystem of a container is, beside the peers that are installed.
//!
//! Every row is measured by turns with its peer in this very run, so that a machine that changes its speed changes it
//! for both; what counts is the ratio. Needs the packages of `.ci/packages`, and compares with `mksquashfs`, `mkdwarfs`,
//! `squashfuse_ll` and, as root, the kernel's squashfs where they are there. Run it on an idle machine:
//! `cargo bench -p flatimage --bench filesystem [-- <row>]`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

mod changes;
mod idle;
mod measure;
mod pack;
mod starts;
mod trees;

use measure::run;

/// What every row works on.
struct Bench {
    /// An image with an empty root.
    blueprint: PathBuf,
    /// A minimal Debian with one large file, as a directory.
    tree: PathBuf,
    /// The same as a layer, packed as by default.
    layer: PathBuf,
    /// The image with that layer.
    debian: PathBuf,
    /// Where a row may leave what it makes; removed at the end.
    place: tempfile::TempDir,
}

/// A name on the command line, and what measures and prints it.
type Row = (&'static str, fn(&Bench));

/// The large file, below the tree.
const LARGE: &str = "var/large";
/// Its size in MiB.
const LARGE_MIB: usize = 64;

fn main() {
    let only: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    let rows: [Row; 6] = [
        ("pack", pack::row),
        ("size", starts::size),
        ("layers", starts::layers),
        ("trees", trees::row),
        ("changes", changes::row),
        ("idle", idle::row),
    ];
    let bench = Bench::new();
    for (name, row) in rows {
        if only.is_empty() || only.iter().any(|only| only == name) {
            row(&bench);
        }
    }
}

impl Bench {
    fn new() -> Bench {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let place = tempfile::tempdir_in(directory).expect("a temporary directory");
        let options = deploy::Options {
            out: directory.join("images"),
            ..deploy::Options::new("blueprint")
        };
        let image = deploy::build(&options, &mut ())
            .expect("deploy builds the blueprint")
            .image;
        let bench = Bench {
            blueprint: place.path().join("blueprint.flatimage"),
            tree: directory.join("filesystem-tree"),
            layer: place.path().join("tree.layer"),
            debian: place.path().join("debian.flatimage"),
            place,
        };
        fs::copy(image, &bench.blueprint).expect("a copy of the image");
        if !bench.tree.join(LARGE).exists() {
            bench.make_tree();
        }
        bench.create(&bench.tree, &bench.layer);
        fs::copy(&bench.blueprint, &bench.debian).expect("a copy of the image");
        bench.add(&bench.debian, &bench.layer);
        bench
    }

    fn make_tree(&self) {
        let release = fs::read_to_string("/etc/os-release").expect("/etc/os-release");
        let mut lines = release.lines();
        let suite = lines.find_map(|line| line.strip_prefix("VERSION_CODENAME="));
        let archive = self.place.path().join("tree.tar");
        run(Command::new("mmdebstrap")
            .args(["--quiet", "--variant=minbase", suite.expect("a suite")])
            .arg(&archive));
        let _ = fs::remove_dir_all(&self.tree);
        fs::create_dir(&self.tree).expect("a directory");
        run(Command::new("tar")
            .args(["--extract", "--exclude=./dev/*", "--file"])
            .arg(&archive)
            .arg("--directory")
            .arg(&self.tree));
        // Text that compresses to about three quarters.
        let script = format!("base64 -w 0 /dev/urandom | head -c {LARGE_MIB}M > \"$0\"");
        run(Command::new("sh")
            .args(["-c", &script])
            .arg(self.tree.join(LARGE)));
        fs::remove_file(archive).expect("the archive is ours");
    }

    fn create(&self, tree: &Path, layer: &Path) {
        run(Command::new(&self.blueprint)
            .args(["fim-layer", "create"])
            .args([tree, layer])
            .stderr(Stdio::null()));
    }

    fn add(&self, image: &Path, layer: &Path) {
        run(Command::new(image).args(["fim-layer", "add"]).arg(layer));
    }

    /// A program in the container of an image, with a data directory of its own.
    fn inside(&self, image: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(image);
        let data = self.place.path().join("data");
        command.arg("fim-exec").args(arguments);
        command.env("FIM_DIR_DATA", data).stdin(Stdio::null());
        command
    }
}
