//! `fim-instance`: which instances run, and further programs in them.

use std::ffi::OsString;

use super::{Session, print};
use crate::data;
use crate::data::instances::Living;
use crate::sandbox::{self, Failure, Visit};

impl Session {
    /// Prints the instances of the data directory.
    pub(super) fn list_instances(&self) -> Result<u8, Failure> {
        let (living, _) = self.instances()?;
        let lines = living.iter().map(|one| format!("{}:{}\n", one.id, one.pid));
        print(&lines.collect::<String>())
    }

    /// Runs `command` in the instance of that id.
    pub(super) fn run_in_instance(&self, id: &str, command: Vec<OsString>) -> Result<u8, Failure> {
        let (living, token) = self.instances()?;
        let named = |one: &&Living| id.parse() == Ok(one.id);
        let instance = *living
            .iter()
            .find(named)
            .ok_or_else(|| unknown(id, &living))?;
        let visit = Visit {
            command,
            directory: self.host.working_directory.clone(),
            terminal: self.host.terminal.clone(),
            term: self.host.environment.get("TERM").cloned(),
        };
        sandbox::visit(&visit, &token, instance)
    }

    fn instances(&self) -> Result<(Vec<Living>, String), Failure> {
        match data::existing(&self.data_path())? {
            None => Ok((Vec::new(), String::new())),
            Some(directory) => Ok(directory.instances()?),
        }
    }
}

fn unknown(id: &str, living: &[Living]) -> Failure {
    let ids: Vec<String> = living.iter().map(|one| one.id.to_string()).collect();
    Failure::ours(match ids.is_empty() {
        true => format!("there is no instance `{id}`: none runs with this data directory"),
        false => format!(
            "there is no instance `{id}`; those that run are {}",
            ids.join(", ")
        ),
    })
}
