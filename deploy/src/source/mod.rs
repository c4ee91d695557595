//! The root filesystem stage: what layers are made from, found, checked and read.

mod directory;
mod error;
mod given;
mod opened;

use std::io;
use std::path::{Path, PathBuf};

use crate::archive::{Archive, decompressed};
use crate::digest::{self, Inputs};
use crate::distribution::{Additions, Distribution, Root};
use crate::file::{FileError, failed};
use crate::mmdebstrap;
use crate::oci::{Execution, Image, User};
use crate::tree::{self, Spool, Tree};

use directory::add_directory;
pub use error::SourceError;
pub(crate) use given::{Given, check};
use given::{expected, remote, sum};
use opened::{Opened, Watched, download};

/// Where archives are kept that were made of packages.
const PACKAGES: &str = "mmdebstrap";

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

/// Refuses a host that cannot have what a distribution is made from, before anything is done.
pub(crate) fn check_host(
    distribution: &Distribution,
    given: Given,
    cache: &Path,
) -> Result<(), SourceError> {
    match (&distribution.root, given.path) {
        (Root::Mmdebstrap(_), None) => Ok(mmdebstrap::check(&cache.join(PACKAGES), given.name)?),
        _ => Ok(()),
    }
}

/// What would be done to have what a distribution is made from, for people.
pub(crate) fn planned(distribution: &Distribution, given: Given) -> Result<String, SourceError> {
    check(distribution, given)?;
    Ok(match (&distribution.root, given.path) {
        (Root::Tarball(tarball), None) => {
            let (url, sum) = remote(tarball, given)?;
            format!("download `{url}`, SHA-256 {}", digest::hex(&sum))
        }
        (Root::Mmdebstrap(packages), None) => {
            let (options, mirror) = mmdebstrap::arguments(packages, given.wishes);
            let words = [&options[..], &["-".to_owned()], &mirror].concat();
            format!("`mmdebstrap {}`", words.join(" "))
        }
        (_, Some(path)) => format!("read `{}`", path.display()),
        (_, None) => "nothing to read".to_owned(),
    })
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
                let kept = cache.join(PACKAGES);
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

fn spool(cache: &Path) -> Result<Spool, FileError> {
    Spool::new(cache).map_err(failed("write into", cache))
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
