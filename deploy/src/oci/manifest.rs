//! What an image is made of: the two ways in which images name their configuration and layers.

use std::collections::BTreeMap;
use std::io;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::store::{Store, hex_of, invalid};

/// An image.
#[derive(Debug)]
pub(super) struct Manifest {
    /// The digits of the configuration's digest.
    pub(super) config_hex: String,
    pub(super) config: Config,
    pub(super) layers: Vec<Layer>,
}

/// Where a layer is.
#[derive(Debug)]
pub(super) enum Layer {
    /// A blob, by its digest.
    Blob(String),
    /// A file.
    File(String),
}

/// The configuration of an image (config.md of the OCI image specification), as far as it means something here.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Config {
    #[serde(default)]
    pub(super) architecture: String,
    #[serde(default)]
    pub(super) os: String,
    #[serde(default)]
    pub(super) config: Execution,
    pub(super) rootfs: RootFs,
}

/// How programs of an image run.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Execution {
    pub(super) user: Option<String>,
    pub(super) env: Option<Vec<String>>,
    pub(super) entrypoint: Option<Vec<String>>,
    pub(super) cmd: Option<Vec<String>>,
    pub(super) working_dir: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct RootFs {
    /// The digests of the layers, unpacked, the lowest first.
    #[serde(default)]
    pub(super) diff_ids: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Index {
    #[serde(default)]
    manifests: Vec<Descriptor>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    #[serde(default)]
    media_type: String,
    digest: String,
    platform: Option<Platform>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
struct Platform {
    architecture: String,
    os: String,
}

#[derive(Debug, Deserialize)]
struct Body {
    config: Descriptor,
    #[serde(default)]
    layers: Vec<Descriptor>,
}

/// One image of `docker save`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Vec<String>,
}

/// The annotation of a manifest's name.
const NAME: &str = "org.opencontainers.image.ref.name";

/// Indices lead to indices at most so often.
const MOST_INDICES: u32 = 8;

/// The image `wanted`, or the only one for this machine.
pub(super) fn read(store: &mut Store, wanted: Option<&str>) -> io::Result<Manifest> {
    let manifest = if let Some(index) = store.text("index.json")? {
        of_layout(store, &index, wanted)?
    } else if let Some(saved) = store.text("manifest.json")? {
        of_saved(store, &saved, wanted)?
    } else {
        return Err(invalid(
            "it has neither `index.json` nor `manifest.json`; give an OCI image layout or what `docker save` writes",
        ));
    };
    let config = &manifest.config;
    if (config.os.as_str(), config.architecture.as_str()) != ("linux", architecture()) {
        return Err(invalid(&format!(
            "it is an image for `{}/{}`; give one for `linux/{}`",
            config.os,
            config.architecture,
            architecture()
        )));
    }
    if manifest.layers.len() != config.rootfs.diff_ids.len() {
        return Err(invalid("its configuration has another number of layers"));
    }
    Ok(manifest)
}

fn of_layout(store: &mut Store, index: &[u8], wanted: Option<&str>) -> io::Result<Manifest> {
    let mut index: Index = parsed("index.json", index)?;
    let mut wanted = wanted;
    for _ in 0..MOST_INDICES {
        let found = chosen(&index, wanted)?;
        let digest = found.digest.clone();
        let text = store.description(&digest)?;
        let is_index = found.media_type.contains("index") || found.media_type.contains("list");
        if is_index {
            index = parsed(&digest, &text)?;
            wanted = None;
            continue;
        }
        let body: Body = parsed(&digest, &text)?;
        let config = store.description(&body.config.digest)?;
        let layers = body.layers.into_iter();
        return Ok(Manifest {
            config_hex: hex_of(&body.config.digest)?.to_owned(),
            config: parsed("the configuration", &config)?,
            layers: layers.map(|layer| Layer::Blob(layer.digest)).collect(),
        });
    }
    Err(invalid("its indices lead in a circle"))
}

/// The manifest that is meant.
fn chosen<'a>(index: &'a Index, wanted: Option<&str>) -> io::Result<&'a Descriptor> {
    let fits = |found: &&Descriptor| {
        let platform = found.platform.as_ref();
        platform.is_none_or(|platform| {
            platform.os == "linux" && platform.architecture == architecture()
        })
    };
    let name = |found: &&Descriptor| found.annotations.get(NAME).cloned();
    let all: Vec<&Descriptor> = index.manifests.iter().filter(fits).collect();
    let named: Vec<&Descriptor> = match wanted {
        None => all.clone(),
        Some(_) => all
            .iter()
            .copied()
            .filter(|found| name(found).as_deref() == wanted)
            .collect(),
    };
    match named[..] {
        [one] => Ok(one),
        [] if all.is_empty() => Err(invalid(&format!(
            "it has no image for `linux/{}`",
            architecture()
        ))),
        _ => Err(several(all.iter().filter_map(name).collect())),
    }
}

fn of_saved(store: &mut Store, saved: &[u8], wanted: Option<&str>) -> io::Result<Manifest> {
    let saved: Vec<Saved> = parsed("manifest.json", saved)?;
    let tags = |image: &Saved| image.repo_tags.clone().unwrap_or_default();
    let is_wanted =
        |image: &&Saved| wanted.is_none_or(|wanted| tags(image).iter().any(|tag| tag == wanted));
    let mut found = saved.iter().filter(is_wanted);
    let (Some(image), None) = (found.next(), found.next()) else {
        return Err(several(saved.iter().flat_map(tags).collect()));
    };
    let text = store.text(&image.config)?;
    let text = text.ok_or_else(|| invalid(&format!("`{}` is missing", image.config)))?;
    // Its name is its digest, with an ending or in a directory.
    let hex = crate::digest::hex(&crate::digest::of(&text));
    if !image.config.contains(&hex) {
        return Err(invalid(&format!("`{}` has another digest", image.config)));
    }
    let layers = image.layers.iter().cloned();
    Ok(Manifest {
        config_hex: hex,
        config: parsed(&image.config, &text)?,
        layers: layers.map(Layer::File).collect(),
    })
}

fn several(mut names: Vec<String>) -> io::Error {
    names.sort();
    let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    let known = match names.is_empty() {
        true => "none has a name".to_owned(),
        false => format!("there are {}", names.join(", ")),
    };
    invalid(&format!("say with `--tag` which image is meant; {known}"))
}

fn parsed<T: DeserializeOwned>(name: &str, text: &[u8]) -> io::Result<T> {
    serde_json::from_slice(text)
        .map_err(|error| invalid(&format!("`{name}` is malformed: {error}")))
}

/// This machine, in the words of Go.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
