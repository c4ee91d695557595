//! Builds the root that the instances of a data directory share.
//!
//! The builder is a short-lived process in a new user namespace and a new mount namespace. It mounts the layers and
//! the overlay on a [stage](super::root), sends descriptors of the two namespaces to the supervisor, and ends or [enters the
//! root](super::instance). From then on the root lives exactly as long as somebody holds the descriptors or is in a copy
//! of the mount namespace: the kernel takes it apart when the last instance is gone, however that ended.
//!
//! When the layers are [stacked](super::stacking) by a program, or names are [folded](super::folding), there is a further
//! mount namespace for each, and the last is the one whose descriptor is sent.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use flatimage_reserved::effect::Stacker;
use nix::fcntl::OFlag;
use nix::sys::stat::{Mode, umask};

use super::channel::{Channel, Message};
use super::failure::{Attempt, Failure};
use super::kernel::RootKernel;
use super::lent::Lent;
use super::skeleton::Places;
use super::stacking::{self, Stacking};
use super::{Context, die_with_parent, folding, identity, place, refusal, root, signals};
use crate::data::marks::unionfs;
use crate::plan::{IdMap, Plan, RootAction, Stack, Step, Upper, Way};
use crate::tools::{self, Apart};
use crate::trace::trace;

/// The kernel as the builder sees it.
pub struct Builder<'a> {
    context: &'a Context<'a>,
    supervisor: Channel,
    /// The process that serves the layers, if there are any.
    server: Option<Channel>,
    /// Where the layers are, if they are unpacked.
    directories: Vec<Option<PathBuf>>,
    /// Where the programs that serve a root are, if they are unpacked.
    programs: Option<PathBuf>,
    data: Option<OwnedFd>,
    /// For the layers.
    fuse: Option<OwnedFd>,
    /// For the root, when a program stacks it.
    stacked: Option<OwnedFd>,
    /// The opened directory of the programs.
    opened_programs: Option<OwnedFd>,
    /// For the folded view of the root.
    folded: Option<OwnedFd>,
    /// The processes that were started for the root.
    servers: Vec<OwnedFd>,
    /// The opened directories.
    unpacked: Vec<Option<OwnedFd>>,
    layers: usize,
    /// That of the caller.
    umask: Mode,
    /// Whether the container has a terminal of its own.
    own_terminal: bool,
    /// The namespaces, if somebody lent them.
    lent: Option<Lent>,
    /// What the host said when it refused the namespaces or the capabilities in them.
    refused: Option<i32>,
    /// Whether what fails now is the stacking, which somebody else may be able to do.
    stacking: bool,
}

/// What was unpacked for a root on the host.
#[derive(Default)]
pub struct Unpacked {
    /// The layers, if they are not served.
    pub layers: Vec<Option<PathBuf>>,
    /// The programs that serve a root, if one is needed and there is a place to keep them in.
    pub programs: Option<PathBuf>,
}

impl<'a> Builder<'a> {
    /// For a process that was just forked into a new user and mount namespace, or that can enter `lent` ones.
    pub fn new(
        context: &'a Context<'a>,
        supervisor: Channel,
        server: Option<Channel>,
        unpacked: Unpacked,
        lent: Option<Lent>,
    ) -> Builder<'a> {
        Builder {
            context,
            supervisor,
            server,
            directories: unpacked.layers,
            programs: unpacked.programs,
            data: None,
            fuse: None,
            stacked: None,
            opened_programs: None,
            folded: None,
            servers: Vec::new(),
            unpacked: Vec::new(),
            layers: 0,
            umask: Mode::empty(),
            own_terminal: false,
            lent,
            refused: None,
            stacking: false,
        }
    }

    /// Tells the supervisor why there is no root.
    pub fn report(&self, failure: Failure) {
        let Failure { code, text } = failure;
        // Nobody is left to tell when the supervisor is gone.
        let _ = self.supervisor.send(&match (self.stacking, self.refused) {
            (true, _) => Message::Unstacked { text },
            (false, Some(errno)) => Message::Refused { errno },
            (false, None) => Message::Failed { code, text },
        });
    }

    /// Notes what says that there is no user namespace of any use here.
    fn is_refused(&mut self, error: io::Error) -> io::Error {
        if error.kind() == io::ErrorKind::PermissionDenied {
            self.refused = error.raw_os_error();
        }
        error
    }

    /// Lets go of everything that was needed to build.
    ///
    /// Answers the user namespace for the program, if somebody lent it.
    pub fn done(self) -> Option<OwnedFd> {
        umask(self.umask);
        self.lent.map(|lent| lent.nested)
    }

    /// Everything that only the caller may open is opened before the ids change.
    fn open_outside(&mut self, plan: &Plan) -> Result<(), Failure> {
        for step in &plan.root {
            match &step.action {
                RootAction::Overlay { upper, stack } => {
                    if let Upper::Directory(data) = upper {
                        self.data = Some(root::open_data(data)?);
                    }
                    if let Some(program) = stack.with.program() {
                        self.open_for(program)?;
                    }
                }
                RootAction::Layers { way: Way::Fuse, .. } => {
                    self.fuse = Some(open_fuse("the layers need")?);
                }
                RootAction::Fold => self.folded = Some(open_fuse("case folding needs")?),
                RootAction::Layers { .. } => {
                    let open = |path: &PathBuf| place::stage(path);
                    let opened = self.directories.iter();
                    let opened = opened.map(|path| path.as_ref().map(open).transpose());
                    self.unpacked = opened
                        .collect::<io::Result<_>>()
                        .attempting(|| "open the unpacked layers".into())?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn mount_layers(&mut self, way: &Way) -> Result<(), Failure> {
        match way {
            Way::Fuse => self.serve_layers(),
            Way::Unpacked { .. } => {
                root::show_layers(&self.unpacked).attempting(|| "show the unpacked layers".into())
            }
        }
    }

    fn serve_layers(&mut self) -> Result<(), Failure> {
        let (Some(fuse), Some(server)) = (self.fuse.take(), self.server.as_ref()) else {
            return Err(Failure::ours("the plan has no server"));
        };
        root::mount_layers(&fuse)?;
        server
            .send(&Message::Fuse(fuse))
            .attempting(|| "hand the layers to their server".into())
    }

    fn create_skeleton(&self, places: Places) -> Result<(), Failure> {
        let deleted = match self.server.as_ref().map(Channel::receive) {
            Some(Ok(Some(Message::Deleted(deleted)))) => deleted,
            _ => None,
        };
        let places = places.without_deleted(deleted);
        match self.folded {
            None => places.create(),
            Some(_) => {
                let stacked = root::open_stacked(self.layers, self.data.as_ref());
                places.spelled(stacked).create()
            }
        }
    }

    /// Opens what `program` needs to stack the root.
    fn open_for(&mut self, program: &str) -> Result<(), Failure> {
        self.stacked = Some(open_fuse(&format!("{program} needs"))?);
        let opened = self.programs.as_ref().map(|path| place::stage(path));
        self.opened_programs = opened
            .transpose()
            .attempting(|| format!("open the directory of {program}"))?;
        Ok(())
    }

    fn overlay(&mut self, upper: &Upper, stack: &Stack) -> Result<(), Failure> {
        let data = self.data.take();
        root::prepare_changes(data.as_ref())?;
        self.stacking = true;
        self.adapt_marks(stack.with)?;
        match stack.with.program() {
            None => self.stack_by_kernel()?,
            Some(program) => self.stack_by((stack.with, program), upper, data.as_ref())?,
        }
        self.stacking = false;
        Ok(())
    }

    /// Makes the marks of the changes such as whoever stacks them reads, as far as it takes the layers. In the data
    /// directory.
    fn adapt_marks(&self, stacker: Stacker) -> Result<(), Failure> {
        let cannot = || "adapt the marks of what was deleted".to_owned();
        if stacker == Stacker::UnionfsFuse {
            root::show_below(self.layers)?;
            return unionfs::begin().attempting(cannot);
        }
        if !unionfs::is_recorded() {
            return Ok(());
        }
        let lower = root::show_below(self.layers)?;
        unionfs::end(lower, stacker).attempting(cannot)?;
        root::hide_below()
    }

    fn stack_by_kernel(&self) -> Result<(), Failure> {
        if !root::mount_overlay(self.layers)? {
            (self.context.warn)(
                "the filesystem that changes are kept on has no extended attributes: directories of the \
                 layers cannot be removed or replaced; choose another place with FIM_DIR_DATA",
            );
        }
        Ok(())
    }

    fn stack_by(
        &mut self,
        (stacker, program): (Stacker, &'static str),
        upper: &Upper,
        data: Option<&OwnedFd>,
    ) -> Result<(), Failure> {
        let fuse = self.stacked.take();
        let fuse = fuse.ok_or_else(|| Failure::ours("the plan has no server for the root"))?;
        self.show_programs()
            .attempting(|| format!("show {program}"))?;
        let stacking = Stacking {
            stacker,
            program,
            layers: self.layers,
            upper: root::show_changes(data).attempting(|| "show the data directory".into())?,
            data: match upper {
                Upper::Directory(path) => Some(path),
                Upper::Memory => None,
            },
        };
        self.servers.push(stacking::stack(&stacking, fuse)?);
        Ok(())
    }

    /// Where there is no directory to keep them in, they are unpacked on the stage, which is in memory.
    fn show_programs(&self) -> io::Result<()> {
        match &self.opened_programs {
            Some(directory) => root::show_servers(directory),
            None => tools::unpack(
                &Apart::Servers.tools(&self.context.image)?,
                &self.context.image,
                self.context.tools_offset,
                Path::new("/"),
            ),
        }
    }

    fn fold(&mut self) -> Result<(), Failure> {
        let fuse = self.folded.take();
        let fuse = fuse.ok_or_else(|| Failure::ours("the plan has no folded root"))?;
        self.servers.push(folding::fold(fuse)?);
        Ok(())
    }
}

/// It must be opened inside the user namespace that mounts it: the kernel answers EINVAL to a descriptor from
/// another one.
fn open_fuse(who_needs: &str) -> Result<OwnedFd, Failure> {
    let flags = OFlag::O_RDWR | OFlag::O_CLOEXEC;
    nix::fcntl::open("/dev/fuse", flags, Mode::empty())
        .map_err(|error| refusal::explain_fuse(who_needs, error))
}

impl RootKernel for Builder<'_> {
    fn prepare(&mut self, plan: &Plan) -> Result<(), Failure> {
        die_with_parent()?;
        // What is built has the modes that are meant, whatever the caller's mask.
        self.own_terminal = !plan.exec.terminal.is_empty();
        self.umask = umask(Mode::from_bits_truncate(0o022));
        match plan.identity.map {
            IdMap::Single { uid, gid } => match &self.lent {
                Some(lent) => lent.enter().attempting(|| "enter what bwrap made".into())?,
                None => identity::map_outer_single(uid, gid)
                    .map_err(|error| self.is_refused(error))
                    .attempting(|| "map the caller's ids into a user namespace".into())?,
            },
            _ => match self.supervisor.receive() {
                Ok(Some(Message::Mapped)) => {}
                _ => return Err(Failure::ours("the supervisor is gone")),
            },
        }
        self.open_outside(plan)?;
        if !plan.identity.map.is_single() {
            identity::become_outer_root()
                .attempting(|| "become root of the user namespace".into())?;
        }
        root::separate_mounts()
            .map_err(|error| self.is_refused(error.into()))
            .attempting(|| "make the mounts private".into())?;
        root::enter_stage()?;
        trace(|| "stage entered".into());
        Ok(())
    }

    fn perform(&mut self, step: &Step<RootAction>) -> Result<(), Failure> {
        match &step.action {
            RootAction::Layers { count, way } => {
                // The server merges them.
                self.layers = match way {
                    Way::Fuse => 1,
                    Way::Unpacked { .. } => *count,
                };
                self.mount_layers(way)
            }
            RootAction::Skeleton {
                directories,
                files,
                links,
            } => self.create_skeleton(Places::new(directories, files, links)),
            RootAction::Overlay { upper, stack } => self.overlay(upper, stack),
            RootAction::Copy { .. } | RootAction::Outside { .. } => {
                Err(Failure::ours("a root of files that are there is not built"))
            }
            RootAction::Fold => self.fold(),
        }
    }

    fn hand_over(&mut self) -> Result<(), Failure> {
        let namespace = |name: &str| {
            let path = root::on_host(&format!("/proc/self/ns/{name}"));
            File::open(path)
                .map(OwnedFd::from)
                .attempting(|| format!("open the new {name} namespace"))
        };
        let message = Message::Root {
            user: namespace("user")?,
            mounts: namespace("mnt")?,
            servers: std::mem::take(&mut self.servers),
        };
        // From the next line on the supervisor keeps signals for the program, and what a terminal sends must not end this
        // process instead.
        signals::block(self.own_terminal).attempting(|| "block signals".into())?;
        trace(|| "root stacked".into());
        self.supervisor
            .send(&message)
            .attempting(|| "hand over the root".into())
    }
}
