//! Who programs of an image run as.

use serde::{Deserialize, Serialize};

use crate::tree::{Spool, Tree};

/// Lists of users are short.
const MOST: u64 = 1 << 20;

/// A user of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Name, when the image has one for it.
    pub(crate) name: Option<String>,
    pub(crate) home: String,
}

impl User {
    /// The user that `user`, `user:group`, `uid` or `uid:gid` names in an image; root when it is empty.
    pub(super) fn find(wanted: &str, merged: &mut Tree, spool: &mut Spool) -> Option<User> {
        let mut lines = |name: &str| {
            let node = merged.find(name.as_bytes()).cloned();
            let bytes = node.and_then(|node| spool.read(&node, MOST).ok());
            String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned()
        };
        User::of(wanted, &lines("/etc/passwd"), &lines("/etc/group"))
    }

    fn of(wanted: &str, passwd: &str, group: &str) -> Option<User> {
        let (user, in_group) = match wanted.split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (wanted, None),
        };
        let user = if user.is_empty() { "0" } else { user };
        let number: Option<u32> = user.parse().ok();
        let entries = passwd.lines().filter_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            let uid: u32 = fields.nth(1)?.parse().ok()?;
            let gid: u32 = fields.next()?.parse().ok()?;
            Some((name, uid, gid, fields.nth(1).unwrap_or("/")))
        });
        let mut entries = entries.filter(|entry| match number {
            Some(number) => entry.1 == number,
            None => entry.0 == user,
        });
        let mut found = match entries.next() {
            Some((name, uid, gid, home)) => User {
                uid,
                gid,
                name: Some(name.to_owned()),
                home: if home.is_empty() { "/" } else { home }.to_owned(),
            },
            None => User {
                uid: number?,
                gid: 0,
                name: None,
                home: if number == Some(0) { "/root" } else { "/" }.to_owned(),
            },
        };
        if let Some(wanted) = in_group {
            let number: Option<u32> = wanted.parse().ok();
            let named = || {
                let mut lines = group.lines();
                lines.find_map(|line| {
                    let mut fields = line.split(':');
                    let is_it = fields.next() == Some(wanted);
                    is_it.then(|| fields.nth(1)?.parse().ok()).flatten()
                })
            };
            found.gid = number.or_else(named)?;
        }
        Some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nweb:x:33:34::/srv/web:/bin/false\nbad\n";
    const GROUP: &str = "root:x:0:\nstaff:x:50:web\n";

    #[test]
    fn users_are_found_by_name_and_number() {
        let found = |wanted| {
            let user = User::of(wanted, PASSWD, GROUP)?;
            Some((user.uid, user.gid, user.home))
        };
        let user = |uid, gid, home: &str| Some((uid, gid, home.to_owned()));
        assert_eq!(found(""), user(0, 0, "/root"));
        assert_eq!(found("web"), user(33, 34, "/srv/web"));
        assert_eq!(found("33"), user(33, 34, "/srv/web"));
        assert_eq!(found("web:staff"), user(33, 50, "/srv/web"));
        assert_eq!(found("1000:7"), user(1000, 7, "/"));
        assert_eq!(found("1000"), user(1000, 0, "/"));
        assert_eq!(found("nobody"), None);
        assert_eq!(found("web:none"), None);
        assert_eq!(User::of("", "", "").unwrap().home, "/root");
    }
}
