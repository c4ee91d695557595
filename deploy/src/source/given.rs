//! What the command line says about the source, and whether that makes sense.

use std::path::Path;

use super::SourceError;
use crate::digest::Sum;
use crate::distribution::{Distribution, Root, Tarball};
use crate::mmdebstrap::Wishes;

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
pub(super) fn remote(tarball: &Tarball, given: Given) -> Result<(String, Sum), SourceError> {
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
pub(super) fn expected(tarball: &Tarball, given: Given) -> Result<Option<Sum>, SourceError> {
    match (given.sha256, tarball.files.is_empty()) {
        (Some(hex), _) => sum(hex).map(Some),
        (None, true) => Ok(None),
        (None, false) => remote(tarball, given).map(|(_, sum)| Some(sum)),
    }
}

/// A sum from its hexadecimal digits.
pub(super) fn sum(hex: &str) -> Result<Sum, SourceError> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let bytes = hex.as_bytes();
    let sum: Option<Vec<u8>> = bytes
        .chunks(2)
        .map(|pair| Some(digit(pair[0])? << 4 | digit(*pair.get(1)?)?))
        .collect();
    sum.and_then(|sum| sum.try_into().ok())
        .ok_or_else(|| SourceError::NotASum(hex.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest;

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
    pub(super) fn sums_are_64_digits() {
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
