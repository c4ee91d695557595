//! What an address may begin with can be what an address begins with.

use std::collections::HashSet;

use crate::report::Report;
use crate::source::{Encoding, Source};

pub fn check(source: &Source, report: &mut Report) {
    for placed in &source.regions {
        let Encoding::Text(text) = &placed.item.encoding else {
            continue;
        };
        let mut seen = HashSet::new();
        for (place, scheme) in text.schemes.iter().enumerate() {
            let path = format!("{}.encoding.text.schemes[{place}]", placed.path);
            if !is_scheme(scheme) {
                let mend = "write lower-case letters, digits, `+`, `-` and `.`, without the colon";
                report.add(&path, format!("`{scheme}` is no scheme"), mend);
            }
            if !seen.insert(scheme) {
                let what = format!("the scheme `{scheme}` is declared twice");
                report.add(&path, what, "keep one of them");
            }
        }
    }
}

/// RFC 3986, 3.1; in lower case, as it is compared.
fn is_scheme(text: &str) -> bool {
    let known = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.')
    };
    text.starts_with(|first: char| first.is_ascii_lowercase()) && text.bytes().all(known)
}
