//! Settings back to their defaults.

use std::os::unix::fs::FileExt;

use flatimage_layer::{Checksums, verify};
use flatimage_reserved::declared::{self, Layers, REGIONS};
use flatimage_reserved::{RegionDecl, Value, cli, nearest};

use super::Session;
use crate::sandbox::Failure;

/// What means every setting.
const ALL: &str = "all";

impl Session {
    /// Resets the setting of that name, or all of them.
    pub(super) fn reset_settings(&self, name: &str) -> Result<u8, Failure> {
        for decl in named(name)? {
            if decl.name == declared::LAYERS.name {
                self.find_layers()?;
            } else {
                self.store.reset(decl)?;
            }
        }
        Ok(0)
    }

    /// Makes a damaged list of layers anew from those that are whole, from the first on.
    fn find_layers(&self) -> Result<(), Failure> {
        let mut locked = self.store.lock()?;
        match locked.value(declared::LAYERS) {
            Err(error) if error.is_damage() => {}
            sound => return Ok(sound.map(drop)?),
        }
        let (file, start) = (self.file()?, self.store.end());
        let mut found = Layers { count: 0, end: 0 };
        let mut length = [0; 8];
        while file.read_exact_at(&mut length, start + found.end).is_ok() {
            let (offset, length) = (start + found.end + 8, u64::from_le_bytes(length));
            if verify(&file, offset, length, Checksums::All).is_err() {
                break;
            }
            found.count += 1;
            found.end = offset + length - start;
        }
        locked.write(declared::LAYERS, &Value::Record(Some(found.into())))?;
        Ok(())
    }
}

/// The settings that a name means: by their own name, or by that of their command, with or without `fim-`.
fn named(name: &str) -> Result<Vec<&'static RegionDecl>, Failure> {
    if name == ALL {
        return Ok(REGIONS.iter().collect());
    }
    let command = name.strip_prefix(cli::PREFIX).unwrap_or(name);
    let found = REGIONS
        .iter()
        .find(|decl| decl.name == name || decl.command == Some(command));
    found.map(|decl| vec![decl]).ok_or_else(|| {
        let names = REGIONS.iter().map(|decl| decl.name).chain([ALL]);
        let mend = match nearest(name, names.clone()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known: {}", names.collect::<Vec<_>>().join(", ")),
        };
        Failure::ours(format!("unknown setting `{name}`; {mend}"))
    })
}
