//! Which image this process is of, and where the copy of the program is that runs, see [`crate::private`].

use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use nix::unistd::execve;

use crate::host::Host;
use crate::marker::{self, Placement};
use crate::private::{self, Unit};
use crate::tools::{Apart, Tools};

/// What the launcher tells: `<build id>:<path>` of the image.
const VARIABLE: &str = "FIM_REEXEC";

/// Why the image of this process is not known.
#[derive(Debug)]
pub enum Unknown {
    /// Nobody said which it is.
    Untold,
    /// It cannot be read, or is no image.
    Unread(PathBuf, io::Error),
    /// It is another one than the launcher was started from.
    Replaced(PathBuf),
}

/// Finds out which image this process is of, and makes that [known](marker::know).
///
/// # Errors
/// When it was started by no launcher, or the image is not what it was.
pub fn running() -> Result<PathBuf, Unknown> {
    let told = std::env::var_os(VARIABLE).ok_or(Unknown::Untold)?;
    let (build_id, path) = split(told.as_bytes()).ok_or(Unknown::Untold)?;
    let image = PathBuf::from(OsStr::from_bytes(path));
    let marker = File::open(&image).and_then(|image| marker::read(&image));
    let marker = match marker {
        Ok(marker) => marker,
        Err(error) => return Err(Unknown::Unread(image, error)),
    };
    if marker.placement.build_id.as_bytes() != build_id {
        return Err(Unknown::Replaced(image));
    }
    marker::know(marker);
    Ok(image)
}

fn split(told: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = told.iter().position(|byte| *byte == b':')?;
    Some((&told[..colon], &told[colon + 1..]))
}

/// Whether the launcher found no copy of the program and unpacked it into memory.
pub fn is_in_memory() -> bool {
    std::fs::read_link("/proc/self/exe")
        .is_ok_and(|path| path.as_os_str().as_bytes().starts_with(b"/memfd:"))
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

/// The environment as it was before the launcher added to it.
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

/// Executes the kept copy of the program, which is made where there is none, with the same arguments and variables. Returns only
/// where there can be none, and with the reason.
pub fn reexec(image: &Path, placement: &Placement) -> io::Error {
    match try_reexec(image, placement) {
        Ok(never) => match never {},
        Err(error) => error,
    }
}

fn try_reexec(image: &Path, placement: &Placement) -> io::Result<std::convert::Infallible> {
    let unit = private::unit(|name| std::env::var(name).ok(), image, placement);
    let Unit { runtime, .. } = unit.ok_or(io::ErrorKind::NotFound)?;
    let arguments = strings(std::env::args_os())?;
    let environment = strings(std::env::vars_os().map(|(mut variable, value)| {
        variable.push("=");
        variable.push(value);
        variable
    }))?;
    let path = CString::new(runtime.into_os_string().into_vec())?;
    Ok(execve(&path, &arguments, &environment)?)
}

fn strings(texts: impl Iterator<Item = OsString>) -> io::Result<Vec<CString>> {
    texts
        .map(|text| CString::new(text.into_vec()).map_err(io::Error::from))
        .collect()
}
