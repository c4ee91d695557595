//! Moves the running program out of the image, see [`crate::private`].

use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::unistd::{execve, fexecve};

use crate::host::Host;
use crate::marker::Placement;
use crate::private::{self, Unit};
use crate::tools::{Apart, Tools};

/// Tells the copy which image it is: `<build id>:<path>`.
const VARIABLE: &str = "FIM_REEXEC";

/// The program as it runs now.
#[derive(Debug)]
pub struct Running {
    /// The image file, without links.
    pub image: PathBuf,
    /// Whether it is a copy that runs, so that the image is free to be written.
    pub is_copy: bool,
}

/// Finds out which image this process is.
///
/// # Errors
/// When `/proc` is not mounted.
pub fn running(placement: &Placement) -> io::Result<Running> {
    let executable = std::fs::read_link("/proc/self/exe")?;
    let told = std::env::var_os(VARIABLE).and_then(|told| {
        let path = told
            .as_bytes()
            .strip_prefix(placement.build_id.as_bytes())?;
        Some(PathBuf::from(OsStr::from_bytes(path.strip_prefix(b":")?)))
    });
    // A variable that was left in the environment of another image, or of this one, does not
    // make a copy of a program that was started by its own path.
    Ok(match told {
        Some(image) if image != executable => Running {
            image,
            is_copy: true,
        },
        _ => Running {
            image: executable,
            is_copy: false,
        },
    })
}

/// The tools as the copy that runs finds them, and that copy on the host; `None` where it is in memory.
///
/// # Errors
/// Where they have to be unpacked at this start, and the image does not say how.
pub fn kept(
    host: &Host,
    image: &Path,
    placement: &Placement,
) -> io::Result<(Tools, Option<PathBuf>)> {
    let unit = private::unit(|name| host.environment.get(name).cloned(), image, placement);
    let (runtime, tools) = unit.map(|unit| (unit.runtime, unit.tools)).unzip();
    let tools = match tools.flatten() {
        Some(directory) => Tools::Directory(directory),
        None if crate::tools::table(&File::open(image)?)?.is_empty() => Tools::None,
        None => Tools::Memory,
    };
    Ok((tools, runtime))
}

/// The environment as it was before the program moved out of the image.
pub fn environment() -> Vec<(OsString, OsString)> {
    std::env::vars_os()
        .filter(|(name, _)| name != VARIABLE)
        .collect()
}

/// The directory with tools that the container has nothing of, unpacked for good at their first use; `None` where there is no
/// private directory to keep them in.
pub fn apart(host: &Host, image: &Path, placement: &Placement, what: Apart) -> Option<PathBuf> {
    private::apart(
        |name| host.environment.get(name).cloned(),
        image,
        placement,
        what,
    )
}

/// Executes the copy of the program with the same arguments. Returns only with an error.
///
/// # Errors
/// When neither a directory nor memory can hold the copy, or it cannot be executed.
pub fn reexec(image: &Path, placement: &Placement) -> io::Error {
    match try_reexec(image, placement) {
        Ok(never) => match never {},
        Err(error) => error,
    }
}

fn try_reexec(image: &Path, placement: &Placement) -> io::Result<std::convert::Infallible> {
    let arguments = strings(std::env::args_os())?;
    let told = [
        placement.build_id.as_bytes(),
        b":",
        image.as_os_str().as_bytes(),
    ]
    .concat();
    let variables = std::env::vars_os()
        .filter(|(name, _)| name != VARIABLE)
        .chain([(OsString::from(VARIABLE), OsString::from_vec(told))]);
    let environment = strings(variables.map(|(mut variable, value)| {
        variable.push("=");
        variable.push(value);
        variable
    }))?;
    let unit = private::unit(|name| std::env::var(name).ok(), image, placement);
    if let Some(Unit { runtime, .. }) = unit {
        let path = CString::new(runtime.into_os_string().into_vec())?;
        return Ok(execve(&path, &arguments, &environment)?);
    }
    let mut copy = File::from(memfd_create(c"flatimage", MFdFlags::MFD_CLOEXEC)?);
    private::copy_program(&mut File::open(image)?, &mut copy, placement.elf_size)?;
    Ok(fexecve(&copy, &arguments, &environment)?)
}

fn strings(texts: impl Iterator<Item = OsString>) -> io::Result<Vec<CString>> {
    texts
        .map(|text| CString::new(text.into_vec()).map_err(io::Error::from))
        .collect()
}
