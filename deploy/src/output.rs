//! The assemble and checksum stages as they act on files: what is left in `dist/`.
//!
//! At every moment `dist/` holds whole images only, and no checksum that does not fit its image.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::Built;
use crate::assemble::{self, AssembleError, Layer, Parts, Programs};
use crate::digest::{self, Stamp, Sum};
use crate::file::{self, FileError, failed};
use crate::marker::Origin;
use crate::report::{self, Report, Stage};

/// Why an image could not be put together.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The parts do not make an image.
    #[error("cannot make `{}`", image.display())]
    Assemble {
        /// The image.
        image: PathBuf,
        /// What is wrong.
        source: AssembleError,
    },
}

/// What the image is made from.
pub(crate) struct Inputs<'a> {
    pub(crate) programs: &'a Programs,
    pub(crate) tools: &'a [u8],
    pub(crate) description: &'a [u8],
    pub(crate) origin: &'a Origin,
    pub(crate) reserved: &'a [u8],
    pub(crate) layers: &'a [PathBuf],
}

/// Writes `<out>/<name>.flatimage` and its checksum, unless they are what the inputs make.
pub(crate) fn write(
    cache: &Path,
    out: &Path,
    name: &str,
    inputs: &Inputs,
    report: &mut dyn Report,
) -> Result<Built, OutputError> {
    let image = out.join(format!("{name}.flatimage"));
    let checksum = out.join(format!("{name}.flatimage.sha256sum"));
    for interrupted in [&image, &checksum] {
        file::remove(&file::beside(interrupted))?;
    }
    report.begins(Stage::Assemble);
    let wanted = digest_of(inputs)?;
    let stamps = cache.join("images");
    file::create_dir(&stamps)?;
    let mut held = sum_of_file(&image).ok();
    let stamp = |held: &Sum| {
        let mut key = digest::Inputs::of_stage("image 1");
        key.add(wanted);
        key.add(held);
        key.finish()
    };
    let record = Stamp::at(stamps.join(format!("{name}.stamp")));
    let unchanged = held.is_some_and(|held| record.says(&stamp(&held)));
    if !unchanged {
        record.clear()?;
        file::remove(&checksum)?;
        assemble(&image, inputs)?;
        held = None;
    }
    let sum = match held {
        Some(sum) => sum,
        None => sum_of_file(&image)?,
    };
    record.set(&stamp(&sum))?;
    let size = std::fs::metadata(&image)
        .map_err(failed("read", &image))?
        .len();
    let summary = format!("{}, {}", image.display(), report::bytes(size));
    report.ends(Stage::Assemble, &summary, unchanged);

    report.begins(Stage::Checksum);
    let sha256 = digest::hex(&sum);
    let line = format!("{sha256}  {name}.flatimage\n");
    let unchanged = std::fs::read(&checksum).is_ok_and(|held| held == line.as_bytes());
    file::write_changed(&checksum, line.as_bytes())?;
    report.ends(Stage::Checksum, &checksum.display().to_string(), unchanged);
    Ok(Built {
        image,
        checksum,
        sha256,
        size,
    })
}

fn assemble(image: &Path, inputs: &Inputs) -> Result<(), OutputError> {
    let layers = inputs
        .layers
        .iter()
        .map(|path| open(path))
        .collect::<Result<_, _>>()?;
    let parts = Parts {
        programs: inputs.programs,
        tools: inputs.tools,
        description: inputs.description,
        origin: inputs.origin,
        reserved: inputs.reserved,
    };
    file::write_whole(image, 0o755, |file| {
        let mut out = BufWriter::with_capacity(1 << 20, file);
        assemble::assemble(&parts, layers, &mut out).map_err(|source| OutputError::Assemble {
            image: image.to_owned(),
            source,
        })?;
        Ok(out.flush().map_err(failed("write", image))?)
    })
}

fn open(path: &Path) -> Result<Layer<File>, FileError> {
    let image = File::open(path).map_err(failed("open", path))?;
    let size = image.metadata().map_err(failed("read", path))?.len();
    Ok(Layer { size, image })
}

fn digest_of(inputs: &Inputs) -> Result<Sum, FileError> {
    let mut sum = digest::Inputs::of_stage("assemble 2");
    sum.add_this_program()?;
    for part in [
        &inputs.programs.launcher,
        &inputs.programs.packed,
        inputs.tools,
        inputs.description,
        inputs.reserved,
    ] {
        sum.add(part);
    }
    sum.add(format!("{:?}", inputs.origin));
    for path in inputs.layers {
        sum.add(sum_of_file(path)?);
    }
    Ok(sum.finish())
}

fn sum_of_file(path: &Path) -> Result<Sum, FileError> {
    let sum = |mut file: File| -> io::Result<Sum> { digest::of_reader(&mut file) };
    File::open(path).and_then(sum).map_err(failed("read", path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::marker::tests::origin;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    struct Bench {
        dir: tempfile::TempDir,
        programs: Programs,
        layers: Vec<PathBuf>,
    }

    #[derive(Default)]
    struct Unchanged(Vec<bool>);

    impl Report for Unchanged {
        fn ends(&mut self, _: Stage, _: &str, unchanged: bool) {
            self.0.push(unchanged);
        }
    }

    impl Bench {
        fn new() -> Bench {
            let dir = tempfile::tempdir().unwrap();
            let programs = Programs::new(crate::marker::tests::launcher(), b"runtime");
            let layer = dir.path().join("layer");
            fs::write(&layer, "layer").unwrap();
            fs::create_dir(dir.path().join("dist")).unwrap();
            Bench {
                dir,
                programs,
                layers: vec![layer],
            }
        }

        fn dist(&self) -> PathBuf {
            self.dir.path().join("dist")
        }

        /// Whether assembling and summing found their work done.
        fn write(&self) -> Vec<bool> {
            let mut report = Unchanged::default();
            let inputs = Inputs {
                programs: &self.programs,
                tools: b"tools",
                description: b"described",
                origin: &origin(),
                reserved: &[0; 4096],
                layers: &self.layers,
            };
            let cache = self.dir.path().join("cache");
            let built = write(&cache, &self.dist(), "it", &inputs, &mut report).unwrap();
            let bytes = fs::read(&built.image).unwrap();
            assert_eq!(bytes.len() as u64, built.size);
            assert_eq!(built.sha256, digest::hex(&digest::of(&bytes)));
            let line = format!("{}  it.flatimage\n", built.sha256);
            assert_eq!(fs::read_to_string(&built.checksum).unwrap(), line);
            let mode = fs::metadata(&built.image).unwrap().permissions().mode();
            assert_eq!(mode & 0o7777, 0o755);
            assert_eq!(fs::read_dir(self.dist()).unwrap().count(), 2);
            report.0
        }
    }

    #[test]
    fn only_what_changed_is_done_again() {
        let bench = Bench::new();
        assert_eq!(bench.write(), [false, false]);
        assert_eq!(bench.write(), [true, true]);
        fs::remove_file(bench.dist().join("it.flatimage.sha256sum")).unwrap();
        assert_eq!(bench.write(), [true, false]);
        fs::write(&bench.layers[0], "other").unwrap();
        assert_eq!(bench.write(), [false, false]);
        assert_eq!(bench.write(), [true, true]);
    }

    #[test]
    fn an_image_that_was_altered_is_made_anew() {
        let bench = Bench::new();
        bench.write();
        let image = bench.dist().join("it.flatimage");
        let mut bytes = fs::read(&image).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&image, bytes).unwrap();
        assert_eq!(bench.write(), [false, false]);
    }

    #[test]
    fn what_an_interrupted_build_left_is_cleared_away() {
        let bench = Bench::new();
        let partial = file::beside(&bench.dist().join("it.flatimage"));
        fs::write(&partial, "half an image").unwrap();
        assert_eq!(bench.write(), [false, false]);
        fs::write(&partial, "half an image").unwrap();
        assert_eq!(bench.write(), [true, true]);
    }

    #[test]
    fn sha256sum_accepts_the_checksum() {
        let bench = Bench::new();
        bench.write();
        let status = std::process::Command::new("sha256sum")
            .args(["--check", "--quiet", "it.flatimage.sha256sum"])
            .current_dir(bench.dist())
            .status()
            .unwrap();
        assert!(status.success());
    }
}
