//! Overlayfs of the kernel stacks layers, and heeds what in them hides others.

mod common;

use std::fs;

use common::mounts::{in_namespaces, memory, overlay, served};
use common::{fixture, open, opened, packed};
use flatimage_layer::{PackOptions, ROOT};
use nix::mount::{MntFlags, MsFlags, mount, umount2};

#[test]
fn overlayfs_stacks_layers_and_hides_what_a_whiteout_covers() {
    in_namespaces(
        "overlayfs_stacks_layers_and_hides_what_a_whiteout_covers",
        || {
            let on = tempfile::tempdir().unwrap();
            let sample = || open(&fixture("no-sparse.dwarfs")).unwrap();
            let serving = served(vec![Some(sample()), None, Some(sample())], on.path());
            let merged = tempfile::tempdir().unwrap();
            let lower = format!("lowerdir={0}/2:{0}/1:{0}/0,userxattr", on.path().display());
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
        overlay(on.path(), "lowerdir=1:0", merged.path());
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
        let merged = tempfile::tempdir().unwrap();
        let lower: Vec<_> = (0..200).rev().map(|number| number.to_string()).collect();
        overlay(
            on.path(),
            &format!("lowerdir={}", lower.join(":")),
            merged.path(),
        );
        assert_eq!(fs::read(merged.path().join("all")).unwrap(), b"199");
        assert_eq!(fs::read_dir(merged.path()).unwrap().count(), 201);
        umount2(merged.path(), MntFlags::empty()).unwrap();
        umount2(on.path(), MntFlags::empty()).unwrap();
        serving.join().unwrap();
    });
}
