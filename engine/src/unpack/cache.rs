//! The cache of unpacked layers.
//!
//! ```text
//! <cache>/flatimage/layers/leases          a byte of it is locked for each layer that is used or made
//! <cache>/flatimage/layers/<digest>/tree   a layer
//! <cache>/flatimage/layers/<digest>/size   its bytes, in decimal; changed when it was used last
//! <cache>/flatimage/layers/.new-<digest>   one that is being made, or was when its maker was killed
//! ```
//!
//! A lock is shared while a layer is used, and exclusive while it is made or removed. All locks of a start belong to one
//! open file, which its instances keep open.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::UnpackError;
use crate::byte_lock::{Kind, lock, try_lock};
use crate::host::{Host, is_private_directory};
use crate::plan::IdMap;
use crate::private;
use crate::trace::trace;

/// How long a layer that nobody uses is kept.
const OLDEST: Duration = Duration::from_secs(30 * 24 * 3600);
/// Bytes of layers that are kept when nobody says how many.
const LARGEST: u64 = 16 << 30;
/// What an unfinished layer is called.
const UNFINISHED: &str = ".new-";

/// An opened cache, with the leases of what was [provided](Cache::provide).
pub struct Cache {
    path: PathBuf,
    leases: File,
    limit: u64,
}

impl Cache {
    /// Opens the caller's cache, or makes it; it is to keep `limit` bytes of layers. Trees whose owners differ are in caches
    /// of their own.
    ///
    /// # Errors
    /// When there is no private directory that programs can be executed in.
    pub fn open(host: &Host, map: &IdMap, limit: Option<u64>) -> Result<Cache, UnpackError> {
        let variable = |name: &str| host.variable(name);
        let base = private::cache(variable).ok_or(UnpackError::NoCache)?;
        let name = match map {
            IdMap::Single { .. } => "layers".to_owned(),
            IdMap::Range { first, .. } => format!("layers-{first}"),
            // There is no plan to unpack for them.
            IdMap::Subordinate { .. } => return Err(UnpackError::NoCache),
        };
        let path = base.join(name);
        Cache::at(path.clone(), limit.unwrap_or(LARGEST))
            .map_err(|source| UnpackError::Cache { path, source })
    }

    fn at(path: PathBuf, limit: u64) -> io::Result<Cache> {
        match DirBuilder::new().mode(0o700).create(&path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        if !is_private_directory(&path) {
            return Err(io::Error::other("others can enter it"));
        }
        let leases = open_leases(&path)?;
        Ok(Cache {
            path,
            leases,
            limit,
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The directory of the layer with this digest. If there is none, `make` makes it at the place that it is given and
    /// answers its size in bytes. It stays until the lease ends.
    ///
    /// # Errors
    /// Those of `make`, and of the files around it.
    pub fn provide<E: From<io::Error>>(
        &self,
        digest: &str,
        make: impl FnOnce(&Path) -> Result<u64, E>,
    ) -> Result<PathBuf, E> {
        let directory = self.path.join(digest);
        let byte = byte(digest);
        // Waits while somebody else makes it.
        lock(&self.leases, Kind::Shared, byte.clone())?;
        if !is_whole(&directory) {
            // Let go of first: two that hold it and want to be alone would wait for one another.
            lock(&self.leases, Kind::None, byte.clone())?;
            lock(&self.leases, Kind::Exclusive, byte.clone())?;
            if !is_whole(&directory) {
                self.make(digest, &directory, make)?;
            }
            lock(&self.leases, Kind::Shared, byte)?;
        }
        let used = File::options().append(true).open(directory.join("size"));
        used.and_then(|file| file.set_modified(SystemTime::now()))?;
        Ok(directory.join("tree"))
    }

    fn make<E: From<io::Error>>(
        &self,
        digest: &str,
        directory: &Path,
        make: impl FnOnce(&Path) -> Result<u64, E>,
    ) -> Result<(), E> {
        // What is left of a maker that was killed, or of a removal.
        for left in [
            self.path.join(format!("{UNFINISHED}{digest}")),
            directory.to_owned(),
        ] {
            remove(&left)?;
        }
        let unfinished = self.path.join(format!("{UNFINISHED}{digest}"));
        let made = || -> Result<(), E> {
            DirBuilder::new().mode(0o700).create(&unfinished)?;
            let size = make(&unfinished.join("tree"))?;
            fs::write(unfinished.join("size"), size.to_string())?;
            // The rename must not survive a power loss that the contents do not.
            nix::unistd::syncfs(File::open(&unfinished)?).map_err(io::Error::from)?;
            Ok(fs::rename(&unfinished, directory)?)
        };
        made().inspect_err(|_| drop(remove(&unfinished)))
    }

    /// Removes what nobody uses and is old, and then what was not used for longest until the rest is small enough. What
    /// cannot be removed stays.
    pub fn clean(&self) {
        // Locks of one open file do not keep it from itself.
        let (Ok(leases), Ok(found)) = (open_leases(&self.path), fs::read_dir(&self.path)) else {
            return;
        };
        let mut entries: Vec<Kept> = found.flatten().filter_map(|entry| kept(&entry)).collect();
        entries.sort_by_key(|entry| entry.used);
        let mut bytes: u64 = entries.iter().map(|entry| entry.bytes).sum();
        let oldest = SystemTime::now().checked_sub(OLDEST);
        for entry in entries {
            let old = entry.used < oldest;
            let surplus = bytes > self.limit;
            let free = || try_lock(&leases, Kind::Exclusive, byte(&entry.digest)).unwrap_or(false);
            if (old || surplus) && free() {
                trace(|| format!("removes the layer {}", entry.path.display()));
                bytes -= entry.bytes;
                let _ = remove(&entry.path);
            }
        }
    }

    /// The lease of everything that was provided, for as long as it or a copy of it is open.
    pub fn into_lease(self) -> OwnedFd {
        self.leases.into()
    }
}

/// Something in the cache.
struct Kept {
    path: PathBuf,
    digest: String,
    bytes: u64,
    /// `None` for what is unfinished.
    used: Option<SystemTime>,
}

fn kept(entry: &fs::DirEntry) -> Option<Kept> {
    let path = entry.path();
    let name = entry.file_name().into_string().ok()?;
    let size = path.join("size");
    if let Some(digest) = name.strip_prefix(UNFINISHED) {
        return Some(Kept {
            digest: digest.to_owned(),
            path,
            bytes: 0,
            used: None,
        });
    }
    path.is_dir().then(|| Kept {
        bytes: fs::read_to_string(&size)
            .ok()
            .and_then(|text| text.parse().ok())
            .unwrap_or(0),
        used: fs::metadata(&size).and_then(|found| found.modified()).ok(),
        digest: name,
        path,
    })
}

fn open_leases(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    options.mode(0o600).open(path.join("leases"))
}

/// Whether a directory holds a layer. It got its name last.
fn is_whole(directory: &Path) -> bool {
    directory.join("size").exists()
}

/// The byte that stands for a layer. Two layers that share one wait for each other, and nothing else.
fn byte(digest: &str) -> Range<u64> {
    // Offsets are signed.
    let start = digest
        .get(..15)
        .and_then(|digits| u64::from_str_radix(digits, 16).ok());
    let start = start.unwrap_or(0);
    start..start + 1
}

/// Removes a layer, whatever the modes of its directories. First the file that says that it is whole.
fn remove(directory: &Path) -> io::Result<()> {
    match fs::remove_file(directory.join("size")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    open_up(directory);
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// Lets the owner into every directory. Links are not followed.
fn open_up(directory: &Path) {
    let is_directory = fs::symlink_metadata(directory).is_ok_and(|found| found.is_dir());
    if !is_directory {
        return;
    }
    let _ = fs::set_permissions(directory, Permissions::from_mode(0o700));
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            open_up(&entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "1000000000000000ab";
    const OTHER: &str = "2000000000000000ab";

    fn cache(place: &Path, limit: u64) -> Cache {
        Cache::at(place.join("layers"), limit).unwrap()
    }

    fn provide(cache: &Cache, digest: &str, bytes: u64) -> bool {
        let mut made = false;
        let make = |tree: &Path| {
            made = true;
            fs::create_dir_all(tree.join("closed"))?;
            fs::set_permissions(tree.join("closed"), Permissions::from_mode(0o000))?;
            Ok::<_, io::Error>(bytes)
        };
        assert!(cache.provide(digest, make).unwrap().join("closed").exists());
        made
    }

    fn layers(cache: &Cache) -> Vec<String> {
        let names = fs::read_dir(&cache.path).unwrap().flatten();
        let mut names: Vec<String> = names
            .map(|entry| entry.file_name().into_string().unwrap())
            .filter(|name| name != "leases")
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_layer_is_made_once_and_stays_while_it_is_used() {
        let place = tempfile::tempdir().unwrap();
        let first = cache(place.path(), 0);
        assert!(provide(&first, ONE, 5));
        assert!(!provide(&first, ONE, 5));
        let second = cache(place.path(), 0);
        assert!(!provide(&second, ONE, 5));
        first.clean();
        drop(first);
        second.clean();
        assert_eq!(layers(&second), [ONE], "the lease of the second keeps it");
        let lease = second.into_lease();
        let third = cache(place.path(), 0);
        third.clean();
        assert_eq!(layers(&third), [ONE]);
        drop(lease);
        third.clean();
        assert_eq!(layers(&third), [""; 0]);
    }

    #[test]
    fn what_was_not_used_for_longest_makes_room_and_what_is_old_goes() {
        let place = tempfile::tempdir().unwrap();
        for digest in [ONE, OTHER] {
            provide(&cache(place.path(), 100), digest, 60);
        }
        let touch = |digest: &str, age: Duration| {
            let size = place.path().join("layers").join(digest).join("size");
            let file = File::options().append(true).open(size).unwrap();
            file.set_modified(SystemTime::now() - age).unwrap();
        };
        touch(OTHER, Duration::from_secs(60));
        let cache = cache(place.path(), 100);
        cache.clean();
        assert_eq!(layers(&cache), [ONE]);
        touch(ONE, OLDEST + Duration::from_secs(60));
        cache.clean();
        assert_eq!(layers(&cache), [""; 0]);
    }

    #[test]
    fn what_a_killed_maker_left_is_removed_and_a_failed_one_leaves_nothing() {
        let place = tempfile::tempdir().unwrap();
        let cache = cache(place.path(), 100);
        let left = cache.path.join(format!("{UNFINISHED}{ONE}"));
        fs::create_dir_all(left.join("tree/half")).unwrap();
        let failed = cache.provide(ONE, |tree| {
            fs::create_dir(tree)?;
            Err::<u64, _>(io::Error::other("full"))
        });
        assert_eq!(failed.unwrap_err().to_string(), "full");
        assert_eq!(layers(&cache), [""; 0]);
        fs::create_dir_all(&left).unwrap();
        drop(cache);
        let cache = super::tests::cache(place.path(), 100);
        cache.clean();
        assert_eq!(layers(&cache), [""; 0]);
    }
}
