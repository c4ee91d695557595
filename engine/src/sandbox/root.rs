//! The stage on which the root is built.
//!
//! The builder mounts an empty filesystem in memory and makes it its root, with the host below `host`. There the
//! layers, the skeleton and the overlay have fixed, plain names, whatever the host looks like, and nothing is created
//! on the host. An instance has a copy of these mounts, adds its own, and then makes the overlay its root.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, IntoRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::Mode;
use nix::sys::statfs::{OVERLAYFS_SUPER_MAGIC, statfs};
use nix::sys::statvfs::{FsFlags, fstatvfs};
use nix::unistd::{chdir, fchdir, pivot_root};
use rustix::fs::{XattrFlags, removexattr, setxattr};
use rustix::io::Errno;

use super::failure::{Attempt, Failure};
use super::place;
use crate::sys::{MountAttributes, Resolve, clone_tree, move_mount, open_in, set_attributes};

const HOST: &str = "/host";
const LAYERS: &str = "/layers";
const SKELETON: &str = "/skeleton";
const OWN_FILES: &str = "/files";
const MEMORY: &str = "/memory";
const DATA: &str = "/data";
const ROOT: &str = "/root";
const BELOW: &str = "/below";
const BELOW_ROOT: &str = "/below/root";
const NOTHING: &str = "/below/nothing";

/// Where the programs that serve a root are, on the stage.
pub const SERVERS: &str = "/servers";

/// Directories of which one exists on every host, to mount the stage on. `/tmp` first: it is
/// the one that no path of the host leads through that could be needed before the pivot.
const ANCHORS: [&str; 4] = ["/tmp", "/run", "/mnt", "/var"];

/// Where a path of the host is, on the stage.
pub fn on_host(path: &str) -> String {
    format!("{HOST}{path}")
}

/// Mounts of ours must not appear on the host; those of the host may go on appearing here. The first thing that takes
/// capabilities: some hosts give a user namespace and no capabilities in it.
pub fn separate_mounts() -> nix::Result<()> {
    let none: Option<&str> = None;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_SLAVE, none)
}

/// Makes the stage the root, once the [mounts are separate](separate_mounts); the host is then at [`on_host`]. It stays in sight: the kernel allows a new `/proc` only
/// to who sees one that nothing is hidden of (`mount_too_revealing` in fs/namespace.c).
pub fn enter_stage() -> Result<(), Failure> {
    let anchor = ANCHORS
        .into_iter()
        .find(|path| Path::new(path).is_dir())
        .unwrap_or("/");
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(
        Some("flatimage"),
        anchor,
        Some("tmpfs"),
        flags,
        Some("mode=0755"),
    )
    .attempting(|| format!("mount a filesystem in memory on {anchor}"))?;
    let stage = || -> io::Result<()> {
        chdir(anchor)?;
        for name in [
            "host", "layers", "skeleton", "files", "memory", "data", "servers", "root", "below",
        ] {
            fs::create_dir(name)?;
        }
        // A server that stays here looks at itself, and at who asks it.
        symlink("host/proc", "proc")?;
        pivot_root(".", "host")?;
        Ok(chdir("/")?)
    };
    stage().attempting(|| "leave the host's root".into())
}

/// Mounts the layers' filesystem, which `fuse` is the server's side of.
pub fn mount_layers(fuse: &OwnedFd) -> Result<(), Failure> {
    mount_fuse(fuse, LAYERS, MsFlags::MS_RDONLY).attempting(|| "mount the layers over FUSE".into())
}

/// Mounts the folded view, which `fuse` is the server's side of, over the overlay. From then on it is the root.
pub fn mount_folded(fuse: &OwnedFd) -> Result<(), Failure> {
    mount_fuse(fuse, ROOT, MsFlags::empty()).attempting(|| "mount the folded root over FUSE".into())
}

/// Shows what is stacked below the changes, read-only, as the kernel stacks it, and answers where: whoever knows nothing of
/// the layers' marks finds them applied.
pub fn show_below(layers: usize) -> Result<&'static Path, Failure> {
    let show = || -> io::Result<()> {
        // The kernel stacks two directories at least.
        for name in [BELOW_ROOT, NOTHING] {
            fs::create_dir(name)?;
        }
        let lower = lower(layers).join(":");
        let options = format!("lowerdir={lower}:{NOTHING},userxattr");
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_RDONLY;
        let (from, kind) = (Some("flatimage"), Some("overlay"));
        Ok(mount(
            from,
            BELOW_ROOT,
            kind,
            flags,
            Some(options.as_str()),
        )?)
    };
    show()
        .map(|()| Path::new(BELOW_ROOT))
        .attempting(|| "stack the layers for reading".into())
}

/// Takes away what [`show_below`] showed.
pub fn hide_below() -> Result<(), Failure> {
    let hide = || -> io::Result<()> {
        umount2(BELOW_ROOT, MntFlags::MNT_DETACH)?;
        [BELOW_ROOT, NOTHING]
            .into_iter()
            .try_for_each(fs::remove_dir)
    };
    hide().attempting(|| "take away the layers for reading".into())
}

/// The branches of unionfs-fuse: each is a directory that has what is shown in its `root`.
pub fn branches(upper: &str) -> String {
    format!("{upper}=RW:{BELOW}=RO")
}

/// Answers the name of the root as a mount point, for a program that [takes no mounted descriptor](super::handing). It
/// needs a `/dev/fuse`, and `/bin/fusermount` is this program.
pub fn offer_mounted() -> io::Result<&'static str> {
    let ourselves = nix::fcntl::open("/proc/self/exe", OFlag::O_RDONLY, Mode::empty())?;
    // It stays open when the program is executed.
    let ourselves = ourselves.into_raw_fd();
    for directory in ["/dev", "/bin"] {
        fs::create_dir(directory)?;
    }
    symlink("../host/dev/fuse", "/dev/fuse")?;
    symlink(format!("/proc/self/fd/{ourselves}"), "/bin/fusermount")?;
    Ok(ROOT)
}

/// Mounts the stacked root, which `fuse` is the server's side of.
pub fn mount_stacked(fuse: &OwnedFd) -> Result<(), Failure> {
    mount_fuse(fuse, ROOT, MsFlags::empty()).attempting(|| "mount the root over FUSE".into())
}

fn mount_fuse(fuse: &OwnedFd, at: &str, further: MsFlags) -> nix::Result<()> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | further;
    // Permissions are the kernel's business, which knows the modes and owners.
    let options = format!(
        "fd={},rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions",
        fuse.as_raw_fd()
    );
    mount(
        Some("flatimage"),
        at,
        Some("fuse"),
        flags,
        Some(options.as_str()),
    )
}

/// Shows these directories as the layers; an empty one in the place of one that is missing.
pub fn show_layers(directories: &[Option<OwnedFd>]) -> io::Result<()> {
    let attributes = MountAttributes {
        read_only: true,
        no_devices: true,
        no_exec: false,
    };
    for (index, directory) in directories.iter().enumerate() {
        let at = format!("{LAYERS}/{index}");
        fs::create_dir(&at)?;
        if let Some(directory) = directory {
            show(directory, &at, attributes)?;
        }
    }
    Ok(())
}

/// Shows the directory with the programs that serve a root.
pub fn show_servers(directory: &OwnedFd) -> io::Result<()> {
    let attributes = MountAttributes {
        read_only: true,
        no_devices: true,
        no_exec: false,
    };
    show(directory, SERVERS, attributes)
}

/// Shows the place of the changes by a plain name, and answers the name. `data` is the data directory, or `None` for
/// changes in memory.
pub fn show_changes(data: Option<&OwnedFd>) -> io::Result<&'static str> {
    let Some(data) = data else { return Ok(MEMORY) };
    let attributes = MountAttributes {
        read_only: false,
        no_devices: true,
        no_exec: true,
    };
    show(data, DATA, attributes)?;
    Ok(DATA)
}

fn show(directory: &OwnedFd, at: &str, attributes: MountAttributes) -> io::Result<()> {
    let mount = clone_tree(directory.as_fd())?;
    set_attributes(mount.as_fd(), attributes)?;
    move_mount(mount.as_fd(), place::stage(Path::new(at))?.as_fd())
}

/// The directories that will be stacked above the skeleton, as far as there are any, opened to look into.
pub fn open_stacked(layers: usize, data: Option<&OwnedFd>) -> Vec<OwnedFd> {
    let flags = libc::O_PATH | libc::O_DIRECTORY;
    let changes =
        data.map(|data| open_in(data.as_fd(), Path::new("root"), flags, Resolve::NoSymlinks));
    let layers = (0..layers)
        .rev()
        .map(|index| place::stage(Path::new(&format!("{LAYERS}/{index}"))));
    changes.into_iter().chain(layers).flatten().collect()
}

/// Whether the merged layers say that a path was deleted. The skeleton must not have it then: the layers' whiteouts are found
/// and not listed, and so the overlay would list it.
pub fn is_deleted(path: &Path) -> bool {
    let path = path.strip_prefix("/").unwrap_or(path);
    let found = fs::symlink_metadata(Path::new(LAYERS).join("0").join(path));
    found.is_ok_and(|found| found.file_type().is_char_device() && found.rdev() == 0)
}

/// Creates the places that mounts need, as the lowest layer.
pub fn create_skeleton(
    directories: &BTreeSet<PathBuf>,
    files: &BTreeMap<PathBuf, String>,
    links: &BTreeMap<PathBuf, PathBuf>,
) -> Result<(), Failure> {
    let at = |path: &Path| Path::new(SKELETON).join(path.strip_prefix("/").unwrap_or(path));
    let create = || -> io::Result<()> {
        for directory in directories {
            fs::create_dir(at(directory))?;
        }
        for (file, contents) in files {
            fs::write(at(file), contents)?;
        }
        for (link, target) in links {
            symlink(target, at(link))?;
        }
        Ok(())
    };
    create().attempting(|| "create the places to mount on".into())
}

/// Opens the host as it is seen from the stage, without any access to what is there.
pub fn open_host() -> io::Result<OwnedFd> {
    place::stage(Path::new(HOST))
}

/// A place of the instance's own for files that are shown in the root: the stage itself is shared.
pub fn mount_own_files() -> io::Result<()> {
    let none: Option<&str> = None;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    Ok(mount(
        Some("flatimage"),
        OWN_FILES,
        Some("tmpfs"),
        flags,
        none,
    )?)
}

/// Writes a file there and answers a descriptor of it.
pub fn write_own_file(name: &OsStr, contents: &str) -> io::Result<OwnedFd> {
    let path = Path::new(OWN_FILES).join(name);
    fs::write(&path, contents)?;
    place::stage(&path)
}

/// The directories that are stacked below the changes, the highest first.
pub fn lower(layers: usize) -> Vec<String> {
    let layers = (0..layers).rev().map(|index| format!("{LAYERS}/{index}"));
    layers.chain([SKELETON.to_owned()]).collect()
}

/// Enters the place of the changes and makes the directories there that every stacking needs. `data` is the data
/// directory, or `None` to keep changes in memory.
pub fn prepare_changes(data: Option<&OwnedFd>) -> Result<(), Failure> {
    // A colon or comma in a path would end the option: the data directory is the working
    // directory and the options name what is in it.
    match data {
        Some(data) => fchdir(data).attempting(|| "enter the data directory".into())?,
        None => chdir(MEMORY).attempting(|| "enter the stage".into())?,
    }
    for name in ["root", "work"] {
        match fs::create_dir(name) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(error).attempting(|| format!("create `{name}` in the data directory"));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Stacks `layers` and the changes, whose place is the [working directory](prepare_changes). Answers whether the overlay
/// can keep all of its marks there.
pub fn mount_overlay(layers: usize) -> Result<bool, Failure> {
    // The overlay of the run before may still be syncing, which `index=on` would take for a
    // second user of the same directories; that there is none is what the claim is for.
    // Without privileges over the host the overlay keeps its marks in `user.` attributes
    // (Linux 5.11; Documentation/filesystems/overlayfs.rst).
    let options = format!(
        "lowerdir={},upperdir=root,workdir=work,userxattr,index=off",
        lower(layers).join(":")
    );
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    let mounted = mount(
        Some("flatimage"),
        ROOT,
        Some("overlay"),
        flags,
        Some(options.as_str()),
    );
    if mounted.is_err() && is_overlay(".") {
        return Err(Failure::ours(
            "the data directory is on an overlay, as a container's own files are, and overlayfs keeps no changes there; put it \
             on another filesystem, such as a volume, with FIM_DIR_DATA",
        ));
    }
    mounted.attempting(|| "stack the layers with overlayfs".into())?;
    // The overlay makes a directory of its own there, with no permissions at all: its owner, once
    // the container has ended, could not remove the data directory like any other.
    let _ = fs::set_permissions("work/work", Permissions::from_mode(0o700));
    let keeps = keeps_attributes("work");
    chdir("/").attempting(|| "leave the data directory".into())?;
    examine()?;
    Ok(keeps)
}

fn is_overlay(directory: &str) -> bool {
    statfs(directory).is_ok_and(|found| found.filesystem_type() == OVERLAYFS_SUPER_MAGIC)
}

/// Whether the filesystem has extended attributes for everybody. Without them the kernel mounts the overlay all the same, and
/// answers EIO when a directory of a layer is to be removed or replaced (`ovl_check_setxattr` in fs/overlayfs/util.c).
fn keeps_attributes(directory: &str) -> bool {
    let name = "user.flatimage";
    let set = setxattr(directory, name, b"", XattrFlags::empty());
    // One that stays does no harm.
    let _ = removexattr(directory, name);
    set != Err(Errno::OPNOTSUPP)
}

/// A descriptor of the root.
pub fn open_root() -> Result<OwnedFd, Failure> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    nix::fcntl::open(ROOT, flags, Mode::empty()).attempting(|| "open the root".into())
}

/// Whether the root can be used. An overlay whose upper directory cannot be mounts all the same, read-only.
pub fn examine() -> Result<(), Failure> {
    let found = fstatvfs(open_root()?).attempting(|| "examine the root".into())?;
    if found.flags().contains(FsFlags::ST_RDONLY) {
        return Err(Failure::ours(
            "the data directory cannot hold changes: its filesystem refuses what overlayfs needs; \
             put it elsewhere with FIM_DIR_DATA",
        ));
    }
    Ok(())
}

/// Makes `root` the root and lets go of the stage and of the host.
pub fn enter_root(root: &OwnedFd) -> Result<(), Failure> {
    let enter = || -> io::Result<()> {
        fchdir(root.as_fd())?;
        // Both on the same directory: the old root ends up on top of the new one and is
        // detached from there (pivot_root(2), "pivot_root(".", ".")").
        pivot_root(".", ".")?;
        umount2(".", MntFlags::MNT_DETACH)?;
        Ok(chdir("/")?)
    };
    enter().attempting(|| "enter the container's root".into())
}

/// Opens the data directory; see [`place::stage`].
pub fn open_data(path: &Path) -> Result<OwnedFd, Failure> {
    place::stage(path).attempting(|| format!("open the data directory {}", path.display()))
}
