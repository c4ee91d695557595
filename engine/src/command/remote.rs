//! What the commands get from a remote, and where it is kept meanwhile.

use std::cell::OnceCell;
use std::fs::{self, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use flatimage_recipe::Index;
use flatimage_reserved::declared::Config;
use nix::sys::memfd::{MFdFlags, memfd_create};

use super::{Session, is_watched};
use crate::data;
use crate::data::changes::DOWNLOADS;
use crate::marker;
use crate::remote::{self, Address, Fetcher, Unfetched, Wanted};
use crate::sandbox::{Failure, plain};
use crate::tools::{Apart, FETCHER};

/// The name of the index in its directory.
const INDEX: &str = "index.json";

/// The most bytes of an index.
const MOST_OF_INDEX: u64 = 16 << 20;

/// The variable that says for how long a server may say nothing, in seconds.
const SILENCE: &str = "FIM_FETCH_TIMEOUT";

/// The usual time.
const USUAL_SILENCE: u64 = 60;

/// The longest: a day.
const LONGEST_SILENCE: u64 = 86_400;

/// A directory of a remote.
pub(super) struct Remote<'a> {
    session: &'a Session,
    address: Address,
    downloads: Downloads,
    index: OnceCell<Option<Index>>,
}

/// What an index says of a file.
pub(super) struct Vouched {
    /// Its SHA-256 in lower-case hexadecimal; `None` when there is no index.
    pub(super) sum: Option<String>,
    /// Its bytes, when that is said.
    pub(super) size: Option<u64>,
}

impl Session {
    /// The directory of the stored remote with the files for this image.
    pub(super) fn remote(&self) -> Result<Option<Remote<'_>>, Failure> {
        let config: Config = self.store.config()?;
        let Some(stored) = config.remote else {
            return Ok(None);
        };
        // What could be set once is one; a later program may have set something else.
        let unknown = || format!("the remote `{stored}` is no address that this program knows");
        let address = Address::parse(&stored).unwrap_or_else(|| Err(unknown()));
        let address = address.map_err(Failure::ours)?;
        let directory = address.join(&marker::origin().distribution).join("latest");
        self.remote_at(directory).map(Some)
    }

    /// A directory of any remote.
    pub(super) fn remote_at(&self, address: Address) -> Result<Remote<'_>, Failure> {
        Ok(Remote {
            session: self,
            address,
            downloads: self.downloads()?,
            index: OnceCell::new(),
        })
    }

    fn downloads(&self) -> Result<Downloads, Failure> {
        let location = self.location();
        let opened = match location.prepare() {
            true => data::open(&location.path, None)?,
            false => None,
        };
        let cannot = |reason: &str| {
            let path = location.path.display();
            Failure::ours(format!(
                "what is fetched cannot be kept in {path}: {reason}; choose another data directory with FIM_DIR_DATA"
            ))
        };
        let directory = opened.ok_or_else(|| cannot("it cannot be created"))?;
        let path = directory.path.join(DOWNLOADS);
        match fs::DirBuilder::new()
            .mode(0o700)
            .recursive(true)
            .create(&path)
        {
            Ok(()) => Ok(Downloads(path)),
            Err(error) => Err(cannot(&plain(&error))),
        }
    }

    /// For how many seconds a server may say nothing.
    fn silence(&self) -> Result<u64, String> {
        let Some(given) = self.host.environment.get(SILENCE) else {
            return Ok(USUAL_SILENCE);
        };
        let seconds = given
            .parse()
            .ok()
            .filter(|seconds| (1..=LONGEST_SILENCE).contains(seconds));
        seconds.ok_or_else(|| {
            format!("{SILENCE} is `{given}`; give a number of seconds from 1 to {LONGEST_SILENCE}")
        })
    }

    fn fetcher(&self) -> Result<Fetcher, String> {
        let silence = self.silence()?;
        let kept = self
            .apart(Apart::Host)
            .map(|directory| directory.join(FETCHER));
        if let Some(kept) = kept.filter(|kept| kept.is_file()) {
            return Ok(Fetcher::at(kept, silence));
        }
        let cannot =
            |error: &std::io::Error| format!("cannot unpack `fim-fetch`: {}", plain(error));
        let image = File::open(&self.image.path).map_err(|error| cannot(&error))?;
        let tools = Apart::Host.tools(&image).map_err(|error| cannot(&error))?;
        let tool = tools.iter().find(|tool| tool.name() == FETCHER);
        let tool = tool.ok_or("this image has no `fim-fetch`; `deploy` makes one that has it")?;
        let unpacked = memfd_create(c"fim-fetch", MFdFlags::MFD_CLOEXEC)
            .map_err(std::io::Error::from)
            .and_then(|memory| {
                let mut memory = File::from(memory);
                tool.copy(&image, self.placement.tools_offset, &mut memory)?;
                Ok(memory)
            });
        unpacked
            .map(|memory| Fetcher::in_memory(memory, silence))
            .map_err(|error| cannot(&error))
    }
}

impl Remote<'_> {
    /// Where the file is.
    pub(super) fn address(&self, file: &str) -> Address {
        self.address.join(file)
    }

    /// What must be there under that name.
    ///
    /// # Errors
    /// An index that is none, or that does not list the file.
    pub(super) fn vouched(&self, file: &str) -> Result<Vouched, Failure> {
        let index = match self.index.get() {
            Some(index) => index,
            None => {
                let found = self.fetch_index()?;
                self.index.get_or_init(|| found)
            }
        };
        let Some(index) = index else {
            return Ok(Vouched {
                sum: None,
                size: None,
            });
        };
        let unlisted = || {
            let address = self.address(INDEX);
            Failure::ours(format!(
                "`{address}` does not list `{file}`, so nothing says what it must be; ask whoever keeps it"
            ))
        };
        let entry = index.files.get(file).ok_or_else(unlisted)?;
        Ok(Vouched {
            sum: Some(entry.sha256.clone()),
            size: entry.size,
        })
    }

    fn fetch_index(&self) -> Result<Option<Index>, Failure> {
        let address = self.address(INDEX);
        let wanted = Wanted {
            address: &address,
            sum: None,
            most: MOST_OF_INDEX,
        };
        let bytes = match self.read(&wanted, INDEX) {
            Ok(bytes) => bytes,
            Err(Unfetched::Missing(_)) => return Ok(None),
            Err(Unfetched::Failed(words)) => return Err(Failure::ours(words)),
        };
        Index::parse(&bytes).map(Some).map_err(|error| {
            Failure::ours(format!(
                "`{address}` is no index: {error}; ask whoever keeps it"
            ))
        })
    }

    /// The bytes of a small file, which is under `name` meanwhile.
    pub(super) fn read(&self, wanted: &Wanted<'_>, name: &str) -> Result<Vec<u8>, Unfetched> {
        let kept = self.fetch(wanted, name, &mut |_, _| ())?;
        fs::read(&kept.0).map_err(|error| {
            let path = kept.0.display();
            Unfetched::Failed(format!("cannot read `{path}`: {}", plain(&error)))
        })
    }

    /// Fetches a file, which is under `name` until the answer is dropped.
    pub(super) fn fetch(
        &self,
        wanted: &Wanted<'_>,
        name: &str,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Kept, Unfetched> {
        let to = self.downloads.0.join(name);
        remote::fetch(wanted, &to, &|| self.session.fetcher(), progress)?;
        Ok(Kept(to))
    }
}

/// The directory in which files are while they are fetched.
struct Downloads(PathBuf);

impl Drop for Downloads {
    fn drop(&mut self) {
        // Unless a part is left in it for the next try.
        let _ = fs::remove_dir(&self.0);
    }
}

/// A file that was fetched; gone when this is dropped.
pub(super) struct Kept(PathBuf);

impl Kept {
    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Shows on a terminal how far a file is, and elsewhere when it begins and ends.
pub(super) struct Shown {
    what: String,
    /// What is on the line that was begun.
    line: Option<u64>,
    watched: bool,
}

impl Shown {
    pub(super) fn begin(what: String) -> Shown {
        let watched = is_watched();
        if !watched {
            eprintln!("fetching {what}");
        }
        Shown {
            what,
            line: None,
            watched,
        }
    }

    pub(super) fn show(&mut self, done: u64, all: u64) {
        // Percents where the end is known, else megabytes.
        let far = (done * 100).checked_div(all).unwrap_or(done >> 20);
        if self.watched && self.line != Some(far) {
            self.line = Some(far);
            let unit = if all == 0 { "MB" } else { "%" };
            eprint!("\rfetching {} {far} {unit}", self.what);
        }
    }

    pub(super) fn end(self, bytes: u64) {
        if !self.watched {
            eprintln!("fetched {bytes} bytes");
        }
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        // What comes next, an error too, begins at the start of a line.
        if self.line.is_some() {
            eprintln!();
        }
    }
}
