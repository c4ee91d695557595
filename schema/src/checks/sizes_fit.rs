//! Every region is large enough for the smallest values that its encoding promises to hold.

use crate::report::Report;
use crate::source::{Encoding, Source};

/// Generation, length and checksum before the value in each slot.
const HEADER: u64 = 32;

pub fn check(source: &Source, report: &mut Report) {
    for placed in &source.regions {
        let (path, region) = (&placed.path, &placed.item);
        let room = (region.size / 2).saturating_sub(HEADER);
        let needed = match &region.encoding {
            Encoding::Flag => 1,
            Encoding::Choice(choices) => choices
                .iter()
                .map(|choice| choice.name.len() as u64)
                .max()
                .unwrap_or(0),
            Encoding::Bits(_) => 8,
            Encoding::Text(text) => 1 + u64::from(text.max),
            Encoding::Map => 8,
            Encoding::List(fields) => 4 + 12 * fields.fields.len() as u64,
            Encoding::Record(fields) => 12 * fields.fields.len() as u64,
            Encoding::Blob => 1,
        };
        if room < needed {
            let size = (2 * (needed + HEADER)).next_multiple_of(1024);
            let what = format!(
                "region `{}` has room for {room} bytes, its value needs {needed}",
                region.name
            );
            report.add(
                &format!("{path}.size"),
                what,
                format!("give it a size of at least {size:#x}"),
            );
        }
        if region.size / 2 > u64::from(u32::MAX) {
            let what = format!(
                "region `{}` is larger than a length of 32 bits can say",
                region.name
            );
            report.add(&format!("{path}.size"), what, "give it a smaller size");
        }
    }
}
