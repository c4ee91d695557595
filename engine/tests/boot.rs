//! What a start promises, with real images, in real namespaces.

mod support;

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::{Child, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use support::{Place, Ran, everybody};

#[test]
fn programs_start_where_it_is_set_also_in_memory() {
    for who in everybody() {
        let place = Place::blueprint(who);
        for directory in ["/srv/start", "/tmp/start/here", "/run/start", "/"] {
            place.succeed(&["fim-directory", "set", directory]);
            assert_eq!(
                place.succeed(&["fim-exec", "pwd"]),
                format!("{directory}\n")
            );
        }
        place.assert_clean();
    }
}

#[test]
fn a_program_runs_and_its_output_and_exit_code_are_passed_on() {
    for who in everybody() {
        let place = Place::blueprint(who);
        assert_eq!(
            place.succeed(&["fim-exec", "echo", "a b", "--flag", "-x"]),
            "a b --flag -x\n"
        );
        for (script, code) in [("exit 0", 0), ("exit 3", 3), ("exit 255", 255)] {
            assert_eq!(place.run(&["fim-exec", "bash", "-c", script]).code, code);
        }
        assert_eq!(
            place.run(&["fim-exec", "bash", "-c", "kill -TERM $$"]).code,
            128 + 15
        );
        place.assert_clean();
    }
}

#[test]
fn a_program_that_cannot_be_started_says_so_in_one_line() {
    for who in everybody() {
        let place = Place::blueprint(who);
        assert_eq!(
            place.fail(127, &["fim-exec", "no-such-program"]),
            "error: `no-such-program` is not in the container's PATH\n"
        );
        place.shell("echo text > /plain; chmod 644 /plain");
        let line = place.fail(126, &["fim-exec", "/plain"]);
        assert_eq!(
            line,
            "error: `/plain` cannot be executed: permission denied\n"
        );
        let line = place.fail(127, &["fim-exec", "/nowhere/program"]);
        assert!(line.contains("`/nowhere/program` is not there"), "{line}");
        let line = place.fail(125, &["fim-exce", "true"]);
        assert!(line.contains("did you mean `fim-exec`"), "{line}");
        place.assert_clean();
    }
}

#[test]
fn what_is_written_stays_and_does_not_touch_the_image() {
    for who in everybody() {
        let place = Place::blueprint(who);
        let before = fs::read(&place.image).unwrap();
        place.shell("mkdir -p /srv/a && echo kept > /srv/a/file");
        assert_eq!(place.shell("cat /srv/a/file"), "kept\n");
        place.shell("echo gone > /tmp/x; rm -r /srv/a");
        assert_eq!(place.run(&["fim-exec", "cat", "/srv/a/file"]).code, 1);
        assert_eq!(place.run(&["fim-exec", "cat", "/tmp/x"]).code, 1);
        assert!(fs::read(&place.image).unwrap() == before);
        let mode = fs::metadata(place.data()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        let work = fs::metadata(place.data().join("work/work"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(work & 0o700, 0o700, "its owner can remove it");
        place.assert_clean();
    }
}

#[test]
fn the_boot_command_gets_the_arguments_appended() {
    for who in everybody() {
        let place = Place::blueprint(who);
        assert_eq!(
            place
                .succeed(&["fim-boot", "show"])
                .split_whitespace()
                .collect::<String>(),
            r#"{"args":[],"program":"bash"}"#
        );
        assert_eq!(
            place.succeed(&["-c", "echo from the shell"]),
            "from the shell\n"
        );
        place.succeed(&["fim-boot", "set", "echo", "one", "-n"]);
        assert_eq!(place.succeed(&["two", "--three"]), "one -n two --three\n");
        place.succeed(&["fim-boot", "clear"]);
        assert_eq!(place.succeed(&["-c", "echo again"]), "again\n");
        place.assert_clean();
    }
}

#[test]
fn variables_are_stored_as_typed_and_expanded_at_the_start() {
    for who in everybody() {
        let place = Place::blueprint(who);
        place.succeed(&["fim-env", "add", "A=$HOME/x", "B=$(id)", "C=c=c"]);
        assert_eq!(
            place.succeed(&["fim-env", "list"]),
            "A=$HOME/x\nB=$(id)\nC=c=c\n"
        );
        let home = place.home();
        let expected = format!("{}/x $(id) c=c\n", home.display());
        assert_eq!(place.shell("echo \"$A $B $C\""), expected);
        place.succeed(&["fim-env", "del", "B"]);
        place.fail(125, &["fim-env", "del", "A", "NOT_THERE"]);
        assert_eq!(place.succeed(&["fim-env", "list"]), "A=$HOME/x\nC=c=c\n");
        place.succeed(&["fim-env", "clear"]);
        assert_eq!(place.succeed(&["fim-env", "list"]), "");
        place.assert_clean();
    }
}

#[test]
fn bindings_show_paths_of_the_host_as_far_as_they_say() {
    for who in everybody() {
        let place = Place::blueprint(who);
        let file = place.write("shared file", "from the host\n");
        let source = file.to_string_lossy().into_owned();
        place.succeed(&["fim-bind", "add", "ro", &source, "/mnt/ro"]);
        place.succeed(&["fim-bind", "add", "rw", &source, "/mnt/rw:x"]);
        let listed = place.succeed(&["fim-bind", "list"]);
        assert!(
            listed.contains("\"src\"") && listed.contains("\"dst\""),
            "{listed}"
        );
        assert_eq!(place.shell("cat /mnt/ro"), "from the host\n");
        assert_ne!(
            place
                .run(&["fim-exec", "bash", "-c", "echo x > /mnt/ro"])
                .code,
            0
        );
        if !nix::unistd::geteuid().is_root() || who == support::Who::Ordinary {
            place.shell("echo changed > /mnt/rw:x");
            assert_eq!(fs::read_to_string(&file).unwrap(), "changed\n");
        }
        place.succeed(&["fim-bind", "del", "0"]);
        assert_ne!(place.run(&["fim-exec", "test", "-e", "/mnt/ro"]).code, 0);
        fs::remove_file(file).unwrap();
        place.assert_clean();
    }
}

#[test]
fn permissions_open_what_they_say() {
    for who in everybody() {
        let place = Place::blueprint(who);
        let net = |place: &Place| place.succeed(&["fim-exec", "readlink", "/proc/self/ns/net"]);
        let host = fs::read_link("/proc/self/ns/net")
            .unwrap()
            .to_string_lossy()
            .into_owned();
        assert_ne!(net(&place).trim(), host);
        place.succeed(&["fim-perms", "add", "network"]);
        assert_eq!(place.succeed(&["fim-perms", "list"]), "network\n");
        assert_eq!(net(&place).trim(), host);
        let line = place.fail(125, &["fim-perms", "add", "audio,netwrok"]);
        assert!(line.contains("network"), "{line}");
        assert_eq!(place.succeed(&["fim-perms", "list"]), "network\n");
        place.succeed(&["fim-perms", "clear"]);
        assert_ne!(net(&place).trim(), host);
        place.assert_clean();
    }
}

#[test]
fn bytes_pass_unchanged_through_pipes() {
    for who in everybody() {
        let place = Place::blueprint(who);
        let bytes: Vec<u8> = (0..=255).cycle().take(300_000).collect();
        let mut command = place.image(&["fim-exec", "cat"]);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let sent = bytes.clone();
        let writer = std::thread::spawn(move || {
            use std::io::Write;
            stdin.write_all(&sent).unwrap();
        });
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        assert!(output.stdout == bytes);
        place.assert_clean();
    }
}

/// Starts the image and waits for its first line.
fn started(place: &Place, script: &str) -> (Child, String) {
    let mut command = place.image(&["fim-exec", "bash", "-c", script]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap())
        .read_line(&mut line)
        .unwrap();
    (child, line)
}

#[test]
fn a_signal_to_the_image_reaches_the_program() {
    for who in everybody() {
        let place = Place::blueprint(who);
        let script = "trap 'exit 42' TERM; echo ready; while :; do sleep 0.05; done";
        let (mut child, line) = started(&place, script);
        assert_eq!(line, "ready\n");
        kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(42));
        place.assert_clean();
    }
}

#[test]
fn a_killed_image_leaves_nothing_and_starts_again() {
    for who in everybody() {
        let place = Place::blueprint(who);
        let (mut child, _) = started(&place, "sleep 1000 & echo ready; sleep 1000");
        child.kill().unwrap();
        child.wait().unwrap();
        place.assert_clean();
        assert_eq!(place.shell("echo again"), "again\n");
    }
}

#[test]
fn an_image_can_be_changed_while_it_runs() {
    for who in everybody() {
        let place = Place::blueprint(who);
        let (mut child, _) = started(&place, "echo ready; read -r; exit 0");
        place.succeed(&["fim-env", "add", "NEW=1"]);
        assert_eq!(place.succeed(&["fim-env", "list"]), "NEW=1\n");
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

#[test]
fn an_image_on_a_read_only_place_runs_without_a_home_and_says_that_changes_are_lost() {
    for who in everybody() {
        let place = Place::blueprint(who);
        fs::set_permissions(&place.image, fs::Permissions::from_mode(0o555)).unwrap();
        fs::set_permissions(place.path(), fs::Permissions::from_mode(0o555)).unwrap();
        if who == support::Who::Caller && nix::unistd::geteuid().is_root() {
            continue; // Root writes where it likes.
        }
        let mut homeless = place.image(&["fim-exec", "bash", "-c", "echo x > /x && cat /x"]);
        homeless.env_remove("HOME");
        let ran = Ran::of(homeless);
        fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!((ran.code, ran.out.as_str()), (0, "x\n"), "{ran:?}");
        assert_eq!(ran.err.lines().count(), 1, "{ran:?}");
        assert!(ran.err.contains("FIM_DIR_DATA"), "{ran:?}");
        place.assert_clean();
    }
}

#[test]
fn paths_with_odd_characters_work() {
    for who in everybody() {
        let place = Place::blueprint(who);
        for name in [
            "with space",
            "colon:comma,equals=",
            "back\\slash",
            "quo'te\"s",
            "new\nline",
        ] {
            let directory = place.path().join(name);
            fs::create_dir(&directory).unwrap();
            place.give(&directory);
            let image = directory.join(format!("{name}.flatimage"));
            support::copy(&place.image, &image);
            place.give(&image);
            let mut command = place.command(&image);
            command.args(["fim-exec", "bash", "-c", "echo 1 >> /f; cat /f"]);
            let ran = Ran::of(command);
            assert_eq!((ran.code, ran.out.as_str()), (0, "1\n"), "{name}: {ran:?}");
            fs::remove_dir_all(directory).unwrap();
        }
        let link = place.path().join("link");
        symlink(&place.image, &link).unwrap();
        let mut command = place.command(&link);
        command.args(["fim-exec", "bash", "-c", "echo $FIM_BIN_SELF"]);
        assert_eq!(Ran::of(command).out.trim(), place.image.to_string_lossy());
        fs::remove_file(link).unwrap();
        place.assert_clean();
    }
}

#[test]
fn without_a_home_the_image_runs_from_memory() {
    for who in everybody() {
        let place = Place::blueprint(who);
        let mut command = place.image(&["fim-exec", "bash", "-c", "ls / > /dev/null && echo ok"]);
        command.env_remove("HOME");
        let ran = Ran::of(command);
        assert_eq!(
            (ran.code, ran.out.as_str(), ran.err.as_str()),
            (0, "ok\n", "")
        );
        let left: Vec<_> = fs::read_dir(place.home()).unwrap().collect();
        assert_eq!(left.len(), 0, "{left:?}");
        place.assert_clean();
    }
}

#[test]
fn versions_are_printed() {
    let place = Place::blueprint(support::Who::Caller);
    assert_eq!(
        place.succeed(&["fim-version", "short"]).trim(),
        env!("CARGO_PKG_VERSION")
    );
    let full: serde_json::Value =
        serde_json::from_str(&place.succeed(&["fim-version", "full"])).unwrap();
    assert_eq!(full["DISTRIBUTION"], "BLUEPRINT");
    for key in ["VERSION", "COMMIT", "TIMESTAMP"] {
        assert!(full[key].is_string(), "{full}");
    }
    let deps = place.succeed(&["fim-version", "deps"]);
    let deps: serde_json::Value = serde_json::from_str(&deps).unwrap();
    assert!(deps.to_string().contains("busybox"), "{deps}");
}

#[test]
fn the_offset_of_the_first_layer_is_told_to_whoever_asks() {
    let place = Place::blueprint(support::Who::Caller);
    let mut asked = place.image(&["ignored"]);
    asked.env("FIM_MAIN_OFFSET", "1");
    let listed = place.succeed(&["fim-layer", "list"]);
    let offset = listed.split(':').nth(1).unwrap().to_owned();
    assert_eq!(Ran::of(asked).out.trim(), offset);
    assert_eq!(place.shell("echo $FIM_OFFSET").trim(), offset);
}

#[test]
fn a_layer_that_is_interrupted_while_it_is_made_leaves_no_file() {
    for who in everybody() {
        let place = Place::blueprint(who);
        let root = place.path().join("root");
        fs::create_dir(&root).unwrap();
        // Noise has to be packed as it is, which takes a while.
        let mut state = 1_u64;
        let noise = std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        });
        let noise: Vec<u8> = noise.take(16 << 20).flatten().collect();
        fs::write(root.join("noise"), noise).unwrap();
        // What a shell starts in the background ignores SIGINT, and so does what that starts.
        let mut command = place.command("env");
        command.arg("--default-signal=INT").arg(&place.image);
        command.args(["fim-layer", "create", "root", "made.layer"]);
        command.env("FIM_COMPRESSION_LEVEL", "9");
        let mut child = command.spawn().unwrap();
        // It has begun when the file is there that will be the layer, without a name or beside its place.
        let files = PathBuf::from(format!("/proc/{}/fd", child.id()));
        let is_begun = || {
            let mut files = fs::read_dir(&files).into_iter().flatten().flatten();
            files.any(|file| {
                let target = fs::read_link(file.path()).unwrap_or_default();
                let name = target.to_string_lossy();
                let is_layer = name.ends_with(" (deleted)") || name.contains(".made.layer.");
                target.starts_with(place.path()) && is_layer
            })
        };
        while child.try_wait().unwrap().is_none() && !is_begun() {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        kill(Pid::from_raw(child.id() as i32), Signal::SIGINT).unwrap();
        let ended = child.wait().unwrap();
        assert!(!ended.success(), "it was interrupted half way");
        fs::remove_dir_all(root).unwrap();
        place.assert_clean();
    }
}
