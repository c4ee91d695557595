//! What belongs to the image on the host, and stays read-only wherever a setting shows it in the container.
//!
//! A program that could write its image would grant itself any permission at the next start; one that could write the
//! data directory beside the root would change what other starts find there.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use flatimage_reserved::effect::Access;

use super::{Action, Request, Step};
use crate::host::Host;

/// The paths, without links.
fn paths(host: &Host, request: &Request) -> Vec<PathBuf> {
    let own = [&request.image.path, &request.data];
    own.into_iter()
        .chain(&request.private)
        .map(|path| match host.files.resolve(path) {
            Some((path, _)) => path,
            None => path.clone(),
        })
        .collect()
}

/// The steps, to be done when everything is mounted. The cause is what shows the path.
///
/// A path that something is mounted on can neither be removed nor replaced in the container (`EBUSY`), and the mount does not
/// let a hard link out (`EXDEV`). The directories on the way there are held in their places, or a program would put others
/// in their stead, with an image of its own making.
pub fn read_only(mounts: &[Step], host: &Host, request: &Request) -> Vec<Step> {
    let paths = paths(host, request);
    let mut steps = Vec::new();
    for step in mounts {
        let Action::Bind {
            source,
            target,
            access,
            ..
        } = &step.action
        else {
            continue;
        };
        if *access == Access::Ro {
            continue;
        }
        let places: Vec<_> = paths
            .iter()
            .filter_map(|path| place(path, source, target))
            .collect();
        let held: BTreeSet<_> = places.iter().flat_map(|place| way(place, target)).collect();
        let held = held.into_iter().map(|target| Action::Hold { target });
        let read_only = places.into_iter().map(|target| Action::ReadOnly { target });
        steps.extend(held.chain(read_only).map(|action| Step {
            action,
            cause: step.cause.clone(),
        }));
    }
    steps
}

/// The directories between `target` and `place`.
fn way(place: &Path, target: &Path) -> Vec<PathBuf> {
    let above = place.ancestors().skip(1);
    let below_target = above.take_while(|at| at.starts_with(target) && *at != target);
    below_target.map(Path::to_owned).collect()
}

/// Where `path`, or a part of it, is in the container when `source` is shown at `target`.
fn place(path: &Path, source: &Path, target: &Path) -> Option<PathBuf> {
    match path.strip_prefix(source) {
        // Of a file itself there is nothing below.
        Ok(rest) if rest.as_os_str().is_empty() => Some(target.to_owned()),
        Ok(rest) => Some(target.join(rest)),
        Err(_) => source.starts_with(path).then(|| target.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_found_below_above_and_at_what_is_shown() {
        let place = |path, source, target| {
            place(Path::new(path), Path::new(source), Path::new(target))
                .map(|place| place.display().to_string())
        };
        assert_eq!(place("/a/b/c", "/a", "/x").as_deref(), Some("/x/b/c"));
        assert_eq!(place("/a/b", "/a/b", "/x").as_deref(), Some("/x"));
        assert_eq!(place("/a/b", "/a/b/c", "/x").as_deref(), Some("/x"));
        assert_eq!(place("/a/bc", "/a/b", "/x"), None);
    }
}
