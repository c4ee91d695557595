//! The user's private directory: the copy of the program that runs, and the unpacked tools.
//!
//! While a program runs, the kernel refuses to open its file for writing (`ETXTBSY`, execve(2)).
//! An image must stay writable while it runs, so what runs is a copy of what is compressed in it. It is kept, because
//! unpacking it at every start costs more than everything else, and the launcher, which the image begins with, executes it. All of it
//! is in one directory per build, which appears by a rename and is complete from then on:
//!
//! ```text
//! <private>/flatimage/<build id>/runtime      the program, mode 0555
//! <private>/flatimage/<build id>/tools/bin    bash
//! <private>/flatimage/<build id>/tools/sbin   busybox and its applets
//! <private>/flatimage/<build id>/servers      programs that serve a root, once they were needed
//! <private>/flatimage/<build id>/host         programs that are run on the host, once they were needed
//! ```
//!
//! What is there is executed, so nobody else may be able to put it there: every directory
//! of ours must belong to the caller and be closed to all others.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use nix::sys::statvfs::{FsFlags, statvfs};
use nix::unistd::geteuid;

use crate::host::is_private_directory;
use crate::marker::Placement;
use crate::tools::{self, Apart};

/// A directory with the program and the tools of one build.
#[derive(Clone, Debug)]
pub struct Unit {
    /// The executable copy of the program.
    pub runtime: PathBuf,
    /// The unpacked tools; `None` when the build has none.
    pub tools: Option<PathBuf>,
}

/// How long a directory that was never finished is left alone: somebody may be filling it.
const ABANDONED_AFTER: Duration = Duration::from_secs(3600);

/// Where the caller's private directory may be, the best place first.
fn bases(variable: impl Fn(&str) -> Option<String>) -> impl Iterator<Item = PathBuf> {
    let home = variable("HOME").map(|home| format!("{home}/.cache"));
    let bases = [
        variable("XDG_RUNTIME_DIR"),
        variable("XDG_CACHE_HOME"),
        home,
    ];
    let bases = bases.into_iter().flatten().map(PathBuf::from);
    bases.filter(|base| base.is_absolute())
}

/// The directories of this and other images, of which any may be there.
pub fn directories(variable: impl Fn(&str) -> Option<String>) -> Vec<PathBuf> {
    bases(variable).map(|base| base.join("flatimage")).collect()
}

/// Finds the unit of this build, or makes it of the program that runs and the tools in the image.
///
/// `None` when there is no directory to keep it in, which is no error: the caller then runs
/// from memory.
pub fn unit(
    variable: impl Fn(&str) -> Option<String>,
    image: &Path,
    placement: &Placement,
) -> Option<Unit> {
    bases(variable).find_map(|base| unit_below(&base, image, placement))
}

/// The directory with tools that the container has nothing of. It is unpacked beside the others when it is first needed: most
/// starts never do.
pub fn apart(
    variable: impl Fn(&str) -> Option<String>,
    image: &Path,
    placement: &Placement,
    what: Apart,
) -> Option<PathBuf> {
    let unit = unit(variable, image, placement)?;
    let directory = unit.runtime.parent()?;
    let apart = directory.join(what.directory());
    if !apart.is_dir() {
        unpack_apart(directory.parent()?, &apart, (image, placement), what).ok()?;
    }
    Some(apart)
}

fn unpack_apart(
    parent: &Path,
    apart: &Path,
    (image, placement): (&Path, &Placement),
    what: Apart,
) -> io::Result<()> {
    remove_abandoned(parent);
    let unfinished = parent.join(format!(".new-{}", std::process::id()));
    let _ = fs::remove_dir_all(&unfinished);
    fs::DirBuilder::new().mode(0o700).create(&unfinished)?;
    let unpack = || {
        let image = File::open(image)?;
        tools::unpack(
            &what.tools(&image)?,
            &image,
            placement.tools_offset,
            &unfinished,
        )?;
        // As above: the name must not last longer than the contents.
        nix::unistd::syncfs(&File::open(&unfinished)?)?;
        match fs::rename(unfinished.join(what.directory()), apart) {
            // Somebody else was faster.
            Err(_) if apart.is_dir() => Ok(()),
            renamed => renamed,
        }
    };
    let unpacked = unpack();
    let _ = fs::remove_dir_all(&unfinished);
    unpacked
}

/// The caller's folder for what takes space: below `$XDG_CACHE_HOME` or `~/.cache`, and never in memory. `None` where it
/// would not be private or where nothing can be executed.
pub fn cache(variable: impl Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let home = variable("HOME").map(|home| format!("{home}/.cache"));
    let bases = [variable("XDG_CACHE_HOME"), home];
    bases
        .into_iter()
        .flatten()
        .map(PathBuf::from)
        .filter(|base| base.is_absolute())
        .find_map(|base| usable(&base))
}

fn unit_below(base: &Path, image: &Path, placement: &Placement) -> Option<Unit> {
    let directory = base.join("flatimage").join(&placement.build_id);
    if let Some(unit) = existing(&directory, placement) {
        return Some(unit);
    }
    let parent = usable(base)?;
    create(&parent, &directory, image, placement).ok()?;
    existing(&directory, placement)
}

/// The unit that is already there, if it is whole and only the caller could have made it.
fn existing(directory: &Path, placement: &Placement) -> Option<Unit> {
    let parent = directory.parent()?;
    let runtime = directory.join("runtime");
    let found = fs::symlink_metadata(&runtime).ok()?;
    let whole = found.is_file()
        && found.uid() == geteuid().as_raw()
        && found.len() == placement.runtime_size
        && found.mode() & 0o022 == 0;
    if !whole || !is_private_directory(parent) || !is_private_directory(directory) {
        return None;
    }
    let tools = directory.join("tools");
    Some(Unit {
        runtime,
        tools: tools.is_dir().then_some(tools),
    })
}

/// Our folder below `base`, created if need be; `None` where it would not be private or
/// where nothing can be executed.
fn usable(base: &Path) -> Option<PathBuf> {
    let ours =
        |path: &Path| fs::metadata(path).is_ok_and(|found| found.uid() == geteuid().as_raw());
    // A home directory may not have its cache yet.
    if !base.exists() && base.parent().is_some_and(ours) {
        fs::DirBuilder::new().mode(0o700).create(base).ok()?;
    }
    if !ours(base) {
        return None;
    }
    let folder = base.join("flatimage");
    match fs::DirBuilder::new().mode(0o700).create(&folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return None,
        _ => {}
    }
    let executable = statvfs(&folder).is_ok_and(|at| !at.flags().contains(FsFlags::ST_NOEXEC));
    (executable && is_private_directory(&folder)).then_some(folder)
}

fn create(parent: &Path, directory: &Path, image: &Path, placement: &Placement) -> io::Result<()> {
    remove_abandoned(parent);
    let unfinished = parent.join(format!(".new-{}", std::process::id()));
    let _ = fs::remove_dir_all(&unfinished);
    fs::DirBuilder::new().mode(0o700).create(&unfinished)?;
    let result = fill(&unfinished, image, placement).and_then(|()| {
        match fs::rename(&unfinished, directory) {
            // Damaged, or of another user: a directory that is no unit makes room.
            Err(_) if existing(directory, placement).is_none() => {
                fs::remove_dir_all(directory)?;
                fs::rename(&unfinished, directory)
            }
            result => result,
        }
    });
    if result.is_err() {
        let _ = fs::remove_dir_all(&unfinished);
    }
    result
}

fn fill(directory: &Path, image: &Path, placement: &Placement) -> io::Result<()> {
    let image = File::open(image)?;
    // What is kept is not looked at again: it must not be of an image that is damaged.
    if !placement.has_its_runtime(&image)? {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let tools = directory.join("tools");
    let table = tools::table(&image)?;
    if !table.is_empty() {
        fs::create_dir(&tools)?;
        fs::set_permissions(&tools, Permissions::from_mode(0o755))?;
        tools::unpack(&table, &image, placement.tools_offset, &tools)?;
    }
    let mut runtime = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o700)
        .open(directory.join("runtime"))?;
    if copy_program(&mut runtime)? != placement.runtime_size {
        return Err(io::ErrorKind::InvalidData.into());
    }
    // Whoever is somebody else in a container runs it there; on the host the directory is closed to others.
    runtime.set_permissions(Permissions::from_mode(0o555))?;
    // The rename that follows must not survive a power loss that the contents do not.
    nix::unistd::syncfs(&runtime).or_else(|_| runtime.sync_all().map_err(|_| nix::Error::EIO))?;
    Ok(())
}

/// Copies the program that runs; answers how many bytes it has.
///
/// # Errors
/// As reading and writing do.
pub fn copy_program(to: &mut File) -> io::Result<u64> {
    io::copy(&mut File::open("/proc/self/exe")?, to)
}

fn remove_abandoned(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let age = entry
            .metadata()
            .and_then(|found| found.modified())
            .ok()
            .and_then(|changed| SystemTime::now().duration_since(changed).ok());
        if name.to_string_lossy().starts_with(".new-") && age > Some(ABANDONED_AFTER) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
