//! What is said to the user by notifications of the desktop (Desktop Notifications Specification 1.2).

use std::fs::File;
use std::io;
use std::path::PathBuf;

use flatimage_icon::Pixels;

use super::bus::{Address, Bus, Call, Values};
use crate::background::in_background;
use crate::host::{Host, Stream};
use crate::trace::trace;

/// The longest that a bus and who shows notifications may take, in seconds; the latter may have to be started first.
const LONGEST: u32 = 20;

/// The longest text of a notification, in bytes; what is longer is cut.
const LONGEST_TEXT: usize = 2000;

/// Variables that desktops give to programs that they start.
const OF_DESKTOPS: [&str; 3] = [
    "GIO_LAUNCHED_DESKTOP_FILE",
    "DESKTOP_STARTUP_ID",
    "XDG_ACTIVATION_TOKEN",
];

const SERVICE: &str = "org.freedesktop.Notifications";
const OBJECT: &str = "/org/freedesktop/Notifications";

/// One notification.
#[derive(Clone, Debug, Default)]
pub struct Notice {
    /// Name of the application.
    pub application: String,
    /// The desktop entry that is installed for it, without its ending.
    pub entry: Option<String>,
    /// An icon that is installed.
    pub icon: Option<PathBuf>,
    /// The icon where none is installed.
    pub pixels: Option<Pixels>,
    /// What happened.
    pub text: String,
    /// Whether it stays until somebody has seen it.
    pub is_error: bool,
}

impl Notice {
    /// Shows the notice that `make` makes, in the background; without a session bus nothing happens.
    pub fn show(host: &Host, make: impl FnOnce() -> Notice) {
        let variable = host.environment.get("DBUS_SESSION_BUS_ADDRESS");
        let addresses = variable.map(|text| Address::list(text)).unwrap_or_default();
        if addresses.is_empty() {
            return trace(|| "there is no session bus for a notification".into());
        }
        in_background(LONGEST, || match make().send(&addresses) {
            Ok(()) => trace(|| "the notification is shown".into()),
            Err(error) => trace(|| format!("there is no notification: {error}")),
        });
    }

    fn send(&self, addresses: &[Address]) -> io::Result<()> {
        let mut bus = Bus::connect(addresses)?;
        let capabilities = bus.call(&call("GetCapabilities", "", Values::default()))?;
        let has_markup = contains(&capabilities, b"\0body-markup\0");
        bus.call(&call("Notify", "susssasa{sv}i", self.values(has_markup)))?;
        Ok(())
    }

    /// The arguments of `Notify`.
    fn values(&self, has_markup: bool) -> Values {
        let text = cut(&self.text);
        let text = match has_markup {
            true => escaped(text),
            false => text.to_owned(),
        };
        let icon = self.icon.as_ref().map(|path| uri(path));
        let mut values = Values::default();
        values
            .text(&self.application)
            .number(0)
            .text(icon.as_deref().unwrap_or_default())
            .text(&self.application)
            .text(&text)
            .array(4, |_| {})
            .array(8, |hints| self.hints(hints))
            .integer(-1);
        values
    }

    fn hints(&self, hints: &mut Values) {
        let urgency = if self.is_error { 2 } else { 1 };
        hints.hint("urgency", "y", |value| value.byte(urgency));
        if let Some(entry) = &self.entry {
            hints.hint("desktop-entry", "s", |value| value.text(entry));
        }
        if let Some(Pixels { side, bytes }) = &self.pixels {
            let side = *side as i32;
            hints.hint("image-data", "(iiibiiay)", |value| {
                value.group(|image| {
                    image.integer(side).integer(side).integer(side * 4);
                    image.boolean(true).integer(8).integer(4).bytes(bytes);
                })
            });
        }
    }
}

/// Whether nobody reads what a start says on standard error: none of the streams is a terminal, and either a desktop says that
/// it started the program, or there is no terminal behind the session at all, as there is behind a script's.
pub fn is_without_terminal(host: &Host) -> bool {
    let no_stream = [Stream::Input, Stream::Output, Stream::Error]
        .iter()
        .all(|stream| !host.terminal.contains(stream));
    let by_desktop = || {
        OF_DESKTOPS
            .iter()
            .any(|name| host.environment.contains_key(*name))
    };
    no_stream && (by_desktop() || File::open("/dev/tty").is_err())
}

fn call<'a>(member: &'a str, signature: &'a str, body: Values) -> Call<'a> {
    Call {
        destination: SERVICE,
        path: OBJECT,
        interface: SERVICE,
        member,
        signature,
        body,
    }
}

fn contains(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}

fn cut(text: &str) -> &str {
    let mut end = text.len().min(LONGEST_TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Text where markup is understood.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// A path as a URI (RFC 3986).
fn uri(path: &std::path::Path) -> String {
    let bytes = path.as_os_str().as_encoded_bytes().iter();
    bytes.fold("file://".to_owned(), |uri, byte| match byte {
        b'/' | b'-' | b'.' | b'_' | b'~' => uri + &char::from(*byte).to_string(),
        byte if byte.is_ascii_alphanumeric() => uri + &char::from(*byte).to_string(),
        byte => uri + &format!("%{byte:02X}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_between_letters_and_paths_become_uris() {
        let long = "é".repeat(LONGEST_TEXT);
        assert_eq!(cut(&long).len(), LONGEST_TEXT);
        assert_eq!(cut(&format!("x{long}")).len(), LONGEST_TEXT - 1);
        assert_eq!(escaped("<b> & x"), "&lt;b&gt; &amp; x");
        assert_eq!(uri("/a b/%é".as_ref()), "file:///a%20b/%25%C3%A9");
    }
}
