//! Who the program is: from the caller, the settings, and whether it is to be root.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::accounts::Accounts;
use super::base::TOOLS;
use super::effects::inside;
use super::error::PlanError;
use super::{IdMap, Identity};
use crate::host::Host;

/// Where root is at home.
pub const ROOT_HOME: &str = "/root";

/// Who the program is, and where it is at home.
pub struct Person {
    /// Ids, inside and outside.
    pub identity: Identity,
    /// Name to log in with.
    pub name: String,
    /// Home directory.
    pub home: PathBuf,
    shell: String,
}

impl Person {
    /// The settings `UID`, `GID`, `USER` and `HOME` come first, then the caller; a number that
    /// is none is the caller's. As root inside, only names and paths can be set.
    pub fn new(
        set: &BTreeMap<String, String>,
        host: &Host,
        as_root: bool,
        map: IdMap,
    ) -> Result<Person, PlanError> {
        let number = |name: &str| set.get(name).and_then(|value| value.parse().ok());
        let text = |name: &str| set.get(name).filter(|value| !value.is_empty()).cloned();
        let (uid, gid) = match as_root {
            true => (0, 0),
            false => (
                number("UID").unwrap_or(host.uid),
                number("GID").unwrap_or(host.gid),
            ),
        };
        if let Some(id) = map.missing(uid, gid) {
            return Err(PlanError::Id {
                id,
                last: map.count() - 1,
            });
        }
        let name = if as_root {
            "root".to_owned()
        } else {
            host.account.name.clone()
        };
        let home = if as_root {
            PathBuf::from(ROOT_HOME)
        } else {
            host.account.home.clone()
        };
        let home = text("HOME").map_or(Ok(home), |home| inside(&home, "environment"))?;
        let name = text("USER").unwrap_or(name);
        Ok(Person {
            identity: Identity { uid, gid, map },
            name,
            home,
            shell: text("SHELL").unwrap_or_else(|| format!("{TOOLS}/bin/bash")),
        })
    }

    /// The accounts that programs find.
    pub fn accounts(&self) -> Accounts<'_> {
        let Person {
            identity,
            name,
            home,
            shell,
        } = self;
        Accounts {
            identity,
            name,
            home,
            shell,
        }
    }

    /// Where the user's programs make their sockets.
    pub fn runtime_directory(&self) -> PathBuf {
        PathBuf::from(format!("/run/user/{}", self.identity.uid))
    }

    /// The program's ids in the outer user namespace, where its files are made: a single id is
    /// root there.
    pub fn owner(&self) -> (u32, u32) {
        match self.identity.map {
            IdMap::Single { .. } => (0, 0),
            _ => (self.identity.uid, self.identity.gid),
        }
    }
}
