//! Making, appending and listing layers.

use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use flatimage_layer::{Checksums, PackOptions, Progress, pack, verify};
use flatimage_reserved::declared::{self, Config, Layers};
use flatimage_reserved::{Locked, Value};

use super::unfinished::Unfinished;
use super::{Session, is_watched, print, warn};
use crate::image::{external_layers, whole_file};
use crate::remote::sum_of;
use crate::sandbox::{Failure, plain};

/// Bytes that are copied with the image open for writing: nobody can execute it meanwhile.
const PIECE: usize = 8 << 20;

impl Session {
    /// Packs the directory `source` into the layer `target`, which appears when it is whole.
    pub(super) fn create_layer(&self, source: &Path, target: &Path) -> Result<u8, Failure> {
        let level = self.level()?;
        if !source.is_dir() {
            let source = source.display();
            return Err(Failure::ours(format!(
                "`{source}` is no directory; name one to pack"
            )));
        }
        pack_to(source, target, level)
            .map(|()| 0)
            .map_err(|reason| {
                Failure::ours(format!(
                    "cannot make the layer `{}`: {reason}",
                    target.display()
                ))
            })
    }

    pub(super) fn level(&self) -> Result<u8, Failure> {
        let given = self.host.environment.get("FIM_COMPRESSION_LEVEL");
        given.map_or(Ok(PackOptions::default().level), |given| {
            given
                .parse()
                .ok()
                .filter(|level| *level <= 9)
                .ok_or_else(|| {
                    Failure::ours(format!("FIM_COMPRESSION_LEVEL is `{given}`; give 0 to 9"))
                })
        })
    }

    /// Appends the layer in the file `path`, which is called `shown`, to the image. It must have the SHA-256 `sum`, if one is
    /// given.
    pub(super) fn append_file(
        &self,
        path: &Path,
        shown: &str,
        sum: Option<&str>,
    ) -> Result<u8, Failure> {
        let source = whole_file(path)
            .map_err(|reason| Failure::ours(format!("`{shown}` is no layer: {reason}")))?;
        let unread = |error| Failure::ours(format!("cannot read `{shown}`: {}", plain(&error)));
        let layer = File::open(&source.path).map_err(unread)?;
        if let Some(sum) = sum {
            let found = sum_of(&layer).map_err(unread)?;
            (&layer).rewind().map_err(unread)?;
            if found != sum {
                return Err(Failure::ours(format!(
                    "`{shown}` has the SHA-256 {found} and not {sum}; ask whoever keeps it"
                )));
            }
        }
        self.append_layers(&[(&layer, source.size)])
            .map(|()| 0)
            .map_err(|failure| {
                let text = failure.text;
                Failure::ours(format!("cannot append `{shown}`: {text}"))
            })
    }

    /// Appends layers, the lowest first, and how many bytes each has.
    ///
    /// The region `layers` is the truth about how far the file counts. It is written last, so
    /// that an append that is cut off leaves the layers as they were, all or none; the next one begins where
    /// they end.
    pub(super) fn append_layers(&self, layers: &[(&File, u64)]) -> Result<(), Failure> {
        for (layer, size) in layers {
            // Whole before the image is touched. It also brings the layer into memory, so that what follows is short.
            verify(layer, 0, *size, Checksums::Fast)
                .map_err(|error| Failure::ours(format!("it is no whole layer: {error}")))?;
        }
        let mut locked = self.store.lock()?;
        let mut record = stored(&locked)?;
        let start = self.image.layers_offset + record.end;
        if self
            .file()?
            .metadata()
            .is_ok_and(|image| image.len() < start)
        {
            // To write behind the missing bytes would make them look like zeros.
            return Err(Failure::ours(
                "the image is cut off inside of its layers; restore it from a copy",
            ));
        }
        for (layer, size) in layers {
            let at = self.image.layers_offset + record.end;
            append(&locked, at, *size, layer).inspect_err(|_| {
                // Beyond what counts; gone at the next append at the latest.
                let _ = locked.writer().map(|writer| writer.set_len(start));
            })?;
            record.count += 1;
            record.end += 8 + *size;
        }
        locked.sync()?;
        Ok(locked.write(declared::LAYERS, &Value::Record(Some(record.into())))?)
    }

    /// Prints `index:offset:size:path` of every layer, lowest first.
    pub(super) fn list_layers(&self) -> Result<u8, Failure> {
        let config: Config = self.store.config()?;
        let mut layers = self.embedded_layers(&config)?;
        layers.extend(external_layers(&self.host, &self.data_path(), &warn));
        let lines = layers.iter().enumerate().map(|(index, layer)| {
            format!(
                "{index}:{}:{}:{}\n",
                layer.offset,
                layer.size,
                layer.path.display()
            )
        });
        print(&lines.collect::<String>())
    }
}

fn stored(locked: &Locked<'_>) -> Result<Layers, Failure> {
    let value = locked.value(declared::LAYERS)?;
    let layers = flatimage_reserved::typed::FromValue::from_value(&value);
    let layers: Option<Option<Layers>> = layers;
    Ok(layers.flatten().unwrap_or(Layers { count: 0, end: 0 }))
}

fn append(locked: &Locked<'_>, start: u64, size: u64, mut layer: &File) -> Result<(), Failure> {
    let words = |error: io::Error| Failure::ours(plain(&error));
    // The rest of an append that was cut off must not lie behind the new end.
    let writer = locked.writer()?;
    writer.set_len(start).map_err(words)?;
    writer
        .write_all_at(&size.to_le_bytes(), start)
        .map_err(words)?;
    drop(writer);
    let mut piece = vec![0; PIECE];
    let mut done = 0;
    while done < size {
        let wanted = piece
            .len()
            .min(usize::try_from(size - done).unwrap_or(usize::MAX));
        // Read before the image is opened: a slow source must not keep it from being started.
        layer.read_exact(&mut piece[..wanted]).map_err(words)?;
        let writer = locked.writer()?;
        writer
            .write_all_at(&piece[..wanted], start + 8 + done)
            .map_err(words)?;
        done += wanted as u64;
    }
    Ok(())
}

fn pack_to(source: &Path, target: &Path, level: u8) -> Result<(), String> {
    let words = |error: io::Error| plain(&error);
    let unfinished = Unfinished::beside(target).map_err(words)?;
    let mut out = BufWriter::new(unfinished.file());
    let options = PackOptions {
        level,
        ..PackOptions::default()
    };
    shown_progress(|progress| pack(source, &mut out, &options, progress))
        .map_err(|error| error.to_string())?;
    out.flush().map_err(words)?;
    drop(out);
    unfinished.replace(target).map_err(words)
}

/// Runs `packing`, which tells how far it is, and shows that on a terminal.
pub(super) fn shown_progress<T>(packing: impl FnOnce(&mut dyn FnMut(Progress)) -> T) -> T {
    let mut shown = 0;
    let mut progress = |progress: Progress| {
        let percent = (progress.bytes_done * 100)
            .checked_div(progress.bytes_total)
            .unwrap_or(100);
        if percent != shown {
            shown = percent;
            // What comes next, an error too, begins at the start of a line.
            let end = if percent == 100 { '\n' } else { '\r' };
            eprint!("packing {percent} %{end}");
        }
    };
    match is_watched() {
        true => packing(&mut progress),
        false => packing(&mut |_| {}),
    }
}
