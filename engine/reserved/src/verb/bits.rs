//! Names of bits, separated by commas, as a set.

use crate::decl::BitsDecl;
use crate::nearest;
use crate::verb::VerbError;

/// The bits that the names mean together.
pub fn named(decl: &BitsDecl, arguments: &[String]) -> Result<u64, VerbError> {
    masks(decl, arguments).map(|masks| masks.into_iter().fold(0, |set, (mask, _)| set | mask))
}

/// `set` without the named bits, all of which have to be there; of a group, one of them.
pub fn without(decl: &BitsDecl, set: u64, arguments: &[String]) -> Result<u64, VerbError> {
    let masks = masks(decl, arguments)?;
    if let Some((_, name)) = masks.iter().find(|(mask, _)| set & mask == 0) {
        return Err(VerbError::Absent {
            name: (*name).to_owned(),
        });
    }
    Ok(masks.into_iter().fold(set, |set, (mask, _)| set & !mask))
}

/// `set`, if everything is in it that has to stay.
pub fn complete(decl: &BitsDecl, set: u64) -> Result<u64, VerbError> {
    let missing = decl.bits.iter().find_map(|bit| {
        let reason = bit.required.filter(|_| set >> bit.number & 1 == 0)?;
        Some((bit.name, reason))
    });
    match missing {
        Some((name, reason)) => Err(VerbError::Required { name, reason }),
        None => Ok(set),
    }
}

fn masks<'a>(decl: &BitsDecl, arguments: &'a [String]) -> Result<Vec<(u64, &'a str)>, VerbError> {
    let names: Vec<&str> = arguments
        .iter()
        .flat_map(|argument| argument.split(','))
        .collect();
    if names.is_empty() || names.contains(&"") {
        return Err(VerbError::Empty { what: "name" });
    }
    names
        .iter()
        .map(|name| Ok((mask(decl, name, names.len())?, *name)))
        .collect()
}

fn mask(decl: &BitsDecl, name: &str, names: usize) -> Result<u64, VerbError> {
    if let Some(bit) = decl.bit(name) {
        return Ok(1 << bit.number);
    }
    match decl.group(name) {
        Some(group) if names == 1 => Ok(group.mask),
        Some(_) => Err(VerbError::NotAlone {
            name: name.to_owned(),
        }),
        None => {
            let bits = decl.bits.iter().map(|bit| bit.name);
            let known = bits.chain(decl.groups.iter().map(|group| group.name));
            Err(VerbError::Unknown {
                name: name.to_owned(),
                hint: nearest::hint(name, known),
            })
        }
    }
}
