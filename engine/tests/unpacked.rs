//! Where there is no FUSE, layers are unpacked, and nothing else is different.

mod support;

use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, UNIX_EPOCH};

use nix::sys::signal::{Signal, kill};
use nix::sys::stat::{Mode, SFlag, mknod};
use nix::unistd::{Pid, getuid, mkfifo};
use rustix::fs::{XattrFlags, getxattr, setxattr};
use support::prepared::NO_FUSE;
use support::running::Running;
use support::{ORDINARY, Place, Ran, Who, everybody};

fn without_fuse(place: &Place, arguments: &[&str]) -> Command {
    place.prepared(NO_FUSE, arguments)
}

fn succeed(place: &Place, arguments: &[&str]) -> String {
    let ran = Ran::of(without_fuse(place, arguments));
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{ran:?}");
    ran.out
}

/// Where the user's layers are unpacked.
fn cache(place: &Place) -> PathBuf {
    let name = match place.who {
        Who::Caller if getuid().is_root() => "layers-524288",
        _ => "layers",
    };
    place.home().join(".cache/flatimage").join(name)
}

fn cached(place: &Place) -> Vec<String> {
    let names = fs::read_dir(cache(place)).unwrap().flatten();
    let names = names.map(|entry| entry.file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name != "leases").collect();
    names.sort();
    names
}

/// A tree with one of everything that the user can make.
fn everything(place: &Place) -> PathBuf {
    let root = place.path().join("tree");
    let at = |name: &str| root.join(name);
    for directory in ["", "closed", "closed/below", "gone", "empty"] {
        fs::create_dir(at(directory)).unwrap();
        place.give(&at(directory));
    }
    let mode = |name: &str, mode| {
        fs::set_permissions(at(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    for (name, content, bits) in [
        ("plain", "plain", 0o644),
        ("setuid", "setuid", 0o4755),
        ("closed/below/secret", "secret", 0o400),
        ("gone/file", "gone", 0o644),
        ("nothing", "", 0o600),
    ] {
        fs::write(at(name), content).unwrap();
        place.give(&at(name));
        mode(name, bits);
    }
    let sparse = fs::File::create(at("sparse")).unwrap();
    sparse.write_all_at(b"end", 5 << 20).unwrap();
    fs::hard_link(at("plain"), at("linked")).unwrap();
    symlink("../etc/../plain", at("link")).unwrap();
    mkfifo(&at("pipe"), Mode::from_bits_truncate(0o622)).unwrap();
    mode("pipe", 0o622);
    for name in ["sparse", "pipe"] {
        place.give(&at(name));
    }
    for name in ["plain", "closed", "closed/below/secret"] {
        let value = format!("of {name}");
        setxattr(at(name), "user.note", value.as_bytes(), XattrFlags::empty()).unwrap();
    }
    mode("closed", 0o750);
    for (name, seconds) in [("plain", 1_000_000_000), ("closed", 1_100_000_000)] {
        let file = fs::File::open(at(name)).unwrap();
        file.set_modified(UNIX_EPOCH + Duration::from_secs(seconds))
            .unwrap();
    }
    root
}

/// A tree that hides `plain` and `gone` of the layer below.
fn whiteouts(place: &Place) -> PathBuf {
    let root = place.path().join("above");
    fs::create_dir(&root).unwrap();
    place.give(&root);
    for name in ["linked", "gone"] {
        mknod(&root.join(name), SFlag::S_IFCHR, Mode::empty(), 0).unwrap();
        place.give(&root.join(name));
    }
    root
}

/// Every path of the tree with everything that `stat` says of it, and the content of the files.
const LIST: &str = "cd /; find plain linked setuid closed nothing sparse link pipe empty gone \
    -exec stat -c '%n %f %u %g %h %Y %N' {} \\; 2>&1; find plain sparse link -exec stat -c %s {} \\; ; cat plain closed/below/secret; md5sum sparse; ls";

#[test]
fn an_unpacked_layer_looks_as_a_served_one_does() {
    for who in everybody() {
        let place = Place::blueprint(who);
        let below = place.pack(&everything(&place), "below.layer");
        place.add_layer(&below);
        let above = place.pack(&whiteouts(&place), "above.layer");
        place.add_layer(&above);

        let plan = succeed(&place, &["fim-plan", "true"]);
        let way = "layers     2 unpacked in the cache, because /dev/fuse is another device";
        assert!(plan.contains(way), "{plan}");
        assert!(!cache(&place).exists(), "a plan does nothing");
        let served = place.shell(LIST);
        assert!(served.contains("find: linked: No such file") && served.contains("secret"));
        let unpacked = succeed(&place, &["fim-exec", "bash", "-c", LIST]);
        assert_eq!(unpacked, served);
        let layers = cached(&place);
        assert_eq!(layers.len(), 2);
        for name in ["plain", "closed", "closed/below/secret"] {
            let found = layers.iter().any(|layer| {
                let path = cache(&place).join(layer).join("tree").join(name);
                let mut value = [0; 64];
                getxattr(path, "user.note", &mut value)
                    .is_ok_and(|length| value[..length] == *format!("of {name}").as_bytes())
            });
            assert!(found, "{name} has its attribute");
        }
        assert_eq!(
            succeed(
                &place,
                &[
                    "fim-root",
                    "bash",
                    "-c",
                    "rm /setuid; echo new > /plain; cat /plain"
                ]
            ),
            "new\n"
        );
        assert_eq!(
            place.shell("cat /plain; ls /setuid 2>&1 | grep -c 'No such'"),
            "new\n1\n"
        );
        place.assert_clean();
    }
}

#[test]
fn what_is_used_is_kept_and_the_rest_goes_when_the_cache_is_too_large() {
    for who in everybody() {
        let place = Place::with_layer(who);
        let waits = "echo ready; read -r; cat /second";
        let first = Running::ready(without_fuse(&place, &["fim-exec", "bash", "-c", waits]));
        let mut second = Running::ready(without_fuse(&place, &["fim-exec", "bash", "-c", waits]));
        // The one that joined goes on with what the other one unpacked.
        assert_eq!(first.end().code, 0);
        let layers = cached(&place);
        assert_eq!(layers.len(), 1);

        let other = Place::with(who, &place.image);
        let extra = other.layer("extra.layer", &[("extra", "x\n")]);
        let another = || {
            let mut command = without_fuse(&place, &["fim-exec", "cat", "/extra", "/first"]);
            command.env("FIM_DIR_DATA", other.data());
            command.env("FIM_LAYERS", &extra).env("FIM_CACHE_SIZE", "0");
            assert_eq!(Ran::of(command).out, "x\n1\n");
        };
        another();
        assert_eq!(cached(&place).len(), 2);
        second.say("");
        assert_eq!(second.line(), "2\n");
        assert_eq!(second.end().code, 0);
        place.assert_gone();
        fs::remove_file(cache(&place).join(&layers[0]).join("size")).unwrap();
        assert_eq!(
            succeed(&place, &["fim-exec", "cat", "/first"]),
            "1\n",
            "it is made anew"
        );
        place.assert_clean();
    }
}

#[test]
fn a_damaged_layer_is_left_out_and_a_full_cache_is_said() {
    for who in everybody() {
        let place = Place::with_layer(who);
        let extra = place.layer("extra.layer", &[("extra", "content\n")]);
        let mut bytes = fs::read(&extra).unwrap();
        bytes[70] ^= 1;
        fs::write(&extra, bytes).unwrap();
        let mut command = without_fuse(&place, &["fim-exec", "cat", "/first"]);
        command.env("FIM_LAYERS", &extra);
        let ran = Ran::of(command);
        assert_eq!((ran.code, ran.out.as_str()), (0, "1\n"), "{ran:?}");
        assert!(
            ran.err.starts_with("warning: the layer ") && ran.err.contains("checksum"),
            "{ran:?}"
        );
        assert_eq!(ran.err.lines().count(), 1);
        assert_eq!(cached(&place).len(), 1);

        for variable in ["FIM_CACHE_SIZE", "FIM_BLOCK_CACHE"] {
            let mut command = place.image(&["fim-exec", "true"]);
            command.env(variable, "1G");
            let ran = Ran::of(command);
            assert_eq!(ran.code, 125);
            assert!(
                ran.err.contains(&format!("{variable} is `1G`; give")),
                "{ran:?}"
            );
        }
        fs::remove_file(extra).unwrap();
        let small = place.path().join("small");
        fs::create_dir(&small).unwrap();
        place.give(&small);
        let owner = match who {
            Who::Ordinary => ORDINARY,
            Who::Caller => 0,
        };
        let mount = format!(
            "{NO_FUSE} && mount -t tmpfs -o size=4k,mode=700,uid={owner} none {}",
            small.display()
        );
        let mut command = place.prepared(&mount, &["fim-exec", "true"]);
        command.env("XDG_CACHE_HOME", &small);
        let ran = Ran::of(command);
        assert_eq!((ran.code, ran.out.as_str()), (125, ""), "{ran:?}");
        assert!(
            ran.err.contains("XDG_CACHE_HOME") && ran.err.lines().count() == 1,
            "{ran:?}"
        );
        fs::remove_dir(small).unwrap();
        place.assert_clean();
    }
}

#[test]
fn whatever_is_killed_while_it_unpacks_the_next_start_works() {
    for who in everybody() {
        let place = Place::blueprint(who);
        let names: Vec<String> = (0..300).map(|number| format!("file-{number}")).collect();
        let files: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "x")).collect();
        let layer = place.layer("many.layer", &files);
        place.add_layer(&layer);
        for round in 0..20u64 {
            let running = Running::spawned(without_fuse(&place, &["fim-exec", "true"]));
            std::thread::sleep(Duration::from_millis(round));
            for victim in place.processes() {
                let _ = kill(Pid::from_raw(victim), Signal::SIGKILL);
            }
            running.end();
            if round % 5 == 4 {
                let count = succeed(&place, &["fim-exec", "bash", "-c", "ls /file-* | wc -l"]);
                assert_eq!(count.trim(), "300");
                assert!(cached(&place).iter().all(|name| !name.starts_with('.')));
                remove(&cache(&place));
            }
        }
        place.assert_clean();
    }
}

fn remove(directory: &Path) {
    fs::remove_dir_all(directory).unwrap();
}
