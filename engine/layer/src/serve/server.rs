//! The answers to the kernel's requests.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use fuser::{
    Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, InitFlags,
    KernelConfig, LockOwner, OpenFlags, ReplyAttr, ReplyData, ReplyDirectory, ReplyDirectoryPlus,
    ReplyEmpty, ReplyEntry, ReplyLseek, ReplyOpen, ReplyStatfs, ReplyXattr, Request,
};

use super::ahead::Ahead;
use super::{IdMap, xattr};
use crate::cache::BlockCache;
use crate::layer::{Attributes, Kind, Seek};
use crate::merge::Merged;
use crate::stack::{Node, Stack};

/// How long the kernel may keep what it was told: ten years.
const FOREVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// The latest time that is reported, in seconds since 1970, so that forged ones do not overflow.
const LAST_SECOND: u64 = 1 << 40;

/// What we would like of the kernel; it grants what it has.
const WANTED: [InitFlags; 7] = [
    InitFlags::FUSE_ASYNC_READ,
    InitFlags::FUSE_PARALLEL_DIROPS,
    InitFlags::FUSE_DO_READDIRPLUS,
    InitFlags::FUSE_READDIRPLUS_AUTO,
    InitFlags::FUSE_CACHE_SYMLINKS,
    InitFlags::FUSE_NO_OPEN_SUPPORT,
    InitFlags::FUSE_NO_OPENDIR_SUPPORT,
];

/// The layers, and what is decompressed of them.
pub(super) struct Contents {
    merged: Merged,
    cache: BlockCache,
}

impl Contents {
    /// Passes up to `size` bytes of a file from `offset` to `receive`; `None` when there is no such file, or it is damaged.
    pub(super) fn read<T>(
        &self,
        number: u64,
        offset: u64,
        size: u32,
        receive: impl FnOnce(&[u8]) -> T,
    ) -> Option<T> {
        let Node::Inode { layer, inode, .. } = self.merged.stack().node(number)? else {
            return None;
        };
        layer.read(&self.cache, inode, offset, size, receive).ok()
    }
}

/// What answers the kernel.
pub(super) struct Server {
    contents: Arc<Contents>,
    ahead: Arc<Ahead>,
    ids: IdMap,
    xattrs: xattr::Present,
    /// Whether the kernel understands that `open` and `opendir` need no request.
    no_open: bool,
    no_opendir: bool,
}

impl Server {
    /// A server of these layers.
    pub(super) fn new(merged: Merged, cache: BlockCache, ids: IdMap) -> Server {
        Server {
            xattrs: xattr::Present::in_layers(merged.stack()),
            contents: Arc::new(Contents { merged, cache }),
            ahead: Arc::default(),
            ids,
            no_open: false,
            no_opendir: false,
        }
    }

    /// What is served, and who is told what is read of it.
    pub(super) fn shared(&self) -> (Arc<Contents>, Arc<Ahead>) {
        (self.contents.clone(), self.ahead.clone())
    }

    fn attributes(&self, number: INodeNo) -> Option<FileAttr> {
        let attributes = match self.stack().node(number.0)? {
            Node::Root | Node::Missing => self.stack().root_attributes(),
            Node::Inode { layer, inode, .. } => layer.attributes(inode)?,
        };
        Some(self.reply(number.0, attributes))
    }

    fn reply(&self, number: u64, attributes: Attributes) -> FileAttr {
        let time =
            |seconds: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.min(LAST_SECOND));
        FileAttr {
            ino: INodeNo(number),
            size: attributes.size,
            blocks: attributes.data_size.div_ceil(512),
            atime: time(attributes.atime),
            mtime: time(attributes.mtime),
            ctime: time(attributes.ctime),
            crtime: SystemTime::UNIX_EPOCH,
            kind: file_type(attributes.kind),
            perm: attributes.mode as u16,
            nlink: attributes.links,
            uid: self.ids.user(attributes.uid),
            gid: self.ids.group(attributes.gid),
            // The kernel's encoding in 32 bits is the lower half of glibc's.
            rdev: attributes.device as u32,
            blksize: 4096,
            flags: 0,
        }
    }

    /// What the kernel is told about a name that does not exist: an inode 0 that it may remember.
    fn nothing(&self) -> FileAttr {
        FileAttr {
            ino: INodeNo(0),
            ..self.reply(0, self.stack().root_attributes())
        }
    }

    /// Calls `add` for each entry of a directory from `offset` on, until it says that there is no more room. The
    /// arguments are number, offset of the next entry, kind and name.
    fn list(
        &self,
        directory: INodeNo,
        offset: u64,
        mut add: impl FnMut(u64, u64, &[u8]) -> bool,
    ) -> Result<(), Errno> {
        for (at, name) in [(0, &b"."[..]), (1, b"..")] {
            if offset <= at && add(directory.0, at + 1, name) {
                return Ok(());
            }
        }
        let first = u32::try_from(offset.saturating_sub(2)).map_err(|_| Errno::EINVAL)?;
        let listed = self.contents.merged.list(directory.0, first, |entry| {
            add(entry.number, u64::from(entry.place) + 3, &entry.name)
        });
        listed.ok_or(Errno::ENOENT)
    }

    fn stack(&self) -> &Stack {
        self.contents.merged.stack()
    }
}

impl Filesystem for Server {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        for flag in WANTED {
            // Each is an improvement that an older kernel does without.
            let _ = config.add_capabilities(flag);
        }
        if self.xattrs.lists {
            // Else the kernel does not look at lists, nor show them in a user namespace (`fuse_no_acl`).
            let _ = config.add_capabilities(InitFlags::FUSE_POSIX_ACL);
        }
        self.no_open = config
            .capabilities()
            .contains(InitFlags::FUSE_NO_OPEN_SUPPORT);
        self.no_opendir = config
            .capabilities()
            .contains(InitFlags::FUSE_NO_OPENDIR_SUPPORT);
        Ok(())
    }

    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let found = self.contents.merged.find(parent.0, name.as_bytes());
        match found.map(|number| self.attributes(INodeNo(number))) {
            Some(Some(attributes)) => reply.entry(&FOREVER, &attributes, Generation(0)),
            Some(None) => reply.error(Errno::EIO),
            None => reply.entry(&FOREVER, &self.nothing(), Generation(0)),
        }
    }

    fn getattr(&self, _: &Request, number: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.attributes(number) {
            Some(attributes) => reply.attr(&FOREVER, &attributes),
            None => reply.error(Errno::EIO),
        }
    }

    fn readlink(&self, _: &Request, number: INodeNo, reply: ReplyData) {
        match self.stack().node(number.0) {
            Some(Node::Inode { layer, inode, .. }) => match layer.target(inode) {
                Some(target) => reply.data(&target),
                None => reply.error(Errno::EIO),
            },
            _ => reply.error(Errno::EINVAL),
        }
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        match self.no_open {
            true => reply.error(Errno::ENOSYS),
            false => reply.opened(FileHandle(0), FopenFlags::FOPEN_KEEP_CACHE),
        }
    }

    fn read(
        &self,
        _: &Request,
        number: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let Some(Node::Inode { .. }) = self.stack().node(number.0) else {
            return reply.error(Errno::EISDIR);
        };
        let mut reply = Some(reply);
        let sent = self.contents.read(number.0, offset, size, |bytes| {
            if let Some(reply) = reply.take() {
                reply.data(bytes);
            }
            if offset == 0 {
                let size = || self.attributes(number).map_or(0, |found| found.size);
                self.ahead.starts(number.0, bytes, size);
            }
        });
        if let (None, Some(reply)) = (sent, reply) {
            reply.error(Errno::EIO);
        }
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.error(Errno::ENOSYS);
    }

    fn opendir(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        match self.no_opendir {
            true => reply.error(Errno::ENOSYS),
            false => reply.opened(
                FileHandle(0),
                FopenFlags::FOPEN_KEEP_CACHE | FopenFlags::FOPEN_CACHE_DIR,
            ),
        }
    }

    fn readdir(
        &self,
        _: &Request,
        number: INodeNo,
        _: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let added = self.list(number, offset, |number, next, name| {
            let Some(attributes) = self.attributes(INodeNo(number)) else {
                return false;
            };
            reply.add(
                attributes.ino,
                next,
                attributes.kind,
                OsStr::from_bytes(name),
            )
        });
        match added {
            Ok(()) => reply.ok(),
            Err(error) => reply.error(error),
        }
    }

    fn readdirplus(
        &self,
        _: &Request,
        number: INodeNo,
        _: FileHandle,
        offset: u64,
        mut reply: ReplyDirectoryPlus,
    ) {
        let added = self.list(number, offset, |number, next, name| {
            let Some(attributes) = self.attributes(INodeNo(number)) else {
                return false;
            };
            reply.add(
                attributes.ino,
                next,
                OsStr::from_bytes(name),
                &FOREVER,
                &attributes,
                Generation(0),
            )
        });
        match added {
            Ok(()) => reply.ok(),
            Err(error) => reply.error(error),
        }
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        let blocks = self.stack().content_size().div_ceil(4096);
        reply.statfs(blocks, 0, 0, self.stack().inode_count(), 0, 4096, 255, 4096);
    }

    fn lseek(
        &self,
        _: &Request,
        number: INodeNo,
        _: FileHandle,
        offset: i64,
        whence: i32,
        reply: ReplyLseek,
    ) {
        // The kernel asks for nothing else (`fuse_file_llseek`). The numbers are those of lseek(2).
        let wanted = match whence {
            3 => Seek::Data,
            4 => Seek::Hole,
            _ => return reply.error(Errno::EINVAL),
        };
        let found = match (self.stack().node(number.0), u64::try_from(offset)) {
            (Some(Node::Inode { layer, inode, .. }), Ok(offset)) => {
                layer.seek(inode, offset, wanted)
            }
            _ => None,
        };
        match found.and_then(|offset| i64::try_from(offset).ok()) {
            Some(offset) => reply.offset(offset),
            None => reply.error(Errno::ENXIO),
        }
    }

    fn getxattr(&self, _: &Request, number: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        let value = self
            .xattrs
            .get(&self.contents.merged, self.ids, number, name.as_bytes());
        xattr::answer(value, size, reply);
    }

    fn listxattr(&self, _: &Request, number: INodeNo, size: u32, reply: ReplyXattr) {
        let names = self.xattrs.list(&self.contents.merged, self.ids, number);
        xattr::answer(names, size, reply);
    }
}

fn file_type(kind: Kind) -> FileType {
    match kind {
        Kind::Directory => FileType::Directory,
        Kind::File => FileType::RegularFile,
        Kind::Symlink => FileType::Symlink,
        Kind::BlockDevice => FileType::BlockDevice,
        Kind::CharDevice => FileType::CharDevice,
        Kind::Fifo => FileType::NamedPipe,
        Kind::Socket => FileType::Socket,
    }
}
