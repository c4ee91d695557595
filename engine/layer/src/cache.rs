//! Decompressed blocks, shared by all layers and all threads.
//!
//! The kernel keeps the pages it was given, so this cache only has to bridge the requests that fall into one block
//! within a short time. Its lock is never held while a block is read or decompressed; two threads that want the same
//! block share the work of one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::error::ReadError;

/// A layer's number and a block's number in it.
type Key = (u64, u32);

/// The bytes of a block, or nothing when it could not be read.
type Cell = OnceLock<Option<Vec<u8>>>;

/// A cache of decompressed blocks, limited in bytes.
#[derive(Debug)]
pub struct BlockCache {
    limit: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    slots: HashMap<Key, Slot>,
    /// Bytes of all slots that are filled.
    bytes: u64,
    /// Counts uses.
    clock: u64,
}

#[derive(Debug)]
struct Slot {
    cell: Arc<Cell>,
    /// When it was used last, by the clock.
    used: u64,
    /// Its size in bytes once it is filled.
    bytes: u64,
}

/// A block that stays in memory while this lives.
#[derive(Clone, Debug)]
pub(crate) struct Block(Arc<Cell>);

impl std::ops::Deref for Block {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.0.get().and_then(Option::as_deref).unwrap_or_default()
    }
}

impl BlockCache {
    /// An empty cache that keeps at most `limit` bytes of blocks that nobody reads at the moment.
    pub fn new(limit: u64) -> BlockCache {
        BlockCache {
            limit,
            state: Mutex::default(),
        }
    }

    /// The block with this key; `load` reads it when it is not there.
    pub(crate) fn get(
        &self,
        key: Key,
        load: impl FnOnce() -> Result<Vec<u8>, ReadError>,
    ) -> Result<Block, ReadError> {
        let cell = self.lock().cell(key);
        let mut failed = None;
        let mut loaded = None;
        let content = cell.get_or_init(|| match load() {
            Ok(bytes) => {
                loaded = Some(bytes.len() as u64);
                Some(bytes)
            }
            Err(error) => {
                failed = Some(error);
                None
            }
        });
        if content.is_none() {
            // The next reader tries again: the cause may pass.
            self.lock().forget(key, &cell);
            return Err(failed.unwrap_or(ReadError::Damaged("a block could not be read")));
        }
        if let Some(bytes) = loaded {
            self.lock().filled(key, &cell, bytes, self.limit);
        }
        Ok(Block(cell))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn cell(&mut self, key: Key) -> Arc<Cell> {
        self.clock += 1;
        let slot = self.slots.entry(key).or_insert_with(|| Slot {
            cell: Arc::default(),
            used: 0,
            bytes: 0,
        });
        slot.used = self.clock;
        Arc::clone(&slot.cell)
    }

    /// Counts a slot that was filled, and drops the ones used longest ago while there are too many bytes.
    fn filled(&mut self, key: Key, cell: &Arc<Cell>, bytes: u64, limit: u64) {
        match self.slots.get_mut(&key) {
            Some(slot) if Arc::ptr_eq(&slot.cell, cell) => slot.bytes = bytes,
            _ => return,
        }
        self.bytes += bytes;
        if self.bytes <= limit {
            return;
        }
        let mut oldest: Vec<_> = self
            .slots
            .iter()
            .map(|(key, slot)| (slot.used, *key))
            .collect();
        oldest.sort_unstable();
        // An eighth more than needed, so that the next few blocks need no search.
        let target = limit - limit / 8;
        for (_, old) in oldest {
            if self.bytes <= target {
                break;
            }
            if old != key && self.slots.get(&old).is_some_and(|slot| slot.bytes > 0) {
                self.bytes -= self.slots.remove(&old).map_or(0, |slot| slot.bytes);
            }
        }
    }

    fn forget(&mut self, key: Key, cell: &Arc<Cell>) {
        if self
            .slots
            .get(&key)
            .is_some_and(|slot| Arc::ptr_eq(&slot.cell, cell))
        {
            self.slots.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn two_threads_share_the_work_of_one() {
        let cache = BlockCache::new(1 << 20);
        let loads = AtomicUsize::new(0);
        let barrier = Barrier::new(4);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    barrier.wait();
                    let load = || {
                        loads.fetch_add(1, Ordering::Relaxed);
                        Ok(vec![7; 100])
                    };
                    assert_eq!(&cache.get((0, 0), load).unwrap()[..], &[7; 100]);
                });
            }
        });
        assert_eq!(loads.into_inner(), 1);
    }

    #[test]
    fn keeps_what_was_used_last_within_the_limit() {
        let cache = BlockCache::new(1000);
        let load = |number| {
            cache
                .get((0, number), || Ok(vec![number as u8; 100]))
                .unwrap()
        };
        for number in 0..50 {
            load(number);
            load(0);
            assert!(cache.lock().bytes <= 1000);
        }
        assert!(cache.lock().slots.contains_key(&(0, 0)));
        assert!(!cache.lock().slots.contains_key(&(0, 1)));
    }

    #[test]
    fn a_failed_load_is_tried_again() {
        let cache = BlockCache::new(1000);
        assert!(
            cache
                .get((0, 0), || Err(ReadError::Damaged("once")))
                .is_err()
        );
        assert_eq!(&cache.get((0, 0), || Ok(vec![1])).unwrap()[..], &[1]);
    }

    #[test]
    fn a_block_larger_than_the_limit_is_still_read() {
        let cache = BlockCache::new(10);
        assert_eq!(cache.get((0, 0), || Ok(vec![1; 100])).unwrap().len(), 100);
        assert_eq!(cache.get((0, 1), || Ok(vec![1; 100])).unwrap().len(), 100);
        assert_eq!(cache.lock().slots.len(), 1);
    }
}
