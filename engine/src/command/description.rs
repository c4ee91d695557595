//! What `fim-desktop setup` and recipes say of the image: read, checked, and kept.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use flatimage_icon::{Icon, LARGEST_FILE};
use flatimage_reserved::Value;
use flatimage_reserved::declared::{self, Desktop};
use flatimage_reserved::typed::FromValue;

use super::Session;
use super::remote::Remote;
use crate::desktop::{self, Setup};
use crate::remote::{Address, Unfetched, Wanted};
use crate::sandbox::{Failure, plain};

/// The largest description that is read, in bytes.
const LARGEST_DESCRIPTION: u64 = 1 << 20;

/// What an icon of a recipe must be.
const OF_A_REMOTE: &str =
    "it has to be a file beside the recipe, or the `https:` or `http:` address of one";

/// Where a relative path in a description begins.
pub(super) enum Beside<'a> {
    /// At a directory of this host.
    Directory(&'a Path),
    /// At the directory of a remote, if there is one. What comes from there names no file of this host.
    Remote(Option<&'a Remote<'a>>),
}

/// A description that is sound.
pub(super) struct Described {
    setup: Setup,
    icon: Option<Icon>,
}

impl Session {
    /// Takes the description in the file `json`.
    pub(super) fn set_up_desktop_from(&self, json: &Path) -> Result<u8, Failure> {
        let wrong = |reason: String| Failure::ours(format!("`{}`: {reason}", json.display()));
        let text = read_file(json, LARGEST_DESCRIPTION).map_err(wrong)?;
        let given = serde_json::from_slice(&text)
            .map_err(|error| wrong(format!("it is no JSON: {error}")))?;
        let beside = Beside::Directory(json.parent().unwrap_or(Path::new("")));
        self.described(&given, &beside)
            .and_then(|described| self.set_up_desktop(described))
            .map_err(|failure| wrong(failure.text))?;
        Ok(0)
    }

    /// Reads a description as `fim-desktop setup` knows it, and the icon that it names.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn described(
        &self,
        given: &serde_json::Value,
        beside: &Beside<'_>,
    ) -> Result<Described, Failure> {
        let setup = Setup::parse(given).map_err(|error| Failure::ours(error.to_string()))?;
        let source = setup.icon.as_deref();
        let icon = source.map(|source| self.icon_of(source, beside));
        let icon = icon.transpose()?;
        Ok(Described { setup, icon })
    }

    /// The icon that a description names.
    fn icon_of(&self, source: &str, beside: &Beside<'_>) -> Result<Icon, Failure> {
        let wrong = |reason: String| Failure::ours(format!("the icon `{source}`: {reason}"));
        let address = Address::parse(source).transpose().map_err(wrong)?;
        let bytes = match (address, beside) {
            (Some(Address::File(_)), Beside::Remote(_)) => Err(OF_A_REMOTE.to_owned()),
            (Some(address), _) => self.fetched_icon(&address),
            (None, Beside::Directory(directory)) => {
                read_file(&directory.join(source), LARGEST_FILE)
            }
            (None, Beside::Remote(remote)) => icon_at(*remote, source),
        };
        let icon = Icon::check(bytes.map_err(wrong)?).map_err(|error| wrong(error.to_string()))?;
        let (size, room) = (icon.bytes().len() as u64, declared::ICON.room());
        match size > room {
            true => Err(wrong(format!(
                "it has {size} bytes, and at most {room} fit into the image; make it smaller"
            ))),
            false => Ok(icon),
        }
    }

    fn fetched_icon(&self, address: &Address) -> Result<Vec<u8>, String> {
        let nameless = || "its address names no file".to_owned();
        let (directory, _) = address.parent().ok_or_else(nameless)?;
        let remote = self.remote_at(directory).map_err(|failure| failure.text)?;
        let wanted = Wanted {
            address,
            sum: None,
            most: LARGEST_FILE,
        };
        remote.read(&wanted, "icon").map_err(Unfetched::words)
    }

    /// Takes a description.
    ///
    /// # Errors
    /// When the image cannot be written; nothing has changed then.
    pub(super) fn set_up_desktop(&self, described: Described) -> Result<(), Failure> {
        let Described { setup, icon } = described;
        let mut locked = self.store.lock()?;
        let known = match locked.value(declared::DESKTOP) {
            Err(error) if error.is_damage() => None,
            value => <Option<Desktop>>::from_value(&value?).flatten(),
        };
        let id = match known {
            // Under its old id it stays where its user has put it, in a dock for instance.
            Some(known) if desktop::is_id_for(&known.id, &setup.name) => known.id,
            _ => desktop::new_id(&setup.name, random()?),
        };
        let application = Desktop {
            id,
            icon: icon.as_ref().map(Icon::key).unwrap_or_default(),
            name: setup.name,
            categories: setup.categories,
        };
        let bytes = icon.map(|icon| icon.bytes().to_vec()).unwrap_or_default();
        // Cut off in between, the icon is not the one that the rest is about, and is not shown.
        locked.write(declared::ICON, &Value::Blob(bytes))?;
        let record = Value::Record(Some(application.into()));
        locked.write(declared::DESKTOP, &record)?;
        locked.write(declared::INTEGRATIONS, &Value::Bits(setup.integrations.0))?;
        Ok(())
    }
}

/// The bytes of an icon at a remote, which must be what its index says.
fn icon_at(remote: Option<&Remote<'_>>, name: &str) -> Result<Vec<u8>, String> {
    if name.starts_with('.') || name.contains('/') {
        return Err(OF_A_REMOTE.to_owned());
    }
    let nowhere =
        || "there is no remote to fetch it from; `fim-remote set URL` names one".to_owned();
    let remote = remote.ok_or_else(nowhere)?;
    let vouched = remote.vouched(name).map_err(|failure| failure.text)?;
    let wanted = Wanted {
        address: &remote.address(name),
        sum: vouched.sum.as_deref(),
        most: LARGEST_FILE,
    };
    remote.read(&wanted, name).map_err(Unfetched::words)
}

/// The bytes of a file, which must be one, and not too large. What is wrong with it is in words.
fn read_file(path: &Path, largest: u64) -> Result<Vec<u8>, String> {
    let words = |error: std::io::Error| format!("cannot read it: {}", plain(&error));
    // Before it is opened: a pipe would wait for somebody to write.
    if !fs::metadata(path).map_err(words)?.is_file() {
        return Err("it is no file".to_owned());
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(words)?;
    file.take(largest + 1)
        .read_to_end(&mut bytes)
        .map_err(words)?;
    match bytes.len() as u64 > largest {
        true => Err(format!(
            "it has more than {largest} bytes; give a smaller one"
        )),
        false => Ok(bytes),
    }
}

fn random() -> Result<u32, Failure> {
    let mut bytes = [0; 4];
    File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut bytes))
        .map_err(|error| Failure::ours(format!("cannot read /dev/urandom: {}", plain(&error))))?;
    Ok(u32::from_le_bytes(bytes))
}
