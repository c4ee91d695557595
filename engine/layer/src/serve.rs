//! Serving layers to the kernel over FUSE.
//!
//! The root directory of the filesystem has one directory for each layer, named `0`, `1`, …; overlayfs stacks them.
//! Nothing ever changes, so the kernel is told to keep everything: names, also those that do not exist, attributes,
//! directories, links and pages; and it is asked not to send the requests that mean nothing here (`open`, `opendir`,
//! extended attributes), each of which would be a round trip.
//!
//! Whoever mounts the filesystem may be another process: only the descriptor is needed here. When the last namespace
//! that holds the mount goes, reads of the descriptor fail with `ENODEV` and the threads end.

use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use fuser::{
    Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo,
    InitFlags, KernelConfig, LockOwner, OpenFlags, ReplyAttr, ReplyData, ReplyDirectory,
    ReplyDirectoryPlus, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyXattr, Request,
    Session, SessionACL,
};

use crate::cache::BlockCache;
use crate::layer::{Attributes, Entry, Kind, Layer, ROOT};
use crate::stack::{Node, Stack};

/// How long the kernel may keep what it was told: ten years.
const FOREVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// The latest time that is reported, in seconds since 1970, so that forged ones do not overflow.
const LAST_SECOND: u64 = 1 << 40;

/// With fewer blocks than this in the cache, requests for neighbouring files decompress the same ones over and over.
const MIN_BLOCKS: u64 = 4;

/// What the cache may grow to for the sake of `MIN_BLOCKS`, in bytes.
const MAX_GROWN_CACHE: u64 = 64 << 20;

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

/// The ids that exist in the user namespace that mounts. An owner that does not exist is reported as 0: overlayfs
/// refuses to copy up a file whose owner it cannot express, even for uid 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdMap {
    /// Every id exists.
    All,
    /// Ids below this one exist.
    Below(u32),
}

impl IdMap {
    fn map(self, id: u32) -> u32 {
        match self {
            IdMap::Below(limit) if id >= limit => 0,
            _ => id,
        }
    }
}

/// How to serve.
#[derive(Clone, Debug)]
pub struct ServeOptions {
    /// Threads that answer requests, at least one.
    pub threads: usize,
    /// Limit of the cache of decompressed blocks, in bytes. The kernel caches what it was given, so little is enough:
    /// 8 MiB read a Debian tree as fast as 64 do. Images of large blocks get up to 64 MiB, see [`serve()`].
    pub cache_bytes: u64,
    /// Owners that can be reported.
    pub ids: IdMap,
}

impl Default for ServeOptions {
    fn default() -> Self {
        ServeOptions {
            threads: 2,
            cache_bytes: 8 << 20,
            ids: IdMap::All,
        }
    }
}

/// Why layers cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The kernel and the server did not agree.
    #[error("the FUSE handshake failed: {0}; is the filesystem mounted with this descriptor?")]
    Handshake(#[source] io::Error),
    /// A thread could not be started, or ended in the middle.
    #[error("the FUSE server ended: {0}")]
    Ended(#[source] io::Error),
}

/// A running server.
#[derive(Debug)]
pub struct Serving {
    thread: JoinHandle<io::Result<()>>,
}

impl Serving {
    /// Waits until the filesystem is unmounted or its connection aborted.
    ///
    /// # Errors
    /// When the server ended for another reason.
    pub fn join(self) -> Result<(), ServeError> {
        let result = self
            .thread
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("a thread panicked")));
        result.map_err(ServeError::Ended)
    }
}

/// Serves `layers` on an opened `/dev/fuse` descriptor that is mounted by somebody else; answers after the handshake,
/// for which it waits. A layer that is `None` is an empty directory.
///
/// The cache is as large as the options say, or as four blocks of the layer with the largest, up to 64 MiB.
///
/// # Errors
/// When the handshake fails or a thread cannot be started.
pub fn serve(
    fuse: OwnedFd,
    layers: Vec<Option<Layer>>,
    options: ServeOptions,
) -> Result<Serving, ServeError> {
    let largest = layers
        .iter()
        .flatten()
        .map(Layer::block_size)
        .max()
        .unwrap_or(0);
    let wanted = largest.saturating_mul(MIN_BLOCKS).min(MAX_GROWN_CACHE);
    let server = Server {
        stack: Stack::new(layers),
        cache: BlockCache::new(options.cache_bytes.max(wanted)),
        ids: options.ids,
        no_open: false,
        no_opendir: false,
    };
    let mut config = Config::default();
    config.acl = SessionACL::All;
    config.n_threads = Some(options.threads.max(1));
    let session =
        Session::from_fd(server, fuse, SessionACL::All, config).map_err(ServeError::Handshake)?;
    let thread = std::thread::Builder::new()
        .name("layers".into())
        .spawn(move || session.run());
    Ok(Serving {
        thread: thread.map_err(ServeError::Ended)?,
    })
}

/// What answers the kernel.
struct Server {
    stack: Stack,
    cache: BlockCache,
    ids: IdMap,
    /// Whether the kernel understands that `open` and `opendir` need no request.
    no_open: bool,
    no_opendir: bool,
}

impl Server {
    fn attributes(&self, number: INodeNo) -> Option<FileAttr> {
        let attributes = match self.stack.node(number.0)? {
            Node::Root | Node::Missing => self.stack.root_attributes(),
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
            blocks: attributes.size.div_ceil(512),
            atime: time(attributes.atime),
            mtime: time(attributes.mtime),
            ctime: time(attributes.ctime),
            crtime: SystemTime::UNIX_EPOCH,
            kind: file_type(attributes.kind),
            perm: attributes.mode as u16,
            nlink: attributes.links,
            uid: self.ids.map(attributes.uid),
            gid: self.ids.map(attributes.gid),
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
            ..self.reply(0, self.stack.root_attributes())
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
        let node = self.stack.node(directory.0).ok_or(Errno::ENOENT)?;
        for (at, name) in [(0, &b"."[..]), (1, b"..")] {
            if offset <= at && add(directory.0, at + 1, name) {
                return Ok(());
            }
        }
        let first = u32::try_from(offset.saturating_sub(2)).map_err(|_| Errno::EINVAL)?;
        match node {
            Node::Missing => {}
            Node::Root => {
                for layer in first..self.stack.len() {
                    if add(
                        self.stack.number(layer, ROOT),
                        u64::from(layer) + 3,
                        layer.to_string().as_bytes(),
                    ) {
                        break;
                    }
                }
            }
            Node::Inode {
                index,
                layer,
                inode,
            } => {
                for (number, Entry { name, inode }) in layer.entries(inode, first) {
                    if add(
                        self.stack.number(index, inode),
                        u64::from(number) + 3,
                        &name,
                    ) {
                        break;
                    }
                }
            }
        }
        Ok(())
    }

    fn find(&self, directory: INodeNo, name: &[u8]) -> Option<u64> {
        match self.stack.node(directory.0)? {
            Node::Root => {
                let index: u32 = std::str::from_utf8(name).ok()?.parse().ok()?;
                (index < self.stack.len() && index.to_string().as_bytes() == name)
                    .then(|| self.stack.number(index, ROOT))
            }
            Node::Missing => None,
            Node::Inode {
                index,
                layer,
                inode,
            } => Some(self.stack.number(index, layer.lookup(inode, name)?)),
        }
    }
}

impl Filesystem for Server {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        for flag in WANTED {
            // Each is an improvement that an older kernel does without.
            let _ = config.add_capabilities(flag);
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
        let found = self.find(parent, name.as_bytes());
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
        match self.stack.node(number.0) {
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
        let Some(Node::Inode { layer, inode, .. }) = self.stack.node(number.0) else {
            return reply.error(Errno::EISDIR);
        };
        let mut reply = Some(reply);
        let sent = layer.read(&self.cache, inode, offset, size, |bytes| {
            if let Some(reply) = reply.take() {
                reply.data(bytes);
            }
        });
        if let (Err(_), Some(reply)) = (sent, reply) {
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
        let blocks = self.stack.content_size().div_ceil(4096);
        reply.statfs(blocks, 0, 0, self.stack.inode_count(), 0, 4096, 255, 4096);
    }

    // No layer has extended attributes: the kernel asks once and never again.

    fn getxattr(&self, _: &Request, _: INodeNo, _: &OsStr, _: u32, reply: ReplyXattr) {
        reply.error(Errno::ENOSYS);
    }

    fn listxattr(&self, _: &Request, _: INodeNo, _: u32, reply: ReplyXattr) {
        reply.error(Errno::ENOSYS);
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
