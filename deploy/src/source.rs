//! The root filesystem stage: what layers are made from, found, checked and read.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::archive::{Archive, decompressed};
use crate::digest::{self, Inputs, Sum};
use crate::distribution::{Additions, Distribution, Root, Tarball};
use crate::fetch::{self, Client, FetchError, Wanted};
use crate::file::{self, FileError, failed};
use crate::mmdebstrap::{self, MmdebstrapError, Wishes};
use crate::oci::{Execution, Image, User};
use crate::tree::{self, Spool, Tree};

/// Why there is nothing to make layers from.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The distribution is made from something and nothing was named.
    #[error(
        "`{distribution}` is made from {wanted}; name it behind the distribution, or with `--from`"
    )]
    Missing {
        /// Name of the distribution.
        distribution: String,
        /// What it is made from.
        wanted: &'static str,
    },
    /// The distribution takes nothing.
    #[error("`{0}` is made from nothing; leave out what follows it")]
    Surplus(String),
    /// What was named is no directory.
    #[error("`{}` is not a directory; name the directory that holds the root filesystem", .0.display())]
    NotADirectory(PathBuf),
    /// What was named is no file.
    #[error("`{}` is not a file; name {wanted}", path.display())]
    NotAFile {
        /// What was named.
        path: PathBuf,
        /// What it should be.
        wanted: &'static str,
    },
    /// A file is not the one that was meant.
    #[error(
        "`{}` has the SHA-256 {found} and not {expected}; take the file that is meant, or say which one it is with `--sha256`",
        path.display()
    )]
    Sum {
        /// The file.
        path: PathBuf,
        /// What was expected, in hexadecimal.
        expected: String,
        /// What it has.
        found: String,
    },
    /// A sum is not one.
    #[error("`{0}` is no SHA-256; give its 64 hexadecimal digits")]
    NotASum(String),
    /// The image of another container program cannot be read.
    #[error("cannot read the image `{}`", path.display())]
    Image {
        /// The image.
        path: PathBuf,
        /// What is wrong.
        source: io::Error,
    },
    /// It could not be downloaded.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// It could not be made of packages.
    #[error(transparent)]
    Mmdebstrap(#[from] MmdebstrapError),
    /// There is no archive for this machine.
    #[error("`{distribution}` has no archive for `{arch}`; give one with `--from`")]
    Machine {
        /// Name of the distribution.
        distribution: String,
        /// This machine.
        arch: &'static str,
    },
    /// An option that would be passed over.
    #[error("`{distribution}` takes no `{option}`; leave it out")]
    Option {
        /// Name of the distribution.
        distribution: String,
        /// The option.
        option: &'static str,
    },
    /// The archive cannot be read.
    #[error("cannot read the archive `{}`", path.display())]
    Archive {
        /// The archive.
        path: PathBuf,
        /// What is wrong.
        source: io::Error,
    },
    /// What a distribution adds cannot be added.
    #[error("cannot add to the root filesystem")]
    Add(#[source] io::Error),
}

/// What layers are made from. It is as it should be, and only read when they must be made.
pub(crate) enum Source {
    /// Nothing but what is added.
    Empty,
    /// A directory of this host.
    Directory(PathBuf),
    /// An archive, and how many parts of each name are left out.
    Archive(Opened, usize),
    /// An image of other container programs.
    Image(Box<Image>),
}

/// A file whose sum is known.
pub(crate) struct Opened {
    path: PathBuf,
    /// What it is called, when that is not its name on this host.
    name: Option<String>,
    file: File,
    sum: Sum,
    size: u64,
}

/// What layers are packed from.
pub(crate) enum Contents {
    /// A directory of this host.
    Directory(PathBuf),
    /// Trees, the lowest first, and the contents of all their files.
    Trees {
        trees: Vec<Tree>,
        spool: Spool,
        /// Who programs run as, when the source says it.
        user: Option<User>,
    },
}

/// What the command line says about the source.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Given<'a> {
    /// Name of the distribution.
    pub(crate) name: &'a str,
    /// A file or directory of this host.
    pub(crate) path: Option<&'a Path>,
    /// The sum of that file in hexadecimal.
    pub(crate) sha256: Option<&'a str>,
    /// Which image, where there are several.
    pub(crate) tag: Option<&'a str>,
    /// What packages the root filesystem is made of, and from where anything is downloaded.
    pub(crate) wishes: Wishes<'a>,
}

/// Checks that a distribution is given what it is made from, and nothing that it would pass over. Reads nothing.
pub(crate) fn check(distribution: &Distribution, given: Given) -> Result<(), SourceError> {
    given.sha256.map(sum).transpose()?;
    check_options(&distribution.root, given)?;
    let missing = |wanted| SourceError::Missing {
        distribution: given.name.to_owned(),
        wanted,
    };
    match (&distribution.root, given.path) {
        (Root::Empty, None) | (Root::Mmdebstrap(_), None) => Ok(()),
        (Root::Empty, Some(_)) => Err(SourceError::Surplus(given.name.to_owned())),
        (Root::Directory, None) => Err(missing("a directory")),
        (Root::Directory, Some(dir)) if dir.is_dir() => Ok(()),
        (Root::Directory, Some(dir)) => Err(SourceError::NotADirectory(dir.to_owned())),
        (Root::Tarball(tarball), None) if tarball.files.is_empty() => Err(missing("a tar archive")),
        (Root::Tarball(tarball), None) => remote(tarball, given).map(drop),
        (Root::Tarball(_) | Root::Mmdebstrap(_), Some(path)) if path.is_dir() => {
            Err(SourceError::NotAFile {
                path: path.to_owned(),
                wanted: "the archive that holds the root filesystem",
            })
        }
        (Root::Tarball(_) | Root::Mmdebstrap(_), Some(_)) => Ok(()),
        (Root::Oci, None) => Err(missing(
            "an OCI image layout or the archive of `docker save`",
        )),
        (Root::Oci, Some(_)) => Ok(()),
    }
}

/// Refuses options that mean nothing for a root filesystem of this kind.
fn check_options(root: &Root, given: Given) -> Result<(), SourceError> {
    let wishes = given.wishes;
    let from_packages = matches!(root, Root::Mmdebstrap(_)) && given.path.is_none();
    let downloads = matches!(root, Root::Tarball(tarball) if !tarball.files.is_empty());
    let means = [
        ("--suite", wishes.suite.is_some(), from_packages),
        ("--include", !wishes.include.is_empty(), from_packages),
        ("--refresh", wishes.refresh, from_packages),
        (
            "--mirror",
            wishes.mirror.is_some(),
            from_packages || (downloads && given.path.is_none()),
        ),
        ("--tag", given.tag.is_some(), *root == Root::Oci),
        (
            "--sha256",
            given.sha256.is_some(),
            given.path.is_some_and(|path| !path.is_dir()),
        ),
    ];
    match means
        .iter()
        .find(|(_, is_given, means)| *is_given && !means)
    {
        Some((option, ..)) => Err(SourceError::Option {
            distribution: given.name.to_owned(),
            option,
        }),
        None => Ok(()),
    }
}

/// The archive for this machine: its address and its sum.
fn remote(tarball: &Tarball, given: Given) -> Result<(String, Sum), SourceError> {
    let arch = std::env::consts::ARCH;
    let found = tarball.files.get(arch);
    let found = found.ok_or_else(|| SourceError::Machine {
        distribution: given.name.to_owned(),
        arch,
    })?;
    let mirror = given.wishes.mirror.or(tarball.mirror.as_deref());
    let mirror = mirror.unwrap_or_default().trim_end_matches('/');
    Ok((format!("{mirror}/{}", found.path), sum(&found.sha256)?))
}

/// The sum that an archive of this host must have: the one given, or that of the archive that it stands for.
fn expected(tarball: &Tarball, given: Given) -> Result<Option<Sum>, SourceError> {
    match (given.sha256, tarball.files.is_empty()) {
        (Some(hex), _) => sum(hex).map(Some),
        (None, true) => Ok(None),
        (None, false) => remote(tarball, given).map(|(_, sum)| Some(sum)),
    }
}

impl Source {
    /// Finds what a distribution is made from and makes sure that it is what was meant.
    pub(crate) fn find(
        distribution: &Distribution,
        given: Given,
        cache: &Path,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Source, SourceError> {
        check(distribution, given)?;
        match (&distribution.root, given.path) {
            (Root::Directory, Some(path)) => Ok(Source::Directory(path.to_owned())),
            (Root::Tarball(tarball), Some(path)) => {
                let opened = Opened::new(path, progress)?;
                opened.expect(expected(tarball, given)?)?;
                Ok(Source::Archive(opened, tarball.strip))
            }
            (Root::Tarball(tarball), None) => {
                let (url, sum) = remote(tarball, given)?;
                let opened = download(&url, &sum, cache, progress)?;
                Ok(Source::Archive(opened, tarball.strip))
            }
            (Root::Mmdebstrap(_), Some(path)) => {
                let opened = Opened::new(path, progress)?;
                opened.expect(given.sha256.map(sum).transpose()?)?;
                Ok(Source::Archive(opened, 0))
            }
            (Root::Mmdebstrap(packages), None) => {
                let kept = cache.join("mmdebstrap");
                let (path, _) = mmdebstrap::make(&kept, given.name, packages, given.wishes)?;
                Ok(Source::Archive(Opened::new(&path, progress)?, 0))
            }
            (Root::Oci, Some(path)) => {
                if let Some(expected) = given.sha256 {
                    Opened::new(path, progress)?.expect(Some(sum(expected)?))?;
                }
                let image = Image::open(path, given.tag, cache, progress);
                let image = image.map_err(|source| SourceError::Image {
                    path: path.to_owned(),
                    source,
                })?;
                Ok(Source::Image(Box::new(image)))
            }
            _ => Ok(Source::Empty),
        }
    }

    /// Adds what the source is to the inputs of layers that are made from it.
    pub(crate) fn add_to(&self, inputs: &mut Inputs) -> Result<(), FileError> {
        match self {
            Source::Empty => inputs.add("empty"),
            Source::Directory(path) => {
                inputs.add("directory");
                add_directory(path, inputs)?;
            }
            Source::Archive(opened, strip) => {
                inputs.add("archive");
                inputs.add(opened.sum);
                inputs.add((*strip as u64).to_le_bytes());
            }
            Source::Image(image) => {
                inputs.add("image");
                inputs.add(image.identity());
            }
        }
        Ok(())
    }

    /// How many layers are made from it.
    pub(crate) fn layers(&self) -> usize {
        match self {
            Source::Image(image) => image.layers(),
            _ => 1,
        }
    }

    /// Where it is, for people.
    pub(crate) fn told(&self) -> String {
        match self {
            Source::Empty => "nothing".to_owned(),
            Source::Directory(path) => path.display().to_string(),
            Source::Archive(opened, _) => opened.told(),
            Source::Image(image) => {
                let id = &image.identity()[..12];
                format!("{} (image {id}…)", image.path.display())
            }
        }
    }

    /// Reads everything, into a spool in `cache`, and adds what a distribution adds to the topmost layer. Warnings go to
    /// `warn`.
    pub(crate) fn read(
        &mut self,
        additions: &Additions,
        cache: &Path,
        warn: &mut dyn FnMut(String),
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Contents, SourceError> {
        let (mut trees, mut spool, mut user) = (Vec::new(), spool(cache)?, None);
        match self {
            Source::Directory(path) => return Ok(Contents::Directory(path.clone())),
            Source::Empty => trees.push(Tree::new()),
            Source::Archive(opened, strip) => {
                let tree = read_archive(opened, *strip, &mut spool, warn, progress);
                let failed = |source| SourceError::Archive {
                    path: opened.path.clone(),
                    source,
                };
                trees.push(tree.map_err(failed)?);
            }
            Source::Image(image) => {
                let read = image.read(cache, warn, progress);
                let read = read.map_err(|source| SourceError::Image {
                    path: image.path.clone(),
                    source,
                })?;
                (trees, spool, user) = (read.trees, read.spool, read.user);
            }
        }
        if let Some(top) = trees.last_mut() {
            tree::add(top, additions, &mut spool).map_err(SourceError::Add)?;
        }
        Ok(Contents::Trees { trees, spool, user })
    }

    /// How programs run, when the source says it.
    pub(crate) fn execution(&self) -> Option<&Execution> {
        match self {
            Source::Image(image) => Some(image.execution()),
            _ => None,
        }
    }
}

/// Downloads an archive, unless it was. What was kept and is no longer what it was is downloaded again.
fn download(
    url: &str,
    sum: &Sum,
    cache: &Path,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Opened, SourceError> {
    let kept = cache.join("downloads");
    let client = Client::new();
    let mut opened = None;
    for _ in 0..2 {
        let path = fetch::fetch(&kept, Wanted { url, sum }, &client, progress)?;
        let mut found = Opened::new(&path, progress)?;
        if found.sum == *sum {
            found.name = Some(fetch::name(url));
            return Ok(found);
        }
        file::remove(&path)?;
        opened = Some(found);
    }
    let found = opened.map_or([0; 32], |opened| opened.sum);
    Err(SourceError::Sum {
        path: kept,
        expected: digest::hex(sum),
        found: digest::hex(&found),
    })
}

fn spool(cache: &Path) -> Result<Spool, FileError> {
    Spool::new(cache).map_err(failed("write into", cache))
}

impl Opened {
    /// Opens a file and reads all of it.
    fn new(path: &Path, progress: &mut dyn FnMut(u64, u64)) -> Result<Opened, FileError> {
        let mut file = File::open(path).map_err(failed("open", path))?;
        let size = file.metadata().map_err(failed("read", path))?.len();
        let mut watched = Watched {
            inner: &mut file,
            done: 0,
            total: size,
            progress,
        };
        let sum = digest::of_reader(&mut watched).map_err(failed("read", path))?;
        file.rewind().map_err(failed("read", path))?;
        Ok(Opened {
            path: path.to_owned(),
            name: None,
            file,
            sum,
            size,
        })
    }

    /// Refuses another file than the one with this sum.
    fn expect(&self, expected: Option<Sum>) -> Result<(), SourceError> {
        match expected {
            Some(expected) if expected != self.sum => Err(SourceError::Sum {
                path: self.path.clone(),
                expected: digest::hex(&expected),
                found: digest::hex(&self.sum),
            }),
            _ => Ok(()),
        }
    }

    fn told(&self) -> String {
        let sum = digest::hex(&self.sum);
        let path = self.path.display().to_string();
        let name = self.name.as_ref().unwrap_or(&path);
        format!("{name} (sha256 {}…)", &sum[..12])
    }
}

fn read_archive(
    opened: &mut Opened,
    strip: usize,
    spool: &mut Spool,
    warn: &mut dyn FnMut(String),
    progress: &mut dyn FnMut(u64, u64),
) -> io::Result<Tree> {
    let watched = Watched {
        inner: &mut opened.file,
        done: 0,
        total: opened.size,
        progress,
    };
    let mut archive = Archive::new(decompressed(watched)?);
    let unpacked = tree::unpack(&mut archive, strip, spool)?;
    if unpacked.acls > 0 {
        warn(format!(
            "the access control lists of {} files in `{}` are left out",
            unpacked.acls,
            opened.path.display()
        ));
    }
    Ok(unpacked.tree)
}

/// Tells how far a file is read.
struct Watched<'a, R> {
    inner: R,
    done: u64,
    total: u64,
    progress: &'a mut dyn FnMut(u64, u64),
}

impl<R: Read> Read for Watched<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.done += count as u64;
        (self.progress)(self.done, self.total);
        Ok(count)
    }
}

/// A sum from its hexadecimal digits.
fn sum(hex: &str) -> Result<Sum, SourceError> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let bytes = hex.as_bytes();
    let sum: Option<Vec<u8>> = bytes
        .chunks(2)
        .map(|pair| Some(digit(pair[0])? << 4 | digit(*pair.get(1)?)?))
        .collect();
    sum.and_then(|sum| sum.try_into().ok())
        .ok_or_else(|| SourceError::NotASum(hex.to_owned()))
}

/// What the layer of a directory depends on. A file's contents are taken to be unchanged as long as its inode is: the
/// change time cannot be set back.
fn add_directory(tree: &Path, inputs: &mut Inputs) -> Result<(), FileError> {
    use std::os::unix::fs::MetadataExt;
    let mut pending = vec![tree.to_owned()];
    while let Some(path) = pending.pop() {
        let found = if path == tree {
            std::fs::metadata(&path)
        } else {
            std::fs::symlink_metadata(&path)
        };
        let found = found.map_err(failed("read", &path))?;
        let name = path.strip_prefix(tree).unwrap_or(&path);
        inputs.add(name.as_os_str().as_bytes());
        let numbers = [
            u64::from(found.mode()),
            u64::from(found.uid()),
            u64::from(found.gid()),
            found.mtime() as u64,
            found.mtime_nsec() as u64,
            // Nothing else tells of an extended attribute.
            found.ctime() as u64,
            found.ctime_nsec() as u64,
        ];
        numbers
            .iter()
            .for_each(|number| inputs.add(number.to_le_bytes()));
        if found.is_dir() {
            pending.extend(file::sorted(&path)?);
        } else {
            let numbers = [found.ino(), found.size()];
            numbers
                .iter()
                .for_each(|number| inputs.add(number.to_le_bytes()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn every_change_of_a_directory_changes_its_inputs() {
        let dir = tempfile::tempdir().unwrap();
        let tree = dir.path();
        let inputs = || {
            let mut inputs = Inputs::of_stage("test");
            add_directory(tree, &mut inputs).unwrap();
            inputs.finish()
        };
        let mut seen = vec![inputs()];
        let mut differs = |what: &str| {
            let now = inputs();
            assert_eq!(now, inputs(), "{what}");
            assert!(!seen.contains(&now), "{what}");
            seen.push(now);
        };
        fs::write(tree.join("a"), "one").unwrap();
        differs("a new file");
        fs::write(tree.join("a"), "two").unwrap();
        differs("other contents");
        fs::set_permissions(tree.join("a"), fs::Permissions::from_mode(0o600)).unwrap();
        differs("another mode");
        fs::rename(tree.join("a"), tree.join("b")).unwrap();
        differs("another name");
        std::os::unix::fs::symlink("b", tree.join("c")).unwrap();
        differs("a link");
        fs::create_dir(tree.join("d")).unwrap();
        differs("a directory");
    }

    #[test]
    fn a_source_is_wanted_exactly_where_it_means_something() {
        let dir = tempfile::tempdir().unwrap();
        let (here, none) = (dir.path(), dir.path().join("none"));
        let check = |root: &str, path| {
            let distribution = serde_yaml::from_str(&format!("summary: a test\nroot: {root}"));
            let given = Given {
                name: "it",
                path,
                sha256: None,
                tag: None,
                wishes: Wishes::default(),
            };
            check(&distribution.unwrap(), given)
        };
        assert!(check("empty", None).is_ok());
        assert!(check("empty", Some(here)).is_err());
        assert!(check("directory", None).is_err());
        assert!(check("directory", Some(&none)).is_err());
        assert!(check("directory", Some(here)).is_ok());
        assert!(check("{tarball: {}}", None).is_err());
        assert!(check("{tarball: {}}", Some(here)).is_err());
    }

    #[test]
    fn sums_are_64_digits() {
        let hex = digest::hex(&digest::of(b"it"));
        assert_eq!(sum(&hex).unwrap(), digest::of(b"it"));
        assert_eq!(sum(&hex.to_uppercase()).unwrap(), digest::of(b"it"));
        for wrong in [
            &hex[1..],
            "",
            &format!("{hex}00"),
            &"g".repeat(64),
            &"é".repeat(32),
        ] {
            assert!(sum(wrong).is_err(), "{wrong}");
        }
    }
}
