//! What the kernel gives this process and takes from it: the only place with `unsafe`.

#![allow(unsafe_code)]

use core::ffi::{CStr, c_void};
use core::marker::PhantomData;
use core::ptr::null_mut;
use core::slice;

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, Mode, OFlags, fstat, open, readlinkat_raw};
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags, mmap, mmap_anonymous, munmap};
use rustix::process::{getegid, geteuid, getgid, getuid};
use rustix::runtime::{execve, execveat, exit_group};

use crate::Failure;
use crate::text::Text;

/// The arguments and variables that this process was started with, which last as long as it does.
pub struct Caller {
    arguments: *const *const u8,
    environment: *const *const u8,
}

/// Called by `origin` when the process has begun.
///
/// # Safety
/// Both are arrays of strings as execve(2) leaves them on the stack, with a null pointer behind the last.
#[unsafe(no_mangle)]
unsafe fn origin_main(_: usize, arguments: *mut *mut u8, environment: *mut *mut u8) -> i32 {
    crate::start(&Caller {
        arguments: arguments.cast_const().cast(),
        environment: environment.cast_const().cast(),
    })
}

/// Writes to the caller's standard error.
pub fn say(line: &[u8]) {
    // SAFETY: if the caller closed it, this fails, or whatever file has got its number is one of nobody else's.
    let _ = rustix::io::write(unsafe { rustix::stdio::stderr() }, line);
}

/// Ends this process.
pub fn end(code: i32) -> ! {
    exit_group(code)
}

/// The variables for the next program.
pub struct Environment<'a> {
    pointers: *const *const u8,
    lives: PhantomData<&'a CStr>,
}

impl Caller {
    /// `name=value` of each variable.
    fn variables(&self) -> impl Iterator<Item = &CStr> {
        let mut at = self.environment;
        core::iter::from_fn(move || {
            // SAFETY: `at` is within the array: it goes on only from what was not the null pointer behind the last.
            let variable = unsafe { *at };
            if variable.is_null() {
                return None;
            }
            // SAFETY: as above, there is at least one more.
            at = unsafe { at.add(1) };
            // SAFETY: a string of the kernel's, which ends with a zero byte and lasts as long as this process.
            Some(unsafe { CStr::from_ptr(variable.cast()) })
        })
    }

    /// What a variable is set to; `name` ends with `=`.
    pub fn variable(&self, name: &[u8]) -> Option<&[u8]> {
        self.variables()
            .find_map(|variable| variable.to_bytes().strip_prefix(name))
    }

    /// These variables, with `told` for those that begin with `name`.
    pub fn environment_with<'a>(
        &'a self,
        name: &[u8],
        told: &'a CStr,
    ) -> Result<Environment<'a>, Failure> {
        // One more, and the null pointer.
        let count = self.variables().count() + 2;
        let (flags, access) = (MapFlags::PRIVATE, ProtFlags::READ | ProtFlags::WRITE);
        // SAFETY: a new mapping, at a place of the kernel's choice.
        let place =
            unsafe { mmap_anonymous(null_mut(), count * size_of::<*const u8>(), access, flags) }
                .map_err(|errno| Failure("there is no memory", Some(errno)))?;
        // SAFETY: it has room for `count` pointers, is aligned to a page, zeroed, and nobody else's; it is never unmapped.
        let pointers = unsafe { slice::from_raw_parts_mut(place.cast::<*const u8>(), count) };
        let others = self
            .variables()
            .filter(|variable| !variable.to_bytes().starts_with(name));
        for (pointer, variable) in pointers.iter_mut().zip(others.chain([told])) {
            *pointer = variable.as_ptr().cast();
        }
        Ok(Environment {
            pointers: pointers.as_ptr(),
            lives: PhantomData,
        })
    }

    /// Executes the program at `path`; answers why that failed.
    pub fn execute(&self, path: &CStr, environment: &Environment<'_>) -> Errno {
        // SAFETY: both arrays end with a null pointer, and what they point to with a zero byte.
        unsafe { execve(path, self.arguments, environment.pointers) }
    }

    /// Executes an opened program; answers why that failed.
    pub fn execute_file(&self, file: &OwnedFd, environment: &Environment<'_>) -> Errno {
        let flags = AtFlags::EMPTY_PATH;
        // SAFETY: as above.
        unsafe {
            execveat(
                file.as_fd(),
                c"",
                self.arguments,
                environment.pointers,
                flags,
            )
        }
    }
}

/// The file that this process was started from.
pub struct Image {
    path: Text<4097>,
    pub file: OwnedFd,
}

impl Image {
    /// Its path, without links.
    pub fn path(&self) -> &[u8] {
        self.path.bytes()
    }
}

/// Whether somebody else's rights come with the program: what the caller says would lead to files and programs with them.
pub fn is_privileged() -> bool {
    getuid() != geteuid() || getgid() != getegid()
}

/// Finds the file that this process was started from.
pub fn image() -> Result<Image, Failure> {
    const OURSELVES: &CStr = c"/proc/self/exe";
    let mut bytes = [0; 4096];
    let length = readlinkat_raw(rustix::fs::CWD, OURSELVES, &mut bytes[..])
        .map_err(|errno| Failure("/proc is needed", Some(errno)))?;
    let mut path = Text::new();
    path.push(&bytes[..length]);
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let file = open(OURSELVES, flags, Mode::empty()).map_err(|errno| {
        Failure(
            "the image cannot be read; run `chmod +r` on it",
            Some(errno),
        )
    })?;
    Ok(Image { path, file })
}

/// Bytes of a file, mapped for as long as this lives.
pub struct Mapping {
    at: *mut c_void,
    length: usize,
}

impl Mapping {
    /// The first `length` bytes of a file, for reading.
    pub fn read(file: &OwnedFd, length: usize) -> Result<Mapping, Errno> {
        // Reading beyond the end would end this process (SIGBUS, mmap(2)).
        let size = usize::try_from(fstat(file)?.st_size).unwrap_or(0);
        Mapping::new(file, length.min(size), ProtFlags::READ, MapFlags::PRIVATE)
    }

    /// All bytes of a file of this size, for writing.
    pub fn written(file: &OwnedFd, size: u64) -> Result<Mapping, Errno> {
        let length = usize::try_from(size).map_err(|_| Errno::NOMEM)?;
        let access = ProtFlags::READ | ProtFlags::WRITE;
        Mapping::new(file, length, access, MapFlags::SHARED)
    }

    fn new(
        file: &OwnedFd,
        length: usize,
        access: ProtFlags,
        flags: MapFlags,
    ) -> Result<Mapping, Errno> {
        // SAFETY: a new mapping, at a place of the kernel's choice.
        let at = unsafe { mmap(null_mut(), length, access, flags, file, 0) }?;
        Ok(Mapping { at, length })
    }

    pub fn bytes(&self) -> &[u8] {
        // SAFETY: it is mapped for reading for as long as this lives. A file that another process shortens meanwhile is a
        // signal that ends this process.
        unsafe { slice::from_raw_parts(self.at.cast(), self.length) }
    }

    /// Only of one that is [written](Self::written).
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above; nobody else has the file that is written.
        unsafe { slice::from_raw_parts_mut(self.at.cast(), self.length) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: nothing that was borrowed from it is left.
        let _ = unsafe { munmap(self.at, self.length) };
    }
}
