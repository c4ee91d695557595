//! Overlayfs of the kernel stacks layers, and heeds what in them hides others.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use common::mounts::{in_namespaces, memory, overlay, served};
use common::{fixture, open, opened, packed};
use flatimage_layer::{PackOptions, ROOT};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::{Mode, SFlag, mknod};

#[test]
fn overlayfs_stacks_layers_and_hides_what_a_whiteout_covers() {
    in_namespaces(
        "overlayfs_stacks_layers_and_hides_what_a_whiteout_covers",
        || {
            let on = tempfile::tempdir().unwrap();
            let sample = || open(&fixture("no-sparse.dwarfs")).unwrap();
            let serving = served(vec![Some(sample()), None, Some(sample())], on.path());
            let merged = tempfile::tempdir().unwrap();
            let below = tempfile::tempdir().unwrap();
            let (layers, below) = (on.path().display(), below.path().display());
            let lower = format!("lowerdir={layers}/0:{below},userxattr");
            mount(
                Some("overlay"),
                merged.path(),
                Some("overlay"),
                MsFlags::empty(),
                Some(&lower[..]),
            )
            .unwrap();
            let names: Vec<_> = fs::read_dir(merged.path().join("etc"))
                .unwrap()
                .map(|e| e.unwrap().file_name())
                .collect();
            assert!(names.iter().any(|name| name == "hard"));
            assert!(!names.iter().any(|name| name == "whiteout"));
            assert_eq!(fs::read(merged.path().join("etc/file")).unwrap().len(), 3);
            umount2(merged.path(), MntFlags::empty()).unwrap();
            umount2(on.path(), MntFlags::empty()).unwrap();
            serving.join().unwrap();
        },
    );
}

/// What an overlay keeps of changes is packed and takes effect as a layer of the next overlay.
#[test]
fn whiteouts_and_opaque_directories_take_effect_from_a_layer() {
    let name = "whiteouts_and_opaque_directories_take_effect_from_a_layer";
    in_namespaces(name, || {
        let memory = memory();
        let at = |name: &str| memory.path().join(name);
        for name in ["lower/directory/old", "lower/kept", "upper", "work"] {
            fs::create_dir_all(at(name)).unwrap();
        }
        fs::write(at("lower/gone"), b"x").unwrap();
        fs::write(at("lower/directory/hidden"), b"x").unwrap();
        fs::write(at("lower/kept/below"), b"x").unwrap();
        let base = packed(&at("lower"), &PackOptions::default()).0;

        let merged = tempfile::tempdir().unwrap();
        overlay(
            memory.path(),
            "lowerdir=lower,upperdir=upper,workdir=work",
            merged.path(),
        );
        let inside = |name: &str| merged.path().join(name);
        fs::remove_file(inside("gone")).unwrap();
        fs::remove_dir_all(inside("directory")).unwrap();
        fs::create_dir(inside("directory")).unwrap();
        fs::write(inside("directory/new"), b"y").unwrap();
        fs::write(inside("kept/above"), b"y").unwrap();
        umount2(merged.path(), MntFlags::empty()).unwrap();
        let changes = packed(&at("upper"), &PackOptions::default()).0;
        let opaque = opened(&changes).lookup(ROOT, b"directory").unwrap();
        let marks: Vec<_> = opened(&changes)
            .xattrs(opaque)
            .map(|(name, value)| (name.to_vec(), value.to_vec()))
            .collect();
        assert_eq!(marks, [(b"user.overlay.opaque".to_vec(), b"y".to_vec())]);

        let on = tempfile::tempdir().unwrap();
        let layers = [&base, &changes].map(|image| Some(opened(image)));
        let serving = served(layers.into(), on.path());
        fs::create_dir(at("below")).unwrap();
        let lower = format!("lowerdir={}/0:below", on.path().display());
        overlay(memory.path(), &lower, merged.path());
        let names = |name: &str| {
            let entries = fs::read_dir(inside(name)).unwrap();
            let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
            let mut names: Vec<_> = names.collect();
            names.sort();
            names
        };
        assert_eq!(names(""), ["directory", "kept"]);
        assert_eq!(names("directory"), ["new"]);
        assert_eq!(names("kept"), ["above", "below"]);
        assert!(!inside("gone").exists() && !inside("directory/hidden").exists());
        umount2(merged.path(), MntFlags::empty()).unwrap();
        umount2(on.path(), MntFlags::empty()).unwrap();
        serving.join().unwrap();
    });
}

#[test]
fn two_hundred_layers_make_one_stack() {
    in_namespaces("two_hundred_layers_make_one_stack", || {
        let tree = tempfile::tempdir().unwrap();
        let mut layers = Vec::new();
        for number in 0..200 {
            fs::write(tree.path().join("all"), number.to_string()).unwrap();
            let own = tree.path().join(number.to_string());
            fs::write(&own, b"x").unwrap();
            layers.push(Some(opened(
                &packed(tree.path(), &PackOptions::default()).0,
            )));
            fs::remove_file(own).unwrap();
        }
        let on = tempfile::tempdir().unwrap();
        let serving = served(layers, on.path());
        let merged = on.path().join("0");
        assert_eq!(fs::read(merged.join("all")).unwrap(), b"199");
        assert_eq!(fs::read_dir(&merged).unwrap().count(), 201);
        assert!(!merged.join("200").exists());
        umount2(on.path(), MntFlags::empty()).unwrap();
        serving.join().unwrap();
    });
}

/// Everything below a directory: path, kind, content.
fn tree(directory: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut open = vec![directory.to_owned()];
    while let Some(at) = open.pop() {
        for entry in fs::read_dir(&at).unwrap() {
            let path = entry.unwrap().path();
            // The kernel lists whiteouts of a directory that no other is stacked with.
            let Ok(file) = fs::symlink_metadata(&path) else {
                continue;
            };
            let what = match file.is_dir() {
                true => "directory".to_owned(),
                false => fs::read_to_string(&path).unwrap(),
            };
            if file.is_dir() {
                open.push(path.clone());
            }
            found.insert(path.strip_prefix(directory).unwrap().to_owned(), what);
        }
    }
    found
}

/// Fills a directory with what an overlay could have written: few names, so that layers meet.
fn grow(directory: &Path, layer: usize, depth: usize, random: &mut impl FnMut(usize) -> usize) {
    for name in ["a", "b", "c", "d"] {
        let path = directory.join(name);
        match random(10) {
            0..=2 => fs::write(&path, format!("{layer}")).unwrap(),
            3 if layer > 0 => mknod(&path, SFlag::S_IFCHR, Mode::empty(), 0).unwrap(),
            4..=6 if depth < 4 => {
                fs::create_dir(&path).unwrap();
                if layer > 0 && random(4) == 0 {
                    let flags = rustix::fs::XattrFlags::empty();
                    rustix::fs::setxattr(&path, "user.overlay.opaque", b"y", flags).unwrap();
                }
                grow(&path, layer, depth + 1, random);
            }
            _ => {}
        }
    }
}

/// The kernel stacks layers that are served one by one; what it shows is what the layers merged show.
#[test]
fn layers_are_merged_as_the_kernel_stacks_them() {
    in_namespaces("layers_are_merged_as_the_kernel_stacks_them", || {
        let mut state = 1_u64;
        let mut random = |below: usize| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % below
        };
        for _ in 0..20 {
            let memory = memory();
            let mut images = Vec::new();
            for layer in 0..5 {
                let directory = memory.path().join(layer.to_string());
                fs::create_dir(&directory).unwrap();
                grow(&directory, layer, 0, &mut random);
                images.push(packed(&directory, &PackOptions::default()).0);
            }
            let places: Vec<_> = (0..6).map(|_| tempfile::tempdir().unwrap()).collect();
            let mut servings: Vec<_> = images
                .iter()
                .zip(&places)
                .map(|(image, place)| served(vec![Some(opened(image))], place.path()))
                .collect();
            let all = images.iter().map(|image| Some(opened(image))).collect();
            servings.push(served(all, places[5].path()));
            let lower = |places: &[tempfile::TempDir]| {
                let directories = places.iter().rev();
                let names = directories.map(|place| format!("{}/0", place.path().display()));
                names.collect::<Vec<_>>().join(":")
            };
            fs::create_dir(memory.path().join("below")).unwrap();
            let show = |lower: String| {
                let on = tempfile::tempdir().unwrap();
                overlay(memory.path(), &format!("lowerdir={lower}:below"), on.path());
                let shown = tree(on.path());
                umount2(on.path(), MntFlags::empty()).unwrap();
                shown
            };
            assert_eq!(show(lower(&places[5..])), show(lower(&places[..5])));
            for place in &places {
                umount2(place.path(), MntFlags::empty()).unwrap();
            }
            for serving in servings {
                serving.join().unwrap();
            }
        }
    });
}
