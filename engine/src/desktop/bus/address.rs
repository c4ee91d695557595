//! Where a bus listens.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// A unix socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// One in the filesystem.
    Path(PathBuf),
    /// One in the abstract namespace.
    Abstract(Vec<u8>),
}

impl Address {
    /// Those of a list in the form of `DBUS_SESSION_BUS_ADDRESS` that are unix sockets; others are left out.
    pub fn list(text: &str) -> Vec<Address> {
        text.split(';').filter_map(Address::parse).collect()
    }

    fn parse(text: &str) -> Option<Address> {
        let pairs = text.strip_prefix("unix:")?.split(',');
        let found = pairs.filter_map(|pair| pair.split_once('='));
        found.into_iter().find_map(|(key, value)| match key {
            "path" => Some(Address::Path(OsString::from_vec(unescaped(value)?).into())),
            "abstract" => Some(Address::Abstract(unescaped(value)?)),
            _ => None,
        })
    }
}

/// A value, in which `%` and two digits stand for a byte.
fn unescaped(text: &str) -> Option<Vec<u8>> {
    let mut parts = text.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend(rest.as_bytes());
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unix_sockets_are_found_among_addresses() {
        let path = |path: &str| Address::Path(path.into());
        assert_eq!(
            Address::list("unix:path=/run/user/1000/bus"),
            [path("/run/user/1000/bus")]
        );
        assert_eq!(
            Address::list(
                "autolaunch:;tcp:host=a,port=1;unix:abstract=/tmp/x,guid=00;unix:guid=1,path=/a%20b%2cc"
            ),
            [Address::Abstract(b"/tmp/x".into()), path("/a b,c")]
        );
        for nothing in [
            "",
            "unix:",
            "unix:path",
            "unix:path=/a%2",
            "unix:path=%zz",
            "path=/a",
        ] {
            assert_eq!(Address::list(nothing), [], "{nothing}");
        }
    }
}
