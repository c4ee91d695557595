//! Random sequences of commands with cuts in between, against a model that is a plain map.

use std::collections::BTreeMap;

use super::disk::Disk;
use super::{BASES, again, fresh, reopened};
use crate::decl::{Encoding, RegionDecl};
use crate::declared::{REGIONS, SPACE};
use crate::space::Space;
use crate::store::Opened;
use crate::value::Value;
use crate::verb::{Verb, apply};

/// A small generator (xorshift64): the same sequences every time.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }
}

/// This program's space without its last region: what an older program made.
pub fn older_space() -> (Space, &'static RegionDecl) {
    let (newest, older) = REGIONS.split_last().expect("there are regions");
    let lines = SPACE.layout.lines().take(older.len());
    let layout: String = lines.map(|line| format!("{line}\n")).collect();
    let space = Space {
        layout: layout.leak(),
        regions: older,
        ..SPACE
    };
    (space, newest)
}

/// A command on variables and what it does to a plain map.
fn command(
    random: &mut Random,
    model: &BTreeMap<String, String>,
) -> (Verb, BTreeMap<String, String>) {
    let mut after = model.clone();
    let pairs = |random: &mut Random| -> Vec<(String, String)> {
        let pair = |random: &mut Random| {
            let length = [0, 3, 700, 5000][random.below(4)];
            let key = format!("K{}", random.below(6));
            (key, "v".repeat(length) + &random.below(1000).to_string())
        };
        (0..=random.below(2)).map(|_| pair(random)).collect()
    };
    let typed = |pairs: &[(String, String)]| -> Vec<String> {
        pairs
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect()
    };
    let verb = match random.below(8) {
        0 => {
            after.clear();
            Verb::Clear
        }
        1 => {
            let pairs = pairs(random);
            let verb = Verb::Set(typed(&pairs));
            after = pairs.into_iter().collect();
            verb
        }
        2 | 3 => {
            let key = format!("K{}", random.below(6));
            after.remove(&key);
            Verb::Del(vec![key])
        }
        _ => {
            let pairs = pairs(random);
            let verb = Verb::Add(typed(&pairs));
            after.extend(pairs);
            verb
        }
    };
    (verb, after)
}

/// What a command does, as the store does it.
fn perform(opened: &mut Opened<Disk>, decl: &RegionDecl, verb: &Verb) -> bool {
    let current = opened.value(decl).expect("whole");
    match apply(decl, &current, verb)
        .ok()
        .and_then(|outcome| outcome.write)
    {
        Some(value) => opened.write(decl, &value).is_ok(),
        None => false,
    }
}

#[test]
fn random_commands_with_cuts_in_between_agree_with_a_map() {
    let maps = REGIONS.iter().filter(|decl| decl.encoding == Encoding::Map);
    for (decl, seed) in maps.flat_map(|decl| (1..40).map(move |seed| (decl, seed))) {
        let base = BASES[seed as usize % 2];
        let mut random = Random(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed));
        let mut model = BTreeMap::new();
        let mut disk = fresh(base);
        for _ in 0..30 {
            let (verb, after) = command(&mut random, &model);
            let mut opened = reopened(again(&disk, base), base);
            let is_refused = matches!(&verb, Verb::Del(keys) if !model.contains_key(&keys[0]));
            assert_eq!(perform(&mut opened, decl, &verb), !is_refused, "{verb:?}");
            if is_refused || random.below(3) > 0 {
                disk = again(&opened.source, base);
                model = if is_refused { model } else { after };
            } else {
                let mut cuts = Vec::new();
                opened.source.cuts(|cut| cuts.push(cut));
                disk = cuts.swap_remove(random.below(cuts.len()));
                let Value::Map(found) = reopened(again(&disk, base), base)
                    .value(decl)
                    .expect("whole")
                else {
                    unreachable!("a map")
                };
                assert!(found == model || found == after, "seed {seed}: {verb:?}");
                model = found;
            }
            let found = reopened(again(&disk, base), base)
                .value(decl)
                .expect("whole");
            assert_eq!(found, Value::Map(model.clone()), "seed {seed}: {verb:?}");
        }
        for other in REGIONS.iter().filter(|other| other.name != decl.name) {
            let found = reopened(again(&disk, base), base).value(other);
            assert_eq!(found.expect(other.name), other.default_value());
        }
    }
}
