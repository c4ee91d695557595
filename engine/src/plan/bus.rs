//! A message bus of the host that the container has a part of.

use std::fmt;
use std::path::PathBuf;

use flatimage_reserved::expand::expand;
use serde::Serialize;

use super::error::PlanError;
use crate::host::Host;

/// The program that filters.
const PROXY: &str = "xdg-dbus-proxy";

/// A bus, who filters it, and what passes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Bus {
    /// The program.
    pub proxy: PathBuf,
    /// Address on the host.
    pub address: String,
    /// Names that can be called; `.*` at the end stands for every name below.
    pub talk: &'static [&'static str],
    /// Names that can be owned.
    pub own: &'static [&'static str],
}

impl Bus {
    /// The bus at `address`; `None` when it holds a variable that the host does not set.
    ///
    /// # Errors
    /// When the host has nobody who filters: the bus would be all or nothing.
    pub fn new(
        address: &str,
        [talk, own]: [&'static [&'static str]; 2],
        host: &Host,
        cause: &str,
    ) -> Result<Option<Bus>, PlanError> {
        let address = expand(address, &|name| host.variable(name));
        if !address.unset.is_empty() {
            return Ok(None);
        }
        let proxy = host.program(PROXY).ok_or_else(|| PlanError::NoProgram {
            program: PROXY,
            cause: cause.to_owned(),
        })?;
        Ok(Some(Bus {
            proxy,
            address: address.text,
            talk,
            own,
        }))
    }

    /// The rules as the program takes them.
    pub fn rules(&self) -> impl Iterator<Item = String> {
        let talk = self.talk.iter().map(|name| format!("--talk={name}"));
        talk.chain(self.own.iter().map(|name| format!("--own={name}")))
    }
}

impl fmt::Display for Bus {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Bus { address, proxy, .. } = self;
        write!(to, "of {address}, by {}", proxy.display())?;
        self.rules().try_for_each(|rule| write!(to, " {rule}"))
    }
}
