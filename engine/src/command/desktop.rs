//! The image on the user's desktop: what is kept of it, what a start does about it, and what is said there.

use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::path::Path;

use flatimage_icon::Icon;
use flatimage_reserved::cli::Invocation;
use flatimage_reserved::declared::{self, Action, Config, Desktop, Integrations};
use flatimage_reserved::typed::FromValue;
use flatimage_reserved::{RegionDecl, StoreError, Value, nearest};

use super::unfinished::Unfinished;
use super::{Session, print, understand, warn};
use crate::background::apart;
use crate::desktop::{
    self, ICON_OF_NOTICES, InstallError, Installation, Installed, Notice, is_without_terminal,
};
use crate::host::Host;
use crate::relocate;
use crate::sandbox::{Failure, plain};
use crate::trace::trace;

/// The longest that installing may take, in seconds. It is far less, but for a home that does not answer.
const LONGEST: u32 = 20;

/// What `dump` knows.
const DUMPED: [&str; 3] = ["entry", "mimetype", "icon"];

/// What switches every integration off.
const NONE: &str = "none";

impl From<InstallError> for Failure {
    fn from(error: InstallError) -> Failure {
        Failure::ours(error.to_string())
    }
}

impl Session {
    /// Chooses what is installed.
    pub(super) fn enable_on_desktop(&self, names: &str) -> Result<u8, Failure> {
        let application = self.application()?;
        let names: Vec<&str> = names.split(',').map(str::trim).collect();
        let set = match names.as_slice() {
            [name] if name.eq_ignore_ascii_case(NONE) => Integrations(0),
            names if names.iter().any(|name| name.eq_ignore_ascii_case(NONE)) => {
                return Err(Failure::ours("`none` stands alone; leave the others out"));
            }
            names => desktop::integrations(names.iter().copied())
                .map_err(|error| Failure::ours(error.to_string()))?,
        };
        if set.contains(Integrations::ICON) && application.icon.is_empty() {
            return Err(Failure::ours(
                "the image has no icon; set one up with `fim-desktop setup`",
            ));
        }
        let value = Value::Bits(set.0);
        self.store
            .update::<StoreError>(declared::INTEGRATIONS, |_| Ok(value))?;
        Ok(0)
    }

    /// Takes the image off the desktop.
    pub(super) fn clean_desktop(&self) -> Result<u8, Failure> {
        let none = Value::Bits(0);
        self.store
            .update::<StoreError>(declared::INTEGRATIONS, |_| Ok(none))?;
        let application = match self.stored::<Option<Desktop>>(declared::DESKTOP)? {
            Some(application) => application,
            // Set up no more, it may have been.
            None => Desktop {
                id: String::new(),
                name: String::new(),
                icon: String::new(),
                categories: Vec::new(),
            },
        };
        if let Some(installation) = self.installation(&application, Integrations(0))? {
            let done = installation.clean()?;
            done.changed.update(&installation.share);
        }
        Ok(0)
    }

    /// Prints an entry or a MIME package, or writes the icon to `file`.
    pub(super) fn dump_desktop(&self, what: &str, file: Option<&Path>) -> Result<u8, Failure> {
        let application = self.application()?;
        let integrations = self.integrations()?;
        match (what, file) {
            ("entry", None) => print(&desktop::entry_of(&application, self.name()?, integrations)),
            ("mimetype", None) => print(&desktop::package_of(
                &application,
                self.name()?,
                integrations,
            )),
            ("icon", Some(file)) => self.write_icon(&application, file),
            ("icon", None) => Err(Failure::ours(
                "name the file to write: `fim-desktop dump icon <file>`",
            )),
            ("entry" | "mimetype", Some(_)) => Err(Failure::ours(format!(
                "`dump {what}` prints to standard output; leave the file out"
            ))),
            _ => {
                let mend = match nearest(what, DUMPED) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("known: {}", DUMPED.join(", ")),
                };
                Err(Failure::ours(format!("unknown part `{what}`; {mend}")))
            }
        }
    }

    fn write_icon(&self, application: &Desktop, file: &Path) -> Result<u8, Failure> {
        if application.icon.is_empty() {
            return Err(Failure::ours(
                "the image has no icon; set one up with `fim-desktop setup`",
            ));
        }
        let icon = self.icon(application).ok_or(InstallError::NoIcon)?;
        let written = Unfinished::beside(file).and_then(|unfinished| {
            unfinished.file().write_all(icon.bytes())?;
            unfinished.replace(file)
        });
        written.map_err(|error| {
            Failure::ours(format!(
                "cannot write `{}`: {}",
                file.display(),
                plain(&error)
            ))
        })?;
        Ok(0)
    }

    /// Installs what a start finds missing or made for another place. Whatever goes wrong is one warning.
    pub(super) fn integrate(&self, config: &Config) {
        let Some(application) = &config.desktop else {
            return;
        };
        let installation = match self.installation(application, config.integrations) {
            Ok(Some(installation)) if !installation.is_current() => installation,
            Ok(_) => return,
            Err(failure) => return not_shown(&failure.text),
        };
        let came_to_its_end = apart(LONGEST, || {
            match installation.install(|| self.icon(application)) {
                Err(error) => not_shown(&error.to_string()),
                Ok(Installed { changed, foreign }) => {
                    if let Some(path) = foreign.first() {
                        not_shown(&format!(
                            "`{}` is not this image's; move it out of the way",
                            path.display()
                        ));
                    }
                    changed.update(&installation.share);
                    trace(|| format!("installed on the desktop: {changed:?}"));
                }
            }
        });
        if !came_to_its_end {
            not_shown("it took too long, or its icon too much memory");
        }
    }

    /// Says on the desktop that the image starts.
    pub(super) fn announce(&self) {
        Notice::show(&self.host, || notice("has been started", false));
    }

    fn notice(&self, text: &str, is_error: bool) -> Notice {
        let stored = self.stored::<Option<Desktop>>(declared::DESKTOP);
        let mut notice = Notice {
            application: file_name(&self.image.path),
            text: text.to_owned(),
            is_error,
            ..Notice::default()
        };
        let Some(application) = stored.ok().flatten() else {
            return notice;
        };
        let integrations = self.integrations().unwrap_or(Integrations(0));
        if let Ok(Some(installation)) = self.installation(&application, integrations) {
            notice.entry = installation.entry();
            notice.icon = installation.icon();
        }
        if notice.icon.is_none() {
            let icon = self.icon(&application);
            notice.pixels = icon.and_then(|icon| icon.pixels(ICON_OF_NOTICES).ok().flatten());
        }
        notice.application = application.name;
        notice
    }

    /// The application, which must be set up.
    fn application(&self) -> Result<Desktop, Failure> {
        let stored = self.stored::<Option<Desktop>>(declared::DESKTOP)?;
        stored.ok_or_else(|| {
            Failure::ours(
                "nothing is set up for the desktop; do it with `fim-desktop setup <json>`",
            )
        })
    }

    fn integrations(&self) -> Result<Integrations, Failure> {
        self.stored(declared::INTEGRATIONS)
    }

    /// The icon that belongs to the application; `None` when there is none, or another.
    fn icon(&self, application: &Desktop) -> Option<Icon> {
        let bytes = self.stored::<Vec<u8>>(declared::ICON).ok()?;
        Icon::stored(&application.icon, bytes)
    }

    fn stored<T: FromValue>(&self, region: &RegionDecl) -> Result<T, Failure> {
        let value = self.store.value(region)?;
        T::from_value(&value)
            .ok_or_else(|| Failure::ours("the settings do not fit their declaration"))
    }

    /// What is installed, or would be; `None` for who has no data directory of their own.
    fn installation<'a>(
        &'a self,
        application: &'a Desktop,
        integrations: Integrations,
    ) -> Result<Option<Installation<'a>>, Failure> {
        let Some(share) = desktop::share(&self.host) else {
            trace(|| "there is no data directory of the user's for the desktop".into());
            return Ok(None);
        };
        if !application.id.is_empty() && !desktop::is_id(&application.id) {
            return Err(Failure::ours(
                "its id in the image is no name; set it up anew with `fim-desktop setup`",
            ));
        }
        Ok(Some(Installation {
            share,
            application,
            image: self.name()?,
            integrations,
        }))
    }

    /// The path of the image as desktop files can hold it.
    fn name(&self) -> Result<&str, Failure> {
        self.image.path.to_str().ok_or_else(|| {
            Failure::ours("the path of the image is not UTF-8, as desktop files are; rename it")
        })
    }
}

fn not_shown(reason: &str) {
    warn(&format!("the desktop does not know the image: {reason}"));
}

/// Says on the desktop why a start failed, where there is no terminal on which anybody would read it.
pub(super) fn tell(arguments: &[OsString], failure: &Failure) {
    if !is_start(arguments) {
        return;
    }
    let host = Host::capture();
    if is_without_terminal(&host) {
        Notice::show(&host, || notice(&failure.text, true));
    }
}

/// What is said of the image. It is opened anew, because nothing is left open in the background.
fn notice(text: &str, is_error: bool) -> Notice {
    let image = relocate::running().ok();
    let session = image.and_then(|image| Session::open(image).ok());
    match session {
        Some(session) => session.notice(text, is_error),
        None => Notice {
            application: fs::read_link("/proc/self/exe")
                .map_or_else(|_| "FlatImage".into(), |path| file_name(&path)),
            text: text.to_owned(),
            is_error,
            ..Notice::default()
        },
    }
}

/// Whether a program was to be started: everything else is asked for by somebody who looks at the answer.
fn is_start(arguments: &[OsString]) -> bool {
    match understand(arguments) {
        Ok(Some(Invocation::Action(action))) => {
            matches!(action, Action::Exec(_) | Action::Root(_))
        }
        Ok(invocation) => invocation.is_none(),
        Err(_) => false,
    }
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}
