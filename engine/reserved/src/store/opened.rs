//! A reserved space that has been recognised: what the image says lies where, and the values that lie there.

use super::medium::{Medium, Source, read_up_to, write_durably};
use super::read::{self, Finding};
use super::{StoreError, write};
use crate::decl::RegionDecl;
use crate::layout::{self, Placed};
use crate::space::{Copies, SUPERBLOCK_SIZE, Space, Superblock};
use crate::value::Value;

/// The reserved space of an image on any medium. Takes no lock; whoever writes through it has one.
#[derive(Debug)]
pub struct Opened<S> {
    pub(super) source: S,
    base: u64,
    space: Space,
    superblock: Superblock,
    copies: Copies,
    /// The layout of the image; `None` when it is the one of this program, which is nearly always.
    moved: Option<Vec<Placed>>,
}

/// What a whole region looks like on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Check {
    /// First byte of the region in the file.
    pub offset: u64,
    /// Bytes of the stored value; `None` when none was ever written and the default counts.
    pub stored: Option<u64>,
    /// Bytes in the other slot that a cut-off write left behind. The next write zeroes them.
    pub leftover: u64,
}

impl<S: Source> Opened<S> {
    /// Opens the reserved space that starts at byte `base`.
    ///
    /// # Errors
    /// Bytes that cannot be read, are no reserved space, or are one of a newer format.
    pub fn open(source: S, space: Space, base: u64) -> Result<Self, StoreError> {
        let mut bytes = vec![0; usize::try_from(SUPERBLOCK_SIZE).unwrap_or(usize::MAX)];
        let length =
            read_up_to(&source, &mut bytes, base).map_err(|error| read::failed(&source, error))?;
        let refused = |error| StoreError::Space {
            path: source.path().to_owned(),
            source: error,
        };
        let (superblock, copies) = space.recognise(&bytes[..length]).map_err(refused)?;
        let ends = space.regions.iter().map(RegionDecl::end);
        let fits = ends.max().unwrap_or(0) <= superblock.size;
        let moved = match superblock.layout == space.layout && fits {
            true => None,
            false => Some(layout::parse(&superblock.layout, superblock.size).map_err(refused)?),
        };
        Ok(Self {
            source,
            base,
            space,
            superblock,
            copies,
            moved,
        })
    }

    /// What the image says of its reserved space.
    #[must_use]
    pub fn superblock(&self) -> &Superblock {
        &self.superblock
    }

    /// Which copies of the superblock are whole.
    #[must_use]
    pub fn copies(&self) -> Copies {
        self.copies
    }

    /// The value of one region: as stored, or the default when the image is older than the region.
    ///
    /// # Errors
    /// Bytes that cannot be read; a region that is damaged or stored in a way that this program does not know.
    pub fn value(&self, decl: &RegionDecl) -> Result<Value, StoreError> {
        match self.place(decl)? {
            None => Ok(decl.default_value()),
            Some(place) => {
                let found = read::finding(&self.source, place, decl)?;
                read::decoded(place, decl, found)
            }
        }
    }

    /// As [`Opened::value`], and whether it is settled: a value that was found, or a region that the image lacks. The
    /// rest may look different a moment later when somebody writes.
    pub(super) fn look(&self, decl: &RegionDecl) -> Result<(Finding, Option<Place>), StoreError> {
        match self.place(decl)? {
            None => Ok((Finding::Unwritten, None)),
            Some(place) => Ok((read::finding(&self.source, place, decl)?, Some(place))),
        }
    }

    /// How the region lies on the disk.
    ///
    /// # Errors
    /// As [`Opened::value`].
    pub fn check(&self, decl: &RegionDecl) -> Result<Check, StoreError> {
        let Some(place) = self.place(decl)? else {
            return Ok(Check {
                offset: self.base + decl.offset,
                stored: None,
                leftover: 0,
            });
        };
        let found = read::finding(&self.source, place, decl)?;
        let (stored, other) = match &found {
            Finding::Stored { slot, payload, .. } => (Some(payload.len() as u64), vec![1 - slot]),
            _ => (None, vec![0, 1]),
        };
        read::decoded(place, decl, found)?;
        let mut leftover = 0;
        for slot in other {
            leftover += read::used(&self.source, place, decl, slot)? as u64;
        }
        Ok(Check {
            offset: place.start,
            stored,
            leftover,
        })
    }

    /// Where the image keeps the region; `None` when it is older than the region.
    pub(super) fn place(&self, decl: &RegionDecl) -> Result<Option<Place>, StoreError> {
        let Some(moved) = &self.moved else {
            return Ok(Some(self.place_at(decl.offset, decl.size)));
        };
        let Some(placed) = moved.iter().find(|placed| placed.name == decl.name) else {
            return Ok(None);
        };
        let known = self.signature(decl);
        if !layout::reads(&placed.signature, &known) {
            return Err(StoreError::Incompatible {
                region: decl.name,
                stored: placed.signature.clone(),
                known,
            });
        }
        Ok(Some(self.place_at(placed.offset, placed.size)))
    }

    const fn place_at(&self, offset: u64, size: u64) -> Place {
        Place {
            start: self.base + offset,
            key: offset,
            slot_size: size / 2,
        }
    }

    /// The encoding of a region in this program, as the layout writes it.
    fn signature(&self, decl: &RegionDecl) -> String {
        let lines = layout::parse(self.space.layout, u64::MAX).unwrap_or_default();
        let found = lines.into_iter().find(|line| line.name == decl.name);
        found.map(|line| line.signature).unwrap_or_default()
    }
}

/// Where a region lies in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// First byte of the region in the file.
    pub start: u64,
    /// First byte from the start of the reserved space: part of what a slot's checksum sums.
    pub key: u64,
    /// Bytes of one slot.
    pub slot_size: u64,
}

impl Place {
    /// First byte of a slot in the file.
    pub const fn slot(&self, which: usize) -> u64 {
        self.start + which as u64 * self.slot_size
    }
}

impl<M: Medium> Opened<M> {
    /// Writes one region: after this the new value is on the disk and the old one is not.
    ///
    /// # Errors
    /// A value that does not fit, before anything is written; a medium that cannot be written.
    pub fn write(&mut self, decl: &RegionDecl, value: &Value) -> Result<(), StoreError> {
        let place = self.place(decl)?;
        let room = place.map_or(decl.slot_size(), |place| place.slot_size);
        let payload = write::payload(decl, value, room)?;
        self.mend()?;
        let place = self.settle(decl)?;
        write::value(&self.source, place, decl, &payload)
    }

    /// Writes the superblock anew unless both of its copies are whole and agree.
    ///
    /// # Errors
    /// A medium that cannot be written.
    pub fn mend(&mut self) -> Result<(), StoreError> {
        match self.copies {
            Copies::Both => Ok(()),
            _ => self.describe(self.superblock.layout.clone()),
        }
    }

    /// The place of a region. An image that is older than the region gets one for it, and an image whose encoding has
    /// grown since learns of it, before anything is written that an older program would not understand.
    fn settle(&mut self, decl: &RegionDecl) -> Result<Place, StoreError> {
        let place = self.place(decl)?;
        let Some(mut placed) = self.moved.clone() else {
            return Ok(place.unwrap_or(self.place_at(decl.offset, decl.size)));
        };
        let known = self.signature(decl);
        let place = match place {
            Some(place) => {
                let grown = |line: &&mut Placed| line.name == decl.name && line.signature != known;
                match placed.iter_mut().find(grown) {
                    Some(line) => line.signature = known,
                    None => return Ok(place),
                }
                place
            }
            None => {
                let place = self.make_room(&placed, decl)?;
                placed.push(Placed {
                    name: decl.name.to_owned(),
                    offset: place.key,
                    size: decl.size,
                    signature: known,
                });
                place
            }
        };
        let text = layout::write(&placed);
        if !Superblock::holds(&text) {
            return Err(no_room(decl));
        }
        self.describe(text)?;
        self.moved = Some(placed);
        Ok(place)
    }

    /// A free place for the region, zeroed.
    fn make_room(&self, placed: &[Placed], decl: &RegionDecl) -> Result<Place, StoreError> {
        let offset = layout::free(placed, decl.offset, decl.size, self.superblock.size);
        let place = self.place_at(offset.ok_or_else(|| no_room(decl))?, decl.size);
        for slot in [0, 1] {
            let used = read::used(&self.source, place, decl, slot)?;
            write::scrub(&self.source, place, slot, used)?;
        }
        Ok(place)
    }

    /// Writes both copies of the superblock, one after the other.
    fn describe(&mut self, layout: String) -> Result<(), StoreError> {
        let order = self.superblock.order();
        let superblock = self.superblock.successor(layout);
        for offset in order {
            write_durably(&self.source, &superblock.copy(), self.base + offset)?;
        }
        self.superblock = superblock;
        self.copies = Copies::Both;
        Ok(())
    }
}

fn no_room(decl: &RegionDecl) -> StoreError {
    StoreError::NoRoom {
        region: decl.name,
        size: decl.size,
    }
}
