//! What a program inside has and has not, with real images.

mod support;

use std::fs;

use support::{Place, Ran, everybody, words};

#[test]
fn every_namespace_is_a_new_one() {
    for who in everybody() {
        let place = Place::blueprint(who);
        for name in ["user", "mnt", "pid", "ipc", "uts", "cgroup", "net"] {
            let link = format!("/proc/self/ns/{name}");
            let inside = place.succeed(&["fim-exec", "readlink", &link]);
            let outside = fs::read_link(&link).unwrap();
            assert!(inside.starts_with(&format!("{name}:[")), "{inside}");
            assert_ne!(inside.trim(), outside.to_string_lossy(), "{name}");
        }
        place.assert_clean();
    }
}

#[test]
fn nothing_of_the_host_is_there() {
    for who in everybody() {
        let place = Place::blueprint(who);
        place.write("secret", "x");
        let home = place.home();
        fs::write(home.join("secret"), "x").unwrap();
        let seen = place.shell("find / -xdev -name secret; ls /etc /usr /home 2>/dev/null; true");
        assert!(!seen.contains("secret"), "{seen}");
        fs::remove_file(home.join("secret")).unwrap();
        fs::remove_file(place.path().join("secret")).unwrap();
        let mut command = place.image(&["fim-exec", "env"]);
        command.env("API_TOKEN", "hidden");
        let ran = Ran::of(command);
        assert!(!ran.out.contains("hidden"), "{}", ran.out);
        let read = place.run(&["fim-exec", "cat", "/proc/1/environ"]);
        assert_ne!(read.code, 0, "the supervisor's copy cannot be read");
        place.assert_clean();
    }
}

#[test]
fn a_program_has_no_capabilities_and_cannot_gain_any() {
    for who in everybody() {
        let place = Place::blueprint(who);
        let status = place.succeed(&["fim-exec", "cat", "/proc/self/status"]);
        for line in [
            "CapPrm:\t0000000000000000",
            "CapEff:\t0000000000000000",
            "NoNewPrivs:\t1",
        ] {
            assert!(status.contains(line), "{line} is not in {status}");
        }
        let root = place.succeed(&["fim-root", "cat", "/proc/self/status"]);
        assert!(root.contains("Uid:\t0\t0\t0\t0"), "{root}");
        let mounted = place.run(&["fim-root", "mount", "-t", "tmpfs", "none", "/tmp"]);
        assert_ne!(mounted.code, 0, "even root inside cannot mount");
        place.assert_clean();
    }
}

#[test]
fn a_start_leaves_no_trace_in_the_changes() {
    for who in everybody() {
        let place = Place::blueprint(who);
        place.succeed(&["fim-perms", "set", "network,home"]);
        place.succeed(&["fim-bind", "add", "ro", "/etc/passwd", "/deep/er/file"]);
        place.succeed(&["fim-exec", "true"]);
        let left: Vec<_> = fs::read_dir(place.data().join("root")).unwrap().collect();
        assert_eq!(left.len(), 0, "{left:?}");
    }
}

#[test]
fn a_target_cannot_lead_out_of_the_container() {
    for who in everybody() {
        let place = Place::blueprint(who);
        let victim = place.path().join("victim");
        fs::create_dir(&victim).unwrap();
        place.give(&victim);
        place.shell(&format!(
            "mkdir -p /srv; ln -s {} /srv/link",
            victim.display()
        ));
        place.succeed(&["fim-bind", "add", "ro", "/etc/passwd", "/srv/link/file"]);
        let ran = place.run(&["fim-exec", "true"]);
        assert!(ran.code == 0 || ran.code == 125, "{ran:?}");
        assert_eq!(fs::read_dir(&victim).unwrap().count(), 0);
        fs::remove_dir(victim).unwrap();
        place.assert_clean();
    }
}

#[test]
fn the_tools_are_there_read_only_and_never_in_a_layer() {
    for who in everybody() {
        let place = Place::blueprint(who);
        let path = place.shell("echo $PATH");
        let tools = place.shell("echo $FIM_DIR_APP_BIN:$FIM_DIR_APP_SBIN");
        assert!(path.trim().ends_with(tools.trim()), "{path} {tools}");
        let write = "echo x > $FIM_DIR_APP_BIN/bash";
        assert_ne!(place.run(&["fim-exec", "bash", "-c", write]).code, 0);
        assert_ne!(place.run(&["fim-root", "bash", "-c", write]).code, 0);
        place.shell("mkdir -p /usr/bin; printf '#!/run/flatimage/bin/bash\necho own\n' > /usr/bin/ls; chmod +x /usr/bin/ls");
        assert_eq!(place.succeed(&["fim-exec", "ls"]), "own\n");
        place.assert_clean();
    }
}

#[test]
fn the_plan_is_what_happens() {
    for who in everybody() {
        let place = Place::blueprint(who);
        place.succeed(&["fim-bind", "add", "ro", "/etc/passwd", "/opt/passwd"]);
        let plan = place.succeed(&["fim-plan", "--json", "cat", "/proc/self/mountinfo"]);
        let plan: serde_json::Value = serde_json::from_str(&plan).unwrap();
        assert!(!place.data().exists(), "a plan changes nothing");
        let mut planned: Vec<String> = plan["steps"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|step| {
                let (kind, action) = step["action"].as_object()?.iter().next()?;
                let mounts = ["tmpfs", "proc", "devpts", "bind"].contains(&kind.as_str());
                mounts.then(|| action["target"].as_str().unwrap().to_owned())
            })
            .collect();
        let mounted = place.succeed(&["fim-exec", "cat", "/proc/self/mountinfo"]);
        for line in mounted.lines() {
            let target = line.split(' ').nth(4).unwrap();
            planned.retain(|planned| planned != target);
        }
        assert_eq!(planned, Vec::<String>::new(), "{mounted}");
        let text = place.succeed(&words("fim-plan echo hello"));
        assert!(text.ends_with("exec       echo hello\n"), "{text}");
        place.assert_clean();
    }
}

#[test]
fn who_one_is_agrees_wherever_one_asks() {
    for who in everybody() {
        let place = Place::blueprint(who);
        let uid = place.succeed(&["fim-exec", "id", "-u"]);
        let name = place.succeed(&["fim-exec", "whoami"]);
        assert_eq!(place.shell("echo $USER"), name);
        let account = place.shell("grep ^$USER: /etc/passwd");
        assert_eq!(account.split(':').nth(2), Some(uid.trim()));
        assert_eq!(
            account.split(':').nth(5),
            Some(place.shell("echo $HOME").trim())
        );
        assert_eq!(place.succeed(&["fim-root", "whoami"]), "root\n");
        assert_eq!(
            place.succeed(&["fim-root", "bash", "-c", "echo $HOME $USER"]),
            "/root root\n"
        );

        let mut forced = place.image(&["fim-exec", "id", "-u"]);
        forced.env("FIM_ROOT", "1");
        assert_eq!(Ran::of(forced).out, "0\n");

        place.succeed(&[
            "fim-env",
            "set",
            "UID=5",
            "GID=6",
            "USER=bo",
            "HOME=/opt/bo",
        ]);
        let told =
            place.shell("id -u; id -g; whoami; echo $HOME; cd; pwd; touch x $XDG_RUNTIME_DIR/y");
        assert_eq!(told, "5\n6\nbo\n/opt/bo\n/opt/bo\n");
        place.succeed(&["fim-env", "set", "UID=five"]);
        assert_eq!(place.succeed(&["fim-exec", "id", "-u"]), uid);
        place.assert_clean();
    }
}

#[test]
fn the_mask_of_the_caller_is_the_programs_and_not_the_containers() {
    for who in everybody() {
        let place = Place::blueprint(who);
        let image = place.image.to_string_lossy().into_owned();
        let mut command = place.command("sh");
        command.args([
            "-c",
            "umask 0077; exec \"$0\" fim-exec bash -c 'umask; stat -c %a /dev /run'",
            &image,
        ]);
        assert_eq!(Ran::of(command).out, "0077\n755\n755\n");
        place.assert_clean();
    }
}

/// Tries to change what belongs to the image through every way that it is shown, and prints what worked.
const GRANTS: &str = r#"
    tried() { "$@" 2>/dev/null && echo "worked: $*"; }
    for at in "$@"; do
        cd "$at" || exit
        for path in apps/app.flatimage apps/.app.flatimage.data/ids .cache/flatimage/*/runtime; do
            tried bash -c 'printf x 1<>"$0"' "$at/$path"
            tried chmod 777 "$at/$path"
            tried mv -T "$at/$path" "$at/moved"
            tried ln "$at/$path" "$at/linked"
            tried rm -f "$at/$path"
            tried truncate -s 0 "$at/$path"
            tried touch "$at/$path"
        done
        for path in apps/.app.flatimage.data{,/root,/layers} .cache/flatimage; do
            tried touch "$at/$path/new"
            tried mkdir "$at/$path/new"
            tried mv -T "$at/$path" "$at/moved"
        done
        # What is in a directory is replaced with the directory.
        tried mv -T "$at/.cache" "$at/moved"
        tried mv -T "$at/apps" "$at/moved"
    done
    test -w "$1" && touch "$1/beside" && echo wrote
"#;

#[test]
fn a_program_cannot_grant_itself_anything() {
    for who in everybody() {
        let mut place = Place::blueprint(who);
        let path = place.path().to_string_lossy().into_owned();
        let apps = place.path().join("apps");
        fs::create_dir(&apps).unwrap();
        place.give(&apps);
        fs::rename(&place.image, apps.join("app.flatimage")).unwrap();
        place.image = apps.join("app.flatimage");
        let data = apps.join(".app.flatimage.data");
        let hidden = data.join("layers").to_string_lossy().into_owned();
        place.succeed(&["fim-perms", "add", "home"]);
        place.succeed(&["fim-bind", "add", "rw", &path, "/host"]);
        let at_home = |arguments: &[&str]| {
            let mut command = place.image(arguments);
            command.env("HOME", place.path());
            Ran::of(command)
        };
        // The data directory and the private one are there from the first start on.
        assert_eq!(at_home(&["fim-exec", "true"]).code, 0);
        fs::create_dir_all(&hidden).unwrap();
        place.give(hidden.as_ref());
        place.succeed(&["fim-bind", "add", "rw", &hidden, "/layers"]);
        assert!(data.join("ids").exists());
        assert!(place.path().join(".cache/flatimage").is_dir());
        let before = fs::read(&place.image).unwrap();
        for how in ["fim-exec", "fim-root"] {
            let ways: &[&str] = match how {
                "fim-exec" => &[&path, "/host"],
                // Its home is another one.
                _ => &["/host"],
            };
            let ran = at_home(&[&[how, "bash", "-c", GRANTS, "grants"], ways].concat());
            // What is around it can be written.
            assert_eq!(ran.out, "wrote\n", "{how}: {}", ran.err);
            let ran = at_home(&[how, "touch", "/layers/new"]);
            assert_ne!(ran.code, 0);
        }
        assert!(before == fs::read(&place.image).unwrap());
        let left = fs::read_dir(&hidden).unwrap().count();
        assert_eq!(left, 0);
        place.assert_gone();
    }
}
