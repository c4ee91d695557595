//! The write sequence against a disk that forgets: cut after every call and at every sector inside it, with any choice
//! of what was not synced; and with every call failing in every way. What is read afterwards is the old or the new
//! value, every other byte is what it was, and the next write works.

mod disk;
mod samples;
mod sequences;

use std::io::ErrorKind;

use crate::decl::RegionDecl;
use crate::declared::{REGIONS, SPACE};
use crate::store::{Opened, Source as _};
use crate::value::Value;
use disk::{Disk, Fault, SECTOR, Sectors};

/// Start of the reserved space: on a sector, and across sectors.
const BASES: [u64; 2] = [8 * SECTOR, 1000];

fn fresh(base: u64) -> Disk {
    Disk::holding(&SPACE.blank().expect("the layout fits"), base)
}

fn reopened(disk: Disk, base: u64) -> Opened<Disk> {
    Opened::open(disk, SPACE, base).expect("the space is recognised whatever happens")
}

/// A disk on which the region has that value.
fn with(value: &Value, decl: &RegionDecl, base: u64) -> Disk {
    let mut opened = reopened(fresh(base), base);
    opened.write(decl, value).expect("written");
    let contents = opened.source.contents();
    Disk::new(contents, base + SPACE.size)
}

fn again(disk: &Disk, base: u64) -> Disk {
    Disk::new(disk.contents(), base + SPACE.size)
}

/// Everything but the region.
fn outside(disk: &Disk, decl: &RegionDecl, base: u64) -> Sectors {
    let mut sectors = disk.contents();
    let region = base + decl.offset..base + decl.end();
    for (number, bytes) in &mut sectors {
        for (place, byte) in bytes.iter_mut().enumerate() {
            if region.contains(&(number * SECTOR + place as u64)) {
                *byte = 0;
            }
        }
    }
    sectors.retain(|_, bytes| bytes.iter().any(|byte| *byte != 0));
    sectors
}

/// Demands that the disk has the old or the new value, is otherwise as before, and can be written again.
fn sound(disk: Disk, decl: &RegionDecl, base: u64, [old, new]: [&Value; 2], before: &Sectors) {
    assert_eq!(outside(&disk, decl, base), *before, "{}", decl.name);
    let mut opened = reopened(disk, base);
    let found = opened.value(decl).expect(decl.name);
    assert!(found == *old || found == *new, "{}: {found:?}", decl.name);
    let last = samples::of(decl).pop().expect("there is one");
    opened.write(decl, &last).expect("written");
    assert_eq!(opened.value(decl).expect(decl.name), last);
    let check = opened.check(decl).expect("whole");
    assert_eq!(check.leftover, 0, "{}", decl.name);
    assert_nothing_else(&opened.source, decl, base, check.stored.unwrap_or(0));
}

/// Demands that a region holds a header and `stored` bytes and nothing else.
fn assert_nothing_else(disk: &Disk, decl: &RegionDecl, base: u64, stored: u64) {
    let place = |slot| base + decl.offset + slot * decl.slot_size();
    let (first, second) = (
        disk.bytes(place(0)..place(1)),
        disk.bytes(place(1)..base + decl.end()),
    );
    let used = |slot: &[u8]| {
        slot.iter()
            .rposition(|byte| *byte != 0)
            .map_or(0, |last| last + 1)
    };
    let (short, long) = match (used(&first), used(&second)) {
        (first, second) if first < second => (first, second),
        (first, second) => (second, first),
    };
    assert_eq!(short, 0, "{}", decl.name);
    assert!(long as u64 <= 32 + stored, "{}", decl.name);
}

/// For every region: each value after its neighbour in the list of samples, before it, and after itself.
fn transitions(mut each: impl FnMut(&'static RegionDecl, &Value, &Value)) {
    for decl in REGIONS {
        let values = samples::of(decl);
        assert!(values.len() > 1, "{}", decl.name);
        each(decl, &values[0], &values[0]);
        for pair in values.windows(2) {
            each(decl, &pair[0], &pair[1]);
            each(decl, &pair[1], &pair[0]);
        }
    }
}

#[test]
fn a_cut_leaves_the_old_or_the_new_value() {
    let mut states = 0_u64;
    for base in BASES {
        transitions(|decl, old, new| {
            let start = with(old, decl, base);
            let before = outside(&start, decl, base);
            let mut opened = reopened(start, base);
            opened.write(decl, new).expect("written");
            opened.source.cuts(|disk| {
                states += 1;
                sound(disk, decl, base, [old, new], &before);
            });
        });
    }
    assert!(states > 1000, "{states}");
}

#[test]
fn a_cut_of_the_first_write_leaves_the_default_or_the_new_value() {
    for decl in REGIONS {
        let base = BASES[0];
        let mut contents = fresh(base).contents();
        let region = (base + decl.offset) / SECTOR..(base + decl.end()) / SECTOR;
        contents.retain(|sector, _| !region.contains(sector));
        for new in samples::of(decl) {
            let start = Disk::new(contents.clone(), base + SPACE.size);
            let before = outside(&start, decl, base);
            let mut opened = reopened(start, base);
            opened.write(decl, &new).expect("written");
            opened.source.cuts(|disk| {
                sound(disk, decl, base, [&decl.default_value(), &new], &before);
            });
        }
    }
}

#[test]
fn a_failing_call_is_reported_and_leaves_the_old_or_the_new_value() {
    const FAULTS: [Fault; 5] = [
        Fault::Fails(ErrorKind::StorageFull),
        Fault::Fails(ErrorKind::Other),
        Fault::Short,
        Fault::ShortThenFails(ErrorKind::StorageFull),
        Fault::ShortThenFails(ErrorKind::Other),
    ];
    transitions(|decl, old, new| {
        let base = BASES[1];
        let start = with(old, decl, base);
        let before = outside(&start, decl, base);
        let mut whole = reopened(again(&start, base), base);
        whole.write(decl, new).expect("written");
        for call in 0..whole.source.calls() {
            for fault in FAULTS {
                let disk = again(&start, base).failing(call, fault);
                let mut opened = reopened(disk, base);
                let result = opened.write(decl, new);
                let is_reported = result.is_err();
                // Half a write is no failure when the other half follows; a sync is never short.
                let fails = matches!(fault, Fault::Fails(_));
                assert!(is_reported || !fails, "{}: {fault:?} at {call}", decl.name);
                let seen = again(&opened.source, base);
                sound(seen, decl, base, [old, new], &before);
                if !is_reported {
                    assert_eq!(opened.value(decl).expect(decl.name), *new);
                } else if old != new {
                    // The disk may also lose its power before anybody mends it.
                    opened
                        .source
                        .cuts(|disk| sound(disk, decl, base, [old, new], &before));
                }
            }
        }
    });
}

#[test]
fn an_interrupted_call_is_done_again() {
    let (decl, base) = (&REGIONS[0], BASES[0]);
    let value = samples::of(decl).pop().expect("there is one");
    let mut opened = reopened(
        fresh(base).failing(0, Fault::Fails(ErrorKind::Interrupted)),
        base,
    );
    opened.write(decl, &value).expect("written");
    assert_eq!(opened.value(decl).expect("whole"), value);
}

#[test]
fn every_flipped_bit_is_found_or_does_no_harm() {
    for decl in REGIONS {
        let base = BASES[0];
        for value in samples::of(decl) {
            let whole = with(&value, decl, base);
            let stored = reopened(again(&whole, base), base)
                .check(decl)
                .expect("whole");
            let used = 32 + stored.stored.unwrap_or(0);
            for slot in 0..2 {
                for place in (0..used).step_by(if used > 400 { 37 } else { 1 }) {
                    let at = base + decl.offset + slot * decl.slot_size() + place;
                    let disk = again(&whole, base);
                    let mut byte = disk.bytes(at..at + 1);
                    byte[0] ^= 1 << (place % 8);
                    crate::store::Medium::write_at(&disk, &byte, at).expect("written");
                    let mut opened = reopened(disk, base);
                    let found = opened.value(decl);
                    assert!(
                        found.as_ref().is_ok_and(|found| *found == value)
                            || found.is_err_and(|error| error.is_damage()),
                        "{} at {place} of slot {slot}",
                        decl.name
                    );
                    for other in REGIONS.iter().filter(|other| other.name != decl.name) {
                        assert_eq!(
                            opened.value(other).expect(other.name),
                            other.default_value()
                        );
                    }
                    opened.write(decl, &value).expect("mended");
                    assert_eq!(opened.check(decl).expect("whole").leftover, 0);
                }
            }
        }
    }
}

#[test]
fn a_new_region_of_an_older_image_survives_every_cut() {
    let (old_space, newest) = sequences::older_space();
    let base = BASES[0];
    let start = Disk::holding(&old_space.blank().expect("the layout fits"), base);
    let length = base + old_space.size;
    let mut opened = reopened(start, base);
    let kept = &REGIONS[0];
    let value = samples::of(kept).pop().expect("there is one");
    opened.write(kept, &value).expect("written");
    let start = opened.source.contents();
    assert_eq!(opened.value(newest).expect("older"), newest.default_value());
    for new in samples::of(newest) {
        let mut opened = reopened(Disk::new(start.clone(), length), base);
        opened.write(newest, &new).expect("written");
        opened.source.cuts(|disk| {
            let mut opened = reopened(disk, base);
            assert_eq!(opened.value(kept).expect("untouched"), value);
            let found = opened.value(newest).expect("whole");
            assert!(found == new || found == newest.default_value(), "{found:?}");
            opened.write(newest, &new).expect("written");
            assert_eq!(opened.value(newest).expect("whole"), new);
            assert_eq!(opened.value(kept).expect("untouched"), value);
            assert_eq!(opened.source.path().to_string_lossy(), "disk");
        });
    }
}
