//! A plan in the words of `bwrap`, for hosts where only that may mount, and what it starts may not.
//!
//! What cannot be said in them, and is made by the first process itself: the sockets of the portal and of a message bus.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use flatimage_reserved::effect::{Access, Missing};

use super::base::DEFAULT;
use super::{Action, Plan, Step, with_account};
use crate::host::{Files, Kind};

/// One argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Argument {
    /// As it stands.
    Text(OsString),
    /// The number of a descriptor with this text.
    Data(String),
}

/// What the arguments depend on beside the plan.
pub struct Around<'a> {
    /// The copy of the layers that becomes the root.
    pub copy: &'a Path,
    /// The host's files.
    pub files: &'a dyn Files,
    /// Answers the text of a file of the copy.
    pub contents: &'a dyn Fn(&Path) -> Option<String>,
}

/// The options that make a container as the plan has it.
///
/// # Errors
/// In words: what of the plan cannot be had so.
pub fn arguments(plan: &Plan, around: &Around<'_>) -> Result<Vec<Argument>, String> {
    if !plan.namespaces.contains(&"pid") {
        return Err("it needs a pid namespace of its own (`fim-unshare add pid`)".into());
    }
    let mut said = Said(Vec::new());
    said.option("--unshare-user", [] as [&str; 0]);
    for (namespace, option) in [
        ("pid", "--unshare-pid"),
        ("ipc", "--unshare-ipc"),
        ("uts", "--unshare-uts"),
        ("net", "--unshare-net"),
        ("cgroup", "--unshare-cgroup-try"),
    ] {
        if plan.namespaces.contains(&namespace) {
            said.option(option, [] as [&str; 0]);
        }
    }
    let (uid, gid) = (plan.identity.uid.to_string(), plan.identity.gid.to_string());
    said.option("--uid", [uid]);
    said.option("--gid", [gid]);
    said.option("--as-pid-1", [] as [&str; 0]);
    said.option("--die-with-parent", [] as [&str; 0]);
    said.option("--bind", [around.copy, Path::new("/")]);
    for step in &plan.steps {
        say(&mut said, plan, step, around)?;
    }
    Ok(said.0)
}

struct Said(Vec<Argument>);

impl Said {
    fn option<T: Into<OsString>>(&mut self, name: &str, values: impl IntoIterator<Item = T>) {
        self.0.push(Argument::Text(name.into()));
        let values = values.into_iter().map(|value| Argument::Text(value.into()));
        self.0.extend(values);
    }

    fn data(&mut self, option: &str, mode: &str, text: String, target: &Path) {
        self.option("--perms", [mode]);
        self.option(option, [] as [&str; 0]);
        self.0.push(Argument::Data(text));
        self.0.push(Argument::Text(target.into()));
    }
}

/// What `--dev` brings by itself.
fn is_device(step: &Step) -> bool {
    let place = match &step.action {
        Action::Bind { target, .. } => target,
        Action::Symlink { link, .. } => link,
        Action::Devpts { .. } => return true,
        _ => return false,
    };
    step.cause == DEFAULT && place.starts_with("/dev")
}

fn say(said: &mut Said, plan: &Plan, step: &Step, around: &Around<'_>) -> Result<(), String> {
    if is_device(step) {
        return Ok(());
    }
    match &step.action {
        Action::Account { target, id, line } => {
            let text = (around.contents)(target).and_then(|text| with_account(&text, *id, line));
            if let Some(text) = text {
                said.data("--bind-data", "0644", text, target);
            }
        }
        Action::Machine { target, id } => {
            said.data("--ro-bind-data", "0444", format!("{id}\n"), target);
        }
        Action::File { target, text } => {
            said.data("--ro-bind-data", "0444", text.clone(), target);
        }
        Action::Tmpfs { target, .. } if target == Path::new("/dev") => {
            said.option("--dev", [target]);
        }
        Action::Tmpfs { target, mode } => {
            said.option("--perms", [format!("{mode:o}")]);
            said.option("--tmpfs", [target]);
        }
        Action::Proc { target } => said.option("--proc", [target]),
        Action::Bind { target, .. } if target == Path::new("/dev") => {
            return Err(format!("it cannot show the host's /dev ({})", step.cause));
        }
        Action::Bind {
            source,
            target,
            access,
            missing,
        } => said.option(bind(*access, *missing), [source, target]),
        Action::Directory { target, mode, .. } => {
            said.option("--perms", [format!("{mode:o}")]);
            said.option("--dir", [target]);
        }
        Action::Symlink { link, target } => said.option("--symlink", [target, link]),
        // The new `/proc` has what the host's has.
        Action::Mask { target } => match around.files.resolve(target) {
            Some((_, Kind::Directory)) => {
                said.option("--tmpfs", [target]);
                said.option("--remount-ro", [target]);
            }
            Some((_, Kind::Other)) => said.option("--ro-bind", [Path::new("/dev/null"), target]),
            None => {}
        },
        Action::Hold { target } => said.option("--bind-try", [&shown(plan, target), target]),
        Action::ReadOnly { target } => said.option("--ro-bind-try", [&shown(plan, target), target]),
        Action::Hostname { name } => said.option("--hostname", [name]),
        // A new network has it up.
        Action::Loopback => {}
        // The first process makes them.
        Action::Portal { .. } | Action::Bus { .. } => {}
        Action::Devpts { .. } => {}
        Action::CopyProgram { .. } | Action::UnpackTools { .. } => {
            return Err("it needs a private directory of yours; set XDG_CACHE_HOME to one".into());
        }
    }
    Ok(())
}

fn bind(access: Access, missing: Missing) -> &'static str {
    match (access, missing) {
        (Access::Ro, Missing::Fail) => "--ro-bind",
        (Access::Ro, Missing::Skip) => "--ro-bind-try",
        (Access::Rw, Missing::Fail) => "--bind",
        (Access::Rw, Missing::Skip) => "--bind-try",
        (Access::Dev, Missing::Fail) => "--dev-bind",
        (Access::Dev, Missing::Skip) => "--dev-bind-try",
    }
}

/// The path of the host that is shown at `target`: what the last binding above it says, or else, as in `/proc`, the same path.
fn shown(plan: &Plan, target: &Path) -> PathBuf {
    let above = plan.steps.iter().rev().find_map(|step| match &step.action {
        Action::Bind {
            source,
            target: place,
            ..
        } => {
            let rest = target.strip_prefix(place).ok()?;
            Some(match rest.as_os_str().is_empty() {
                true => source.clone(),
                false => source.join(rest),
            })
        }
        _ => None,
    });
    above.unwrap_or_else(|| target.to_owned())
}
