//! A hostile program, which looks for what was planted all over the host.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use support::compiled::compiled;
use support::{Place, Ran, Who, everybody};

/// Root inside may change the root of a process of its own, and has capabilities inside.
const OF_ROOT: [&str; 2] = ["call_chroot", "rights_bounding"];

/// What was planted, until this goes out of scope, and where.
struct Planted {
    planter: Child,
    told: Vec<String>,
}

impl Planted {
    /// Plants as the user of `place`, in a directory there.
    fn new(place: &Place, probe: &Path, token: &str) -> Planted {
        let directory = place.path().join("planted");
        fs::create_dir(&directory).unwrap();
        place.give(&directory);
        let mut command = place.command(probe);
        let seen = format!("seen-{token}");
        command.arg("plant").arg(directory).args([token, &seen]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut planter = command.spawn().unwrap();
        let lines = BufReader::new(planter.stdout.take().unwrap()).lines();
        let mut told: Vec<String> = lines
            .map(Result::unwrap)
            .take_while(|line| !line.is_empty())
            .collect();
        assert!(
            told.iter().any(|line| line.starts_with("process=")),
            "{told:?}"
        );
        let of_the_host = |path| fs::read_to_string(path).unwrap_or_default();
        let accounts = of_the_host("/etc/passwd");
        for (key, value) in [
            ("account", accounts.lines().nth(1).unwrap_or_default()),
            ("machine", of_the_host("/etc/machine-id").trim()),
            ("name", of_the_host("/proc/sys/kernel/hostname").trim()),
            ("program", "/usr/bin/setpriv"),
        ] {
            told.push(format!("{key}={value}"));
        }
        Planted { planter, told }
    }

    /// Has `command`, which is the probe or starts it, look for everything, with a descriptor and variables to be found.
    fn look(&self, place: &Place, command: &[&str], token: &str) -> BTreeMap<String, bool> {
        let directory = place.path().join("planted");
        let mut shell: Command = place.command("bash");
        shell
            .args(["-c", "exec 9< secret; exec \"$@\"", "bash"])
            .args(command)
            .arg("look")
            .args(&self.told)
            .current_dir(&directory)
            .env("PLANTED", token)
            .env("SSH_AUTH_SOCK", directory.join("socket"));
        let ran = Ran::of(shell);
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{command:?}");
        let lines = ran.out.lines().filter_map(|line| line.split_once(' '));
        lines
            .map(|(name, result)| (name.to_owned(), result == "found"))
            .collect()
    }
}

impl Drop for Planted {
    fn drop(&mut self) {
        drop(self.planter.stdin.take());
        let _ = self.planter.wait();
    }
}

fn found(looked: &BTreeMap<String, bool>) -> Vec<&str> {
    let found = looked.iter().filter(|(_, found)| **found);
    found.map(|(name, _)| name.as_str()).collect()
}

#[test]
fn a_hostile_program_finds_nothing_of_what_was_planted() {
    for who in everybody() {
        let place = Place::blueprint(who);
        let probe = compiled(&place, "probe/probe.c", &[]);
        let path = probe.to_string_lossy().into_owned();
        place.succeed(&["fim-bind", "add", "ro", &path, "/probe"]);
        let token = format!("planted{}{who:?}", std::process::id());
        let planted = Planted::new(&place, &probe, &token);
        let outside = planted.look(&place, &[&path], &token);
        // It bites: what only root can do is found by root alone.
        let least = if who == Who::Caller { 70 } else { 60 };
        assert!(found(&outside).len() >= least, "{who:?}: {outside:?}");
        let image = place.image.to_string_lossy().into_owned();
        for how in ["fim-exec", "fim-root"] {
            let inside = planted.look(&place, &[&image, how, "/probe"], &token);
            assert!(inside.len() >= outside.len() && inside.len() >= 80);
            let allowed: &[&str] = if how == "fim-root" { &OF_ROOT } else { &[] };
            let mut found = found(&inside);
            found.retain(|name| !allowed.contains(name));
            assert_eq!(found, [""; 0], "{who:?} {how}");
        }
        drop(planted);
        fs::remove_file(&probe).unwrap();
        fs::remove_dir_all(place.path().join("planted")).unwrap();
        place.assert_clean();
    }
}
