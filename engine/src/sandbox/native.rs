//! The kernel itself, called from the first process of an instance, which is in a copy of the shared root's mounts.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use flatimage_reserved::declared::FILTER;
use flatimage_reserved::effect::{Access, Missing};
use nix::sys::prctl;
use nix::sys::stat::{Mode, umask};
use nix::unistd::{chdir, sethostname};

use super::channel::{Channel, Message};
use super::failure::{Attempt, Failure, plain};
use super::guest::Home;
use super::hints::{Calls, Hints};
use super::kernel::Kernel;
use super::mapped::Mapped;
use super::{die_with_parent, identity, init, place, refusal, root};
use crate::plan::{Action, Exec, Filter, Identity, Lack, Plan, Step, Wanted, told};
use crate::sys::{
    MountAttributes, Questions, bring_loopback_up, clone_tree, create_filesystem, filter_calls,
    join_new_session_keyring, move_mount, set_attributes,
};
use crate::tools;
use crate::trace::trace;

mod files;
mod given;
mod hidden;

/// The kernel as the first process of the container sees it.
pub struct Native {
    nested: Option<OwnedFd>,
    /// What the host was found not to give.
    lack: Option<Lack>,
    channel: Channel,
    image: File,
    tools_offset: u64,
    sources: HashMap<PathBuf, OwnedFd>,
    /// What was bound outside already.
    mapped: Mapped,
    root: Option<OwnedFd>,
    /// The filesystem of the container's terminals.
    terminals: Option<OwnedFd>,
    has_own_files: bool,
    questions: Option<Questions>,
    /// Whether the processes are the host's.
    shares_processes: bool,
    /// What may be missed.
    wanted: Vec<Wanted>,
    umask: Mode,
}

/// Mounts from the host, or of plain data: nothing on them can be a device.
const DATA_ONLY: MountAttributes = MountAttributes {
    read_only: false,
    no_devices: true,
    no_exec: false,
};
/// Kernel interfaces: neither devices nor programs.
const INTERFACE: MountAttributes = MountAttributes {
    read_only: false,
    no_devices: true,
    no_exec: true,
};
/// What hides something.
const NOTHING: MountAttributes = MountAttributes {
    read_only: true,
    no_devices: true,
    no_exec: true,
};

impl Native {
    /// For the process that was just forked into the instance's namespaces. `image` is the opened
    /// image file, for tools that have to be unpacked from `tools_offset` on.
    /// Its program gets the user namespace `nested`, or else a new one; targets in `mapped` are shown by that.
    pub fn new(
        channel: Channel,
        image: File,
        tools_offset: u64,
        nested: Option<OwnedFd>,
        mapped: Mapped,
    ) -> Native {
        Native {
            nested,
            mapped,
            lack: None,
            channel,
            image,
            tools_offset,
            sources: HashMap::new(),
            root: None,
            terminals: None,
            has_own_files: false,
            questions: None,
            shares_processes: false,
            wanted: Vec::new(),
            umask: Mode::empty(),
        }
    }

    /// It may have died before this process asked to end with it.
    fn expect_supervisor(&self) -> Result<(), Failure> {
        match self
            .channel
            .is_open()
            .attempting(|| "ask for the supervisor".into())?
        {
            true => Ok(()),
            false => Err(Failure::ours("the supervisor is gone")),
        }
    }

    /// Tells the supervisor how it ended.
    pub fn report(&self, result: Result<u8, Failure>) {
        let message = match result {
            Ok(code) => Message::Ended { code },
            Err(Failure { code, text }) => match self.lack {
                Some(lack) => Message::Lacking(lack),
                None => Message::Failed { code, text },
            },
        };
        // Nobody is left to tell when the supervisor is gone.
        let _ = self.channel.send(&message);
    }

    /// The root, to find places in.
    fn place(&self) -> io::Result<BorrowedFd<'_>> {
        let root = self.root.as_ref().map(AsFd::as_fd);
        root.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Everything that only the caller may open is opened before the ids change.
    fn open_sources(&mut self, plan: &Plan) -> Result<(), Failure> {
        let host = root::open_host().attempting(|| "find the host".into())?;
        for step in &plan.steps {
            match &step.action {
                Action::Bind {
                    source, missing, ..
                } => self.open_source(&host, source, *missing)?,
                Action::Mask { .. } => {
                    self.open_source(&host, Path::new("/dev/null"), Missing::Fail)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The mounts of a source can be copied only where it is found in this mount namespace.
    fn open_source(
        &mut self,
        host: &OwnedFd,
        path: &Path,
        missing: Missing,
    ) -> Result<(), Failure> {
        match place::find(host.as_fd(), path) {
            Ok(source) => {
                self.sources.insert(path.to_owned(), source);
                Ok(())
            }
            Err(_) if missing == Missing::Skip => Ok(()),
            Err(error) => Err(error).attempting(|| format!("open {}", path.display())),
        }
    }

    fn bind(&mut self, source: &Path, target: &Path, access: Access) -> io::Result<()> {
        let mapped = self.mapped.remove(target);
        // A source that may be missing and is has no descriptor.
        let Some(source) = self.sources.get(source) else {
            return Ok(());
        };
        match mapped {
            None => self.attach_copy(source, target, MountAttributes::of(access)),
            Some(mount) => self.attach_mount(source, &mount, target),
        }
    }

    /// Attaches a copy of the mounts at `source` to `target`.
    fn attach_copy(
        &self,
        source: &OwnedFd,
        target: &Path,
        attributes: MountAttributes,
    ) -> io::Result<()> {
        let mount = clone_tree(source.as_fd())?;
        set_attributes(mount.as_fd(), attributes)?;
        self.attach_mount(source, &mount, target)
    }

    /// Attaches a mount of what is at `source` to `target`.
    fn attach_mount(&self, source: &OwnedFd, mount: &OwnedFd, target: &Path) -> io::Result<()> {
        let missing = match place::is_directory(source)? {
            true => place::Missing::Directory,
            false => place::Missing::File,
        };
        let target = place::ensure(self.place()?, target, missing)?;
        move_mount(mount.as_fd(), target.as_fd())
    }

    fn attach(&self, mount: &OwnedFd, target: &Path) -> io::Result<()> {
        let root = self.place()?;
        let target = place::ensure(root, target, place::Missing::Directory)?;
        move_mount(mount.as_fd(), target.as_fd())
    }

    fn tmpfs(&self, target: &Path, mode: u32) -> io::Result<OwnedFd> {
        let mode = std::ffi::CString::new(format!("{mode:o}"))?;
        let mount = create_filesystem(c"tmpfs", &[(c"mode", &mode)], DATA_ONLY)?;
        self.attach(&mount, target)?;
        Ok(mount)
    }

    fn unpack_tools(&self, target: &Path) -> io::Result<()> {
        let mount = self.tmpfs(target, 0o755)?;
        // The working directory names the new filesystem without a path of the image in it.
        nix::unistd::fchdir(&mount)?;
        tools::unpack(
            &tools::table(&self.image)?,
            &self.image,
            self.tools_offset,
            Path::new("."),
        )?;
        chdir("/")?;
        set_attributes(
            mount.as_fd(),
            MountAttributes {
                read_only: true,
                ..DATA_ONLY
            },
        )
    }

    /// Installs the filter with the rules for which `holds`.
    fn install_filter(&mut self, holds: impl Fn(&str) -> bool) -> Result<(), Failure> {
        let told = told(&self.wanted);
        let program =
            |told: &[&str]| FILTER.program(|rule| holds(rule.name), |name| told.contains(&name));
        let installed = filter_calls(&program(&told), &|| program(&[]));
        self.questions = installed.attempting(|| "filter system calls".into())?;
        Ok(())
    }

    /// Notes what is missing where the kernel does not allow what it allows to root of these namespaces.
    fn granted<T>(&mut self, lack: Lack, answer: io::Result<T>) -> io::Result<T> {
        if refusal::is_denied(&answer) {
            self.lack = Some(lack);
        }
        answer
    }

    fn in_root(&mut self, action: &Action) -> io::Result<()> {
        match action {
            Action::Tmpfs { target, mode } => self.tmpfs(target, *mode).map(drop),
            Action::Proc { target } => {
                let processes = create_filesystem(c"proc", &[], INTERFACE);
                let processes = self.granted(Lack::Processes, processes)?;
                self.attach(&processes, target)
            }
            Action::CopyProgram { target } => self.copy_program(target),
            Action::Portal { target } => self.open_portal(target),
            Action::Bus { target, .. } => self.open_bus(target),
            Action::Devpts { target } => {
                let options = [(c"mode", c"620"), (c"ptmxmode", c"666")];
                let attributes = MountAttributes {
                    no_exec: true,
                    ..MountAttributes::default()
                };
                let terminals = create_filesystem(c"devpts", &options, attributes)?;
                self.attach(&terminals, target)?;
                self.terminals = Some(terminals);
                Ok(())
            }
            Action::Bind {
                source,
                target,
                access,
                ..
            } => self.bind(source, target, *access),
            Action::Account { target, id, line } => self.account(target, *id, line),
            Action::File { target, text } => self.show(target, text, NOTHING),
            Action::Machine { target, id } => self.machine(target, id),
            Action::UnpackTools { target } => self.unpack_tools(target),
            Action::Directory {
                target,
                mode,
                owner,
            } => place::directory(self.place()?, target, *mode, *owner),
            Action::Symlink { link, target } => place::link(self.place()?, link, target),
            Action::Mask { target } => self.mask(target),
            Action::Hold { target } => self.remount(target, MountAttributes::default()),
            Action::ReadOnly { target } => self.remount(target, NOTHING),
            Action::Hostname { name } => {
                self.granted(Lack::HostName, sethostname(name).map_err(io::Error::from))
            }
            Action::Loopback => bring_loopback_up(),
        }
    }
}

impl Kernel for Native {
    fn prepare(&mut self, plan: &Plan) -> Result<(), Failure> {
        die_with_parent()?;
        trace(|| "namespaces made".into());
        // What is built has the modes that are meant, whatever the caller's mask; the program
        // gets the caller's back.
        self.umask = umask(Mode::from_bits_truncate(0o022));
        self.shares_processes = !plan.namespaces.contains(&"pid");
        self.open_sources(plan)?;
        if !plan.identity.map.is_single() {
            identity::become_outer_root()
                .attempting(|| "become root of the user namespace".into())?;
        }
        self.root = Some(root::open_root()?);
        self.wanted.clone_from(&plan.wanted);
        Ok(())
    }

    fn perform(&mut self, step: &Step) -> Result<(), Failure> {
        let action = &step.action;
        self.in_root(action).map_err(|error| {
            let (cause, reason) = (&step.cause, plain(&error));
            Failure::ours(format!("{cause}: cannot do `{action}`: {reason}"))
        })
    }

    fn enter_root(&mut self) -> Result<(), Failure> {
        let root = self
            .root
            .take()
            .ok_or_else(|| Failure::ours("the plan has no root"))?;
        self.sources.clear();
        trace(|| "mounted".into());
        root::enter_root(&root)
    }

    fn restrict(&mut self, identity: &Identity, exec: &Exec) -> Result<(), Failure> {
        // Where the kernel was built without keyrings there is nothing to leave.
        let _ = join_new_session_keyring();
        match self.nested.take() {
            Some(nested) => identity::enter_lent(&nested),
            None => identity::enter_inner(identity),
        }
        .attempting(|| "nest a user namespace".into())?;
        init::drop_privileges(identity, exec).attempting(|| "give up privileges".into())?;
        match self.shares_processes {
            // It has others to end first.
            true => prctl::set_pdeathsig(None).attempting(|| "outlive the supervisor".into())?,
            // The kernel forgets the request when ids or capabilities change (prctl(2)).
            false => die_with_parent()?,
        }
        trace(|| "restricted".into());
        self.expect_supervisor()
    }

    fn filter(&mut self, filter: &Filter) -> Result<(), Failure> {
        // Without a capability the kernel takes a filter only from a process with `no_new_privs` (seccomp(2)).
        self.install_filter(|rule| filter.rules.contains(&rule))
    }

    fn execute(&mut self, exec: &Exec) -> Result<u8, Failure> {
        match self.channel.receive() {
            Ok(Some(Message::Registered)) => {}
            _ => return Err(Failure::ours("the supervisor is gone")),
        }
        umask(self.umask);
        let home = Home {
            exec,
            terminals: self.terminals.take(),
            supervisor: self.channel.as_fd(),
            questions: self.questions.take(),
            shares_processes: self.shares_processes,
            wanted: std::mem::take(&mut self.wanted),
            calls: Calls::default(),
        };
        let terminal = home.terminal(&exec.terminal, &self.channel)?;
        let hints = Hints::own(&home.wanted, &home.calls);
        init::run(exec, &self.channel, terminal, (Some(&home), hints))
    }
}
