//! Regions lie beside one another, behind the superblock and inside the reserved space.

use std::ops::Range;

use crate::report::Report;
use crate::source::Source;

/// Bytes at the start of the reserved space that describe the space itself: two slots of 4096.
const SUPERBLOCK: u64 = 8192;

/// Offsets and sizes are multiples of this, so that both slots of a region start at a sector of a disk.
const SECTOR: u64 = 512;

pub fn check(source: &Source, report: &mut Report) {
    let mut taken: Vec<(Range<u64>, &str)> = vec![(0..SUPERBLOCK, "superblock")];
    for placed in &source.regions {
        let (path, region) = (&placed.path, &placed.item);
        let at = format!("{path}.offset");
        let Some(end) = region.offset.checked_add(region.size) else {
            report.add(
                &at,
                format!("region `{}` ends beyond 2^64", region.name),
                "choose a smaller offset",
            );
            continue;
        };
        let range = region.offset..end;
        if !region.offset.is_multiple_of(SECTOR) || !region.size.is_multiple_of(2 * SECTOR) {
            let what = format!("region `{}` is not aligned", region.name);
            report.add(
                &at,
                what,
                "give an offset that is a multiple of 0x200 and a size that is a multiple of 0x400",
            );
        }
        if end > source.size {
            let over = end - source.size;
            let what = format!(
                "region `{}` reaches {over:#x} bytes beyond the reserved space",
                region.name
            );
            report.add(&at, what, free(source, region.size));
        }
        if let Some((_, other)) = taken.iter().find(|(other, _)| overlap(other, &range)) {
            let what = format!("region `{}` overlaps `{other}`", region.name);
            report.add(&at, what, free(source, region.size));
        }
        taken.push((range, &region.name));
    }
}

/// Whether two half-open ranges have a byte in common.
fn overlap(one: &Range<u64>, other: &Range<u64>) -> bool {
    one.start.max(other.start) < one.end.min(other.end)
}

/// Where `size` bytes are free.
fn free(source: &Source, size: u64) -> String {
    let regions = source.regions.iter();
    let mut ends: Vec<u64> = regions
        .clone()
        .filter_map(|region| region.item.offset.checked_add(region.item.size))
        .collect();
    ends.push(SUPERBLOCK);
    ends.sort_unstable();
    let fits = |start: u64| {
        let range = start..start.checked_add(size)?;
        let clear = start >= SUPERBLOCK
            && range.end <= source.size
            && regions.clone().all(|region| {
                let region = &region.item;
                !overlap(
                    &range,
                    &(region.offset..region.offset.saturating_add(region.size)),
                )
            });
        clear.then_some(start)
    };
    match ends
        .into_iter()
        .filter_map(|end| end.checked_next_multiple_of(SECTOR))
        .find_map(fits)
    {
        Some(offset) => format!("the next free offset for its size is {offset:#010x}"),
        None => {
            "nothing of that size is free: make the region smaller or the reserved space larger"
                .to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::overlap;

    #[test]
    fn ranges_overlap_when_they_share_a_byte() {
        for (one, other, shared) in [
            (0..4, 4..8, false),
            (0..5, 4..8, true),
            (0..8, 2..4, true),
            (2..4, 2..4, true),
            (2..2, 0..8, false),
            (2..2, 2..2, false),
            (u64::MAX - 1..u64::MAX, 0..u64::MAX, true),
        ] {
            assert_eq!(overlap(&one, &other), shared, "{one:?} {other:?}");
            assert_eq!(overlap(&other, &one), shared, "{other:?} {one:?}");
        }
    }
}
