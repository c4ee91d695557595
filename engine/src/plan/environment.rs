//! The environment of the program: a declared list of the host's variables, what the image
//! says of itself, and what the settings set.

use std::collections::BTreeMap;
use std::path::Path;

use super::base::TOOLS;
use super::build::Request;
use super::effects::Effects;
use super::person::Person;
use super::portal;
use crate::host::Host;
use crate::marker;
use crate::release;

/// Variables of the caller that reach the program: what a terminal and a locale need, and
/// nothing that names a path, a socket or a secret.
const INHERITED: [&str; 9] = [
    "COLORTERM",
    "COLUMNS",
    "LANG",
    "LANGUAGE",
    "LINES",
    "NO_COLOR",
    "TERM",
    "TERM_PROGRAM",
    "TZ",
];

/// Where programs are searched first, as Debian's and Alpine's login shells do.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The whole environment of the program.
pub fn environment(
    host: &Host,
    request: &Request,
    person: &Person,
    effects: &Effects,
) -> BTreeMap<String, String> {
    let mut environment = base(host, request);
    if effects.portal.is_some() {
        portal::find_first(&mut environment);
    }
    for (name, value) in [
        ("USER", person.name.clone()),
        ("LOGNAME", person.name.clone()),
        ("HOME", person.home.to_string_lossy().into_owned()),
        (
            "XDG_RUNTIME_DIR",
            person.runtime_directory().to_string_lossy().into_owned(),
        ),
    ] {
        environment.insert(name.to_owned(), value);
    }
    environment.extend(effects.environment.clone());
    environment
}

/// The environment before any setting.
fn base(host: &Host, request: &Request) -> BTreeMap<String, String> {
    let mut environment: BTreeMap<String, String> = host
        .environment
        .iter()
        .filter(|(name, _)| INHERITED.contains(&name.as_str()) || name.starts_with("LC_"))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let origin = marker::origin();
    let bin = format!("{TOOLS}/bin");
    let sbin = format!("{TOOLS}/sbin");
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let directory = request.image.path.parent().unwrap_or(Path::new("/"));
    for (name, value) in [
        ("PATH", format!("{PATH}:{bin}:{sbin}")),
        ("SHELL", format!("{bin}/bash")),
        ("FIM_VERSION", release::VERSION.to_owned()),
        ("FIM_COMMIT", origin.commit.clone()),
        ("FIM_DIST", origin.distribution.clone()),
        ("FIM_TIMESTAMP", origin.timestamp.clone()),
        ("FIM_PID", request.pid.to_string()),
        ("FIM_BIN_SELF", text(&request.image.path)),
        ("FIM_DIR_SELF", text(directory)),
        ("FIM_DIR_DATA", text(&request.data)),
        ("FIM_DIR_LAYERS", text(&request.data.join("layers"))),
        ("FIM_DIR_APP_BIN", bin),
        ("FIM_DIR_APP_SBIN", sbin),
        ("FIM_OFFSET", request.image.first_layer().to_string()),
    ] {
        environment.insert(name.to_owned(), value);
    }
    environment
}
