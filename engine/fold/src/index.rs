//! Which names a directory has, by what they fold to.
//!
//! Only a name that is not there as it is written needs this, but then nothing else can tell that it is not there in
//! another case either. A directory is read once, at the first such name; what this filesystem changes is entered as
//! it happens.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;

use crate::folding::fold;

/// The names of one directory.
#[derive(Default)]
struct Index {
    hash: RandomState,
    /// By the hash of the folded name, so that no name is kept twice.
    names: HashMap<u64, Spellings>,
    count: usize,
}

/// Names with one hash, which nearly always means that they are the same. In byte order.
enum Spellings {
    One(Box<[u8]>),
    Several(Vec<Box<[u8]>>),
}

impl Spellings {
    fn all(&self) -> &[Box<[u8]>] {
        match self {
            Spellings::One(name) => std::slice::from_ref(name),
            Spellings::Several(names) => names,
        }
    }
}

impl Index {
    fn key(&self, folded: &[u8]) -> u64 {
        self.hash.hash_one(folded)
    }

    fn insert(&mut self, name: &[u8]) {
        let key = self.key(&fold(name));
        let mut names = match self.names.remove(&key) {
            None => Vec::new(),
            Some(Spellings::One(one)) => vec![one],
            Some(Spellings::Several(several)) => several,
        };
        if let Err(at) = names.binary_search_by(|other| (**other).cmp(name)) {
            names.insert(at, name.into());
            self.count += 1;
        }
        self.put(key, names);
    }

    fn remove(&mut self, name: &[u8]) {
        let key = self.key(&fold(name));
        let Some(spellings) = self.names.remove(&key) else {
            return;
        };
        let mut names = spellings.all().to_vec();
        names.retain(|other| **other != *name);
        self.count -= spellings.all().len() - names.len();
        self.put(key, names);
    }

    fn put(&mut self, key: u64, mut names: Vec<Box<[u8]>>) {
        match names.len() {
            0 => None,
            1 => names.pop().map(Spellings::One),
            _ => Some(Spellings::Several(names)),
        }
        .map(|spellings| self.names.insert(key, spellings));
    }

    /// The name itself, or the first in byte order that is the same.
    fn find(&self, name: &[u8]) -> Option<Box<[u8]>> {
        let folded = fold(name);
        let names = self.names.get(&self.key(&folded))?.all();
        if names.iter().any(|other| **other == *name) {
            return Some(name.into());
        }
        names.iter().find(|other| fold(other) == folded).cloned()
    }
}

/// An index that is perhaps still to be built; whoever builds it holds the lock.
type Shared = Arc<Mutex<Option<Index>>>;

struct Slot {
    index: Shared,
    count: usize,
    used: u64,
}

/// The indexes of all directories, by node.
pub(crate) struct Indexes {
    slots: Mutex<Slots>,
}

struct Slots {
    by_node: HashMap<u64, Slot>,
    clock: u64,
    count: usize,
    limit: usize,
}

/// What an index says of a name.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// There is no index of this directory.
    Unknown,
    /// No name is the same.
    Nothing,
    /// This name is the same: itself where it exists.
    Name(Box<[u8]>),
}

impl Indexes {
    /// None yet; at most `limit` names in all but the one used last.
    pub(crate) fn new(limit: usize) -> Indexes {
        let slots = Slots {
            by_node: HashMap::new(),
            clock: 0,
            count: 0,
            limit,
        };
        Indexes {
            slots: Mutex::new(slots),
        }
    }

    /// What the index of a directory says of a name, if there is one.
    pub(crate) fn peek(&self, directory: u64, name: &[u8]) -> Answer {
        let Some(shared) = self.existing(directory) else {
            return Answer::Unknown;
        };
        match &*lock(&shared) {
            None => Answer::Unknown,
            Some(index) => index.find(name).map_or(Answer::Nothing, Answer::Name),
        }
    }

    /// The name in a directory that is the same as this one. `read` calls its argument with every name of the directory;
    /// it is used when there is no index.
    ///
    /// # Errors
    /// Those of `read`.
    pub(crate) fn find(
        &self,
        directory: u64,
        name: &[u8],
        read: impl FnOnce(&mut dyn FnMut(&[u8])) -> Result<(), Errno>,
    ) -> Result<Option<Box<[u8]>>, Errno> {
        let shared = self.slots().obtain(directory);
        let mut index = lock(&shared);
        if let Some(index) = &*index {
            return Ok(index.find(name));
        }
        let mut new = Index::default();
        read(&mut |name| new.insert(name))?;
        let found = new.find(name);
        let count = new.count;
        *index = Some(new);
        drop(index);
        self.slots().counted(directory, count);
        Ok(found)
    }

    /// Enters a name that was created.
    pub(crate) fn insert(&self, directory: u64, name: &[u8]) {
        self.change(directory, |index| index.insert(name));
    }

    /// Takes out a name that was removed.
    pub(crate) fn remove(&self, directory: u64, name: &[u8]) {
        self.change(directory, |index| index.remove(name));
    }

    /// Drops the index of a directory.
    pub(crate) fn forget(&self, directory: u64) {
        self.slots().forget(directory);
    }

    fn change(&self, directory: u64, change: impl FnOnce(&mut Index)) {
        let Some(shared) = self.existing(directory) else {
            return;
        };
        let mut index = lock(&shared);
        if let Some(index) = &mut *index {
            change(index);
            let count = index.count;
            self.slots().counted(directory, count);
        }
    }

    fn existing(&self, directory: u64) -> Option<Shared> {
        let mut slots = self.slots();
        slots.clock += 1;
        let now = slots.clock;
        let slot = slots.by_node.get_mut(&directory)?;
        slot.used = now;
        Some(slot.index.clone())
    }

    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slots {
    fn obtain(&mut self, directory: u64) -> Shared {
        self.clock += 1;
        let used = self.clock;
        let slot = self.by_node.entry(directory).or_insert_with(|| Slot {
            index: Shared::default(),
            count: 0,
            used,
        });
        slot.used = used;
        slot.index.clone()
    }

    /// Notes how many names a directory has, and makes room. An empty directory counts too.
    fn counted(&mut self, directory: u64, names: usize) {
        let Some(slot) = self.by_node.get_mut(&directory) else {
            return;
        };
        let before = std::mem::replace(&mut slot.count, names + 1);
        self.count = self.count - before + slot.count;
        while self.count > self.limit {
            let others = self.by_node.iter().filter(|(node, _)| **node != directory);
            let Some(oldest) = others
                .min_by_key(|(_, slot)| slot.used)
                .map(|(node, _)| *node)
            else {
                return;
            };
            self.forget(oldest);
        }
    }

    fn forget(&mut self, directory: u64) {
        if let Some(slot) = self.by_node.remove(&directory) {
            self.count -= slot.count;
        }
    }
}

fn lock(shared: &Shared) -> MutexGuard<'_, Option<Index>> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(indexes: &Indexes, directory: u64, names: &[&str]) {
        let read = |add: &mut dyn FnMut(&[u8])| {
            names.iter().for_each(|name| add(name.as_bytes()));
            Ok(())
        };
        indexes.find(directory, b"", read).unwrap();
    }

    fn found(indexes: &Indexes, name: &str) -> Option<String> {
        match indexes.peek(1, name.as_bytes()) {
            Answer::Name(name) => Some(String::from_utf8(name.into()).unwrap()),
            Answer::Nothing => None,
            Answer::Unknown => panic!("there is an index"),
        }
    }

    #[test]
    fn the_exact_name_wins_then_the_first_in_byte_order() {
        let indexes = Indexes::new(100);
        filled(&indexes, 1, &["name", "Name", "nAme", "other"]);
        assert_eq!(found(&indexes, "nAme").as_deref(), Some("nAme"));
        assert_eq!(found(&indexes, "NAME").as_deref(), Some("Name"));
        assert_eq!(found(&indexes, "nothing"), None);
        indexes.remove(1, b"Name");
        assert_eq!(found(&indexes, "NAME").as_deref(), Some("nAme"));
        indexes.remove(1, b"nAme");
        indexes.remove(1, b"NAME");
        assert_eq!(found(&indexes, "NAME").as_deref(), Some("name"));
        indexes.remove(1, b"name");
        assert_eq!(found(&indexes, "name"), None);
        indexes.insert(1, "ÄÖ".as_bytes());
        indexes.insert(1, "ÄÖ".as_bytes());
        assert_eq!(found(&indexes, "äÖ").as_deref(), Some("ÄÖ"));
        indexes.remove(1, "ÄÖ".as_bytes());
        assert_eq!(found(&indexes, "äÖ"), None);
    }

    #[test]
    fn the_least_used_index_makes_room() {
        let indexes = Indexes::new(6);
        filled(&indexes, 1, &["a", "b"]);
        filled(&indexes, 2, &["a"]);
        assert_eq!(found(&indexes, "A").as_deref(), Some("a"));
        filled(&indexes, 3, &["a"]);
        assert_eq!(indexes.peek(2, b"a"), Answer::Unknown);
        assert_eq!(indexes.peek(3, b"b"), Answer::Nothing);
        filled(&indexes, 4, &["a", "b", "c", "d", "e", "f", "g", "h"]);
        assert_eq!(indexes.peek(1, b"a"), Answer::Unknown);
        assert_eq!(indexes.peek(4, b"H"), Answer::Name((*b"h").into()));
        indexes.forget(4);
        assert_eq!(indexes.slots().count, 0);
    }
}
