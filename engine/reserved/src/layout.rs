//! Where an image keeps its regions: the layout in its superblock, one line a region.
//!
//! An image says itself what lies where, so a program whose declaration has moved on still finds it.

use crate::space::{SUPERBLOCK_SIZE, SpaceError};

/// The smallest region: two slots with a header and one byte each, rounded up.
const SMALLEST: u64 = 66;

/// Regions that get a place in an older image start at a multiple of this, so that no two share a sector.
const ALIGNMENT: u64 = 1024;

/// One region as an image has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// Name of the region.
    pub name: String,
    /// First byte, from the start of the reserved space.
    pub offset: u64,
    /// Bytes of both slots.
    pub size: u64,
    /// The encoding, as the declaration's digest sees it: `list(access:choice,source:text)`.
    pub signature: String,
}

impl Placed {
    /// The first byte after the region.
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.offset + self.size
    }
}

/// The regions of a layout, checked: inside a reserved space of `size` bytes, disjoint, large enough.
///
/// # Errors
/// A layout that no program wrote.
pub fn parse(layout: &str, size: u64) -> Result<Vec<Placed>, SpaceError> {
    let lines: Option<Vec<Placed>> = layout.split_terminator('\n').map(line).collect();
    let placed = lines.ok_or(SpaceError::Damaged)?;
    let mut spans: Vec<(u64, u64)> = Vec::with_capacity(placed.len());
    for (number, region) in placed.iter().enumerate() {
        if placed[..number]
            .iter()
            .any(|other| other.name == region.name)
        {
            return Err(SpaceError::Damaged);
        }
        let end = region.offset.checked_add(region.size);
        let end = end.filter(|end| *end <= size).ok_or(SpaceError::Damaged)?;
        if region.size < SMALLEST || !region.size.is_multiple_of(2) {
            return Err(SpaceError::Damaged);
        }
        spans.push((region.offset, end));
    }
    spans.sort_unstable();
    let mut free = SUPERBLOCK_SIZE;
    for (start, end) in spans {
        if start < free {
            return Err(SpaceError::Damaged);
        }
        free = end;
    }
    Ok(placed)
}

fn line(line: &str) -> Option<Placed> {
    let mut words = line.splitn(4, ' ');
    Some(Placed {
        name: words.next()?.to_owned(),
        offset: words.next()?.parse().ok()?,
        size: words.next()?.parse().ok()?,
        signature: words.next()?.to_owned(),
    })
}

/// The text of a layout.
#[must_use]
pub fn write(placed: &[Placed]) -> String {
    let lines = placed.iter().map(|region| {
        let Placed {
            name,
            offset,
            size,
            signature,
        } = region;
        format!("{name} {offset} {size} {signature}\n")
    });
    lines.collect()
}

/// A free place for `size` bytes among `placed`: at `wanted` if that is free, else the first that is.
#[must_use]
pub fn free(placed: &[Placed], wanted: u64, size: u64, space: u64) -> Option<u64> {
    let ends = placed
        .iter()
        .map(|region| region.end().next_multiple_of(ALIGNMENT));
    let mut starts = vec![wanted, SUPERBLOCK_SIZE];
    starts.extend(ends);
    starts[1..].sort_unstable();
    starts.into_iter().find(|start| {
        let Some(end) = start.checked_add(size).filter(|end| *end <= space) else {
            return false;
        };
        *start >= SUPERBLOCK_SIZE
            && placed
                .iter()
                .all(|region| end <= region.offset || region.end() <= *start)
    })
}

/// Whether what was stored under one signature means the same under another: equal, or the known one has only grown.
///
/// Bits may come and go as long as no number changes its name; names of a choice and the length of a text may grow.
#[must_use]
pub fn reads(stored: &str, known: &str) -> bool {
    if stored == known {
        return true;
    }
    let inner = |kind: &str| {
        let strip = |text: &'_ str| -> Option<String> {
            let text = text.strip_prefix(kind)?.strip_prefix('(')?;
            text.strip_suffix(')').map(str::to_owned)
        };
        strip(stored).zip(strip(known))
    };
    if let Some((stored, known)) = inner("bits") {
        return pairs(&stored).all(|(name, number)| {
            pairs(&known).all(|(other, place)| (name == other) == (number == place))
        });
    }
    if let Some((stored, known)) = inner("choice") {
        return stored
            .split(',')
            .all(|name| known.split(',').any(|other| other == name));
    }
    if let Some((stored, known)) = inner("text") {
        let (stored, known) = (stored.parse::<u32>(), known.parse::<u32>());
        return matches!((stored, known), (Ok(stored), Ok(known)) if stored <= known);
    }
    false
}

fn pairs(bits: &str) -> impl Iterator<Item = (&str, &str)> {
    bits.split(',').filter_map(|bit| bit.split_once('='))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_grew_is_read_and_what_changed_is_not() {
        for (stored, known) in [
            ("map", "map"),
            ("bits(a=0,b=1)", "bits(a=0,b=1,c=63)"),
            ("bits(a=0,old=5)", "bits(a=0)"),
            ("choice(x)", "choice(y,x)"),
            ("text(4)", "text(9)"),
        ] {
            assert!(reads(stored, known), "{stored} as {known}");
        }
        for (stored, known) in [
            ("map", "flag"),
            ("bits(a=0)", "bits(b=0)"),
            ("bits(a=0)", "bits(a=1)"),
            ("choice(x,y)", "choice(x)"),
            ("text(9)", "text(4)"),
            ("list(a:text)", "list(a:text,b:text)"),
            ("bits(a=0", "bits(a=0)"),
        ] {
            assert!(!reads(stored, known), "{stored} as {known}");
        }
    }

    #[test]
    fn layouts_that_overlap_or_reach_out_are_refused() {
        let good = "a 8192 1024 flag\nb 9216 2048 map\n";
        assert_eq!(
            parse(good, 11264).map(|placed| write(&placed)),
            Ok(good.to_owned())
        );
        let foreign = "a 8192 1024 flag\r\n";
        assert_eq!(
            parse(foreign, 11264).map(|placed| write(&placed)),
            Ok(foreign.to_owned())
        );
        for bad in [
            "a 8192 1024 flag\nb 9215 2048 map\n",
            "a 8191 1024 flag\n",
            "a 8192 3073 map\n",
            "a 8192 64 flag\n",
            "a 18446744073709551615 1024 flag\n",
            "a 8192 x flag\n",
            "a 8192 1024\n",
            "a 8192 1024 flag\na 9216 1024 flag\n",
            "\n",
        ] {
            assert_eq!(parse(bad, 11264), Err(SpaceError::Damaged), "{bad}");
        }
    }

    #[test]
    fn a_new_region_gets_its_own_place_or_the_first_free_one() {
        let placed = parse("a 8192 1024 flag\nb 10240 1000 map\n", 16384).expect("sound");
        assert_eq!(free(&placed, 12288, 1024, 16384), Some(12288));
        assert_eq!(free(&placed, 10240, 1024, 16384), Some(9216));
        assert_eq!(free(&placed, 10240, 2048, 16384), Some(11264));
        assert_eq!(free(&placed, 8192, 16384, 16384), None);
        assert_eq!(free(&placed, u64::MAX, 16384, 16384), None);
    }
}
