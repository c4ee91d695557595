//! The extended attributes of the tree: which are kept, as what, and the section that holds them.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use rustix::fs::{lgetxattr, llistxattr};
use rustix::io::Errno;

use super::scan::Tree;
use super::{Owners, PackError};
use crate::acl;
use crate::xattr::{MAGIC, MAX_NAME, MAX_SIZE, MAX_VALUE, VERSION};

/// An attribute: its name and its value.
pub(super) type Attribute = (Vec<u8>, Vec<u8>);

/// Labels and sums that the policy of the host gives to a file; in a container they would mean something else.
const OF_THE_HOST: [&[u8]; 5] = [
    b"security.selinux",
    b"security.apparmor",
    b"security.ima",
    b"security.evm",
    b"security.SMACK64",
];

/// What overlayfs notes about its upper directory, and is meaningless in any other place
/// (`Documentation/filesystems/overlayfs.rst` of the kernel).
const BOOKKEEPING: [&[u8]; 6] = [
    b"origin",
    b"impure",
    b"nlink",
    b"upper",
    b"uuid",
    b"protattr",
];

/// What overlayfs notes about a file or directory whose content is under another name, or in another layer.
const HALF: [&[u8]; 2] = [b"redirect", b"metacopy"];

/// Reads the attributes of files. Keeps its buffers from one to the next.
pub(super) struct Reader {
    names: Vec<u8>,
    value: Vec<u8>,
}

impl Reader {
    pub(super) fn new() -> Reader {
        // Nothing is longer, so one call is enough for each.
        Reader {
            names: vec![0; MAX_VALUE],
            value: vec![0; MAX_VALUE],
        }
    }

    /// The attributes of a file that are kept, sorted by their names.
    pub(super) fn read(
        &mut self,
        path: &Path,
        owners: &Owners,
    ) -> Result<Vec<Attribute>, PackError> {
        let length = match llistxattr(path, &mut self.names[..]) {
            Ok(length) => length,
            Err(Errno::OPNOTSUPP) => 0,
            Err(error) => return Err(PackError::during(path, error.into())),
        };
        let mut found = Vec::new();
        for name in self.names[..length].split(|byte| *byte == 0) {
            if name.is_empty() || !is_kept(path, name)? {
                continue;
            }
            let value = match lgetxattr(path, name, &mut self.value[..]) {
                Ok(length) => &self.value[..length],
                Err(Errno::NODATA) => return Err(PackError::Changed { path: path.into() }),
                Err(error) => return Err(PackError::during(path, error.into())),
            };
            found.push((name.to_vec(), recorded(name, value, owners)));
        }
        found.sort_unstable();
        Ok(found)
    }
}

/// Those attributes of a file that are kept, as they are recorded, sorted by their names.
pub(super) fn kept(
    path: &Path,
    given: &[Attribute],
    owners: &Owners,
) -> Result<Vec<Attribute>, PackError> {
    let mut kept = Vec::new();
    for (name, value) in given {
        let fits = (1..=MAX_NAME).contains(&name.len()) && !name.contains(&0);
        if !fits || value.len() > MAX_VALUE {
            return Err(PackError::Description(
                "an extended attribute is longer than any file can have",
            ));
        }
        if is_kept(path, name)? {
            kept.push((name.clone(), recorded(name, value, owners)));
        }
    }
    kept.sort_unstable();
    Ok(kept)
}

/// Whether an attribute goes into the image.
fn is_kept(path: &Path, name: &[u8]) -> Result<bool, PackError> {
    let overlay = [&b"user.overlay."[..], b"trusted.overlay."];
    let Some(note) = overlay.iter().find_map(|prefix| name.strip_prefix(*prefix)) else {
        return Ok(!OF_THE_HOST.iter().any(|label| name.starts_with(label)));
    };
    if HALF.contains(&note) {
        return Err(PackError::Half { path: path.into() });
    }
    Ok(!BOOKKEEPING.contains(&note))
}

/// The value as it is recorded: ids in it are mapped like owners.
fn recorded(name: &[u8], value: &[u8], owners: &Owners) -> Vec<u8> {
    if name.starts_with(acl::PREFIX) {
        return acl::mapped(value, |id| Some(owners.uid(id)), |id| Some(owners.gid(id)));
    }
    let mut value = value.to_vec();
    if name == b"security.capability" && *owners != Owners::AsFound {
        map_capability(&mut value, owners);
    }
    value
}

/// The third revision of a file capability ends with the uid that is root where it counts; the second counts where uid 0
/// is (`struct vfs_ns_cap_data` in `include/uapi/linux/capability.h` of the kernel).
fn map_capability(value: &mut Vec<u8>, owners: &Owners) {
    const REVISION_2: u8 = 2;
    const REVISION_3: u8 = 3;
    const REVISION_2_SIZE: usize = 20;
    // The revision is the highest byte of the first number.
    if value.len() != REVISION_2_SIZE + 4 || value[3] != REVISION_3 {
        return;
    }
    let root = [value[20], value[21], value[22], value[23]];
    let root = owners.uid(u32::from_le_bytes(root));
    if root == 0 {
        value.truncate(REVISION_2_SIZE);
        value[3] = REVISION_2;
    } else {
        value[REVISION_2_SIZE..].copy_from_slice(&root.to_le_bytes());
    }
}

/// The section for a tree whose inodes are numbered so; `None` when none of them has an attribute.
pub(super) fn section(tree: &Tree, numbers: &[u32]) -> Result<Option<Vec<u8>>, PackError> {
    let mut owners: Vec<(u32, &[Attribute])> = tree
        .inodes
        .iter()
        .zip(numbers)
        .filter(|(inode, _)| !inode.xattrs.is_empty())
        .map(|(inode, number)| (*number, &inode.xattrs[..]))
        .collect();
    if owners.is_empty() {
        return Ok(None);
    }
    owners.sort_unstable_by_key(|(number, _)| *number);
    let sets: BTreeSet<&[Attribute]> = owners.iter().map(|(_, set)| *set).collect();
    let places: HashMap<&[Attribute], u32> = sets.iter().copied().zip(0..).collect();
    let mut heap = Heap::default();
    let (mut firsts, mut attributes) = (Vec::new(), Vec::new());
    let mut count = 0u32;
    for set in &sets {
        push(&mut firsts, [count]);
        for (name, value) in *set {
            let (name, value) = (heap.place(name), heap.place(value));
            push(&mut attributes, [name.0, name.1, value.0, value.1]);
            count += 1;
        }
        heap.check()?;
    }
    push(&mut firsts, [count]);
    let mut section = MAGIC.to_vec();
    push(
        &mut section,
        [VERSION, owners.len() as u32, sets.len() as u32, count],
    );
    for (number, set) in &owners {
        push(&mut section, [*number, places[set]]);
    }
    section.extend([firsts, attributes, heap.bytes].into_iter().flatten());
    match section.len() as u64 > MAX_SIZE {
        true => Err(PackError::Attributes),
        false => Ok(Some(section)),
    }
}

fn push<const N: usize>(bytes: &mut Vec<u8>, numbers: [u32; N]) {
    bytes.extend(numbers.into_iter().flat_map(u32::to_le_bytes));
}

/// Names and values, each once.
#[derive(Default)]
struct Heap<'a> {
    bytes: Vec<u8>,
    places: HashMap<&'a [u8], u32>,
}

impl<'a> Heap<'a> {
    /// Where a string is, and how long. As long as [`Heap::check`] is content, no place is beyond 32 bits.
    fn place(&mut self, string: &'a [u8]) -> (u32, u32) {
        let next = self.bytes.len() as u32;
        let place = *self.places.entry(string).or_insert(next);
        if place == next {
            self.bytes.extend_from_slice(string);
        }
        (place, string.len() as u32)
    }

    fn check(&self) -> Result<(), PackError> {
        match self.bytes.len() as u64 > MAX_SIZE {
            true => Err(PackError::Attributes),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pack::IdRange;

    fn owners() -> Owners {
        let range = |found, recorded| IdRange {
            found,
            recorded,
            count: 10,
        };
        Owners::Mapped {
            uids: vec![range(1000, 0)],
            gids: vec![range(2000, 500)],
        }
    }

    fn words<const N: usize>(numbers: [u32; N]) -> Vec<u8> {
        let mut bytes = Vec::new();
        push(&mut bytes, numbers);
        bytes
    }

    #[test]
    fn ids_in_access_control_lists_are_mapped() {
        // user::rwx, user:1003:r--, group::r-x, group:2001:-wx, mask::rwx, other::---
        let list = |user, group| {
            words([
                2, 0x7_0001, !0, 0x4_0002, user, 0x5_0004, !0, 0x3_0008, group, 0x7_0010, !0, 0x20,
                !0,
            ])
        };
        let name = b"system.posix_acl_default";
        assert_eq!(recorded(name, &list(1003, 2001), &owners()), list(3, 501));
        assert_eq!(recorded(name, &list(5, 6), &Owners::AsFound), list(5, 6));
    }

    #[test]
    fn capabilities_belong_to_the_mapped_root() {
        let third = |root| words([0x300_0001, 0x400, 0, 0, 0, root]);
        let name = b"security.capability";
        assert_eq!(recorded(name, &third(1004), &owners()), third(4));
        let second = words([0x200_0001, 0x400, 0, 0, 0]);
        assert_eq!(recorded(name, &third(1000), &owners()), second);
        assert_eq!(recorded(name, &second, &owners()), second);
    }

    #[test]
    fn marks_of_an_overlay_are_kept_and_its_notes_are_not() {
        let path = Path::new("/some/file");
        let kept = |name: &str| is_kept(path, name.as_bytes());
        for name in [
            "user.overlay.opaque",
            "trusted.overlay.opaque",
            "user.overlay.whiteout",
            "user.mime_type",
            "security.capability",
            "system.posix_acl_access",
        ] {
            assert!(kept(name).unwrap(), "{name}");
        }
        for name in [
            "user.overlay.origin",
            "trusted.overlay.impure",
            "security.selinux",
        ] {
            assert!(!kept(name).unwrap(), "{name}");
        }
        let error = kept("user.overlay.redirect").unwrap_err().to_string();
        assert!(
            error.starts_with("`/some/file` ") && !error.contains('\n'),
            "{error}"
        );
    }
}
