//! The image as an application of the user's desktop.
//!
//! What it is called and looks like is in the image ([`setup`]). From that follow the texts of an [`entry`] and a file type
//! ([`mime`]) and the files of an [icon](flatimage_icon), and [`install`] is the one place that writes them below the user's data directory.
//! A start only looks whether what is installed is still what should be.
//!
//! [`notify`] speaks to the user: when a start is to be announced, and when one failed and there is no terminal to say so.

mod bus;
mod category;
mod entry;
mod install;
mod mime;
mod names;
mod notify;
mod setup;
mod updates;

pub use install::{ICON_OF_NOTICES, InstallError, Installation, Installed, share};
pub use names::{is_id, is_id_for, new_id};
pub use notify::{Notice, is_without_terminal};
pub use setup::{Setup, SetupError, integrations};
pub use updates::Changed;

use flatimage_reserved::declared::{Desktop, Integrations};

use entry::Subject;

/// The text of the entry for menus.
pub fn entry_of(application: &Desktop, image: &str, integrations: Integrations) -> String {
    entry::for_menus(subject(application, image, integrations))
}

/// The text of the MIME package.
pub fn package_of(application: &Desktop, image: &str, integrations: Integrations) -> String {
    mime::package(subject(application, image, integrations))
}

fn subject<'a>(
    application: &'a Desktop,
    image: &'a str,
    integrations: Integrations,
) -> Subject<'a> {
    Subject {
        application,
        image,
        has_icon: integrations.contains(Integrations::ICON) && !application.icon.is_empty(),
    }
}
