//! Whether a name is looked up to be the new name in a rename that changes only the case.
//!
//! The kernel looks up both names of a rename. When they lead to one inode it does nothing and reports success, as
//! POSIX wants for hard links (`vfs_rename` in `fs/namei.c`), and FUSE hears of no rename. So the new name has to be
//! one that does not exist, but only for that: anything else that asks for it means the file. A FUSE lookup does not
//! tell what it is for; the system call that the asking thread is in does (`/proc/<tid>/syscall`, proc(5)). The thread
//! waits for our answer, so what we read stays as it is, unless the program changes its own paths meanwhile.
//!
//! Where this may not be read (another pid namespace, Yama's strictest setting), the rename does nothing.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::folding::fold;

/// The longest path that the kernel takes, in bytes (`PATH_MAX`).
const PATH_MAX: usize = 4096;

/// How long we wait for a thread to be done with asking and to wait for us, which takes long only where it gets no
/// processor.
const ASKING: Duration = Duration::from_secs(2);

/// How long we wait until one of our other threads is done with reading memory.
const OTHERS: Duration = Duration::from_millis(50);

/// Numbers of `rename`, `renameat` and `renameat2` (`arch/*/entry/syscalls`), also of the 32-bit programs that the
/// machine can run. None of these numbers is, for the other kind, a call that takes a path.
#[cfg(target_arch = "x86_64")]
const CALLS: [&[u64]; 3] = [&[82, 38], &[264, 302], &[316, 353]];
#[cfg(target_arch = "aarch64")]
const CALLS: [&[u64]; 3] = [&[], &[38], &[276]];

/// `RENAME_EXCHANGE` (linux/fs.h).
const EXCHANGE: u64 = 2;

/// Looks at the threads that ask.
///
/// Reading a thread's memory may have to wait for a page of a file that we serve. So one of our threads has to stay
/// free of this.
pub(crate) struct Intents {
    free: AtomicUsize,
}

impl Intents {
    /// Of so many threads that answer requests.
    pub(crate) fn new(threads: usize) -> Intents {
        Intents {
            free: AtomicUsize::new(threads.saturating_sub(1)),
        }
    }

    /// Whether the thread is renaming something to `name`, which is the same name in another case.
    pub(crate) fn is_new_case(&self, thread: u32, name: &[u8]) -> bool {
        let Some(addresses) = call(thread) else {
            return false;
        };
        if within(OTHERS, || self.take().then_some(())).is_none() {
            return false;
        }
        let paths = paths(thread, addresses);
        self.free.fetch_add(1, Ordering::AcqRel);
        paths.is_some_and(|(old, new)| changes_case(&old, &new, name))
    }

    fn take(&self) -> bool {
        let less = |free: usize| free.checked_sub(1);
        let taken = self
            .free
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, less);
        taken.is_ok()
    }
}

/// What `try_once` answers, tried for so long. The first tries follow one another: it mostly takes less than a pause.
fn within<T>(limit: Duration, mut try_once: impl FnMut() -> Option<T>) -> Option<T> {
    const AT_ONCE: u32 = 20;
    let start = Instant::now();
    let mut pause = Duration::from_micros(10);
    for count in 0_u32.. {
        let answer = try_once();
        if answer.is_some() || start.elapsed() > limit {
            return answer;
        }
        if count < AT_ONCE {
            std::thread::yield_now();
        } else {
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(5));
        }
    }
    None
}

/// The paths of a rename: directory descriptor and address of each.
type Addresses = [(u64, u64); 2];

/// The rename that a thread is in.
fn call(thread: u32) -> Option<Addresses> {
    let path = format!("/proc/{thread}/syscall");
    let text = within(ASKING, || match fs::read_to_string(&path) {
        Ok(text) if text.trim_end() == "running" => None,
        read => Some(read.ok()),
    });
    parse(&text??)
}

fn parse(text: &str) -> Option<Addresses> {
    let mut fields = text.split_ascii_whitespace();
    let number = fields.next()?.parse::<u64>().ok()?;
    let arguments: Vec<u64> = fields
        .map_while(|field| u64::from_str_radix(field.strip_prefix("0x")?, 16).ok())
        .collect();
    let &[first, second, third, fourth, flags, ..] = &arguments[..] else {
        return None;
    };
    let [rename, renameat, renameat2] = CALLS.map(|numbers| numbers.contains(&number));
    // Of a descriptor, only the lower half counts.
    let at = |descriptor: u64, path| (descriptor & 0xffff_ffff, path);
    if rename {
        Some([(0, first), (0, second)])
    } else if renameat || (renameat2 && flags & EXCHANGE == 0) {
        Some([at(first, second), at(third, fourth)])
    } else {
        None
    }
}

/// The paths, when they start at the same directory.
fn paths(thread: u32, [(from, old), (to, new)]: Addresses) -> Option<(Vec<u8>, Vec<u8>)> {
    let memory = File::open(format!("/proc/{thread}/mem")).ok()?;
    let (old, new) = (string(&memory, old)?, string(&memory, new)?);
    let absolute = |path: &[u8]| path.first() == Some(&b'/');
    (from == to || (absolute(&old) && absolute(&new))).then_some((old, new))
}

/// A string that ends with a zero, read without touching the page behind it.
fn string(memory: &File, mut address: u64) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    while bytes.len() <= PATH_MAX {
        let mut page = vec![0; 4096 - (address % 4096) as usize];
        memory.read_exact_at(&mut page, address).ok()?;
        if let Some(end) = page.iter().position(|byte| *byte == 0) {
            bytes.extend_from_slice(&page[..end]);
            return Some(bytes);
        }
        bytes.extend_from_slice(&page);
        address = address.checked_add(page.len() as u64)?;
    }
    None
}

/// Whether both paths are in one directory, end in names that are the same and not equal, and `name` is the second and
/// not one on the way. Paths that go to one directory by different ways are taken for two directories.
fn changes_case(old: &[u8], new: &[u8], name: &[u8]) -> bool {
    let (old_way, new_way) = (components(old), components(new));
    let (Some((old_name, old_directory)), Some((new_name, new_directory))) =
        (old_way.split_last(), new_way.split_last())
    else {
        return false;
    };
    let absolute = |path: &[u8]| path.first() == Some(&b'/');
    let same = |(one, other): (&&[u8], &&[u8])| fold(one) == fold(other);
    absolute(old) == absolute(new)
        && *new_name == name
        && old_name != new_name
        && same((old_name, new_name))
        && old_directory.len() == new_directory.len()
        && old_directory.iter().zip(new_directory).all(same)
        && !old_directory.contains(&name)
        && !new_directory.contains(&name)
}

fn components(path: &[u8]) -> Vec<&[u8]> {
    path.split(|byte| *byte == b'/')
        .filter(|part| !part.is_empty() && *part != b".")
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_new_name_of_a_change_of_case_counts() {
        let is = |old: &str, new: &str, name: &str| {
            changes_case(old.as_bytes(), new.as_bytes(), name.as_bytes())
        };
        assert!(is("foo", "FOO", "FOO"));
        assert!(is("./foo/", "FOO//", "FOO"));
        assert!(is("/a/b/foo", "/a//b/Foo", "Foo"));
        assert!(is("a/foo", "A/FOO", "FOO"));
        assert!(is("a/ß", "a/ẞ", "ẞ"));
        assert!(!is("foo", "FOO", "foo"), "the old name");
        assert!(!is("foo", "foo", "foo"));
        assert!(!is("foo", "BAR", "BAR"));
        assert!(!is("a/foo", "b/FOO", "FOO"), "another directory");
        assert!(!is("/foo", "FOO", "FOO"), "another directory");
        assert!(!is("FOO/foo", "FOO/FOO", "FOO"), "a name on the way");
        assert!(!is("FOO/foo", "foo/FOO", "FOO"), "a name on the way");
        assert!(!is("", "/", ""));
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn the_calls_that_rename_are_told_from_others() {
        let line = |number: u32, flags: u32| {
            format!("{number} 0xffffff9c 0x10 0x20 0x30 {flags:#x} 0x0 0x7ffd 0x7f00\n")
        };
        assert_eq!(parse(&line(82, 0)), Some([(0, 0xffff_ff9c), (0, 0x10)]));
        let at = Some([(0xffff_ff9c, 0x10), (0x20, 0x30)]);
        assert_eq!(parse(&line(264, 9)), at);
        assert_eq!(parse(&line(316, 1)), at);
        assert_eq!(parse(&line(316, 2)), None, "an exchange needs the name");
        assert_eq!(parse(&line(257, 0)), None);
        assert_eq!(parse("-1 0x7ffd 0x7f00\n"), None);
        assert_eq!(parse(""), None);
    }
}
