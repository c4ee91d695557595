//! Every default is a value of its region's encoding and fits.

use crate::encode;
use crate::report::Report;
use crate::source::Source;

pub fn check(source: &Source, report: &mut Report) {
    for placed in &source.regions {
        let (path, region) = (&placed.path, &placed.item);
        let at = format!("{path}.default");
        match encode::encode(&region.encoding, region.default.as_ref()) {
            Err(what) => {
                let what = format!("region `{}`: {what}", region.name);
                report.add(
                    &at,
                    what,
                    "give a default that a command could have stored, or leave it out",
                );
            }
            Ok(bytes) => {
                let over = (bytes.len() as u64 + 32).saturating_sub(region.size / 2);
                if over > 0 {
                    let what = format!(
                        "the default of region `{}` is {over} bytes too long",
                        region.name
                    );
                    report.add(&at, what, "shorten it or give the region a larger size");
                }
            }
        }
    }
}
