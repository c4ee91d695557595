//! Archives and images of other container programs, as those programs write them.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use flatimage_layer::{Layer, ROOT};
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

use super::{Place, Ran};

/// Writes archives.
pub struct Writer(Builder<Vec<u8>>);

impl Writer {
    /// An empty archive.
    pub fn new() -> Writer {
        Writer(Builder::new(Vec::new()))
    }

    /// A member of any kind.
    pub fn add(&mut self, kind: EntryType, name: &str, mode: u32, ids: (u64, u64), content: &[u8]) {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(ids.0);
        header.set_gid(ids.1);
        header.set_mtime(1_500_000_000);
        header.set_device_major(1).unwrap();
        header.set_device_minor(3).unwrap();
        header.set_size(content.len() as u64);
        // The crate refuses names that lead out; other programs do not.
        header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        self.0.append(&header, content).unwrap();
    }

    /// A directory of root.
    pub fn directory(&mut self, name: &str) {
        self.add(EntryType::Directory, name, 0o755, (0, 0), b"");
    }

    /// A file of root.
    pub fn file(&mut self, name: &str, content: &str) {
        self.add(EntryType::Regular, name, 0o644, (0, 0), content.as_bytes());
    }

    /// A link of either kind.
    pub fn link(&mut self, kind: EntryType, name: &str, target: &str) {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(0o777);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_500_000_000);
        header.set_size(0);
        header.set_link_name(target).unwrap();
        header.set_path(name).unwrap();
        header.set_cksum();
        self.0.append(&header, std::io::empty()).unwrap();
    }

    /// What the next member has beside its header.
    pub fn records(&mut self, records: &[(&str, &[u8])]) {
        let records = records.iter().copied();
        self.0.append_pax_extensions(records).unwrap();
    }

    /// Its bytes.
    pub fn finish(self) -> Vec<u8> {
        self.0.into_inner().unwrap()
    }
}

/// The digits of a SHA-256.
pub fn hex(bytes: &[u8]) -> String {
    let sum = Sha256::digest(bytes);
    sum.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// How the programs of an image run, as JSON, and its layers.
pub struct Image<'a> {
    /// The member `config` of its configuration.
    pub config: &'a str,
    /// Archives, the lowest first.
    pub layers: &'a [Vec<u8>],
}

impl Image<'_> {
    /// Its configuration.
    fn config(&self) -> String {
        let ids: Vec<String> = self.layers.iter().map(|layer| hex(layer)).collect();
        let ids: Vec<String> = ids.iter().map(|id| format!("\"sha256:{id}\"")).collect();
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        format!(
            r#"{{"architecture":"{architecture}","os":"linux","config":{},"rootfs":{{"type":"layers","diff_ids":[{}]}}}}"#,
            self.config,
            ids.join(",")
        )
    }

    /// Writes it as an OCI image layout. The layers are compressed in turn with zstd and not at all.
    pub fn layout(&self, dir: &Path) {
        let blobs = dir.join("blobs/sha256");
        fs::create_dir_all(&blobs).unwrap();
        let blob = |bytes: &[u8]| {
            fs::write(blobs.join(hex(bytes)), bytes).unwrap();
            format!(r#""digest":"sha256:{}","size":{}"#, hex(bytes), bytes.len())
        };
        let mut layers = Vec::new();
        for (number, layer) in self.layers.iter().enumerate() {
            let compressed = zstd::encode_all(&layer[..], 1).unwrap();
            let bytes = if number % 2 == 0 { &compressed } else { layer };
            let kind = "application/vnd.oci.image.layer.v1.tar";
            layers.push(format!(r#"{{"mediaType":"{kind}",{}}}"#, blob(bytes)));
        }
        let config = self.config();
        let kind = "application/vnd.oci.image.config.v1+json";
        let manifest = format!(
            r#"{{"schemaVersion":2,"config":{{"mediaType":"{kind}",{}}},"layers":[{}]}}"#,
            blob(config.as_bytes()),
            layers.join(",")
        );
        let kind = "application/vnd.oci.image.manifest.v1+json";
        let index = format!(
            r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"{kind}",{}}}]}}"#,
            blob(manifest.as_bytes())
        );
        fs::write(dir.join("index.json"), index).unwrap();
        fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    }

    /// The archive that `docker save` writes of it.
    pub fn saved(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        let config = self.config();
        let name = format!("{}.json", hex(config.as_bytes()));
        writer.file(&name, &config);
        let mut names = Vec::new();
        for (number, layer) in self.layers.iter().enumerate() {
            let name = format!("layer-{number}/layer.tar");
            writer.add(EntryType::Regular, &name, 0o644, (0, 0), layer);
            names.push(format!("\"{name}\""));
        }
        let names = names.join(",");
        let manifest = format!(r#"[{{"Config":"{name}","RepoTags":["it:1"],"Layers":[{names}]}}]"#);
        writer.file("manifest.json", &manifest);
        writer.finish()
    }
}

/// Name, mode, owners and attributes of everything in layer 0 of a place's image, as it is stored.
pub fn listing(place: &Place) -> String {
    let mut command = place.image(&["fim-exec", "true"]);
    command.env("FIM_MAIN_OFFSET", "1");
    let offset: u64 = Ran::of(command).out.trim().parse().unwrap();
    let file = fs::File::open(&place.image).unwrap();
    let length = file.metadata().unwrap().len() - offset;
    let layer = Layer::open(Arc::new(file), offset, length).unwrap();
    let mut lines = String::new();
    let mut open = vec![(String::new(), ROOT)];
    while let Some((path, directory)) = open.pop() {
        for (_, entry) in layer.entries(directory, 0) {
            let name = format!("{path}{}", String::from_utf8_lossy(&entry.name));
            let found = layer.attributes(entry.inode).unwrap();
            let attributes: Vec<_> = layer.xattrs(entry.inode).collect();
            if !attributes.is_empty() {
                lines += &format!("{name} {attributes:?}\n");
            }
            let (mode, uid, gid) = (found.mode & 0o7777, found.uid, found.gid);
            lines += &format!("{name} {mode:o} {uid} {gid}\n");
            open.push((name + "/", entry.inode));
        }
    }
    lines
}

/// The names in a directory, sorted; none when it is not there.
pub fn files(dir: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(dir) else {
        return Vec::new();
    };
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

/// An error and its causes.
pub fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
