//! The number that stands for the machine.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use sha2::{Digest, Sha256};

/// Where programs find it (machine-id(5)).
pub const MACHINE_ID: &str = "/etc/machine-id";

/// 32 hexadecimal digits for the container of a data directory. They stay the same as long as the host and the place of
/// the data directory do, and the host's number cannot be told from them (as `sd_id128_get_machine_app_specific(3)`).
pub fn machine_id(host: Option<&str>, data: &Path) -> String {
    let mut digest = Sha256::new();
    digest.update(b"flatimage machine\0");
    digest.update(host.unwrap_or_default());
    digest.update(b"\0");
    digest.update(data.as_os_str().as_bytes());
    let digest: [u8; 32] = digest.finalize().into();
    let mut id = [0; 16];
    id.copy_from_slice(&digest[..16]);
    // A random UUID, which is what systemd makes.
    id[6] = id[6] & 0x0f | 0x40;
    id[8] = id[8] & 0x3f | 0x80;
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_data_directories_have_numbers_of_their_own() {
        let id = |host, data| machine_id(host, Path::new(data));
        let one = id(Some("a"), "/d");
        assert_eq!(one.len(), 32);
        assert_eq!(&one[12..13], "4");
        assert_eq!(one, id(Some("a"), "/d"));
        assert_ne!(one, id(Some("b"), "/d"));
        assert_ne!(one, id(Some("a"), "/e"));
        assert_ne!(one, id(None, "/d"));
    }
}
