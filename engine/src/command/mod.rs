//! From a command line to what is done.
//!
//! What can be typed is declared in `schema/reserved.yaml`; here is one function for each
//! action, and one way for all settings.

use std::ffi::OsString;
use std::fs::File;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use flatimage_reserved::declared::{self, Actions, Invocation, arguments};
use flatimage_reserved::{Store, StoreError};

use crate::data::{Location, locate};
use crate::host::Host;
use crate::image::Image;
use crate::marker::{self, Placement};
use crate::portal;
use crate::release;
use crate::relocate::{self, Unknown};
use crate::sandbox::{Failure, OURS, boxed, handing, lent, plain};
use crate::tools;
use crate::trace::trace;

mod additional;
mod commit;
mod data;
mod description;
mod desktop;
mod instance;
mod layer;
mod recipe;
mod remote;
mod reset;
mod show;
mod start;
mod unfinished;
mod verify;

/// What every command starts with; anything else is for the boot command.
const PREFIX: &[u8] = b"fim-";

/// Runs the program: does what the command line says and answers the exit code.
pub fn main() -> ExitCode {
    let asked = lent::answer().or_else(boxed::answer);
    if let Some(code) = asked.or_else(handing::answer) {
        return ExitCode::from(code);
    }
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let done = match portal::asker() {
        Some(name) => portal::ask(&name, arguments),
        None => run(&arguments).inspect_err(|failure| desktop::tell(&arguments, failure)),
    };
    match done {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            // One line, whatever is in it: a path may hold a newline.
            let text = failure.text.replace('\n', "\\n");
            eprintln!("error: {text}");
            ExitCode::from(failure.code)
        }
    }
}

fn run(arguments: &[OsString]) -> Result<u8, Failure> {
    trace(|| "started".into());
    let image = relocate::running().map_err(no_image)?;
    let invocation = understand(arguments)?;
    if relocate::is_in_memory() && invocation.as_ref().is_none_or(needs_kept) {
        let error = relocate::reexec(&image, &known()?);
        trace(|| format!("runs from memory: {}", plain(&error)));
    }
    let mut session = Session::open(image)?;
    if session.host.environment.contains_key("FIM_MAIN_OFFSET") {
        return print(&format!("{}\n", session.image.first_layer()));
    }
    match invocation {
        None => session.boot(arguments),
        Some(Invocation::Help(text)) => print(&text),
        Some(Invocation::Action(action)) => action.dispatch(&mut session),
        Some(Invocation::Region { decl, verb }) => {
            let output = session.store.perform(decl, &verb)?;
            print(&output)
        }
    }
}

fn no_image(unknown: Unknown) -> Failure {
    Failure::ours(match unknown {
        Unknown::Untold => {
            "this program is started by an image; `deploy` makes one of it".to_owned()
        }
        Unknown::Unread(path, error) => {
            format!(
                "cannot read the image `{}`: {}",
                path.display(),
                plain(&error)
            )
        }
        Unknown::Replaced(path) => format!(
            "the image `{}` was replaced while it was started; start it again",
            path.display()
        ),
    })
}

/// Where the parts of this process's image are.
fn known() -> Result<Placement, Failure> {
    marker::placement().ok_or_else(|| no_image(Unknown::Untold))
}

/// The declared command that is typed, if it is one.
fn understand(arguments: &[OsString]) -> Result<Option<Invocation>, Failure> {
    match arguments.first() {
        Some(first) if first.as_encoded_bytes().starts_with(PREFIX) => declared::parse(arguments)
            .map(Some)
            .map_err(|error| Failure::ours(error.to_string())),
        _ => Ok(None),
    }
}

/// Whether a copy of the program is to be kept for it: it runs for long, and should not keep the program in memory meanwhile, or it
/// changes the image, and more of that will follow.
fn needs_kept(invocation: &Invocation) -> bool {
    match invocation {
        Invocation::Help(_) => false,
        Invocation::Region { verb, .. } => verb.writes(),
        Invocation::Action(action) => matches!(
            action,
            declared::Action::Exec(_)
                | declared::Action::Root(_)
                | declared::Action::Instance(arguments::Instance::Exec { .. })
                | declared::Action::Layer(
                    arguments::Layer::Add { .. } | arguments::Layer::Commit { .. }
                )
                | declared::Action::Recipe(arguments::Recipe::Install { .. })
                | declared::Action::Data(arguments::Data::Purge)
                | declared::Action::Desktop(
                    arguments::Desktop::Setup { .. }
                        | arguments::Desktop::Enable { .. }
                        | arguments::Desktop::Clean
                )
                | declared::Action::Reset(_)
        ),
    }
}

/// Data for standard output. A reader that has gone away is no error.
fn print(text: &str) -> Result<u8, Failure> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(Failure::ours(
            format!("cannot write the output: {}", plain(&error)),
        )),
        _ => Ok(0),
    }
}

/// Something that went wrong without ending what is done.
fn warn(text: &str) {
    eprintln!("warning: {}", text.replace('\n', "\\n"));
}

/// One image and everything around it.
struct Session {
    host: Host,
    placement: Placement,
    image: Image,
    store: Store,
}

impl Session {
    /// Of the image of this process, which is [known](known).
    fn open(path: PathBuf) -> Result<Session, Failure> {
        let placement = known()?;
        let store = Store::open(&path, placement.reserved_offset)?;
        let image = Image {
            path,
            layers_offset: store.end(),
        };
        Ok(Session {
            host: Host::capture(),
            placement,
            image,
            store,
        })
    }

    fn data_path(&self) -> PathBuf {
        self.location().path
    }

    fn location(&self) -> Location {
        locate(&self.host, &self.image.path)
    }

    fn file(&self) -> Result<File, Failure> {
        File::open(&self.image.path)
            .map_err(|error| Failure::ours(format!("cannot read the image: {}", plain(&error))))
    }

    fn tools_metadata(&self) -> Result<String, Failure> {
        tools::metadata(&self.file()?).map_err(|error| Failure::ours(plain(&error)))
    }
}

impl Actions for Session {
    type Outcome = Result<u8, Failure>;

    fn exec(&mut self, arguments: arguments::Exec) -> Self::Outcome {
        self.start(arguments.command, false)
    }

    fn root(&mut self, arguments: arguments::Root) -> Self::Outcome {
        self.start(arguments.command, true)
    }

    fn layer(&mut self, arguments: arguments::Layer) -> Self::Outcome {
        match arguments {
            arguments::Layer::Create { dir, file } => self.create_layer(&dir, &file),
            arguments::Layer::Add { layer } => self.add_layer(&layer),
            arguments::Layer::Commit { to, path } => self.commit_changes(&to, path.as_deref()),
            arguments::Layer::List => self.list_layers(),
        }
    }

    fn recipe(&mut self, arguments: arguments::Recipe) -> Self::Outcome {
        match arguments {
            arguments::Recipe::Fetch { names } => self.fetch_recipes(&names),
            arguments::Recipe::Info { names } => self.show_recipes(&names),
            arguments::Recipe::Install { names } => self.install_recipes(&names),
        }
    }

    fn data(&mut self, arguments: arguments::Data) -> Self::Outcome {
        match arguments {
            arguments::Data::Show { json } => self.show_data(json),
            arguments::Data::Purge => self.purge_data(),
        }
    }

    fn desktop(&mut self, arguments: arguments::Desktop) -> Self::Outcome {
        match arguments {
            arguments::Desktop::Setup { json } => self.set_up_desktop_from(&json),
            arguments::Desktop::Enable { integrations } => self.enable_on_desktop(&integrations),
            arguments::Desktop::Clean => self.clean_desktop(),
            arguments::Desktop::Dump { what, file } => self.dump_desktop(&what, file.as_deref()),
        }
    }

    fn instance(&mut self, arguments: arguments::Instance) -> Self::Outcome {
        match arguments {
            arguments::Instance::List => self.list_instances(),
            arguments::Instance::Exec { id, command } => self.run_in_instance(&id, command),
        }
    }

    fn plan(&mut self, arguments: arguments::Plan) -> Self::Outcome {
        let plan = self.planned(arguments.command)?;
        print(&match arguments.json {
            true => format!("{}\n", json(&plan)?),
            false => format!("{plan}\n"),
        })
    }

    fn show(&mut self, arguments: arguments::Show) -> Self::Outcome {
        Session::show(self, arguments.json)
    }

    fn reset(&mut self, arguments: arguments::Reset) -> Self::Outcome {
        self.reset_settings(&arguments.region)
    }

    fn verify(&mut self, arguments: arguments::Verify) -> Self::Outcome {
        self.verify_image(arguments.json)
    }

    fn version(&mut self, arguments: arguments::Version) -> Self::Outcome {
        print(&match arguments {
            arguments::Version::Short => format!("{}\n", release::VERSION),
            arguments::Version::Full => format!("{}\n", json(&full_version())?),
            arguments::Version::Deps => format!("{}\n", self.tools_metadata()?),
        })
    }

    fn help(&mut self, arguments: arguments::Help) -> Self::Outcome {
        let text = declared::help(arguments.command.as_deref())
            .map_err(|error| Failure::ours(error.to_string()))?;
        print(&text)
    }
}

fn full_version() -> impl serde::Serialize {
    let origin = marker::origin();
    serde_json::json!({
        "VERSION": release::VERSION,
        "COMMIT": origin.commit,
        "DISTRIBUTION": origin.distribution.to_uppercase(),
        "TIMESTAMP": origin.timestamp,
    })
}

fn json(value: &impl serde::Serialize) -> Result<String, Failure> {
    serde_json::to_string_pretty(value).map_err(|error| Failure::ours(error.to_string()))
}

/// Whether progress can be shown.
fn is_watched() -> bool {
    std::io::stderr().is_terminal()
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Failure {
        Failure {
            code: OURS,
            text: error.to_string(),
        }
    }
}
