//! A plan as text: one line for each thing that happens.

use std::fmt::{self, Display, Formatter};
use std::path::Path;

use flatimage_reserved::effect::Missing;

use super::{Action, Exec, Extent, IdMap, Maker, Named, Plan, RootAction, Rung, Step, Upper, Way};
use crate::host::Stream;

impl Display for Plan {
    fn fmt(&self, to: &mut Formatter<'_>) -> fmt::Result {
        writeln!(to, "{}", self.rung)?;
        writeln!(to, "namespaces {}", self.namespaces.join(" "))?;
        let identity = &self.identity;
        writeln!(
            to,
            "identity   uid {} gid {}, {}",
            identity.uid, identity.gid, identity.map
        )?;
        for (index, layer) in self.layers.iter().enumerate() {
            let (path, offset, size) = (layer.path.display(), layer.offset, layer.size);
            writeln!(to, "layer      {index}: {size} bytes at {offset} of {path}")?;
        }
        for step in &self.root {
            writeln!(to, "{step}")?;
        }
        for step in &self.steps {
            writeln!(to, "{step}")?;
        }
        writeln!(to, "filter     {}", self.filter.rules.join(" "))?;
        for Named { rule, cause } in &self.filter.emulated {
            writeln!(to, "emulated   {rule}  # {cause}")?;
        }
        for Named { rule, cause } in &self.filter.opened {
            writeln!(to, "allowed    {rule}  # {cause}")?;
        }
        if !self.wanted.is_empty() {
            let names: Vec<&str> = self.wanted.iter().map(|wanted| wanted.name).collect();
            writeln!(to, "hints      {}", names.join(" "))?;
        }
        if let Some(admitted) = &self.admitted {
            let patterns = admitted.patterns();
            let listed = match patterns.is_empty() {
                true => "none".to_owned(),
                false => patterns.join(" "),
            };
            writeln!(to, "admitted   {listed}")?;
        }
        write!(to, "{}", self.exec)
    }
}

impl Display for Rung {
    fn fmt(&self, to: &mut Formatter<'_>) -> fmt::Result {
        match &self.maker {
            Maker::Native => write!(to, "sandbox    native")?,
            Maker::Bwrap(program) => write!(
                to,
                "sandbox    in namespaces that {} makes, all else as natively",
                program.display()
            )?,
            Maker::Arguments(program) => {
                write!(
                    to,
                    "sandbox    made by {} from arguments",
                    program.display()
                )?;
            }
            Maker::Outside { program, mounter } => {
                let (program, mounter) = (program.display(), mounter.display());
                write!(
                    to,
                    "sandbox    made by {program} from arguments, around an overlay that {mounter} mounts"
                )?;
            }
            Maker::Nobody => write!(to, "sandbox    none, and no start")?,
        }
        if let Some(reason) = &self.reason {
            write!(to, "; {reason}")?;
        }
        let lacks = self.lacks.iter();
        lacks
            .into_iter()
            .try_for_each(|lack| write!(to, "\nlacks      {}", lack.words()))
    }
}

impl Display for IdMap {
    fn fmt(&self, to: &mut Formatter<'_>) -> fmt::Result {
        match self {
            IdMap::Single { uid, gid } => write!(to, "the host's uid {uid} gid {gid}"),
            IdMap::Range { first, count } => {
                write!(to, "{count} ids from the host's {first} on")
            }
            IdMap::Subordinate { uids, gids } => {
                write!(
                    to,
                    "the host's uids {} gids {}",
                    Extents(uids),
                    Extents(gids)
                )
            }
        }
    }
}

/// The host's ids in the order of the container's.
struct Extents<'a>(&'a [Extent]);

impl Display for Extents<'_> {
    fn fmt(&self, to: &mut Formatter<'_>) -> fmt::Result {
        for (place, Extent { outside, count, .. }) in self.0.iter().enumerate() {
            let comma = if place == 0 { "" } else { "," };
            match count {
                1 => write!(to, "{comma}{outside}")?,
                _ => write!(to, "{comma}{outside}+{count}")?,
            }
        }
        Ok(())
    }
}

impl<A: Display> Display for Step<A> {
    fn fmt(&self, to: &mut Formatter<'_>) -> fmt::Result {
        write!(to, "{}  # {}", self.action, self.cause)
    }
}

impl Display for RootAction {
    fn fmt(&self, to: &mut Formatter<'_>) -> fmt::Result {
        match self {
            RootAction::Layers {
                count,
                way: Way::Fuse,
            } => write!(to, "layers     {count} over FUSE"),
            RootAction::Layers {
                count,
                way: Way::Unpacked { reason },
            } => write!(
                to,
                "layers     {count} unpacked in the cache, because {reason}"
            ),
            RootAction::Skeleton {
                directories,
                files,
                links,
            } => {
                let places = directories
                    .iter()
                    .chain(files.keys())
                    .map(|path| path.display().to_string());
                let links = links
                    .iter()
                    .map(|(link, target)| format!("{} -> {}", link.display(), target.display()));
                write!(
                    to,
                    "skeleton   {}",
                    places.chain(links).collect::<Vec<_>>().join(" ")
                )
            }
            RootAction::Overlay { upper, stack } => {
                match upper {
                    Upper::Directory(path) => {
                        write!(to, "overlay    changes in {}", path.display())?;
                    }
                    Upper::Memory => write!(to, "overlay    changes in memory")?,
                }
                if let Some(program) = stack.with.program() {
                    write!(to, ", with {program}")?;
                }
                let instead = stack.instead.iter();
                instead
                    .into_iter()
                    .try_for_each(|reason| write!(to, "; {reason}"))
            }
            RootAction::Copy { directory } => {
                write!(to, "copy       {} with all changes", directory.display())
            }
            RootAction::Outside { directory, changes } => write!(
                to,
                "outside    {} with changes in {}",
                directory.display(),
                changes.display()
            ),
            RootAction::Fold => write!(to, "fold       names are found in any case"),
        }
    }
}

impl Display for Action {
    fn fmt(&self, to: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Action::Account { target, id, .. } => {
                write!(to, "account    {id} in {}", target.display())
            }
            Action::Machine { target, id } => write!(to, "machine    {id} in {}", target.display()),
            Action::UnpackTools { target } => line(to, "unpack", target),
            Action::CopyProgram { target } => line(to, "program", target),
            Action::Portal { target } => line(to, "portal", target),
            Action::Bus { target, bus } => write!(to, "bus        {} {bus}", target.display()),
            Action::Tmpfs { target, mode } => {
                write!(to, "tmpfs      {} mode {mode:o}", target.display())
            }
            Action::Proc { target } => line(to, "proc", target),
            Action::Devpts { target } => line(to, "devpts", target),
            Action::Bind {
                source,
                target,
                access,
                missing,
            } => {
                let name = format!("bind-{}", access.name());
                let note = if *missing == Missing::Skip {
                    " if there"
                } else {
                    ""
                };
                write!(
                    to,
                    "{name:<10} {} from {}{note}",
                    target.display(),
                    source.display()
                )
            }
            Action::Directory {
                target,
                mode,
                owner: (uid, gid),
            } => {
                let target = target.display();
                write!(to, "directory  {target} mode {mode:o} of {uid}:{gid}")
            }
            Action::Symlink { link, target } => {
                write!(to, "symlink    {} -> {}", link.display(), target.display())
            }
            Action::File { target, .. } => write!(to, "file       {}", target.display()),
            Action::Mask { target } => line(to, "mask", target),
            Action::Hold { target } => line(to, "hold", target),
            Action::ReadOnly { target } => line(to, "read-only", target),
            Action::Hostname { name } => write!(to, "hostname   {name}"),
            Action::Loopback => write!(to, "loopback   up"),
        }
    }
}

fn line(to: &mut Formatter<'_>, name: &str, target: &Path) -> fmt::Result {
    write!(to, "{name:<10} {}", target.display())
}

fn name(stream: Stream) -> &'static str {
    match stream {
        Stream::Input => "input",
        Stream::Output => "output",
        Stream::Error => "error",
    }
}

impl Display for Exec {
    fn fmt(&self, to: &mut Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.environment {
            writeln!(to, "variable   {name}={value}")?;
        }
        writeln!(to, "directory  {}", self.directories[0].display())?;
        let capabilities = match self.capabilities.as_slice() {
            [] => "none".to_owned(),
            names => names.join(" "),
        };
        writeln!(to, "capability {capabilities}")?;
        if !self.terminal.is_empty() {
            let names: Vec<&str> = self.terminal.iter().map(|stream| name(*stream)).collect();
            writeln!(to, "terminal   a new one as {}", names.join(" "))?;
        }
        write!(to, "exec       {}", self.program.display())?;
        self.arguments
            .iter()
            .try_for_each(|argument| write!(to, " {}", argument.display()))
    }
}
