//! What to build.

use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::mmdebstrap::Wishes;
use crate::source::Given;
use crate::{DEFAULT_LEVEL, DEFAULT_RESERVED_SIZE};

/// What to build.
#[derive(Debug, Clone)]
pub struct Options {
    /// Name of the distribution: a file of `deploy/distributions/` without its extension.
    pub distribution: String,
    /// What the image says that its distribution is, in place of that name.
    pub dist: Option<String>,
    /// A table of the tools in place of the one that the build makes: it may leave tools out and give them other links.
    pub tools_json: Option<PathBuf>,
    /// What is told about the tools in place of what the build tells.
    pub meta_json: Option<PathBuf>,
    /// What the distribution is made from, when it takes something.
    pub source: Option<PathBuf>,
    /// SHA-256 that `source` must have, in hexadecimal, when it is a file.
    pub sha256: Option<String>,
    /// Address of the mirror instead of that of the distribution.
    pub mirror: Option<String>,
    /// Release of the distribution, where it has several.
    pub suite: Option<String>,
    /// Packages beside those of the distribution.
    pub include: Vec<String>,
    /// Whether packages are fetched again that were fetched before.
    pub refresh: bool,
    /// Which image of `source` is meant, when it has several.
    pub tag: Option<String>,
    /// Name of the image; the distribution's, or that of `source`, when none.
    pub name: Option<String>,
    /// Where distributions are looked for first.
    pub distributions: Option<PathBuf>,
    /// Where static `bash` and `busybox` are looked for first.
    pub tools: Option<PathBuf>,
    /// Size of the reserved space in bytes.
    pub reserved_size: u64,
    /// Where the image is written.
    pub out: PathBuf,
    /// Compression level of the layer, 0 (fast) to 9 (small).
    pub level: u8,
    /// The workspace that the runtime is compiled from: that of this program, or one with the same declaration.
    pub workspace: PathBuf,
}

impl Options {
    /// The defaults for a distribution, with the workspace that this program was compiled from.
    pub fn new(distribution: impl Into<String>) -> Options {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
        Options {
            distribution: distribution.into(),
            dist: None,
            tools_json: None,
            meta_json: None,
            source: None,
            sha256: None,
            mirror: None,
            suite: None,
            include: Vec::new(),
            refresh: false,
            tag: None,
            name: None,
            distributions: None,
            tools: None,
            reserved_size: DEFAULT_RESERVED_SIZE,
            out: "dist".into(),
            level: DEFAULT_LEVEL,
            workspace: manifest.parent().unwrap_or(manifest).to_owned(),
        }
    }

    /// Where distributions are looked for, in this order.
    pub(crate) fn places(&self) -> Vec<PathBuf> {
        let own = self.workspace.join("deploy/distributions");
        self.distributions.iter().cloned().chain([own]).collect()
    }

    pub(crate) fn given(&self) -> Given<'_> {
        Given {
            name: &self.distribution,
            path: self.source.as_deref(),
            sha256: self.sha256.as_deref(),
            tag: self.tag.as_deref(),
            wishes: Wishes {
                suite: self.suite.as_deref(),
                mirror: self.mirror.as_deref(),
                include: &self.include,
                refresh: self.refresh,
            },
        }
    }

    pub(crate) fn image_name(&self) -> Result<String, Error> {
        let of_source = || {
            let name = self.source.as_ref()?.file_name()?.to_string_lossy();
            Some(without_ending(&name).to_owned())
        };
        let name = self.name.clone().or_else(of_source);
        let name = name.unwrap_or_else(|| self.distribution.clone());
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._+-".contains(&byte);
        let first = name
            .bytes()
            .next()
            .is_some_and(|byte| byte.is_ascii_alphanumeric());
        if first && name.bytes().all(plain) {
            Ok(name)
        } else {
            Err(Error::Name(name))
        }
    }
}

/// The name of an archive without what says that it is one.
fn without_ending(name: &str) -> &str {
    let endings = [".gz", ".xz", ".zst", ".tgz", ".txz", ".tzst"];
    let shorter = endings.iter().find_map(|ending| name.strip_suffix(ending));
    let name = shorter.unwrap_or(name);
    name.strip_suffix(".tar").unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_named_by_what_it_is_made_from() {
        let name = |source: &str, name: Option<&str>| {
            let options = Options {
                source: Some(source.into()),
                name: name.map(str::to_owned),
                ..Options::new("tarball")
            };
            options.image_name()
        };
        for (source, expected) in [
            ("/a/root.tar.gz", "root"),
            ("root-1.0.tgz", "root-1.0"),
            ("root.tar", "root"),
            ("root", "root"),
        ] {
            assert_eq!(name(source, None).unwrap(), expected);
        }
        assert_eq!(name("/a/root.tar", Some("it")).unwrap(), "it");
        for wrong in ["", ".it", "a/b", "../it", "a b"] {
            assert!(name("root.tar", Some(wrong)).is_err(), "{wrong}");
        }
        assert_eq!(Options::new("debian").image_name().unwrap(), "debian");
    }
}
