//! Directories of this host that are sources.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::digest::Inputs;
use crate::file::{self, FileError, failed};

/// What the layer of a directory depends on. A file's contents are taken to be unchanged as long as its inode is: the
/// change time cannot be set back.
pub(super) fn add_directory(tree: &Path, inputs: &mut Inputs) -> Result<(), FileError> {
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
}
