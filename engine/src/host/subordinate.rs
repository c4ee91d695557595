//! Ids that the host has set aside for the containers of a user (subuid(5), subgid(5)).

use std::path::Path;

use super::{Files, Host};

/// First id and how many, of users and of groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubordinateIds {
    /// User ids.
    pub uids: (u32, u32),
    /// Group ids.
    pub gids: (u32, u32),
}

impl Host {
    /// Those of the caller; `None` when one of the two lists has none. Lists that a directory service keeps are not asked.
    pub fn subordinate_ids(&self) -> Option<SubordinateIds> {
        let names = [self.account.name.clone(), self.uid.to_string()];
        let listed = |files: &dyn Files, path| largest(&files.read(Path::new(path))?, &names);
        Some(SubordinateIds {
            uids: listed(&*self.files, "/etc/subuid")?,
            gids: listed(&*self.files, "/etc/subgid")?,
        })
    }
}

/// The largest range of one of `names` in lines of `name:first:count`.
fn largest(list: &str, names: &[String; 2]) -> Option<(u32, u32)> {
    let ranges = list.lines().filter_map(|line| {
        let mut fields = line.trim().split(':');
        let (name, first, count) = (fields.next()?, fields.next()?, fields.next()?);
        let (first, count): (u32, u32) = (first.parse().ok()?, count.parse().ok()?);
        let is_sound = first > 0 && first.checked_add(count).is_some();
        (names.iter().any(|own| own == name) && is_sound).then_some((first, count))
    });
    // The first of several that are as large.
    ranges
        .rev()
        .max_by_key(|(_, count)| *count)
        .filter(|(_, count)| *count > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_range_of_the_user_counts() {
        let names = ["ana".to_owned(), "1000".to_owned()];
        let list = "bo:100000:65536\nana:165536:10\n1000:300000:65536\n# ana:1:70000\nana:0:99999\nana:x:1\nana:4294967295:2\n";
        assert_eq!(largest(list, &names), Some((300_000, 65_536)));
        assert_eq!(largest("bo:100000:65536\nana:1:0\n", &names), None);
    }
}
