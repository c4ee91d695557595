//! The process that serves the layers of a root.
//!
//! It is not in the mount namespace that it serves, so it does not keep the mount alive: when the last instance is gone
//! the kernel ends the connection, and this process with it. It outlives the supervisor that forked it when other
//! instances go on, and so it keeps nothing of that one: no terminal, no working directory, no descriptor.

use std::collections::HashMap;
use std::fs::File;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flatimage_layer::{IdMap as ServedIds, Layer, ServeOptions, serve};
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use nix::unistd::{chdir, dup2_stderr, dup2_stdin, dup2_stdout, setsid};

use super::channel::{Channel, Message};
use super::failure::plain;
use super::{Context, signals};
use crate::plan::{IdMap, LayerSource, Plan};
use crate::sys::close_all_but;
use crate::trace::trace;

/// Threads that serve the layers. Requests wait for decompression, not for each other.
const THREADS: usize = 3;

/// Serves the layers of `plan` on the descriptor that comes over `builder`, until the filesystem is gone. For a process
/// that was just forked: it closes the descriptors of whoever forked it and never returns.
pub fn run(plan: &Plan, context: &Context<'_>, builder: Channel) -> ! {
    detach(&builder);
    let layers = open(&plan.layers, context.warn);
    trace(|| "layers opened".into());
    let code = match builder.receive() {
        Ok(Some(Message::Fuse(fuse))) => {
            let serving = serve(fuse, layers, options(&plan.identity.map, context));
            drop(builder);
            // Whoever waits for the end of the supervisor's output must not wait for the last instance.
            silence(dup2_stderr);
            trace(|| "layers served".into());
            serving.and_then(|serving| serving.join()).is_err().into()
        }
        // There is no root to serve.
        _ => 1,
    };
    std::process::exit(code)
}

/// Lets go of what is the supervisor's. What cannot be let go of does no harm but to outlive it.
fn detach(builder: &Channel) {
    let _ = setsid();
    let _ = signals::restore_defaults();
    let _ = chdir("/");
    silence(dup2_stdin);
    silence(dup2_stdout);
    let _ = close_all_but(3, builder.as_fd());
}

fn silence(place: impl Fn(std::os::fd::OwnedFd) -> nix::Result<()>) {
    let flags = OFlag::O_RDWR | OFlag::O_CLOEXEC;
    if let Ok(null) = nix::fcntl::open("/dev/null", flags, Mode::empty()) {
        let _ = place(null);
    }
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

fn options(map: &IdMap, context: &Context<'_>) -> ServeOptions {
    let usual = ServeOptions::default().cache_bytes;
    ServeOptions {
        threads: THREADS,
        cache_bytes: context.limits.blocks.unwrap_or(usual),
        ids: match map {
            IdMap::Single { .. } => ServedIds::Below(1),
            IdMap::Range { count, .. } => ServedIds::Below(*count),
        },
    }
}
