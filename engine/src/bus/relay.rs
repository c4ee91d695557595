//! Copies bytes and descriptors between the clients in the container and the filter.

use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use nix::errno::Errno;
use nix::unistd::Uid;

use super::handshake::Handshake;
use crate::sandbox::channel::send_some;
use crate::sys::receive_with_descriptors;

/// Clients at once; a further one finds its connection closed.
const MOST: usize = 256;
/// Bytes that are taken at once.
const PART: usize = 64 << 10;

/// Answers whoever connects to `listener` with the bus at `path`, until nobody can any more.
pub fn run(listener: &UnixListener, path: &Path) {
    let clients = AtomicUsize::new(0);
    thread::scope(|scope| {
        for client in listener.incoming() {
            let Ok(client) = client else {
                continue;
            };
            if clients.fetch_add(1, Ordering::Relaxed) >= MOST {
                clients.fetch_sub(1, Ordering::Relaxed);
                continue;
            }
            scope.spawn(|| {
                if let Ok(bus) = UnixStream::connect(path) {
                    attend(&client, &bus);
                }
                drop(client);
                clients.fetch_sub(1, Ordering::Relaxed);
            });
        }
    });
}

/// Copies both ways until one side has ended.
fn attend(client: &UnixStream, bus: &UnixStream) {
    let uid = Uid::effective().as_raw();
    let mut handshake = Handshake::new(uid);
    thread::scope(|scope| {
        scope.spawn(|| copy(bus, client, |bytes| Some(bytes.to_vec())));
        copy(client, bus, |bytes| handshake.pass(bytes).ok());
    });
}

/// Copies until there is no more to read or nobody to write to; then nothing flows the other way either.
fn copy(from: &UnixStream, to: &UnixStream, mut change: impl FnMut(&[u8]) -> Option<Vec<u8>>) {
    let mut bytes = vec![0; PART];
    loop {
        let (length, descriptors) = match receive_with_descriptors(from.as_fd(), &mut bytes) {
            Ok((0, _)) => break,
            Ok(received) => received,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => break,
        };
        let Some(said) = change(&bytes[..length]) else {
            break;
        };
        if send(to, &said, descriptors).is_err() {
            break;
        }
    }
    for end in [from, to] {
        // It may be closed already.
        let _ = end.shutdown(Shutdown::Both);
    }
}

/// The descriptors go with the first byte.
fn send(to: &UnixStream, bytes: &[u8], descriptors: Vec<OwnedFd>) -> io::Result<()> {
    let mut fds: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
    let mut rest = bytes;
    while !rest.is_empty() {
        match send_some(to.as_fd(), rest, &fds) {
            Ok(sent) => {
                rest = &rest[sent..];
                fds.clear();
            }
            Err(error) if error.raw_os_error() == Some(Errno::EINTR as i32) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
