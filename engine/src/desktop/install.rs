//! The files of an application below the user's data directory.
//!
//! A record beside them says for which image and of what they were made, and which there are: a start that finds the record as
//! it would write it, and the files, has nothing to do. Every file holds a mark. One that does not is somebody else's,
//! whatever its name, and stays as it is.

use std::fs::{self, DirBuilder, File, FileTimes};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use flatimage_icon::{self as icon, Icon, IconError};
use flatimage_reserved::declared::{Desktop, Integrations};
use nix::unistd::geteuid;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::names::{Names, RECORDS, mark};
use super::updates::Changed;
use super::{entry, mime, subject};
use crate::host::Host;
use crate::release;
use crate::sandbox::plain;

/// The largest file that is looked at for a mark, in bytes. Those that are written are smaller.
const LARGEST: u64 = 4 << 20;

/// The size of the icon beside a notification, in pixels.
pub const ICON_OF_NOTICES: u32 = 128;

/// What has nothing installed.
const NOTHING: Integrations = Integrations(0);

/// Why something is not installed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// A file cannot be written or removed.
    #[error("`{}`: {}", path.display(), plain(source))]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The image has no icon, or not the one that it should have.
    #[error("the icon in the image is damaged; set it up anew with `fim-desktop setup`")]
    NoIcon,
    /// The icon cannot be shown.
    #[error("the icon in the image: {0}")]
    Icon(#[from] IconError),
}

/// What was done.
#[derive(Debug, Default)]
pub struct Installed {
    /// What changed.
    pub changed: Changed,
    /// Files of others that have the names of ours.
    pub foreign: Vec<PathBuf>,
}

/// What is to be installed for an image, and where.
#[derive(Debug)]
pub struct Installation<'a> {
    /// The user's data directory.
    pub share: PathBuf,
    /// The application.
    pub application: &'a Desktop,
    /// Absolute path of the image.
    pub image: &'a str,
    /// What of it is wanted.
    pub integrations: Integrations,
}

/// What is installed.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    image: String,
    state: String,
    files: Vec<String>,
}

/// The user's data directory (XDG base directory specification), as long as it, or where it would be, is the caller's: a
/// program run with another user's environment must not leave files of its own there.
pub fn share(host: &Host) -> Option<PathBuf> {
    let absolute = |name| {
        let path = host.environment.get(name).map(PathBuf::from);
        path.filter(|path| path.is_absolute())
    };
    let share =
        absolute("XDG_DATA_HOME").or_else(|| Some(absolute("HOME")?.join(".local/share")))?;
    let nearest = share.ancestors().find_map(|path| fs::metadata(path).ok())?;
    (nearest.uid() == geteuid().as_raw()).then_some(share)
}

impl Installation<'_> {
    /// Whether all is as it should be: the record is read, and the files are there.
    pub fn is_current(&self) -> bool {
        match self.record() {
            None => self.integrations == NOTHING,
            Some(record) => {
                record.state == self.state() && self.integrations != NOTHING && {
                    let mut files = record.files.iter();
                    files.all(|file| fs::symlink_metadata(self.share.join(file)).is_ok())
                }
            }
        }
    }

    /// Makes it so. `icon` reads the icon, which is only asked for when it is needed.
    ///
    /// # Errors
    /// The first file that cannot be written, or an icon that is none.
    pub fn install(&self, icon: impl FnOnce() -> Option<Icon>) -> Result<Installed, InstallError> {
        let mut done = Installed::default();
        let wanted = self.files(icon)?;
        self.remove_others(&mut done)?;
        let mut record = Record {
            image: self.image.to_owned(),
            state: self.state(),
            files: Vec::new(),
        };
        for (file, bytes) in &wanted {
            if self.write(file, bytes, &mut done)? {
                record.files.push(file.clone());
            }
        }
        // Not only those of the record: it may be lost.
        let all = self.names().all();
        for file in all.iter().filter(|file| !record.files.contains(file)) {
            self.remove(&self.application.id, file, &mut done)?;
        }
        let place = self.names().record();
        match wanted.is_empty() {
            true => self.remove_file(&place)?,
            false => {
                let text = serde_json::to_vec(&record).unwrap_or_default();
                replace(&self.share.join(&place), &text)?;
            }
        }
        self.refresh_icons(done.changed);
        Ok(done)
    }

    /// Removes all files of the image, also those that it had under another name.
    ///
    /// # Errors
    /// The first that cannot be removed.
    pub fn clean(&self) -> Result<Installed, InstallError> {
        let mut done = Installed::default();
        self.remove_others(&mut done)?;
        // A copy of the image, which was started later, has taken them over.
        let is_another =
            |record: Record| record.image != self.image && Path::new(&record.image).exists();
        // Without an id it is not set up any more, and has only what it had before.
        let has_own = !self.application.id.is_empty();
        if has_own && !self.record().is_some_and(is_another) {
            for file in self.names().all() {
                self.remove(&self.application.id, &file, &mut done)?;
            }
            self.remove_file(&self.names().record())?;
        }
        self.refresh_icons(done.changed);
        Ok(done)
    }

    /// The installed icon, in the size for a notification.
    pub fn icon(&self) -> Option<PathBuf> {
        let names = self.names();
        let files = [names.svg(), names.png(ICON_OF_NOTICES)].map(|file| self.share.join(file));
        files.into_iter().find(|path| path.is_file())
    }

    /// The installed entry for menus, by the name that desktops know it by.
    pub fn entry(&self) -> Option<String> {
        let is_there = self.share.join(self.names().entry()).is_file();
        is_there.then(|| self.names().stem())
    }

    fn names(&self) -> Names<'_> {
        Names::of(self.application)
    }

    fn record(&self) -> Option<Record> {
        read_record(&self.share.join(self.names().record()))
    }

    fn has(&self, integration: Integrations) -> bool {
        self.integrations.contains(integration)
    }

    /// What the files depend on, in a few digits.
    fn state(&self) -> String {
        let Desktop {
            id,
            name,
            icon,
            categories,
        } = self.application;
        let parts = (
            release::VERSION,
            id,
            name,
            icon,
            categories,
            self.image,
            self.integrations.0,
        );
        let text = serde_json::to_vec(&parts).unwrap_or_default();
        let digest = Sha256::digest(text);
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The files that should be there.
    fn files(
        &self,
        icon: impl FnOnce() -> Option<Icon>,
    ) -> Result<Vec<(String, Vec<u8>)>, InstallError> {
        let (subject, names) = (
            subject(self.application, self.image, self.integrations),
            self.names(),
        );
        let mut files = Vec::new();
        if self.has(Integrations::ENTRY) {
            files.push((names.entry(), entry::for_menus(subject).into_bytes()));
        }
        if self.has(Integrations::MIMETYPE) {
            files.push((names.opener(), entry::for_file(subject).into_bytes()));
            files.push((names.package(), mime::package(subject).into_bytes()));
        }
        if self.has(Integrations::ICON) && !self.application.icon.is_empty() {
            let icon = icon().ok_or(InstallError::NoIcon)?;
            let theme = icon.files(&mark(&self.application.id))?;
            files.extend(theme.into_iter().map(|file| match file {
                icon::File::Png { size, bytes } => (names.png(size), bytes),
                icon::File::Svg(bytes) => (names.svg(), bytes),
            }));
        }
        Ok(files)
    }

    /// Writes a file unless it is there already; false when somebody else's is.
    fn write(&self, file: &str, bytes: &[u8], done: &mut Installed) -> Result<bool, InstallError> {
        let path = self.share.join(file);
        match look(&path, &self.application.id) {
            Found::Foreign => {
                done.foreign.push(path);
                return Ok(false);
            }
            Found::Ours(found) if found == bytes => {}
            Found::Ours(_) | Found::Nothing => {
                replace(&path, bytes)?;
                done.changed.note(file);
            }
        }
        Ok(true)
    }

    /// Removes a file of the application of that id.
    fn remove(&self, id: &str, file: &str, done: &mut Installed) -> Result<(), InstallError> {
        if let Found::Ours(_) = look(&self.share.join(file), id) {
            self.remove_file(file)?;
            done.changed.note(file);
        }
        Ok(())
    }

    /// Removes a file, and its directories that are empty then, but for those that the programs of [`Changed::update`] are
    /// about to read.
    fn remove_file(&self, file: &str) -> Result<(), InstallError> {
        let path = self.share.join(file);
        match fs::remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            removed => removed.map_err(|source| InstallError::File {
                path: path.clone(),
                source,
            })?,
        }
        let is_read = file.starts_with("mime/") || file.starts_with("applications/");
        let inner = path.ancestors().skip(1).filter(|_| !is_read);
        for directory in inner.take_while(|path| *path != self.share) {
            if fs::remove_dir(directory).is_err() {
                break;
            }
        }
        Ok(())
    }

    /// Removes what the image had before it was set up under another name.
    fn remove_others(&self, done: &mut Installed) -> Result<(), InstallError> {
        let records = fs::read_dir(self.share.join(RECORDS));
        for found in records.into_iter().flatten().flatten() {
            let name = found.file_name();
            let (Some(record), Some(id)) = (read_record(&found.path()), name.to_str()) else {
                continue;
            };
            if id != self.application.id && record.image == self.image {
                for file in Names::with_id(id).all() {
                    self.remove(id, &file, done)?;
                }
                self.remove_file(&Names::with_id(id).record())?;
            }
        }
        Ok(())
    }

    /// Tells who keeps a cache of the icon theme that it is older than the theme (Icon Theme Specification).
    fn refresh_icons(&self, changed: Changed) {
        if changed.icons
            && let Ok(theme) = File::open(self.share.join("icons/hicolor"))
        {
            let _ = theme.set_times(FileTimes::new().set_modified(SystemTime::now()));
        }
    }
}

/// What is at a place.
enum Found {
    Nothing,
    /// A file with the mark.
    Ours(Vec<u8>),
    /// Anything else.
    Foreign,
}

fn look(path: &Path, id: &str) -> Found {
    let Ok(found) = fs::symlink_metadata(path) else {
        return Found::Nothing;
    };
    if !found.is_file() || found.len() > LARGEST {
        return Found::Foreign;
    }
    let mark = mark(id).into_bytes();
    match fs::read(path) {
        Ok(bytes) if bytes.windows(mark.len()).any(|part| part == mark) => Found::Ours(bytes),
        _ => Found::Foreign,
    }
}

fn read_record(path: &Path) -> Option<Record> {
    // Anything else, a pipe for instance, is nobody's record, and reading it may never end.
    let found = fs::symlink_metadata(path).ok()?;
    if !found.is_file() || found.len() > LARGEST {
        return None;
    }
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// Writes a file so that readers see the old or the new one.
fn replace(path: &Path, bytes: &[u8]) -> Result<(), InstallError> {
    let directory = path.parent().unwrap_or(path);
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| InstallError::File { path, source }
    };
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(0o700);
    builder.create(directory).map_err(failed(directory))?;
    let unfinished = directory.join(format!(".flatimage-{}", std::process::id()));
    fs::write(&unfinished, bytes)
        .and_then(|()| fs::rename(&unfinished, path))
        .inspect_err(|_| drop(fs::remove_file(&unfinished)))
        .map_err(failed(path))
}

#[cfg(test)]
mod tests;
