//! The program at the start of every image.
//!
//! While a program runs the kernel refuses to open its file for writing (`ETXTBSY`, execve(2)), and an image must stay writable. So what works is
//! another program, the *runtime*, which is kept compressed behind this one. This one executes the copy of it that is in the caller's private
//! directory, and where there is none unpacks it into memory; the runtime then makes that copy, where it is needed.
//!
//! It has no C library. One that is linked statically asks the processor dozens of times what it can do before `main` begins, and where
//! that is emulated (`cpuid` in a virtual machine) it takes as long as a quarter of a container's start.
//!
//! ```text
//! 0          this program
//! LENGTH-512 the marker, which says how long the parts are
//! LENGTH     the runtime, one block of LZ4
//! ```

#![no_std]
#![no_main]

mod marker;
mod memory;
mod private;
mod process;
mod text;

use rustix::io::Errno;

use marker::Marker;
use process::Caller;
use text::Text;

// It is the program's entry: without it nothing starts.
extern crate origin;

/// Exit code for what is no fault of the program in the container.
const OURS: i32 = 125;

/// Tells the runtime which image it is: `<build id>:<path>`.
const VARIABLE: &[u8] = b"FIM_REEXEC=";

/// What went wrong, and with what.
struct Failure(&'static str, Option<Errno>);

/// Executes the runtime; answers an exit code where that cannot be done.
fn start(caller: &Caller) -> i32 {
    let Err(Failure(what, errno)) = execute(caller);
    let mut line: Text<256> = Text::new();
    line.push(b"error: ");
    line.push(what.as_bytes());
    if let Some(errno) = errno {
        line.push(b" (error ");
        line.push_number(errno.raw_os_error().unsigned_abs());
        line.push(b")");
    }
    line.push(b"\n");
    process::say(line.bytes());
    OURS
}

fn execute(caller: &Caller) -> Result<core::convert::Infallible, Failure> {
    if process::is_privileged() {
        return Err(Failure(
            "an image is not run with the rights of its owner; run `chmod ug-s` on it",
            None,
        ));
    }
    let image = process::image()?;
    let marker = Marker::read(&image.file)?;
    let mut told: Text<8192> = Text::new();
    told.push(VARIABLE);
    told.push(&marker.build_id);
    told.push(b":");
    told.push(image.path());
    let environment = caller.environment_with(VARIABLE, told.c_str().ok_or(TOO_LONG)?)?;
    for base in private::bases(caller) {
        if let Some(runtime) = private::runtime(&base, &marker) {
            // It can be on a filesystem of which nothing is executed: then there is another place, or memory.
            let _ = caller.execute(runtime.c_str().ok_or(TOO_LONG)?, &environment);
        }
    }
    let runtime = memory::unpack(&image.file, &marker)?;
    let errno = caller.execute_file(&runtime, &environment);
    Err(Failure(
        "the program cannot be executed in memory",
        Some(errno),
    ))
}

const TOO_LONG: Failure = Failure("the path of the image is too long", None);

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    process::end(OURS)
}
