//! Access control lists as the kernel passes them: the attributes `system.posix_acl_access` and
//! `system.posix_acl_default`.
//!
//! A version of 32 bits, then entries of 8 bytes: a tag and permissions of 16 bits, an id of 32, all in little-endian
//! order (`include/uapi/linux/posix_acl_xattr.h` of the kernel).

/// What the names of these attributes start with.
pub(crate) const PREFIX: &[u8] = b"system.posix_acl_";

/// The tag of an entry for a user (`ACL_USER`).
const USER: u16 = 0x02;

/// The tag of an entry for a group (`ACL_GROUP`).
const GROUP: u16 = 0x08;

/// Bytes in front of the entries.
const HEADER: usize = 4;

/// Bytes of an entry.
const ENTRY: usize = 8;

/// The list with the ids of users and groups as these functions map them, and without the entries for which they
/// answer `None`.
pub(crate) fn mapped(
    list: &[u8],
    user: impl Fn(u32) -> Option<u32>,
    group: impl Fn(u32) -> Option<u32>,
) -> Vec<u8> {
    let (header, entries) = list.split_at(HEADER.min(list.len()));
    let mut out = header.to_vec();
    for entry in entries.chunks(ENTRY) {
        let Some(&[tag0, tag1, permissions0, permissions1, a, b, c, d]) = entry.first_chunk()
        else {
            out.extend_from_slice(entry);
            continue;
        };
        let id = u32::from_le_bytes([a, b, c, d]);
        let id = match u16::from_le_bytes([tag0, tag1]) {
            USER => user(id),
            GROUP => group(id),
            _ => Some(id),
        };
        if let Some(id) = id {
            out.extend([tag0, tag1, permissions0, permissions1]);
            out.extend(id.to_le_bytes());
        }
    }
    out
}
