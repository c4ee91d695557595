//! The accounts that programs find in `/etc/passwd` and `/etc/group`.
//!
//! A root without these files gets them from the skeleton. In a root that has its own, the
//! program's user may be missing; then a line more is shown, which is not written anywhere.

use std::path::Path;

use super::{Action, Identity};

const PASSWD: &str = "/etc/passwd";
const GROUP: &str = "/etc/group";

/// The accounts of one start.
pub struct Accounts<'a> {
    /// Who the program is.
    pub identity: &'a Identity,
    /// Name to log in with.
    pub name: &'a str,
    /// Home directory.
    pub home: &'a Path,
    /// Login shell.
    pub shell: &'a str,
}

impl Accounts<'_> {
    fn passwd(&self) -> String {
        let Identity { uid, gid, .. } = self.identity;
        let (name, home) = (field(self.name), field(&self.home.to_string_lossy()));
        format!("{name}:x:{uid}:{gid}:{name}:{home}:{}", field(self.shell))
    }

    fn group(&self) -> String {
        format!("{}:x:{}:", field(self.name), self.identity.gid)
    }

    /// The files for a root that has none.
    pub fn files(&self) -> [(&'static str, String); 2] {
        let root = format!("root:x:0:0:root:/root:{}", field(self.shell));
        let nobody = "nobody:x:65534:65534:nobody:/nonexistent:/bin/false";
        [
            (
                PASSWD,
                lines(self.identity.uid, &root, nobody, &self.passwd()),
            ),
            (
                GROUP,
                lines(
                    self.identity.gid,
                    "root:x:0:",
                    "nogroup:x:65534:",
                    &self.group(),
                ),
            ),
        ]
    }

    /// The lines for a root that has the files. Root inside may change them, which a mount in
    /// their place would prevent, and has an account in every distribution.
    pub fn actions(&self) -> Vec<Action> {
        let Identity { uid, gid, .. } = *self.identity;
        let account = |target: &str, id, line| Action::Account {
            target: target.into(),
            id,
            line,
        };
        match uid {
            0 => Vec::new(),
            _ => vec![
                account(PASSWD, uid, self.passwd()),
                account(GROUP, gid, self.group()),
            ],
        }
    }
}

/// Neither a colon nor a newline can stand in a field.
fn field(text: &str) -> String {
    text.replace([':', '\n'], "_")
}

fn lines(id: u32, root: &str, nobody: &str, own: &str) -> String {
    match id {
        0 => format!("{own}\n{nobody}\n"),
        65_534 => format!("{root}\n{own}\n"),
        _ => format!("{root}\n{nobody}\n{own}\n"),
    }
}

/// `contents` with `line` at the end, unless there is a line for `id` already.
pub fn with_account(contents: &str, id: u32, line: &str) -> Option<String> {
    let has = |line: &str| line.split(':').nth(2).and_then(|field| field.parse().ok()) == Some(id);
    if contents.lines().any(has) {
        return None;
    }
    let separator = if contents.is_empty() || contents.ends_with('\n') {
        ""
    } else {
        "\n"
    };
    Some(format!("{contents}{separator}{line}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::IdMap;

    #[test]
    fn a_line_is_added_only_for_an_id_without_one() {
        assert_eq!(with_account("a:x:1:1::/:/s\n", 1, "b:x:1:"), None);
        assert_eq!(
            with_account("a:x:1:1::/:/s", 2, "b:x:2:").unwrap(),
            "a:x:1:1::/:/s\nb:x:2:\n"
        );
        assert_eq!(with_account("", 2, "b:x:2:").unwrap(), "b:x:2:\n");
    }

    #[test]
    fn names_cannot_make_further_fields_or_lines() {
        let identity = Identity {
            uid: 7,
            gid: 8,
            map: IdMap::Single { uid: 7, gid: 8 },
        };
        let accounts = Accounts {
            identity: &identity,
            name: "a:0:0\nroot",
            home: Path::new("/h:1"),
            shell: "/s",
        };
        assert_eq!(accounts.passwd(), "a_0_0_root:x:7:8:a_0_0_root:/h_1:/s");
        let [(_, passwd), (_, group)] = accounts.files();
        assert_eq!((passwd.lines().count(), group.lines().count()), (3, 3));
    }
}
