//! Images of one program: what differs between them is beside it.

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use support::{Place, blueprint, everybody};

/// Images of this test program.
fn out() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("images-of-one-program")
}

/// A blueprint image that says that it is something else, with one applet.
fn other() -> PathBuf {
    let directory = tempfile::tempdir().unwrap();
    let table = directory.path().join("tools.json");
    let mut tools: Value = serde_json::from_str(&description(blueprint())[0]).unwrap();
    for tool in tools["tools"].as_array_mut().unwrap() {
        if tool["name"] == "busybox" {
            tool["links"] = serde_json::json!(["factor"]);
        }
    }
    fs::write(&table, tools.to_string()).unwrap();
    let metadata = directory.path().join("meta.json");
    fs::write(&metadata, "{\"told\": \"by the build\"}\n").unwrap();
    let options = deploy::Options {
        out: out(),
        name: Some("other".to_owned()),
        dist: Some("Other-1".to_owned()),
        tools_json: Some(table),
        meta_json: Some(metadata),
        ..deploy::Options::new("blueprint")
    };
    deploy::build(&options, &mut ()).unwrap().image
}

fn marker(image: &Path) -> deploy::marker::Marker {
    let bytes = fs::read(image).unwrap();
    let marker = bytes[deploy::marker::OFFSET..].first_chunk().unwrap();
    deploy::marker::Marker::decode(marker).unwrap()
}

/// Both texts of an image's description.
fn description(image: &Path) -> [String; 2] {
    let (bytes, marker) = (fs::read(image).unwrap(), marker(image));
    let start = marker.description_offset as usize;
    let text = &bytes[start..start + marker.description_size as usize];
    let text = String::from_utf8(text.to_vec()).unwrap();
    let (tools, metadata) = text.split_once('\0').unwrap();
    [tools.to_owned(), metadata.to_owned()]
}

#[test]
fn two_distributions_have_one_program_and_do_not_mix_up_what_is_unpacked() {
    let other = other();
    let programs = [blueprint(), &other].map(|image| {
        let mut bytes = fs::read(image).unwrap();
        bytes.truncate(marker(image).tools_offset as usize);
        bytes[deploy::marker::OFFSET..][..deploy::marker::SIZE].fill(0);
        bytes
    });
    assert!(programs[0] == programs[1]);
    for who in everybody() {
        let place = Place::blueprint(who);
        let beside = place.path().join("other.flatimage");
        support::copy(&other, &beside);
        place.give(&beside);
        // In one private directory, in both orders.
        let script = "type -P factor dc; echo $FIM_DIST";
        let asks = ["fim-exec", "bash", "-c", script];
        let both = "/tmp/tools/sbin/factor\n/tmp/tools/sbin/dc\nblueprint\n";
        let sbin = place.shell("echo $FIM_DIR_APP_SBIN");
        let both = both.replace("/tmp/tools/sbin", sbin.trim());
        let one = format!("{}/factor\nother-1\n", sbin.trim());
        for _ in 0..2 {
            assert_eq!(place.succeed(&asks), both);
            let mut command = place.command(&beside);
            command.args(asks);
            let ran = support::Ran::of(command);
            assert_eq!((ran.out.as_str(), ran.err.as_str()), (one.as_str(), ""));
        }
        let mut command = place.command(&beside);
        command.args(["fim-version", "full"]);
        let full: Value = serde_json::from_str(&support::Ran::of(command).out).unwrap();
        assert_eq!(full["DISTRIBUTION"], "OTHER-1");
        let mut command = place.command(&beside);
        command.args(["fim-version", "deps"]);
        let deps = support::Ran::of(command).out;
        assert_eq!(deps, "{\"told\": \"by the build\"}\n");
        fs::remove_file(&beside).unwrap();
        place.assert_gone();
        fs::remove_dir_all(place.path().join(".other.flatimage.data")).unwrap();
        place.assert_clean();
    }
}

#[test]
fn a_damaged_description_is_said_in_one_line_and_found() {
    let place = Place::blueprint(support::Who::Caller);
    // Also the tools that it describes, of which a start without a private copy needs some.
    let tools = marker(&place.image).tools_offset + 1000;
    support::store::flip(&place, tools);
    let ran = place.run(&["fim-verify"]);
    assert!(ran.out.contains("damaged  tool"), "{ran:?}");
    let mut command = place.image(&["fim-exec", "true"]);
    command.env("HOME", "/sys/none");
    let ran = support::Ran::of(command);
    assert_eq!((ran.code, ran.err.lines().count()), (125, 1), "{ran:?}");
    assert!(ran.err.contains("tools are damaged"), "{ran:?}");
    support::store::flip(&place, tools);
    let at = marker(&place.image).description_offset;
    support::store::flip(&place, at + 20);
    for command in [&["fim-version", "deps"][..], &["fim-exec", "true"]] {
        let line = place.fail(125, command);
        assert!(line.contains("description of the tools"), "{line}");
        assert!(line.contains("copy the image anew"), "{line}");
    }
    let ran = place.run(&["fim-verify"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.out.contains("damaged  description at"), "{ran:?}");
    place.succeed(&["fim-version", "full"]);
    place.assert_clean();
}

#[test]
fn a_sandbox_can_be_made_inside_of_an_image_that_has_nothing_but_the_tools() {
    for who in everybody() {
        let place = Place::blueprint(who);
        let inside = "bwrap --unshare-all --ro-bind / / --proc /proc --dev /dev --tmpfs /tmp \
            bash -c 'echo $$; ls /tmp; echo written > /etc/x' ";
        // Who is user id 0 needs the capabilities of root for it.
        let start = match place.shell("id -u").as_str() {
            "0\n" => "fim-root",
            _ => "fim-exec",
        };
        let asks = [start, "bash", "-c", inside];
        let ran = place.run(&asks);
        assert_ne!(ran.code, 0, "{ran:?}");
        place.succeed(&["fim-perms", "add", "nested"]);
        let ran = place.run(&asks);
        assert_eq!(ran.out, "2\n", "{ran:?}");
        assert!(ran.err.contains("Read-only file system"), "{ran:?}");
        place.assert_clean();
    }
}

#[test]
fn an_image_in_an_image_has_data_of_its_own() {
    for who in everybody() {
        let place = Place::blueprint(who);
        let directory = place.path().join("apps");
        fs::create_dir(&directory).unwrap();
        let inner = directory.join("inner.flatimage");
        support::copy(&place.image, &inner);
        place.give(&directory);
        place.give(&inner);
        let shown = directory.to_string_lossy();
        place.succeed(&["fim-bind", "add", "rw", &shown, "/apps"]);
        let show = "/apps/inner.flatimage fim-data show";
        let shown = place.shell(show);
        assert!(shown.contains("/apps/.inner.flatimage.data"), "{shown}");
        let shown = place.shell(&format!("FIM_DIR_DATA=/tmp/d {show}"));
        assert!(shown.contains("/tmp/d"), "{shown}");
        fs::remove_dir_all(&directory).unwrap();
        place.assert_clean();
    }
}
