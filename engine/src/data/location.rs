//! Where the data directory of an image is.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::sys::statfs::{FUSE_SUPER_MAGIC, statfs};
use nix::unistd::{AccessFlags, faccessat, geteuid};
use sha2::{Digest, Sha256};

use super::first_of_root;
use crate::host::Host;

/// Bytes of an image's name that the name of a directory in the user's home keeps.
const LONGEST_NAME: usize = 180;
/// Digits of the hash of the image's path in that name.
const DIGITS: usize = 16;

/// Why a data directory is where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// `FIM_DIR_DATA` says so.
    Given,
    /// It is beside the image, as it is unless something speaks against it.
    Beside,
    /// In the user's home: the directory of the image is not the user's to write.
    Home,
}

impl Origin {
    /// The reason for a sentence.
    pub fn words(self) -> &'static str {
        match self {
            Origin::Given => "FIM_DIR_DATA",
            Origin::Beside => "beside the image",
            Origin::Home => "the directory of the image cannot be written",
        }
    }
}

/// The place of a data directory, whether there is one or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// Its path.
    pub path: PathBuf,
    /// Why it is there.
    pub origin: Origin,
}

/// Where the data directory of `image` is: what `FIM_DIR_DATA` says; else beside the image; else, where the caller
/// cannot write that directory, in `$XDG_DATA_HOME/flatimage` (`~/.local/share` unless that is set, as in the XDG base
/// directory specification), under a name with a hash of the image's path.
pub fn locate(host: &Host, image: &Path) -> Location {
    let variable = |name| host.environment.get(name).filter(|value| !value.is_empty());
    let given = variable("FIM_DIR_DATA").filter(|given| !is_anothers(variable, given, image));
    if let Some(given) = given {
        return Location {
            path: std::path::absolute(given).unwrap_or_else(|_| PathBuf::from(given)),
            origin: Origin::Given,
        };
    }
    let name = image.file_name().unwrap_or_default().to_string_lossy();
    let beside = image.with_file_name(format!(".{name}.data"));
    // A relative path counts as none (XDG base directory specification).
    let absolute = |path: &PathBuf| path.is_absolute();
    let home = || variable("HOME").map(|home| Path::new(home).join(".local/share"));
    let share = variable("XDG_DATA_HOME")
        .map(PathBuf::from)
        .filter(absolute);
    match share.or_else(home).filter(absolute) {
        Some(share) if !is_usable(&beside) => Location {
            path: share.join("flatimage").join(name_at_home(&name, image)),
            origin: Origin::Home,
        },
        _ => Location {
            path: beside,
            origin: Origin::Beside,
        },
    }
}

/// Whether `given` is what another image has told its programs of itself, of which this image is one.
///
/// Those have it together with that image's path and the directory of layers in it; whoever chooses another one leaves that as it is.
fn is_anothers<'a>(
    variable: impl Fn(&'static str) -> Option<&'a String>,
    given: &str,
    image: &Path,
) -> bool {
    let of_another = variable("FIM_BIN_SELF").is_some_and(|other| Path::new(other) != image);
    let layers = variable("FIM_DIR_LAYERS");
    of_another && layers.is_some_and(|layers| *Path::new(layers) == Path::new(given).join("layers"))
}

impl Location {
    /// Makes the directories around one in the user's home. False when that cannot be.
    pub fn prepare(&self) -> bool {
        let parent = self.path.parent().filter(|_| self.origin == Origin::Home);
        let made = |parent| {
            let mut builder = fs::DirBuilder::new();
            builder.recursive(true).mode(0o700).create(parent)
        };
        parent.map_or(Ok(()), made).is_ok()
    }
}

/// Whether there is a data directory of the caller's, or one could be made. Somebody else's beside an image that many
/// share is no reason to refuse a start.
fn is_usable(beside: &Path) -> bool {
    let owned = fs::metadata(beside).is_ok_and(|found| match geteuid().as_raw() {
        0 => [0, first_of_root()].contains(&found.uid()),
        caller => found.uid() == caller,
    });
    match owned {
        true => is_writable(beside),
        false => beside.parent().is_some_and(is_writable),
    }
}

/// Asked of the kernel, which knows read-only filesystems and access lists; of a FUSE filesystem only its server knows.
fn is_writable(directory: &Path) -> bool {
    permits(directory) && (!is_fuse(directory) || can_make_directories(directory))
}

fn is_fuse(directory: &Path) -> bool {
    statfs(directory).is_ok_and(|found| found.filesystem_type() == FUSE_SUPER_MAGIC)
}

/// Tries it: one that is read-only says so of no directory, only when it is asked to change something.
fn can_make_directories(directory: &Path) -> bool {
    let probe = directory.join(format!(".{}.data", std::process::id()));
    let made = fs::DirBuilder::new().mode(0o700).create(&probe);
    made.and_then(|()| fs::remove_dir(&probe)).is_ok()
}

fn permits(directory: &Path) -> bool {
    let wanted = AccessFlags::W_OK | AccessFlags::X_OK;
    let answer = faccessat(AT_FDCWD, directory, wanted, AtFlags::AT_EACCESS);
    // What cannot be examined for another reason is told when it is used.
    !matches!(
        answer.map_err(|error| io::Error::from(error).kind()),
        Err(io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
    )
}

fn name_at_home(name: &str, image: &Path) -> String {
    let mut end = name.len().min(LONGEST_NAME);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    let digest = Sha256::digest(image.as_os_str().as_bytes());
    let digits: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{}.data", &name[..end], &digits[..DIGITS])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_image_tells_its_programs_is_not_meant() {
        let image = Path::new("/apps/inner");
        let told = |data: &str, layers: &str, other: &str| {
            let texts = [("FIM_BIN_SELF", other), ("FIM_DIR_LAYERS", layers)];
            let texts = texts.map(|(name, text)| (name, text.to_owned()));
            let variable = |name| texts.iter().find(|(known, _)| *known == name);
            let variable = |name| variable(name).map(|(_, text)| text);
            is_anothers(variable, data, image)
        };
        assert!(told("/d", "/d/layers", "/apps/outer"));
        assert!(!told("/chosen", "/d/layers", "/apps/outer"));
        assert!(!told("/d", "/d/layers", "/apps/inner"));
        assert!(!is_anothers(|_| None, "/d", image));
    }

    #[test]
    fn images_of_one_name_have_directories_of_their_own_and_a_long_name_fits() {
        let name = |path: &str| {
            let path = Path::new(path);
            name_at_home(&path.file_name().unwrap().to_string_lossy(), path)
        };
        assert_ne!(name("/a/app"), name("/b/app"));
        assert_eq!(name("/a/app"), name("/a/app"));
        assert!(name("/a/app").starts_with("app-") && name("/a/app").ends_with(".data"));
        let long = format!("/a/{}", "ü".repeat(120));
        assert!(name(&long).len() < 255);
    }
}
