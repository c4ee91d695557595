//! A disk that forgets: writes reach it sector by sector, in any order, until a sync.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::path::Path;

use crate::store::{Medium, Source, StoreError};

/// The unit that arrives whole or not at all.
pub const SECTOR: u64 = 512;

/// Bytes by sector; what is not there is zero.
pub type Sectors = BTreeMap<u64, [u8; SECTOR as usize]>;

/// What a fault does at one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The call fails; of a write nothing arrives.
    Fails(io::ErrorKind),
    /// A write takes half of its bytes and says so.
    Short,
    /// A write takes half of its bytes and the next one fails.
    ShortThenFails(io::ErrorKind),
}

/// What has been asked of the disk.
#[derive(Debug, Clone)]
enum Event {
    Wrote(Vec<(u64, [u8; SECTOR as usize])>),
    Synced,
}

/// The disk, as the running system sees it, and how it came to be so.
#[derive(Debug, Default)]
pub struct Disk {
    length: u64,
    before: Sectors,
    state: RefCell<State>,
}

#[derive(Debug, Default)]
struct State {
    now: Sectors,
    events: Vec<Event>,
    calls: usize,
    fault: Option<(usize, Fault)>,
}

impl Disk {
    /// A disk of `length` bytes with these contents.
    pub fn new(contents: Sectors, length: u64) -> Self {
        Self {
            length,
            before: contents.clone(),
            state: RefCell::new(State {
                now: contents,
                ..State::default()
            }),
        }
    }

    /// With `bytes` at `offset`.
    pub fn holding(bytes: &[u8], offset: u64) -> Self {
        let mut sectors = Sectors::new();
        // Only what is not zero: an image is nearly empty.
        for (place, piece) in bytes.chunks(64).enumerate() {
            if piece.iter().any(|byte| *byte != 0) {
                store(&mut sectors, piece, offset + place as u64 * 64);
            }
        }
        Self::new(sectors, offset + bytes.len() as u64)
    }

    /// Lets the call of that number go wrong, counted from 0.
    pub fn failing(self, call: usize, fault: Fault) -> Self {
        self.state.borrow_mut().fault = Some((call, fault));
        self
    }

    /// What the running system sees.
    pub fn contents(&self) -> Sectors {
        self.state.borrow().now.clone()
    }

    /// How many writes and syncs there were.
    pub fn calls(&self) -> usize {
        self.state.borrow().calls
    }

    /// The bytes of the disk from `range.start` to `range.end`.
    pub fn bytes(&self, range: Range<u64>) -> Vec<u8> {
        load(&self.state.borrow().now, range)
    }

    /// Calls `each` with every state that the disk can be in after a cut: after any number of calls, with any choice of
    /// the sectors that were not synced by then.
    pub fn cuts(&self, mut each: impl FnMut(Disk)) {
        let events = &self.state.borrow().events;
        let (mut durable, mut pending) = (self.before.clone(), Vec::new());
        each(Disk::new(durable.clone(), self.length));
        for event in events {
            match event {
                Event::Wrote(sectors) => pending.extend(sectors.iter().copied()),
                Event::Synced => durable.extend(pending.drain(..)),
            }
            for choice in choices(pending.len()) {
                let mut state = durable.clone();
                let chosen = pending.iter().zip(&choice).filter(|(_, arrived)| **arrived);
                state.extend(chosen.map(|(sector, _)| *sector));
                each(Disk::new(state, self.length));
            }
        }
    }
}

/// Which of `count` sectors arrive: every choice of few; of many the prefixes, suffixes, single ones and gaps.
fn choices(count: usize) -> Vec<Vec<bool>> {
    if count <= 7 {
        return (0..1_u32 << count)
            .map(|bits| (0..count).map(|place| bits >> place & 1 == 1).collect())
            .collect();
    }
    let mut all = Vec::new();
    for at in 0..=count {
        all.push((0..count).map(|place| place < at).collect());
        all.push((0..count).map(|place| place >= at).collect());
        all.push((0..count).map(|place| place == at).collect());
        all.push((0..count).map(|place| place != at).collect());
    }
    all
}

fn store(sectors: &mut Sectors, bytes: &[u8], offset: u64) -> Vec<u64> {
    let mut touched = Vec::new();
    let mut done = 0;
    while done < bytes.len() {
        let at = offset + done as u64;
        let (sector, start) = (at / SECTOR, (at % SECTOR) as usize);
        let length = (bytes.len() - done).min(SECTOR as usize - start);
        let contents = sectors.entry(sector).or_insert([0; SECTOR as usize]);
        contents[start..start + length].copy_from_slice(&bytes[done..done + length]);
        touched.push(sector);
        done += length;
    }
    touched
}

fn load(sectors: &Sectors, range: Range<u64>) -> Vec<u8> {
    let mut bytes = vec![0; (range.end - range.start) as usize];
    for (sector, contents) in sectors.range(range.start / SECTOR..range.end.div_ceil(SECTOR)) {
        let start = (sector * SECTOR).max(range.start);
        let end = (sector * SECTOR + SECTOR).min(range.end);
        let inside = (start - sector * SECTOR) as usize..(end - sector * SECTOR) as usize;
        bytes[(start - range.start) as usize..(end - range.start) as usize]
            .copy_from_slice(&contents[inside]);
    }
    bytes
}

fn broken(kind: io::ErrorKind) -> StoreError {
    StoreError::Write {
        path: "disk".into(),
        source: kind.into(),
    }
}

impl State {
    /// The fault of this call, if it is its turn.
    fn fault(&mut self) -> Option<Fault> {
        let call = self.calls;
        self.calls += 1;
        let fault = self.fault.filter(|(at, _)| *at == call)?.1;
        if let Fault::ShortThenFails(kind) = fault {
            self.fault = Some((call + 1, Fault::Fails(kind)));
        }
        Some(fault)
    }
}

impl Source for Disk {
    fn path(&self) -> &Path {
        Path::new("disk")
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let end = (offset + bytes.len() as u64).min(self.length);
        let read = end.saturating_sub(offset) as usize;
        bytes[..read].copy_from_slice(&load(
            &self.state.borrow().now,
            offset..offset + read as u64,
        ));
        Ok(read)
    }
}

impl Medium for Disk {
    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<usize, StoreError> {
        let mut state = self.state.borrow_mut();
        let taken = match state.fault() {
            Some(Fault::Fails(kind)) => return Err(broken(kind)),
            Some(_) => bytes.len().div_ceil(2),
            None => bytes.len(),
        };
        assert!(
            offset + taken as u64 <= self.length,
            "nothing makes the file longer"
        );
        let touched = store(&mut state.now, &bytes[..taken], offset);
        let sectors = touched.iter().map(|sector| (*sector, state.now[sector]));
        let event = Event::Wrote(sectors.collect());
        state.events.push(event);
        Ok(taken)
    }

    fn sync(&self) -> Result<(), StoreError> {
        let mut state = self.state.borrow_mut();
        match state.fault() {
            Some(Fault::Fails(kind)) => Err(broken(kind)),
            _ => {
                state.events.push(Event::Synced);
                Ok(())
            }
        }
    }
}
