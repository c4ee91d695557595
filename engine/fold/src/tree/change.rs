//! Creating, removing and renaming.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{
    AtFlags, CWD, Dev, FileType, Gid, Mode, OFlags, RenameFlags, Stat, Uid, chmodat, chownat,
    fchmod, fchown, fstat, linkat, mkdirat, mknodat, openat, renameat_with, statat, symlinkat,
    unlinkat,
};
use rustix::io::{Errno, Result};

use super::{Entry, Found, PATH, Tree, through};
use crate::folding::fold;

/// Whose a new file is, in the ids of this process's user namespace.
#[derive(Clone, Copy)]
pub(crate) struct Owner {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// What is created; the numbers are mode bits.
pub(crate) enum Creation<'a> {
    Directory(u32),
    Special(u32, Dev),
    Symlink(&'a [u8]),
}

impl Tree {
    /// Creates a name that no name of the directory is the same as.
    pub(crate) fn create(
        &self,
        parent: u64,
        name: &[u8],
        owner: Owner,
        creation: &Creation<'_>,
    ) -> Result<Entry> {
        self.created(parent, name, |directory| {
            make(directory, name, creation)?;
            let wanted = match *creation {
                Creation::Directory(mode) | Creation::Special(mode, _) => Some(mode),
                Creation::Symlink(_) => None,
            };
            let given = give(directory, name, owner, wanted);
            if given.is_err() {
                let flags = match creation {
                    Creation::Directory(_) => AtFlags::REMOVEDIR,
                    _ => AtFlags::empty(),
                };
                // The first error is the one to tell.
                let _ = unlinkat(directory, name, flags);
            }
            given
        })
    }

    /// Creates a file and opens it, or opens the one that has just come to be there when `flags` have no `EXCL`.
    ///
    /// # Errors
    /// `ESTALE` when there is one now that not just its owner opens: the kernel has looked and found none, and asks nobody
    /// whether the program may open what is created. It looks again after this answer, once, and opens what it finds if
    /// the program may (`do_filp_open` in `fs/namei.c`).
    pub(crate) fn create_file(
        &self,
        parent: u64,
        name: &[u8],
        owner: Owner,
        mode: u32,
        flags: OFlags,
    ) -> Result<(Entry, OwnedFd)> {
        // Others may create and remove the name all the time, as programs do with a lock file.
        for _ in 0..16 {
            match self.create_new(parent, name, owner, mode, flags) {
                Err(Errno::EXIST) if !flags.contains(OFlags::EXCL) => {}
                created => return created,
            }
            if let Some(opened) = self.open_own(parent, name, owner, flags)? {
                return Ok(opened);
            }
        }
        Err(Errno::STALE)
    }

    fn create_new(
        &self,
        parent: u64,
        name: &[u8],
        owner: Owner,
        mode: u32,
        flags: OFlags,
    ) -> Result<(Entry, OwnedFd)> {
        let mut file = None;
        let entry = self.created(parent, name, |directory| {
            let new = flags | OFlags::CREATE | OFlags::EXCL;
            let fd = openat(directory, name, new, Mode::from_raw_mode(mode & 0o7777))?;
            if let Err(error) = give_file(directory, &fd, owner, mode) {
                let _ = unlinkat(directory, name, AtFlags::empty());
                return Err(error);
            }
            file = Some(fd);
            Ok(())
        })?;
        Ok((entry, file.ok_or(Errno::IO)?))
    }

    /// Opens a file that its owner asks for; `ESTALE` where it is not that simple, `None` where it has gone meanwhile.
    fn open_own(
        &self,
        parent: u64,
        name: &[u8],
        owner: Owner,
        flags: OFlags,
    ) -> Result<Option<(Entry, OwnedFd)>> {
        let mut entry = match self.lookup(parent, name) {
            Err(Errno::NOENT) => return Ok(None),
            entry => entry?,
        };
        let opened = match may_open(&entry.stat, owner, flags) {
            true => self.open(entry.id).and_then(|fd| {
                let flags = flags - OFlags::CREATE - OFlags::NOFOLLOW;
                let file = openat(CWD, through(&fd), flags, Mode::empty())?;
                // Opening may have made it empty.
                entry.stat = fstat(&file)?;
                Ok(file)
            }),
            false => Err(Errno::ACCESS),
        };
        if opened.is_err() {
            self.forget(entry.id, 1);
        }
        match opened {
            Ok(file) => Ok(Some((entry, file))),
            Err(Errno::NOENT | Errno::STALE) => Ok(None),
            Err(_) => Err(Errno::STALE),
        }
    }

    /// Gives a file one more name.
    pub(crate) fn link(&self, id: u64, parent: u64, name: &[u8]) -> Result<Entry> {
        let file = self.open(id)?;
        self.created(parent, name, |directory| {
            // With `AT_EMPTY_PATH` it would take `CAP_DAC_READ_SEARCH` (link(2)).
            linkat(
                CWD,
                through(&file),
                directory,
                name,
                AtFlags::SYMLINK_FOLLOW,
            )
        })
    }

    fn created(
        &self,
        parent: u64,
        name: &[u8],
        create: impl FnOnce(&OwnedFd) -> Result<()>,
    ) -> Result<Entry> {
        let _names = self.reading();
        let directory = self.reach(parent)?;
        if self.spelling(&directory, parent, name)?.is_some() {
            return Err(Errno::EXIST);
        }
        create(&directory)?;
        self.indexes.insert(parent, name);
        let found = Found {
            name: name.into(),
            stat: statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW)?,
        };
        self.enter(parent, name, found)
    }

    /// Removes the name that is the same as this one.
    pub(crate) fn remove(&self, parent: u64, name: &[u8], flags: AtFlags) -> Result<()> {
        let _names = self.writing();
        let directory = self.reach(parent)?;
        let found = self.find(&directory, parent, name)?.ok_or(Errno::NOENT)?;
        let held = self.hold(&directory, parent, &found.name, &found.stat);
        unlinkat(&directory, &*found.name, flags)?;
        self.nodes().remove(parent, &found.name, held);
        self.indexes.remove(parent, &found.name);
        Ok(())
    }

    /// Renames the name that is the same as the first one to the second, which it has to the letter afterwards. One that
    /// is the same as the second and another file is replaced.
    pub(crate) fn rename(
        &self,
        from: (u64, &[u8]),
        to: (u64, &[u8]),
        flags: RenameFlags,
    ) -> Result<()> {
        let _names = self.writing();
        let (old, new) = (self.reach(from.0)?, self.reach(to.0)?);
        let source = self.find(&old, from.0, from.1)?.ok_or(Errno::NOENT)?;
        let target = self.find(&new, to.0, to.1)?;
        let from = (from.0, &*source.name);
        if flags.contains(RenameFlags::EXCHANGE) {
            let target = target.ok_or(Errno::NOENT)?;
            let to = (to.0, &*target.name);
            renameat_with(&old, from.1, &new, to.1, flags)?;
            self.nodes().exchange(from, to);
            return Ok(());
        }
        let only_case = from.0 == to.0 && fold(from.1) == fold(to.1);
        match target {
            // A name beside that is the same too is no target: nothing is lost.
            Some(target) if !(only_case && *target.name != *to.1) => {
                if flags.contains(RenameFlags::NOREPLACE) {
                    return Err(Errno::EXIST);
                }
                self.replace((&old, from), (&new, to), &target.name, flags)
            }
            _ => {
                renameat_with(&old, from.1, &new, to.1, flags)?;
                self.moved(from, to);
                Ok(())
            }
        }
    }

    /// A rename to an existing name, which gets the case of the new one.
    fn replace(
        &self,
        (old, from): (&OwnedFd, (u64, &[u8])),
        (new, to): (&OwnedFd, (u64, &[u8])),
        target: &[u8],
        flags: RenameFlags,
    ) -> Result<()> {
        let is = |directory, name| statat(directory, name, AtFlags::SYMLINK_NOFOLLOW);
        let (source, there) = (is(old, from.1)?, is(new, target)?);
        if same_file(&source, &there) {
            // Two names of one file: rename(2) does nothing.
            return renameat_with(old, from.1, new, target, flags);
        }
        let held = self.hold(new, to.0, target, &there);
        renameat_with(old, from.1, new, target, flags)?;
        self.nodes().remove(to.0, target, held);
        self.moved(from, (to.0, target));
        if target != to.1 {
            // The replacement is done, in one step. Should the case not follow, it is the file that counts.
            let recased = renameat_with(new, target, new, to.1, RenameFlags::NOREPLACE);
            if recased.is_ok() {
                self.moved((to.0, target), to);
            }
        }
        Ok(())
    }

    fn moved(&self, from: (u64, &[u8]), to: (u64, &[u8])) {
        self.nodes().rename(from, to);
        self.indexes.remove(from.0, from.1);
        self.indexes.insert(to.0, to.1);
    }

    /// A descriptor of what a name leads to, if it must stay reachable when the name is gone.
    fn hold(
        &self,
        directory: &OwnedFd,
        parent: u64,
        name: &[u8],
        stat: &Stat,
    ) -> Option<Arc<OwnedFd>> {
        if !self.nodes().is_needed(parent, name, stat) {
            return None;
        }
        openat(directory, name, PATH, Mode::empty())
            .ok()
            .map(Arc::new)
    }
}

fn same_file(one: &Stat, other: &Stat) -> bool {
    (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)
}

fn make(directory: &OwnedFd, name: &[u8], creation: &Creation<'_>) -> Result<()> {
    match *creation {
        Creation::Directory(mode) => mkdirat(directory, name, Mode::from_raw_mode(mode & 0o7777)),
        Creation::Special(mode, device) => mknodat(
            directory,
            name,
            FileType::from_raw_mode(mode),
            Mode::from_raw_mode(mode & 0o7777),
            device,
        ),
        Creation::Symlink(target) => symlinkat(target, directory, name),
    }
}

/// What a new file has to get: an owner, unless it has that, and a mode, unless it has that.
///
/// In a directory with the setgid bit a new file belongs to the directory's group, and a new directory has the bit too
/// (inode(7)); the filesystem below has seen to that already. The mode is set because the mask of this process, which
/// is not the program's, was taken off.
fn due(is: &Stat, directory: &Stat, owner: Owner, mode: u32) -> (Option<Owner>, Option<Mode>) {
    let setgid = directory.st_mode & 0o2000;
    let gid = if setgid == 0 { owner.gid } else { is.st_gid };
    let give = (is.st_uid, is.st_gid) != (owner.uid, gid);
    let inherited = match FileType::from_raw_mode(is.st_mode) {
        FileType::Directory => setgid,
        _ => 0,
    };
    let mode = (mode & 0o7777) | inherited;
    // To give a file away takes these bits off (chown(2)).
    let set = is.st_mode & 0o7777 != mode || (give && mode & 0o6000 != 0);
    let owner = Owner {
        uid: owner.uid,
        gid,
    };
    (
        give.then_some(owner),
        set.then_some(Mode::from_raw_mode(mode)),
    )
}

fn give(directory: impl AsFd, name: &[u8], owner: Owner, mode: Option<u32>) -> Result<()> {
    let is = statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let wanted = mode.unwrap_or(is.st_mode);
    let (owner, due_mode) = due(&is, &fstat(&directory)?, owner, wanted);
    if let Some(Owner { uid, gid }) = owner {
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
        chownat(
            &directory,
            name,
            Some(uid),
            Some(gid),
            AtFlags::SYMLINK_NOFOLLOW,
        )?;
    }
    match due_mode.filter(|_| mode.is_some()) {
        Some(mode) => chmodat(&directory, name, mode, AtFlags::empty()),
        None => Ok(()),
    }
}

fn give_file(directory: &OwnedFd, file: &OwnedFd, owner: Owner, mode: u32) -> Result<()> {
    let (owner, mode) = due(&fstat(file)?, &fstat(directory)?, owner, mode);
    if let Some(Owner { uid, gid }) = owner {
        fchown(file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
    }
    match mode {
        Some(mode) => fchmod(file, mode),
        None => Ok(()),
    }
}

/// Whether this is a file whose owner may open it so, whatever groups and capabilities the owner has.
fn may_open(stat: &Stat, owner: Owner, flags: OFlags) -> bool {
    let wanted = match flags & OFlags::RWMODE {
        OFlags::RDONLY if flags.contains(OFlags::TRUNC) => 0o600,
        OFlags::RDONLY => 0o400,
        OFlags::WRONLY => 0o200,
        _ => 0o600,
    };
    FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
        && stat.st_uid == owner.uid
        && stat.st_mode & wanted == wanted
}
