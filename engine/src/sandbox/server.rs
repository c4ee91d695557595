//! The process that serves the layers of a root.
//!
//! It is not in the mount namespace that it serves, so it does not keep the mount alive: when the last instance is gone
//! the kernel ends the connection, and this process with it. It outlives the supervisor that forked it when other
//! instances go on, and so it keeps nothing of that one: no terminal, no working directory, no descriptor.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flatimage_layer::{IdMap as ServedIds, Layer, ServeOptions, Tree, serve};

use super::Context;
use super::channel::{Channel, Message};
use super::detach::{fall_silent, let_go};
use super::failure::plain;
use crate::plan::{LayerSource, Plan};
use crate::trace::trace;

/// Threads that serve the layers. Requests wait for decompression, not for each other.
const THREADS: usize = 3;

/// Serves the layers of `plan` on the descriptor that comes over `builder`, until the filesystem is gone. For a process
/// that was just forked: it closes the descriptors of whoever forked it and never returns.
pub fn run(plan: &Plan, context: &Context<'_>, builder: Channel) -> ! {
    // Whatever is above is as 0 is.
    run_for(
        plan,
        ServedIds::Below(plan.identity.map.count()),
        context,
        builder,
    )
}

/// As [`run`], with these owners.
pub fn run_for(plan: &Plan, ids: ServedIds, context: &Context<'_>, builder: Channel) -> ! {
    let_go(Some(&builder));
    let tree = Tree::new(open(&plan.layers, context.warn));
    trace(|| "layers opened".into());
    // Who asks the kernel, and that this process, waits a dozen times. Nobody is left to tell when the builder is gone.
    let _ = builder.send(&Message::Deleted(Some(deleted(plan, &tree))));
    let code = match builder.receive() {
        Ok(Some(Message::Fuse(fuse))) => {
            let serving = serve(fuse, tree, options(ids, context));
            drop(builder);
            fall_silent();
            trace(|| "layers served".into());
            serving.and_then(|serving| serving.join()).is_err().into()
        }
        // There is no root to serve.
        _ => 1,
    };
    std::process::exit(code)
}

/// The places of the skeleton that the layers say were deleted.
fn deleted(plan: &Plan, tree: &Tree) -> Vec<PathBuf> {
    plan.root
        .iter()
        .flat_map(|step| step.action.places())
        .filter(|place| tree.is_deleted(place.as_os_str().as_bytes()))
        .map(Path::to_owned)
        .collect()
}

/// Opens the layers; one that cannot be opened is empty.
fn open(sources: &[LayerSource], warn: &dyn Fn(&str)) -> Vec<Option<Layer>> {
    let mut files: HashMap<PathBuf, Arc<File>> = HashMap::new();
    sources
        .iter()
        .map(|source| {
            open_layer(source, &mut files)
                .inspect_err(|reason| {
                    let path = source.path.display();
                    warn(&format!("the layer {path} is left out: {reason}"));
                })
                .ok()
        })
        .collect()
}

fn open_layer(
    source: &LayerSource,
    files: &mut HashMap<PathBuf, Arc<File>>,
) -> Result<Layer, String> {
    let file = match files.get(&source.path) {
        Some(file) => file.clone(),
        None => {
            let file = open_file(&source.path)?;
            files.insert(source.path.clone(), file.clone());
            file
        }
    };
    Layer::open(file, source.offset, source.size).map_err(|error| error.to_string())
}

fn open_file(path: &Path) -> Result<Arc<File>, String> {
    File::open(path)
        .map(Arc::new)
        .map_err(|error| plain(&error))
}

fn options(ids: ServedIds, context: &Context<'_>) -> ServeOptions {
    let usual = ServeOptions::default().cache_bytes;
    ServeOptions {
        threads: THREADS,
        cache_bytes: context.limits.blocks.unwrap_or(usual),
        ids,
    }
}
