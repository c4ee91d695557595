//! One method for each request. They are in one file because a trait has one implementation; what is more than taking
//! a request apart and answering it is elsewhere.

use std::cell::RefCell;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use fuser::{
    BsdFileFlags, CopyFileRangeFlags, Errno, FileAttr, FileHandle, Filesystem, FopenFlags,
    Generation, INodeNo, KernelConfig, LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate,
    ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyLseek, ReplyOpen, ReplyStatfs,
    ReplyWrite, ReplyXattr, Request, TimeOrNow, WriteFlags,
};
use rustix::fs::{
    AtFlags, FallocateFlags, SeekFrom, copy_file_range, fallocate, fstat, fstatvfs, readlinkat,
    seek,
};
use rustix::io::Errno as Error;

use super::attributes::{Changes, attributes, decode, kind};
use super::{FOREVER, MAX_WRITE, Server, WANTED, below, name_lifetime, xattr};
use crate::listing::Listing;
use crate::tree::{Creation, Entry, Owner};

/// `SEEK_DATA` and `SEEK_HOLE` (lseek(2)).
const SEEK_DATA: i32 = 3;
const SEEK_HOLE: i32 = 4;

thread_local! {
    /// What a thread reads into, so that it is not cleared for every request.
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

fn code(error: Error) -> Errno {
    Errno::from_i32(error.raw_os_error())
}

fn owner(request: &Request) -> Owner {
    Owner {
        uid: request.uid(),
        gid: request.gid(),
    }
}

fn done(result: Result<(), Error>, reply: ReplyEmpty) {
    match result {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(code(error)),
    }
}

fn entered(result: Result<Entry, Error>, reply: ReplyEntry) {
    match result {
        Ok(entry) => reply.entry_with_ttls(
            &FOREVER,
            &name_lifetime(&entry),
            &attributes(entry.id, &entry.stat),
            Generation(0),
        ),
        Err(error) => reply.error(code(error)),
    }
}

fn answered(result: Result<xattr::Answer, Error>, reply: ReplyXattr) {
    match result {
        Ok(xattr::Answer::Bytes(bytes)) => reply.data(&bytes),
        Ok(xattr::Answer::Length(length)) => reply.size(length),
        Err(error) => reply.error(code(error)),
    }
}

impl Server {
    fn attributes_of(&self, node: INodeNo, handle: Option<FileHandle>) -> Result<FileAttr, Error> {
        let opened = handle.and_then(|handle| self.files.get(handle.0).ok());
        let stat = match opened {
            Some(file) => fstat(&*file)?,
            None => fstat(&*self.tree.open(node.0)?)?,
        };
        Ok(attributes(node.0, &stat))
    }

    fn change(
        &self,
        node: INodeNo,
        handle: Option<FileHandle>,
        changes: &Changes,
    ) -> Result<FileAttr, Error> {
        let opened = handle.and_then(|handle| self.files.get(handle.0).ok());
        changes.make(&*self.tree.open(node.0)?, opened.as_deref())?;
        self.attributes_of(node, handle)
    }
}

impl Filesystem for Server {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        for flag in WANTED {
            // Each is an improvement that an older kernel does without.
            let _ = config.add_capabilities(flag);
        }
        let _ = config.set_max_write(MAX_WRITE);
        Ok(())
    }

    fn lookup(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let name = name.as_bytes();
        let found = self.tree.lookup(parent.0, name);
        if let Ok(entry) = &found
            && !entry.exact
            && self.intents.is_new_case(request.pid(), name)
        {
            self.tree.forget(entry.id, 1);
            return reply.error(Errno::ENOENT);
        }
        entered(found, reply);
    }

    fn forget(&self, _: &Request, node: INodeNo, lookups: u64) {
        self.tree.forget(node.0, lookups);
    }

    fn getattr(&self, _: &Request, node: INodeNo, handle: Option<FileHandle>, reply: ReplyAttr) {
        match self.attributes_of(node, handle) {
            Ok(attributes) => reply.attr(&FOREVER, &attributes),
            Err(error) => reply.error(code(error)),
        }
    }

    fn setattr(
        &self,
        _: &Request,
        node: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        accessed: Option<TimeOrNow>,
        modified: Option<TimeOrNow>,
        _: Option<SystemTime>,
        handle: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let changes = Changes {
            mode,
            uid,
            gid,
            size,
            accessed,
            modified,
        };
        match self.change(node, handle, &changes) {
            Ok(attributes) => reply.attr(&FOREVER, &attributes),
            Err(error) => reply.error(code(error)),
        }
    }

    fn readlink(&self, _: &Request, node: INodeNo, reply: ReplyData) {
        let target = self
            .tree
            .open(node.0)
            .and_then(|fd| readlinkat(&*fd, "", Vec::new()));
        match target {
            Ok(target) => reply.data(target.as_bytes()),
            Err(error) => reply.error(code(error)),
        }
    }

    fn mknod(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _: u32,
        device: u32,
        reply: ReplyEntry,
    ) {
        let creation = Creation::Special(mode, decode(device));
        let name = name.as_bytes();
        entered(
            self.tree.create(parent.0, name, owner(request), &creation),
            reply,
        );
    }

    fn mkdir(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _: u32,
        reply: ReplyEntry,
    ) {
        let (name, creation) = (name.as_bytes(), Creation::Directory(mode));
        entered(
            self.tree.create(parent.0, name, owner(request), &creation),
            reply,
        );
    }

    fn symlink(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        target: &Path,
        reply: ReplyEntry,
    ) {
        let creation = Creation::Symlink(target.as_os_str().as_bytes());
        let name = name.as_bytes();
        entered(
            self.tree.create(parent.0, name, owner(request), &creation),
            reply,
        );
    }

    fn link(&self, _: &Request, node: INodeNo, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        entered(self.tree.link(node.0, parent.0, name.as_bytes()), reply);
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let removed = self
            .tree
            .remove(parent.0, name.as_bytes(), AtFlags::empty());
        done(removed, reply);
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let removed = self
            .tree
            .remove(parent.0, name.as_bytes(), AtFlags::REMOVEDIR);
        done(removed, reply);
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let flags = rustix::fs::RenameFlags::from_bits_retain(flags.bits());
        let from = (parent.0, name.as_bytes());
        let to = (new_parent.0, new_name.as_bytes());
        done(self.tree.rename(from, to, flags), reply);
    }

    fn open(&self, _: &Request, node: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        match self.open_file(node.0, flags) {
            // Its pages stay: whoever changes the file does so through the same inode.
            Ok(file) => reply.opened(
                FileHandle(self.files.add(file)),
                FopenFlags::FOPEN_KEEP_CACHE,
            ),
            Err(error) => reply.error(code(error)),
        }
    }

    fn create(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _: u32,
        flags: i32,
        reply: ReplyCreate,
    ) {
        let (name, flags) = (name.as_bytes(), below(flags));
        let created = self
            .tree
            .create_file(parent.0, name, owner(request), mode, flags);
        match created {
            Ok((entry, file)) => {
                self.tree.opened(entry.id, &file);
                reply.created(
                    &Duration::ZERO,
                    &attributes(entry.id, &entry.stat),
                    Generation(0),
                    FileHandle(self.files.add(file.into())),
                    FopenFlags::FOPEN_KEEP_CACHE,
                );
            }
            Err(error) => reply.error(code(error)),
        }
    }

    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        BUFFER.with_borrow_mut(|buffer| {
            let size = size as usize;
            if buffer.len() < size {
                buffer.resize(size, 0);
            }
            let read = self
                .files
                .get(handle.0)
                .map_err(io::Error::from)
                .and_then(|file| read_fully(&file, &mut buffer[..size], offset));
            match read {
                Ok(length) => reply.data(&buffer[..length]),
                Err(error) => reply.error(error.into()),
            }
        });
    }

    fn write(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let file = self.files.get(handle.0).map_err(io::Error::from);
        match file.and_then(|file| file.write_at(data, offset)) {
            Ok(length) => reply.written(length as u32),
            Err(error) => reply.error(error.into()),
        }
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        // Everything is written when it arrives. The kernel asks once and never again.
        reply.error(Errno::ENOSYS);
    }

    fn release(
        &self,
        _: &Request,
        node: INodeNo,
        handle: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        self.files.close(handle.0);
        self.tree.closed(node.0);
        reply.ok();
    }

    fn fsync(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        data_only: bool,
        reply: ReplyEmpty,
    ) {
        let file = self.files.get(handle.0).map_err(io::Error::from);
        let synced = file.and_then(|file| match data_only {
            true => file.sync_data(),
            false => file.sync_all(),
        });
        match synced {
            Ok(()) => reply.ok(),
            Err(error) => reply.error(error.into()),
        }
    }

    fn opendir(&self, _: &Request, node: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        let opened = self.tree.open(node.0).and_then(|fd| Listing::open(&fd));
        match opened {
            Ok(listing) => reply.opened(
                FileHandle(self.directories.add(listing)),
                FopenFlags::empty(),
            ),
            Err(error) => reply.error(code(error)),
        }
    }

    fn readdir(
        &self,
        _: &Request,
        node: INodeNo,
        handle: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let listing = self.directories.get(handle.0);
        let read = listing.and_then(|listing| {
            listing.read(offset, |listed| {
                let number = match &*listed.name {
                    b"." => Some(node.0),
                    name => self.tree.known(node.0, name),
                };
                reply.add(
                    INodeNo(number.unwrap_or(listed.number)),
                    listed.next,
                    kind(listed.kind),
                    OsStr::from_bytes(&listed.name),
                )
            })
        });
        match read {
            Ok(()) => reply.ok(),
            Err(error) => reply.error(code(error)),
        }
    }

    fn releasedir(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        _: OpenFlags,
        reply: ReplyEmpty,
    ) {
        self.directories.close(handle.0);
        reply.ok();
    }

    fn fsyncdir(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        data_only: bool,
        reply: ReplyEmpty,
    ) {
        let listing = self.directories.get(handle.0);
        done(listing.and_then(|listing| listing.sync(data_only)), reply);
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        match fstatvfs(self.tree.root()) {
            Ok(is) => reply.statfs(
                is.f_blocks,
                is.f_bfree,
                is.f_bavail,
                is.f_files,
                is.f_ffree,
                is.f_bsize as u32,
                is.f_namemax as u32,
                is.f_frsize as u32,
            ),
            Err(error) => reply.error(code(error)),
        }
    }

    fn setxattr(
        &self,
        _: &Request,
        node: INodeNo,
        name: &OsStr,
        value: &[u8],
        flags: i32,
        _: u32,
        reply: ReplyEmpty,
    ) {
        let file = self.tree.open(node.0);
        done(
            file.and_then(|fd| xattr::set(&fd, name.as_ref(), value, flags)),
            reply,
        );
    }

    fn getxattr(&self, _: &Request, node: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        let file = self.tree.open(node.0);
        answered(
            file.and_then(|fd| xattr::get(&fd, name.as_ref(), size)),
            reply,
        );
    }

    fn listxattr(&self, _: &Request, node: INodeNo, size: u32, reply: ReplyXattr) {
        let file = self.tree.open(node.0);
        answered(file.and_then(|fd| xattr::list(&fd, size)), reply);
    }

    fn removexattr(&self, _: &Request, node: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let file = self.tree.open(node.0);
        done(file.and_then(|fd| xattr::remove(&fd, name.as_ref())), reply);
    }

    fn fallocate(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        let mode = FallocateFlags::from_bits_retain(mode as u32);
        let file = self.files.get(handle.0);
        done(
            file.and_then(|file| fallocate(&*file, mode, offset, length)),
            reply,
        );
    }

    fn lseek(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        offset: i64,
        whence: i32,
        reply: ReplyLseek,
    ) {
        let at = u64::try_from(offset).map_err(|_| Error::NXIO);
        let to = at.and_then(|at| match whence {
            SEEK_DATA => Ok(SeekFrom::Data(at)),
            SEEK_HOLE => Ok(SeekFrom::Hole(at)),
            _ => Err(Error::INVAL),
        });
        // Nobody else uses this descriptor's position.
        match to.and_then(|to| seek(&*self.files.get(handle.0)?, to)) {
            Ok(at) => reply.offset(at as i64),
            Err(error) => reply.error(code(error)),
        }
    }

    fn copy_file_range(
        &self,
        _: &Request,
        _: INodeNo,
        from: FileHandle,
        mut from_offset: u64,
        _: INodeNo,
        to: FileHandle,
        mut to_offset: u64,
        length: u64,
        _: CopyFileRangeFlags,
        reply: ReplyWrite,
    ) {
        // The answer has room for 32 bits.
        let length = length.min(1 << 30) as usize;
        let copied = self.files.get(from.0).and_then(|source| {
            let target = self.files.get(to.0)?;
            copy_file_range(
                &*source,
                Some(&mut from_offset),
                &*target,
                Some(&mut to_offset),
                length,
            )
        });
        match copied {
            Ok(length) => reply.written(length as u32),
            Err(error) => reply.error(code(error)),
        }
    }
}

/// Reads until the buffer is full or the file ends: for the kernel, a short answer is the end of the file.
fn read_fully(file: &std::fs::File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match file.read_at(&mut buffer[length..], offset + length as u64) {
            Ok(0) => break,
            Ok(more) => length += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}
